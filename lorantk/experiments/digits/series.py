"""The second series of runs on the digits: 100 seeds, each from a pretrained network of its own. Its effects are kept here.

    python -m lorantk.experiments.common.sweep series --profile kept
    python -m lorantk.experiments.digits.series

compute them again. Every build runs a slice of the series and holds it to what is kept.
"""

import sys
from pathlib import Path

import numpy as np

from lorantk.disk import in_words
from lorantk.experiments.common import effects, findings, results
from lorantk.experiments.common.effects import Effect
from lorantk.experiments.common.results import Result, ResultError

KEPT = Path(__file__).with_name("series.csv")
# Under these protocols an effect of a seed does not depend on which other seeds were run.
BY_SEED = ("iii", "iv", "v")


def second_series() -> list[Effect]:
    """Return the effects that are kept: every part, setting and protocol; raises ValueError like `effects.read`."""
    return effects.read(KEPT)


def effects_of(series: list[Result]) -> list[Effect]:
    """Return the effects of every part, setting and protocol from the results of the series, or of a slice of it."""
    full = findings.select(series, arm="full")
    ranks = findings.select(series, arm="lora", scale=1.0)
    variances = findings.select(series, arm="lora", scale=2.0)
    arms = full + findings.select(variances, variance=1 / 3)
    rates = findings.reference_rates(full)
    return [
        *findings.arm_effects(arms, rates),
        *findings.rank_effects(ranks, rates),
        *findings.variance_effects(variances, rates),
    ]


def distances(found: list[Effect], kept: list[Effect]) -> np.ndarray:
    """Return how far each number of a slice, which has the first seeds, lies from the one that is kept.

    Only `BY_SEED` is compared, without the ranks that perform, which depend on all seeds.

    Raises
    ------
    ValueError
        The slice has an effect that is not kept.
    """
    known = {effect[:3]: effect.differences for effect in kept}
    gaps = []
    for effect in found:
        if effect.protocol in BY_SEED and effect.part != "low-rank-lift":
            if effect[:3] not in known:
                msg = f"expected the kept series to have {' / '.join(effect[:3])}; got nothing of that name"
                raise ValueError(msg)
            gaps.append(np.abs(effect.differences - known[effect[:3]][: len(effect.differences)]))
    return np.concatenate(gaps)


@in_words("lorantk.experiments.digits.series")
def main(arguments: list[str] | None = None) -> int:
    """Write the effects of the whole series, from results that are there; return 0, or 1 if some are missing."""
    try:
        found = effects_of(results.load("series", "kept"))
    except ResultError as error:
        sys.stderr.write(f"lorantk.experiments.digits.series: {error}\n")
        return 1
    effects.write(KEPT, found)
    sys.stdout.write(f"{KEPT.name}: {len(found)} effects of {len(found[0].differences)} seeds\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
