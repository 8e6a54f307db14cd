"""The second series of runs on the digits: 100 seeds, each from a pretrained network of its own. Its effects are kept here.

    python -m lorantk.experiments.common.sweep series --profile kept
    python -m lorantk.experiments.common.kept digits.series

compute them again. Every build runs a slice of the series and holds it to what is kept.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lorantk.experiments.common import effects, findings, kept, results
from lorantk.experiments.common.effects import Effect
from lorantk.experiments.common.results import Result
from lorantk.experiments.digits import sweeps

COLUMNS = (*effects.COLUMNS, *map(str, range(sweeps.SIZES["kept"]["seeds"])))
# Under these protocols an effect of a seed does not depend on which other seeds were run.
BY_SEED = ("iii", "iv", "v")


def second_series() -> list[Effect]:
    """Return the effects that are kept: every part, setting and protocol; raises ValueError like `kept.read`."""
    return effects.of_table(kept.read("digits.series"))


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


def distances(found: list[Effect], expected: list[Effect]) -> np.ndarray:
    """Return how far each number of a slice, which has the first seeds, lies from the one that is kept.

    Only `BY_SEED` is compared, without the ranks that perform, which depend on all seeds. Raises ValueError like
    `kept.distances`.
    """
    compared = [e for e in found if e.protocol in BY_SEED and e.part != "low-rank-lift"]
    again, whole = (pd.DataFrame(effects.rows(each)).drop(columns="void") for each in (compared, expected))
    return kept.distances(again, whole, ("part", "protocol", "setting")).to_numpy().ravel()


def parts() -> Iterator[tuple[str]]:
    """Yield the profile of the whole series."""
    yield ("kept",)


def rows_of(profile: str) -> list[dict]:
    """Return the effects of the series as rows of `COLUMNS`, from its results; raises ResultError if some are missing."""
    return effects.rows(effects_of(results.load("series", profile)))
