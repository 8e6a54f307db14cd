"""The five findings: outcomes of configurations and effects, from results of sweeps.

The parts of the findings are in `lorantk.experiments.common.effects`, the rule that judges them in
`lorantk.experiments.common.equivalence`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lorantk.experiments.common import effects
from lorantk.experiments.common.effects import Effect, Outcome
from lorantk.experiments.common.protocols import PROTOCOLS, best_rate, points
from lorantk.experiments.common.results import Result
from lorantk.experiments.digits.cell import Cell

OPTIMISERS = {"adam": "Adam", "sgd": "SGD"}


@dataclass(frozen=True)
class Measured(Outcome):
    """An outcome and the numbers behind it, per seed; `diverged` is the number of runs that did."""

    poisoned_accuracy: np.ndarray
    success: np.ndarray
    base: np.ndarray
    diverged: int


def select(results: Iterable[Result], **wanted) -> list[Result]:
    """Return the results whose cells have the given values."""
    return [r for r in results if all(getattr(r.cell, name) == value for name, value in wanted.items())]


def outcomes(protocol: str, results: list[Result], *, rate: float) -> list[Measured]:
    """Return the outcome of every configuration of a comparison, in the order of their clean results.

    Parameters
    ----------
    protocol
        A key of `lorantk.experiments.common.protocols.PROTOCOLS`.
    results
        Results of one regime and optimiser, each configuration with the attacks ``clean``, ``flips`` and the system's backdoor.
        Where two attacks have different numbers of seeds, the first ones are compared.
    rate
        The plan's η.
    """
    attacks = ("clean", "flips", results[0].cell.backdoor)
    clean, flipped, patched = (points(protocol, select(results, attack=attack), rate=rate) for attack in attacks)
    found = []
    for c, f, p in zip(clean, flipped, patched, strict=True):
        accuracy, poisoned = c.records["test_accuracy"], f.records["test_accuracy"]
        measured = Measured(
            accuracy=accuracy,
            validation_accuracy=c.records["validation_accuracy"],
            drop=_paired(accuracy, poisoned),
            lift=_paired(p.records["success"], c.records["success"]),
            poisoned_accuracy=poisoned,
            success=p.records["success"],
            base=p.records["base"],
            diverged=int(c.diverged.sum() + f.diverged.sum() + p.diverged.sum()),
        )
        found.append(measured)
    return found


def _paired(first, second):
    """Differences over the seeds that both have."""
    count = min(len(first), len(second))
    return first[:count] - second[:count]


def settings(results: Iterable[Result]) -> list[tuple[str, str]]:
    """Return the pairs of regime and optimiser that a sweep has, in its order."""
    return list(dict.fromkeys((r.cell.regime, r.cell.optimiser) for r in results))


def reference_rates(arms: list[Result]) -> dict[tuple[str, str], float]:
    """Return the plan's η for each regime and optimiser."""
    clean = select(arms, arm="full", attack="clean")
    return {(r.cell.regime, r.cell.optimiser): best_rate(r) for r in clean}


def every_outcome(protocol: str, results: list[Result], rates: dict) -> Iterator[tuple[Cell, Measured]]:
    """Yield the outcome of every configuration in every setting, with its clean cell; arguments as in `outcomes`.

    Under equal progress, all configurations of a setting are compared together.
    """
    for regime, optimiser in settings(results):
        here = select(results, regime=regime, optimiser=optimiser)
        cells = [r.cell for r in select(here, attack="clean")]
        yield from zip(cells, outcomes(protocol, here, rate=rates[regime, optimiser]), strict=True)


def _effects(results, rates, of, protocols):
    """The effects of every setting and protocol; `of` makes those of one from its cells and outcomes."""
    found = []
    for regime, optimiser in settings(results):
        here = select(results, regime=regime, optimiser=optimiser)
        cells = [r.cell for r in select(here, attack="clean")]
        for protocol in protocols:
            outcome = outcomes(protocol, here, rate=rates[regime, optimiser])
            found += of(cells, outcome, protocol=protocol, setting=f"{regime}, {OPTIMISERS[optimiser]}")
    return found


def arm_effects(arms: list[Result], rates: dict, protocols: Iterable[str] = PROTOCOLS) -> list[Effect]:
    """Return how full fine-tuning and LoRA differ in every setting and protocol; arguments as in `outcomes`."""

    def of(cells, found, **where):
        by_arm = {cell.arm: outcome for cell, outcome in zip(cells, found, strict=True)}
        return effects.of_arms(by_arm["full"], by_arm["lora"], **where)

    return _effects([r for r in arms if r.cell.arm in ("full", "lora")], rates, of, protocols)


def rank_effects(ranks: list[Result], rates: dict, protocols: Iterable[str] = PROTOCOLS) -> list[Effect]:
    """Return what the rank changes in every setting and protocol; arguments as in `outcomes`."""

    def of(cells, found, **where):
        return effects.of_ranks({cell.rank: outcome for cell, outcome in zip(cells, found, strict=True)}, **where)

    return _effects(ranks, rates, of, protocols)


def variance_effects(variances: list[Result], rates: dict, protocols: Iterable[str] = PROTOCOLS) -> list[Effect]:
    """Return what the variance changes in every setting and protocol; arguments as in `outcomes`."""

    def of(cells, found, **where):
        return effects.of_variances({cell.variance: outcome for cell, outcome in zip(cells, found, strict=True)}, **where)

    return _effects(variances, rates, of, protocols)
