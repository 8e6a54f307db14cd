"""The rule of verdicts: intervals of paired differences against zero and against the smallest effect of interest.

This is equivalence testing with one interval. Its four outcomes, from worst to best for a finding, are `OUTCOMES`. The records it
judges are plain `lorantk.experiments.common.effects.Effect`, of any system::

    effects = [...]  # of all parts, settings and protocols; positive if the finding is right
    verdict("finding-rank", effects)  # its outcome, and the pooled judgement of each part under the primary protocol
    pooled("rank-lift", effects, protocol="iii")  # one part under another protocol: the mean over settings
    in_settings("finding-rank", effects)  # every part in every setting
    as_evidence(judgement)  # the comparisons behind an outcome
    facts("finding-rank", effects)  # what a text says about it
    overall(["confirmed", "undecided at this power"])  # the word for several systems

`resampled` and `chances` give the rule's operating characteristics: how often each outcome comes out at a given true effect.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from lorantk.experiments.common.effects import PARTS, Effect
from lorantk.experiments.common.statistics import Interval, paired_interval

CONTRADICTED, NEGLIGIBLE, UNDECIDED, CONFIRMED = OUTCOMES = (
    "contradicted",
    "no effect of interest",
    "undecided at this power",
    "confirmed",
)
VOID = "void"
MARKS = dict(zip(OUTCOMES, "✗≈?✓", strict=True))  # in tables
MARKS_KEY = ", ".join(f"{mark} {outcome}" for outcome, mark in reversed(MARKS.items()))
SMALLEST = {"drop": 0.01, "lift": 0.05}  # effects of interest, as fractions
PRIMARY = "v"
LEAST_SETTINGS = 2  # that a mean over settings needs


class Finding(NamedTuple):
    """Which parts a finding has, whether it needs every one, and whether it states a direction."""

    parts: tuple[str, ...]
    every: bool = True
    directed: bool = True


FINDINGS = {
    "finding-upa-bpa": Finding(("arms-drop", "arms-lift")),
    "finding-rank": Finding(("rank-drop", "rank-lift")),
    "finding-variance": Finding(("variance-drop", "variance-lift"), every=False, directed=False),
    "finding-low-rank": Finding(("low-rank-lift",)),
    "finding-small-variance": Finding(("variance-drop", "variance-lift")),
}


class Judgement(NamedTuple):
    """A part of a finding with its interval and outcome, in one setting or, if `setting` is empty, on average over settings."""

    part: str
    protocol: str
    setting: str
    interval: Interval
    outcome: str
    directed: bool

    @property
    def smallest(self) -> float:
        """The smallest effect of interest of this part."""
        return SMALLEST[self.part.rpartition("-")[2]]

    def points(self) -> str:
        """Mean and interval in points, as text, with enough digits for the smallest effect of interest."""
        return self.interval.points(2 if self.smallest < 0.02 else 1)

    def marked(self) -> str:
        """`points` and the mark of the outcome, which `MARKS_KEY` explains; what is void has none."""
        return f"{self.points()} {MARKS.get(self.outcome, '')}"


class Verdict(NamedTuple):
    """The outcome of a finding, and the pooled judgement of each of its parts."""

    finding: str
    outcome: str
    parts: tuple[Judgement, ...]


def outcome(
    low: Float[np.ndarray, "..."], high: Float[np.ndarray, "..."], *, smallest: Float[np.ndarray, "..."], directed: bool = True
) -> np.ndarray:
    """Return which of `OUTCOMES` an interval has.

    Between ``-smallest`` and ``smallest`` it is no effect of interest; else above 0 confirmed, below 0 contradicted, and else
    undecided. If the finding states no direction, both sides of 0 confirm it.
    """
    below = CONTRADICTED if directed else CONFIRMED
    cases = [np.maximum(-low, high) < smallest, np.asarray(low) > 0, np.asarray(high) < 0]
    return np.select(cases, [NEGLIGIBLE, CONFIRMED, below], UNDECIDED)


def combine(outcomes: Iterable[str], *, every: bool = True) -> str:
    """Return the outcome of a finding from those of its parts: the worst if it needs every part, else the best."""
    return (min if every else max)(outcomes, key=OUTCOMES.index)


def overall(outcomes: Iterable[str]) -> str:
    """Return the word for the same finding in several systems: the common outcome, the one that was decided, or neither."""
    found = set(outcomes)
    if len(found) == 1:
        return found.pop()
    decided = found - {UNDECIDED}
    return f"{decided.pop()} on one system" if len(decided) == 1 else "depends on the system"


def _judge(part, protocol, setting, differences, comparisons, directed, void=False):
    """One judgement."""
    judged = Judgement(part, protocol, setting, paired_interval(differences, comparisons=comparisons), VOID, directed)
    if void:
        return judged
    found = outcome(judged.interval.low, judged.interval.high, smallest=judged.smallest, directed=directed)
    return judged._replace(outcome=str(found))


def in_settings(finding: str, effects: Iterable[Effect]) -> list[Judgement]:
    """Judge every part of a finding in every setting and protocol, with intervals that hold together at 95%."""
    parts, _, directed = FINDINGS[finding]
    mine = [effect for effect in effects if effect.part in parts]
    return [_judge(e.part, e.protocol, e.setting, e.differences, len(mine), directed, e.void) for e in mine]


def mean_over_settings(part: str, effects: Iterable[Effect], *, protocol: str = PRIMARY) -> np.ndarray | None:
    """Return each seed's mean of a part over the settings that are not void, or None if these are fewer than two.

    Raises
    ------
    ValueError
        The settings do not have the same number of seeds, or there are none of this part and protocol.
    """
    mine = [effect for effect in effects if (effect.part, effect.protocol) == (part, protocol)]
    if len({len(effect.differences) for effect in mine}) != 1:
        counts = ", ".join(f"{len(effect.differences)} in {effect.setting}" for effect in mine) or "no setting"
        msg = f"expected the same seeds in all settings of {part} under ({protocol}); got {counts}"
        raise ValueError(msg)
    kept = [effect.differences for effect in mine if not effect.void]
    return np.mean(kept, axis=0) if len(kept) >= LEAST_SETTINGS else None


def pooled(part: str, effects: Sequence[Effect], *, protocol: str = PRIMARY, directed: bool = True) -> Judgement:
    """Judge a part on average over settings; intervals of all `PARTS` under one protocol hold together at 95%.

    Raises ValueError like `mean_over_settings`.
    """
    differences = mean_over_settings(part, effects, protocol=protocol)
    if differences is None:
        return Judgement(part, protocol, "", Interval(np.nan, np.nan, np.nan, 0), VOID, directed)
    return _judge(part, protocol, "", differences, len(PARTS), directed)


def verdict(finding: str, effects: Sequence[Effect]) -> Verdict:
    """Judge a finding by its parts under the primary protocol; a void part is undecided.

    Raises ValueError like `mean_over_settings`.
    """
    parts, every, directed = FINDINGS[finding]
    judged = tuple(pooled(part, effects, directed=directed) for part in parts)
    found = [UNDECIDED if j.outcome == VOID else j.outcome for j in judged]
    return Verdict(finding, combine(found, every=every), judged)


def beside(finding: str, series: dict[str, Sequence[Effect]]) -> dict[str, dict[str, str]]:
    """Return each part's pooled interval in points and its outcome, for every series by name, as rows of a table."""
    rows = {}
    for name, effects in series.items():
        for judged in verdict(finding, effects).parts:
            row = rows.setdefault(PARTS[judged.part], {})
            row |= {name: judged.points(), f"{name}: outcome": judged.outcome}
    return rows


def table(judgements: Iterable[Judgement]) -> dict[str, list]:
    """Return judgements as columns, for a table or a figure's data."""
    rows = [(j.part, j.protocol, j.setting, *j.interval[:3], j.outcome) for j in judgements]
    names = ("part", "protocol", "setting", "mean", "low", "high", "outcome")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def count(judgements: Iterable[Judgement], outcome: str, **where) -> int:
    """Return how many of the judgements with the given attributes have an outcome."""
    return sum(j.outcome == outcome and all(getattr(j, k) == v for k, v in where.items()) for j in judgements)


def facts(finding: str, effects: Sequence[Effect]) -> dict[str, str | int | float]:
    """Return what a text says about a finding: its outcome and, for each part such as ``rank-lift``, numbers in points.

    ``rank_lift`` is the pooled interval, ``rank_lift_outcome`` its outcome, ``rank_lift_alone`` in how many settings the primary
    protocol gives this outcome by itself, ``rank_lift_least`` and ``rank_lift_most`` the extreme means of these settings. Raises
    ValueError like `mean_over_settings`.
    """
    judged = verdict(finding, effects)
    found = {"verdict": judged.outcome, "seeds": judged.parts[0].interval.count}
    for part in judged.parts:
        here = [j for j in in_settings(finding, effects) if (j.part, j.protocol) == (part.part, PRIMARY) and j.outcome != VOID]
        means = [100 * j.interval.mean for j in here]
        numbers = {
            "": part.points(),
            "_outcome": part.outcome,
            "_alone": count(here, part.outcome),
            "_least": min(means),
            "_most": max(means),
        }
        found |= {part.part.replace("-", "_") + name: number for name, number in numbers.items()}
    return found


def seeds_needed(part: str, effects: Sequence[Effect]) -> int:
    """Return how many seeds give a pooled interval that reaches the smallest effect of interest to either side.

    The half-length of the interval is ``t sd/√n``, with the scatter ``sd`` over the seeds that there are and ``t`` the quantile
    of Student's law at the level of the plan. Raises ValueError like `mean_over_settings`, or if the part is void.
    """
    differences = mean_over_settings(part, effects)
    if differences is None:
        msg = f"expected two settings of {part} that are not void, to know its scatter"
        raise ValueError(msg)
    error, n = differences.std(ddof=1), np.arange(2, 10**5)
    _, half = intervals(np.zeros(len(n)), error / np.sqrt(n), seeds=n, comparisons=len(PARTS))
    return int(n[half < SMALLEST[part.rpartition("-")[2]]][0])


def as_evidence(judged: Judgement) -> list[tuple[str, float, str, float, str]]:
    """Return the comparisons that decide the outcome: a key, value, relation and bound, and the outcome that it stands for.

    The first that holds decides. A part without direction is never contradicted. A void part has no interval, so that it may be
    whatever a difference of two differences of shares can be: from -2 to 2.
    """
    low, high = (-2, 2) if judged.outcome == VOID else (judged.interval.low, judged.interval.high)
    small = ("farther-end", max(-low, high), "<", judged.smallest, NEGLIGIBLE)
    if judged.directed:
        return [small, ("lower-end", low, ">", 0, CONFIRMED), ("upper-end", high, "<", 0, CONTRADICTED)]
    return [small, ("nearer-end", max(low, -high), ">", 0, CONFIRMED)]


def evidence(judged: Verdict) -> Iterator[dict[str, str | float]]:
    """Yield `as_evidence` of every part of a finding, as the arguments by name of a chapter's method of the same name."""
    names = ("key", "value", "relation", "bound", "about")
    for part in judged.parts:
        words = PARTS[part.part]
        for piece in as_evidence(part):
            yield dict(zip(names, piece, strict=True)) | {"part": words, "case": words}


def resampled(
    differences: Float[np.ndarray, "K seeds"], *, seeds: int, tries: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "tries K"], Float[np.ndarray, "tries K"]]:
    """Return means and standard errors of made-up experiments without any effect.

    Each takes its seeds from the residuals of the given ones, with replacement and all K rows together, so that rows stay as
    correlated as they are. Residuals are scaled by ``√(n/(n-1))`` to have the variance that the data estimate.
    """
    values = np.asarray(differences, dtype=float)
    n = values.shape[1]
    residuals = (values - values.mean(axis=1, keepdims=True)) * np.sqrt(n / (n - 1))
    drawn = residuals[:, rng.integers(n, size=(tries, seeds))]
    return drawn.mean(axis=-1).T, (drawn.std(axis=-1, ddof=1) / np.sqrt(seeds)).T


def intervals(
    means: Float[np.ndarray, "..."], errors: Float[np.ndarray, "..."], *, seeds: int, comparisons: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Student's intervals at 95%, of which so many hold together."""
    half = stats.t.ppf(1 - 0.05 / (2 * comparisons), seeds - 1) * errors
    return means - half, means + half


def chances(
    means: Float[np.ndarray, " tries"], errors: Float[np.ndarray, " tries"], true: float, *, seeds: int, quantity: str
) -> dict[str, float]:
    """Return how often each of `OUTCOMES` comes out for a pooled part whose true effect is `true`; arrays as `resampled` has."""
    ends = intervals(means + true, errors, seeds=seeds, comparisons=len(PARTS))
    found = outcome(*ends, smallest=SMALLEST[quantity])
    return {word: float(np.mean(found == word)) for word in OUTCOMES}
