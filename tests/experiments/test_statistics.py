"""Paired intervals and changes, against SciPy and their definitions."""

import numpy as np
import pytest
from scipy import stats

from lorantk.experiments.common.statistics import change, interval_text, paired_interval, pseudo_values

RNG = np.random.default_rng(0)


def test_the_interval_is_that_of_the_paired_t_test():
    a, b = RNG.normal(size=(2, 20))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = paired_interval(a - b)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx((a - b).mean())
    assert found.count == 20


def test_an_interval_in_points():
    interval = paired_interval(np.array([-0.02, 0.01, 0.04]))
    assert interval.half_width == pytest.approx(interval.high - interval.mean)
    assert interval.points() == f"1.0 [−{100 * (interval.half_width - 0.01):.1f}, {100 * interval.high:.1f}]"
    assert interval.points(0).startswith("1 [−")


@pytest.mark.parametrize(
    ("numbers", "digits", "text"),
    [
        ((-0.04, -5.2, 5.2), 1, "0.0 [−5.2, 5.2]"),
        ((-0.624, -1.24, -0.0031), 2, "−0.62 [−1.24, −0.003]"),
        ((6.2, 0.04, 12.4), 1, "6.2 [0.04, 12.4]"),
        ((0.4, -0.4, 1.2), 0, "0 [−0.4, 1]"),
        ((1.0, 0.0, 2.0), 1, "1.0 [0.0, 2.0]"),
        ((0.0, -1e-17, 1e-17), 1, "0.0 [0.0, 0.0]"),
    ],
)
def test_an_interval_shows_on_which_side_of_zero_its_ends_lie(numbers, digits, text):
    assert interval_text(*numbers, digits) == text


def test_a_correction_is_a_higher_confidence_of_each():
    values = RNG.normal(size=12)
    corrected, plain = paired_interval(values, comparisons=40), paired_interval(values, confidence=1 - 0.05 / 40)
    assert corrected == pytest.approx(plain)
    assert corrected.low < paired_interval(values).low


def test_forty_corrected_intervals_rarely_miss_together():
    # All 40 cover with probability at least 0.95; of 2000 families fewer than 1840 do so with probability below 1e-8.
    values = RNG.normal(size=(2000, 40, 20))
    half = stats.t.ppf(1 - 0.05 / 80, 19) * values.std(axis=2, ddof=1) / np.sqrt(20)
    covered = (abs(values.mean(axis=2)) <= half).all(axis=1).sum()
    assert covered > 1840
    one = paired_interval(values[0, 0], comparisons=40)
    assert one.high - one.low == pytest.approx(2 * half[0, 0])
    assert (abs(values.mean(axis=2)) <= half * stats.t.ppf(0.975, 19) / stats.t.ppf(1 - 0.05 / 80, 19)).all(axis=1).sum() < 1000


def test_the_change_is_the_fitted_difference_between_the_ends():
    x = np.array([0.0, 1.0, 3.0])
    assert change(np.array([2 + 0.5 * x, 1 - x]), x) == pytest.approx([1.5, -3.0])
    y = RNG.normal(size=(4, 3))
    assert change(y, x) == pytest.approx([3 * np.polyfit(x, row, 1)[0] for row in y])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_interval(np.array([1.0])), "at least two finite differences"),
        (lambda: paired_interval(np.array([1.0, np.nan])), "at least two finite differences"),
        (lambda: paired_interval(np.ones(3), comparisons=0), "comparisons must be at least 1; got 0"),
        (lambda: change(np.ones((2, 2)), np.ones(2)), "at least two different positions"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_pseudo_values_of_a_mean_are_the_values_and_those_of_a_square_lose_its_bias():
    x = np.array([1.0, 4.0, 2.0, 9.0])
    np.testing.assert_allclose(pseudo_values(lambda seeds: x[seeds].mean(), 4), x)
    # (mean)² exceeds μ² by σ²/n in the mean; without the bias it is that less s²/n.
    squared = pseudo_values(lambda seeds: x[seeds].mean() ** 2, 4)
    assert squared.mean() == pytest.approx(x.mean() ** 2 - x.var(ddof=1) / 4)
    with pytest.raises(ValueError, match="at least two seeds; got 1"):
        pseudo_values(lambda seeds: 0.0, 1)
