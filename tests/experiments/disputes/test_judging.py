"""Outcomes of estimates, and when variants tie."""

import numpy as np
import pytest

from lorantk.experiments.common.statistics import Interval, paired_interval
from lorantk.experiments.disputes.judging import COMPARISONS, Estimate, paired, tie


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(-0.5, 0.5, "no effect of interest"), (0.1, 2, "confirmed"), (-2, -0.1, "contradicted"), (-2, 2, "undecided at this power")],
)
def test_the_first_comparison_that_holds_decides(low, high, expected):
    estimate = Estimate((low + high) / 2, low, high, 1.0)
    assert estimate.outcome == expected
    relations = {"<": np.less, ">": np.greater}
    shown = [about for _, value, relation, bound, about in estimate.evidence() if relations[relation](value, bound)]
    assert (shown[0] if shown else "undecided at this power") == expected


def test_intervals_hold_for_all_comparisons_of_the_plan():
    values = np.random.default_rng(0).standard_normal(20)
    assert paired(values, 0.1)[:3] == paired_interval(values, comparisons=COMPARISONS)[:3]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.01, 0.015, "confirmed"),
        (0.005, 0.015, "confirmed"),
        (0.005, 0.025, "undecided at this power"),
        (0.021, 0.03, "contradicted"),
        (-0.04, -0.03, "contradicted"),
        (-0.04, 0.04, "undecided at this power"),
    ],
)
def test_variants_tie_if_the_whole_difference_is_within_the_margin(low, high, expected):
    found = tie(Interval((low + high) / 2, low, high, 20))
    assert found.outcome == expected
    grid = 0.02 - np.abs(np.linspace(low, high, 10001))
    assert (found.low, found.high) == (pytest.approx(grid.min(), abs=1e-5), pytest.approx(grid.max(), abs=1e-5))


def test_words_use_the_minus_sign():
    assert Estimate(-0.012, -0.02, 0.0, 0.01).words(unit=0.01, digits=1) == "−1.2 [−2.0, 0.0]"
