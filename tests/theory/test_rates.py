"""Fitted exponents."""

import numpy as np
import pytest
from scipy import stats

from lorantk.theory.rates import fit_power, fit_power_known_errors, fit_power_sampled

SIZES = (8, 32, 128, 512)


def test_a_power_law_is_found_exactly():
    x = np.array([4.0, 16.0, 64.0, 300.0])
    fit = fit_power(x, 3 * x**-0.5)
    np.testing.assert_allclose(fit, (-0.5, -0.5, -0.5, 3.0), atol=1e-7)


def test_the_interval_covers_at_its_level():
    rng, x = np.random.default_rng(0), np.geomspace(10, 1000, 8)
    fits = [fit_power(x, x**-1.0 * np.exp(0.1 * rng.normal(size=8)), level=0.9) for _ in range(2000)]
    share = np.mean([fit.low <= -1 <= fit.high for fit in fits])
    assert abs(share - 0.9) < 5 * np.sqrt(0.09 / 2000)


def test_three_points_suffice_and_two_with_known_errors():
    assert fit_power([1, 2, 4], [1, 4, 16]).exponent == pytest.approx(2)
    assert fit_power_known_errors([1, 2], [1, 4], [0.1, 0.1]).exponent == pytest.approx(2)


def test_the_level_is_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        fit_power([1, 2, 4], [1, 4, 16], 0.9)
    with pytest.raises(TypeError, match="positional"):
        fit_power_known_errors([1, 2], [1, 4], [0.1, 0.1], 0.9)


@pytest.mark.parametrize(("x", "y"), [([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 2, 3], [1, 0, 1])])
def test_too_little_to_fit_is_refused(x, y):
    with pytest.raises(ValueError, match="at least three positive numbers"):
        fit_power(x, y)


def test_a_fit_with_known_errors_is_found_exactly_and_its_interval_is_that_of_a_weighted_sum():
    x = np.array([10.0, 100.0, 1000.0])
    fit = fit_power_known_errors(x, 2 / x, 0.1 / x, level=0.9)
    np.testing.assert_allclose((fit.exponent, fit.constant), (-1, 2), rtol=1e-12)
    # The slope of three equally spaced points is (last - first)/2: its error is √2 · 0.05 / 2 in units of log 10.
    np.testing.assert_allclose(fit.high + 1, 1.6448536 * np.sqrt(2) * 0.05 / (2 * np.log(10)), rtol=1e-6)
    np.testing.assert_allclose(fit.high + fit.low, -2)


@pytest.mark.parametrize(
    ("x", "y", "e"),
    [([1], [1], [1]), ([1, 1], [1, 2], [1, 1]), ([1, 2], [1, 2], [0, 1]), ([1, 2], [1], [1]), ([1, 2], [1, 2], [1])],
)
def test_measurements_without_errors_are_refused(x, y, e):
    with pytest.raises(ValueError, match="at least two positive numbers"):
        fit_power_known_errors(x, y, e)


def test_samples_without_spread_give_the_law_exactly():
    samples = [[3 * n**-0.7] * 5 for n in SIZES]
    law = fit_power_sampled(SIZES, samples, rng=np.random.default_rng(0))
    np.testing.assert_allclose(law[:4], (-0.7, -0.7, -0.7, 3), rtol=1e-12)
    np.testing.assert_allclose(law.values, [sample[0] for sample in samples])


def test_two_draws_of_each_size_suffice():
    law = fit_power_sampled(SIZES, [[n**-0.7, -(n**-0.7)] for n in SIZES], rng=np.random.default_rng(0))
    assert law.exponent == pytest.approx(-0.7, rel=1e-12)


@pytest.mark.parametrize("draws", [8, 40])
def test_the_bootstrap_covers_the_true_exponent_at_about_its_stated_rate(draws):
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        law = fit_power_sampled(SIZES, [n**-0.5 * rng.normal(size=draws) for n in SIZES], rng=rng, resamples=300)
        hits += law.low <= -0.5 <= law.high
    # Percentiles of the resampled exponents would give 883 of 1000 with eight draws.
    assert 905 <= hits <= 975


def test_with_few_and_many_draws_each_size_counts_by_its_own_error():
    samples = [np.array([1.0, 2.0, 4.0]), np.random.default_rng(0).normal(size=30)]
    law = fit_power_sampled((2, 16), samples, rng=np.random.default_rng(1), level=0.8, resamples=50)

    def slope(few, many):
        return (np.log(np.sqrt((many**2).mean())) - np.log(np.sqrt((few**2).mean()))) / np.log(8)

    def error(*drawn):  # the root of a mean square m of error e has the relative error e/2m
        return np.linalg.norm([stats.sem(s**2) / (2 * (s**2).mean()) for s in drawn]) / np.log(8)

    rng = np.random.default_rng(1)
    few, many = (s[rng.integers(len(s), size=(50, len(s)))] for s in samples)
    far = np.quantile([abs(slope(*pair) - slope(*samples)) / error(*pair) for pair in zip(few, many, strict=True)], 0.8)
    np.testing.assert_allclose(law.exponent, slope(*samples))
    np.testing.assert_allclose(law.high - law.exponent, far * error(*samples))


def test_the_same_generator_gives_the_same_interval():
    samples = [n**-0.5 * np.random.default_rng(n).normal(size=9) for n in SIZES]
    first, again, other = (fit_power_sampled(SIZES, samples, rng=np.random.default_rng(k)) for k in (0, 0, 1))
    assert (first.low, first.high) == (again.low, again.high)
    assert first.low != other.low


@pytest.mark.parametrize("sizes", [(8,), (8, 8), (0, 8), (8, 16, 32)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="two different positive sizes"):
        fit_power_sampled(sizes, [[1.0, 2.0]] * min(len(sizes), 2), rng=np.random.default_rng(0))


@pytest.mark.parametrize("sample", [[1.0], [0.0, 0.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_samples_without_a_logarithm_are_refused(sample):
    with pytest.raises(ValueError, match="finite errors, not all zero"):
        fit_power_sampled((8, 16), [sample, [1.0, 2.0]], rng=np.random.default_rng(0))
