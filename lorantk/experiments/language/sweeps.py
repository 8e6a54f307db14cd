"""The study's sweeps from the kept runs, and the parts of the findings that they show."""

from dataclasses import replace
from typing import NamedTuple

from lorantk.experiments.common import findings
from lorantk.experiments.common.effects import Effect
from lorantk.experiments.common.results import Result
from lorantk.experiments.language import kept, study

# The protocols that tune the rate: ranks and variances have too few rates for the others.
TUNING = ("iii", "iv", "v")


class Sweeps(NamedTuple):
    """Results of the study, sweep by sweep: both methods, LoRA's ranks, and its variances in increasing order."""

    arms: list[Result]
    ranks: list[Result]
    variances: list[Result]


def load(place: kept.Place) -> Sweeps:
    """Return the sweeps that the findings compare.

    The variance 1/3 is that of the arms: of their runs the sweep of variances has those with the rates and seeds of its others.

    Raises
    ------
    LanguageError
        As `lorantk.experiments.language.kept.Place.load`.
    """
    arms = [cell for cell in study.arms() if cell.arm in ("full", "lora")]
    variances = study.variances()
    variances += [replace(cell, variance=1 / 3) for cell in variances if cell.variance == study.VARIANCES[0]]
    variances.sort(key=lambda cell: cell.variance)
    return Sweeps(*map(place.load, (arms, study.ranks(), variances)))


def effects(sweeps: Sweeps) -> list[Effect]:
    """Return every part of the findings in both regimes, under the protocols for which the sweep has rates."""
    rates = findings.reference_rates(sweeps.arms)
    return [
        *findings.arm_effects(sweeps.arms, rates),
        *findings.rank_effects(sweeps.ranks, rates, TUNING),
        *findings.variance_effects(sweeps.variances, rates, TUNING),
    ]
