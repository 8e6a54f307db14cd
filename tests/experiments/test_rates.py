"""The fit of a power law: exact on exact data, and an interval that covers at its stated rate."""

import numpy as np
import pytest

from lorantk.experiments.rates import fit_power_law

SIZES = (8, 32, 128, 512)


def test_an_exact_power_law_is_recovered():
    samples = [[3 * n**-0.7] * 5 for n in SIZES]
    law = fit_power_law(SIZES, samples, rng=np.random.default_rng(0))
    np.testing.assert_allclose([law.exponent, law.low, law.high, law.constant], [-0.7, -0.7, -0.7, 3], rtol=1e-12)
    np.testing.assert_allclose(law.values, [sample[0] for sample in samples])


@pytest.mark.parametrize("draws", [8, 40])
def test_the_interval_covers_the_true_exponent_at_about_its_stated_rate(draws):
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        law = fit_power_law(SIZES, [n**-0.5 * rng.normal(size=draws) for n in SIZES], rng=rng, resamples=300)
        hits += law.low <= -0.5 <= law.high
    # Percentiles of the redrawn exponents give 883 of 1000 with eight draws.
    assert 905 <= hits <= 975


def test_the_same_generator_gives_the_same_interval():
    samples = [n**-0.5 * np.random.default_rng(n).normal(size=9) for n in SIZES]
    first, again, other = (fit_power_law(SIZES, samples, rng=np.random.default_rng(k)) for k in (0, 0, 1))
    assert (first.low, first.high) == (again.low, again.high)
    assert first.low != other.low


@pytest.mark.parametrize("sizes", [(8,), (8, 8), (0, 8), (8, 16, 32)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="two different positive sizes"):
        fit_power_law(sizes, [[1.0, 2.0]] * min(len(sizes), 2), rng=np.random.default_rng(0))


@pytest.mark.parametrize("sample", [[1.0], [0.0, 0.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_samples_without_a_logarithm_are_refused(sample):
    with pytest.raises(ValueError, match="finite errors, not all zero"):
        fit_power_law((8, 16), [sample, [1.0, 2.0]], rng=np.random.default_rng(0))
