"""Fitted exponents."""

import numpy as np
import pytest

from lorantk.theory.rates import fit_power, fit_power_known_errors


def test_a_power_law_is_found_exactly():
    x = np.array([4.0, 16.0, 64.0, 300.0])
    fit = fit_power(x, 3 * x**-0.5)
    np.testing.assert_allclose(fit, (-0.5, -0.5, -0.5, 3.0), atol=1e-7)


def test_the_interval_covers_at_its_level():
    rng, x = np.random.default_rng(0), np.geomspace(10, 1000, 8)
    fits = [fit_power(x, x**-1.0 * np.exp(0.1 * rng.normal(size=8)), level=0.9) for _ in range(2000)]
    share = np.mean([fit.low <= -1 <= fit.high for fit in fits])
    assert abs(share - 0.9) < 5 * np.sqrt(0.09 / 2000)


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
    ("x", "y", "e"), [([1], [1], [1]), ([1, 1], [1, 2], [1, 1]), ([1, 2], [1, 2], [0, 1]), ([1, 2], [1], [1])]
)
def test_measurements_without_errors_are_refused(x, y, e):
    with pytest.raises(ValueError, match="at least two positive numbers"):
        fit_power_known_errors(x, y, e)
