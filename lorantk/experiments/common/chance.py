"""How likely a random check in the book is to come out the other way with another seed.

Each function returns a bound on this probability; a chapter passes it to `Chapter.evidence` or `Chapter.check` as ``chance``.
"""

import numpy as np
from scipy import stats

LEAST = 1e-9  # no smaller probability is claimed where the law is known only approximately


def mean(*, bound: float, tests: int = 1, draws: int | None = None, skewness: float = 0.0) -> float:
    r"""Chance that at least one of `tests` studentised means lies beyond `bound` standard errors on either side.

    Each contributes ``2 P(t > z) cosh(γ z³ / 3√n)``: Student's t, with Cramér's correction for the skewness γ of the draws at
    leading order, which makes one tail longer and the other shorter. If `draws` is None, the normal law is used instead.
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
    """Chance that a statistic reaches a bound that is `deviations` of its standard deviations away.

    `freedom` is the number of degrees of freedom of the estimated standard deviation. From k runs with other seeds, of mean m and
    standard deviation d: ``|bound - m| / (d √(1 + 1/k))`` deviations and ``k - 1`` degrees.
    """
    tail = stats.norm.sf(deviations) if freedom is None else stats.t.sf(deviations, freedom)
    return max(tests * tail, LEAST)


def stated(*, failure: float) -> float:
    """Chance that is stated with the check: the failure probability of a proved bound, or a simulated tail."""
    return failure
