"""How likely a random check of the book fails by bad luck, over the choice of its seed.

`false_alarm` computes the probability from what bounds it; `book/trust/ledgers/chance.json` says for each piece of evidence of
each chapter whether it is random and, where it is, which of these laws bounds it.
"""

import numpy as np
from scipy import stats

LEAST = 1e-9  # no smaller probability is claimed of anything whose law is known only about


def mean(*, bound: float, tests: int = 1, draws: int | None = None, skewness: float = 0.0) -> float:
    r"""Chance that some of `tests` studentised means lies beyond `bound` standard errors on either side.

    ``2 P(t > z) cosh(γ z³ / 3√n)`` each: Student's t, with Cramér's correction for the skewness γ of the draws at leading order,
    which makes one side longer and the other shorter. With `draws` None, normal.
    """
    tail = 2 * (stats.norm.sf(bound) if draws is None else stats.t.sf(bound, draws - 1))
    return tests * tail * np.cosh(skewness * bound**3 / (3 * np.sqrt(draws or np.inf)))


def kolmogorov(*, bound: float, tests: int = 1) -> float:
    """Chance that √n times the distance to the true law exceeds `bound`, by Dvoretzky, Kiefer, Wolfowitz and Massart."""
    return tests * 2 * np.exp(-2 * bound**2)


def p_value(*, bound: float, tests: int = 1) -> float:
    """Chance that the smallest of `tests` p-values lies below `bound`."""
    return tests * bound


def margin(*, deviations: float, tests: int = 1, freedom: int | None = None) -> float:
    """Chance that a statistic reaches a bound `deviations` of its standard deviations away, estimated with `freedom` degrees.

    From k runs with other seeds, of mean m and deviation d: ``|bound - m| / (d √(1 + 1/k))`` and ``k - 1`` degrees.
    """
    tail = stats.norm.sf(deviations) if freedom is None else stats.t.sf(deviations, freedom)
    return max(tests * tail, LEAST)


def stated(*, failure: float) -> float:
    """Chance that is stated beside the check: a proved bound that holds but for it, or a tail that was simulated."""
    return failure


LAWS = {law.__name__: law for law in (mean, kolmogorov, p_value, margin, stated)}


def false_alarm(entry: dict) -> float:
    """Return the probability of an entry ``{"law": name, ...}`` with the law's arguments; a ``note`` of words is passed over.

    Raises
    ------
    ValueError
        An unknown law.
    """
    arguments = {key: value for key, value in entry.items() if key != "note"}
    if (name := arguments.pop("law", None)) not in LAWS:
        msg = f"expected a law out of {', '.join(LAWS)}; got {name!r}"
        raise ValueError(msg)
    return float(LAWS[name](**arguments))
