"""Judge each of the paper's five findings in every setting, as the plan prescribes."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from lorantk.experiments.common.protocols import PROTOCOLS, best_rate, points
from lorantk.experiments.common.results import Result
from lorantk.experiments.common.statistics import Interval, change, paired_interval
from lorantk.experiments.digits.cell import Cell

# Number of intervals of each finding: protocols × regimes × optimisers × outcomes.
COMPARISONS = {
    "finding-upa-bpa": 40,
    "finding-rank": 40,
    "finding-variance": 40,
    "finding-low-rank": 20,
    "finding-small-variance": 40,
}
OPTIMISERS = {"adam": "Adam", "sgd": "SGD"}
LEAST_ACCURACY = 0.6
TOLERANCE = 0.01  # of accuracy: "performance permitting", and the least change along a sweep that counts


class Outcome(NamedTuple):
    """One configuration in one setting, per seed: clean accuracy, drop and lift, and the numbers behind them."""

    accuracy: np.ndarray
    validation_accuracy: np.ndarray
    poisoned_accuracy: np.ndarray
    drop: np.ndarray
    success: np.ndarray
    base: np.ndarray
    lift: np.ndarray
    diverged: int

    @property
    def void(self) -> bool:
        """Whether the configuration learnt too little from clean data to be attacked."""
        return bool(self.accuracy.mean() < LEAST_ACCURACY)


class Judgement(NamedTuple):
    """One part of a finding in one setting.

    Attributes
    ----------
    interval
        Interval of the mean of ``differences``, one number for each seed; it holds together with all others of the finding.
    direction
        The sign that the finding predicts; 0 if any change of more than `TOLERANCE` counts.
    void
        Whether there is too little to compare.
    """

    protocol: str
    regime: str
    optimiser: str
    part: str
    interval: Interval
    direction: int
    void: bool
    differences: np.ndarray

    @property
    def setting(self) -> str:
        """Protocol, regime and optimiser, in words."""
        return f"({self.protocol}) {self.regime}, {OPTIMISERS[self.optimiser]}"

    @property
    def margin(self) -> float:
        """How far the whole interval lies on the side that the finding predicts; above 0 means that this part holds."""
        low, high = self.interval.low, self.interval.high
        return {1: low, -1: -high, 0: max(low, -high) - TOLERANCE}[self.direction]

    @property
    def state(self) -> str:
        """``"holds"``, ``"contradicts"`` (the whole interval on the other side), ``"open"`` or ``"void"``."""
        if self.void:
            return "void"
        if self.margin > 0:
            return "holds"
        other = {1: -self.interval.high, -1: self.interval.low, 0: -1}[self.direction]
        return "contradicts" if other > 0 else "open"


def select(results: Iterable[Result], **wanted) -> list[Result]:
    """Return the results whose cells have the given values."""
    return [r for r in results if all(getattr(r.cell, name) == value for name, value in wanted.items())]


def outcomes(protocol: str, results: list[Result], *, rate: float) -> list[Outcome]:
    """Return the outcome of every configuration of a comparison, in the order of their clean results.

    Parameters
    ----------
    protocol
        A key of `lorantk.experiments.common.protocols.PROTOCOLS`.
    results
        Results of one regime and optimiser, each configuration with the attacks ``clean``, ``flips`` and ``patch``.
    rate
        The plan's η.
    """
    clean, flipped, patched = (
        points(protocol, select(results, attack=attack), rate=rate) for attack in ("clean", "flips", "patch")
    )
    found = []
    for c, f, p in zip(clean, flipped, patched, strict=True):
        accuracy, poisoned = c.records["test_accuracy"], f.records["test_accuracy"]
        lift = p.records["success"] - c.records["success"]
        count = int(c.diverged.sum() + f.diverged.sum() + p.diverged.sum())
        found.append(
            Outcome(
                accuracy, c.records["validation_accuracy"], poisoned, accuracy - poisoned,
                p.records["success"], p.records["base"], lift, count,
            )
        )  # fmt: skip
    return found


def settings(results: Iterable[Result]) -> list[tuple[str, str]]:
    """Return the pairs of regime and optimiser that a sweep has, in its order."""
    return list(dict.fromkeys((r.cell.regime, r.cell.optimiser) for r in results))


def reference_rates(arms: list[Result]) -> dict[tuple[str, str], float]:
    """Return the plan's η for each regime and optimiser."""
    clean = select(arms, arm="full", attack="clean")
    return {(r.cell.regime, r.cell.optimiser): best_rate(r) for r in clean}


def every_outcome(protocol: str, results: list[Result], rates: dict) -> Iterator[tuple[Cell, Outcome]]:
    """Yield the outcome of every configuration in every setting, with its clean cell; arguments as in `outcomes`.

    Under equal progress, all configurations of a setting are compared together.
    """
    for regime, optimiser in settings(results):
        here = select(results, regime=regime, optimiser=optimiser)
        cells = [r.cell for r in select(here, attack="clean")]
        yield from zip(cells, outcomes(protocol, here, rate=rates[regime, optimiser]), strict=True)


def _sweep(results: list[Result], rates: dict, judge: Callable) -> list[Judgement]:
    """Judge every setting; `judge` yields (part, differences by seed, direction, void, comparisons) for its configurations."""
    found = []
    for regime, optimiser in settings(results):
        here = select(results, regime=regime, optimiser=optimiser)
        for protocol in PROTOCOLS:
            outcome = outcomes(protocol, here, rate=rates[regime, optimiser])
            cells = [r.cell for r in select(here, attack="clean")]
            for part, differences, direction, void, comparisons in judge(cells, outcome):
                interval = paired_interval(differences, comparisons=comparisons)
                found.append(Judgement(protocol, regime, optimiser, part, interval, direction, void, differences))
    return found


def judge_arms(arms: list[Result], rates: dict) -> list[Judgement]:
    """Judge `finding-upa-bpa`: LoRA's drop is larger, and its lift smaller, than that of full fine-tuning."""
    both = [r for r in arms if r.cell.arm in ("full", "lora")]
    comparisons = COMPARISONS["finding-upa-bpa"]

    def judge(cells, found):
        by_arm = {cell.arm: outcome for cell, outcome in zip(cells, found, strict=True)}
        full, lora = by_arm["full"], by_arm["lora"]
        void = full.void or lora.void
        yield "drop, LoRA - full", lora.drop - full.drop, 1, void, comparisons
        yield "lift, full - LoRA", full.lift - lora.lift, 1, void, comparisons

    return _sweep(both, rates, judge)


def _changes(cells, found, position):
    """Return each seed's change of drop and of lift over the configurations that are not void, and whether too few are left."""
    kept = [(position(cell), outcome) for cell, outcome in zip(cells, found, strict=True) if not outcome.void]
    void = len(kept) < 3
    kept = [(position(cell), outcome) for cell, outcome in zip(cells, found, strict=True)] if void else kept
    x = np.array([place for place, _ in kept])
    drop, lift = (np.stack([getattr(outcome, name) for _, outcome in kept], axis=1) for name in ("drop", "lift"))
    return change(drop, x), change(lift, x), void


def judge_ranks(ranks: list[Result], rates: dict) -> list[Judgement]:
    """Judge `finding-rank`: as the rank grows, the drop falls and the lift rises."""

    def judge(cells, found):
        drop, lift, void = _changes(cells, found, lambda cell: np.log2(cell.rank))
        yield "change of drop with rank", drop, -1, void, COMPARISONS["finding-rank"]
        yield "change of lift with rank", lift, 1, void, COMPARISONS["finding-rank"]

    return _sweep(ranks, rates, judge)


def judge_variances(variances: list[Result], rates: dict, finding: str) -> list[Judgement]:
    """Judge `finding-variance` (something changes) or `finding-small-variance` (both drop and lift rise with the variance)."""
    direction = {"finding-variance": 0, "finding-small-variance": 1}[finding]

    def judge(cells, found):
        drop, lift, void = _changes(cells, found, lambda cell: np.log(cell.variance))
        yield "change of drop with variance", drop, direction, void, COMPARISONS[finding]
        yield "change of lift with variance", lift, direction, void, COMPARISONS[finding]

    return _sweep(variances, rates, judge)


def admissible(found: list[Outcome]) -> list[int]:
    """Return which configurations have a mean clean validation accuracy within `TOLERANCE` of the best."""
    accuracy = np.array([outcome.validation_accuracy.mean() for outcome in found])
    return [int(k) for k in np.flatnonzero(accuracy >= accuracy.max() - TOLERANCE)]


def judge_low_rank(ranks: list[Result], rates: dict) -> list[Judgement]:
    """Judge `finding-low-rank`: of the ranks that perform, the lowest has a smaller lift than the highest.

    If only one rank performs, there is nothing to compare and the finding is void.
    """

    def judge(cells, found):
        kept = admissible(found)
        low, high = kept[0], kept[-1]
        void = found[low].void or low == high
        part = f"lift, r = {cells[high].rank} - r = {cells[low].rank}"
        yield part, found[high].lift - found[low].lift, 1, void, COMPARISONS["finding-low-rank"]

    return _sweep(ranks, rates, judge)


def held(judgements: list[Judgement], *, every: bool = True) -> dict[tuple[str, str, str], bool | None]:
    """Return for each setting whether the finding holds, or None where it is void.

    Parameters
    ----------
    judgements
        As the functions above return them.
    every
        Whether every part must hold, or one is enough (`finding-variance`).
    """
    grouped = {}
    for j in judgements:
        grouped.setdefault((j.protocol, j.regime, j.optimiser), []).append(j)
    combine = all if every else any
    return {
        place: None if any(j.void for j in group) else combine(j.margin > 0 for j in group) for place, group in grouped.items()
    }


def pooled(judgements: list[Judgement]) -> Interval:
    """Return the interval, at 95% by itself, of each seed's mean over the settings; void settings are left out.

    If all are void, it is NaN with a count of 0.
    """
    kept = [j.differences for j in judgements if not j.void]
    return paired_interval(np.mean(kept, axis=0)) if kept else Interval(np.nan, np.nan, np.nan, 0)


def table(judgements: list[Judgement]) -> dict[str, list]:
    """Return the judgements as columns, for a table or a figure's data."""
    rows = [
        (j.protocol, j.regime, j.optimiser, j.part, j.interval.mean, j.interval.low, j.interval.high, j.state) for j in judgements
    ]
    names = ("protocol", "regime", "optimiser", "part", "mean", "low", "high", "state")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def count(judgements: list[Judgement], state: str, **where) -> int:
    """Return how many of the judgements with the given attributes are in a state."""
    return sum(j.state == state and all(getattr(j, k) == v for k, v in where.items()) for j in judgements)
