"""The rule of verdicts for claims of other papers: an interval, compared with 0 and with the smallest effect of interest."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lorantk.experiments.common.equivalence import CONFIRMED, CONTRADICTED, NEGLIGIBLE, outcome
from lorantk.experiments.common.statistics import Interval, interval_text, paired_interval

COMPARISONS = 11  # primary intervals of the plan: five estimates and six variants
TIE = 0.02  # a difference of accuracy up to which variants are said to tie


class Estimate(NamedTuple):
    """An estimate that is positive if the claim is right, its interval, and the smallest effect of interest."""

    mean: float
    low: float
    high: float
    smallest: float

    @property
    def outcome(self) -> str:
        """One of `lorantk.experiments.common.equivalence.OUTCOMES`."""
        return str(outcome(self.low, self.high, smallest=self.smallest))

    def evidence(self) -> list[tuple[str, float, str, float, str]]:
        """Return the comparisons that decide the outcome, the first that holds: key, value, relation, bound, outcome."""
        return [
            ("farther-end", max(-self.low, self.high), "<", self.smallest, NEGLIGIBLE),
            ("lower-end", self.low, ">", 0, CONFIRMED),
            ("upper-end", self.high, "<", 0, CONTRADICTED),
        ]

    def words(self, *, unit: float = 1.0, digits: int = 2) -> str:
        """Return mean and interval in units as text: ``1.20 [−0.30, 2.70]``."""
        return interval_text(*(number / unit for number in self[:3]), digits)


def paired(differences: Float[np.ndarray, " seeds"], smallest: float, *, comparisons: int = COMPARISONS) -> Estimate:
    """Return Student's interval of differences by seed; raises ValueError like `paired_interval`."""
    return Estimate(*paired_interval(differences, comparisons=comparisons)[:3], smallest)


def tie(difference: Interval, margin: float = TIE) -> Estimate:
    """Return by how much the absolute value of a difference stays below a margin, with no smallest effect of interest.

    The interval is that of ``margin - |d|`` for d within the interval of the difference.
    """
    ends = abs(difference.low), abs(difference.high)
    least = 0.0 if difference.low <= 0 <= difference.high else min(ends)
    return Estimate(margin - abs(difference.mean), margin - max(ends), margin - least, 0.0)
