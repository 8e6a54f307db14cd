"""The law of LoRA's information bits against sampled adapters, quadrature and the equations that define it."""

import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from lorantk.theory import wishart


def sampled_gap(features, rank, factor, samples, seed=0):
    """Draw A itself and return ``½ log det(s²ΦAᵀAΦᵀ) - ½ log det(ΦΦᵀ)``, with ``s²σ_a² = factor/rank``."""
    A = np.random.default_rng(seed).standard_normal((samples, rank, features.shape[1])) * np.sqrt(factor / rank)
    projected = features @ A.transpose(0, 2, 1)
    return (np.linalg.slogdet(projected @ projected.transpose(0, 2, 1))[1] - np.linalg.slogdet(features @ features.T)[1]) / 2


def smallest_passing_distance(samples):
    """Return a bound on the Kolmogorov distance of the true law with false alarm 1e-6 (Dvoretzky-Kiefer-Wolfowitz-Massart)."""
    return np.sqrt(np.log(2e6) / (2 * samples))


FEATURES = {
    "plain": np.random.default_rng(1).standard_normal((4, 9)),
    "nearly dependent": np.random.default_rng(2).standard_normal((4, 9)) @ np.diag(np.logspace(0, -3, 9)),
}


@pytest.mark.parametrize("name", FEATURES)
def test_the_law_is_that_of_sampled_adapters_and_free_of_the_data(name):
    samples = 5000
    gaps = sampled_gap(FEATURES[name], 6, 0.3, samples)
    distance = stats.kstest(gaps, lambda x: wishart.gap_cdf(x, 4, 6, 0.3)).statistic
    assert distance < smallest_passing_distance(samples)
    assert abs(gaps.mean() - wishart.gap_mean(4, 6, 0.3)) < 5 * np.sqrt(wishart.gap_variance(4, 6) / samples)


def test_the_law_with_another_rank_is_told_apart():
    samples = 5000
    gaps = sampled_gap(FEATURES["plain"], 6, 0.3, samples)
    assert stats.kstest(gaps, lambda x: wishart.gap_cdf(x, 4, 7, 0.3)).statistic > smallest_passing_distance(samples)


@pytest.mark.parametrize(("inputs", "rank"), [(1, 1), (1, 8), (3, 3), (5, 40)])
def test_the_distribution_function_agrees_with_its_moments(inputs, rank):
    mean, sd = wishart.gap_mean(inputs, rank, 2.0, outputs=3), np.sqrt(wishart.gap_variance(inputs, rank, outputs=3))
    x = np.linspace(mean - 15 * sd, mean + 15 * sd, 3001)
    F = wishart.gap_cdf(x, inputs, rank, 2.0, outputs=3)
    density, middle = np.diff(F), (x[1:] + x[:-1]) / 2
    assert F[0] < 1e-6
    assert F[-1] > 1 - 1e-6
    assert np.sum(density * middle) == pytest.approx(mean, abs=1e-4 * sd + 1e-3 * abs(sd))
    assert np.sum(density * (middle - mean) ** 2) == pytest.approx(sd**2, rel=2e-3)


def test_one_input_is_half_the_logarithm_of_a_chi_square():
    x = np.linspace(-3, 2, 30)
    np.testing.assert_allclose(wishart.gap_cdf(x, 1, 5, 1.0), stats.chi2(5).cdf(5 * np.exp(2 * x)), atol=1e-6)


def test_samples_have_the_mean_and_the_variance():
    draws = wishart.sample_gap(3, 5, 0.4, 20_000, rng=np.random.default_rng(0), outputs=2)
    mean, variance = wishart.gap_mean(3, 5, 0.4, outputs=2), wishart.gap_variance(3, 5, outputs=2)
    assert abs(draws.mean() - mean) < 5 * np.sqrt(variance / draws.size)
    assert draws.var() == pytest.approx(variance, rel=0.1)


def test_the_law_of_one_output_is_that_of_two_at_half_the_size():
    one, two = (wishart.sample_gap(3, 5, 0.4, 9, rng=np.random.default_rng(0), **c) for c in ({}, {"outputs": 2}))
    np.testing.assert_array_equal(2 * one, two)


def test_more_inputs_than_ranks_have_no_law():
    with pytest.raises(ValueError, match="singular"):
        wishart.gap_mean(4, 3, 1.0)


EIGENVALUES = np.logspace(2, -4, 60)


@pytest.mark.parametrize("rank", [5, 40, 400])
def test_the_equivalent_solves_its_equation_and_is_least_there(rank):
    result = wishart.deterministic_equivalent(EIGENVALUES, 0.5, 0.1, rank)
    a = 5 * EIGENVALUES

    def value(e):
        return np.sum(np.log1p(a * e)) + rank * (e - 1 - np.log(e))

    assert 1 / result.free == pytest.approx(1 + np.sum(a / (1 + a * result.free)) / rank, rel=1e-12)
    assert result.logdet == pytest.approx(value(result.free), rel=1e-12)
    assert min(value(0.99 * result.free), value(1.01 * result.free), value(1.0)) > result.logdet
    assert 0 <= result.load < 1


@pytest.mark.parametrize("rank", [8, 40])
def test_mean_and_variance_at_a_ridge_are_those_of_sampled_adapters(rank):
    samples = 1500
    result = wishart.deterministic_equivalent(EIGENVALUES, 0.5, 0.1, rank)
    Z = np.random.default_rng(rank).standard_normal((samples, rank, EIGENVALUES.size)) * np.sqrt(5 * EIGENVALUES / rank)
    logdets = np.linalg.slogdet(np.eye(rank) + Z @ Z.transpose(0, 2, 1))[1]
    mean, sd = wishart.second_order(result)
    assert abs(logdets.mean() - mean) < 5 * sd / np.sqrt(samples) + 0.5 / rank
    assert abs(logdets.mean() - result.logdet) > abs(logdets.mean() - mean)
    assert logdets.std() == pytest.approx(sd, rel=0.15)


def test_many_ranks_leave_the_bound_of_jensen():
    bound = np.sum(np.log1p(5 * EIGENVALUES))
    assert wishart.deterministic_equivalent(EIGENVALUES, 0.5, 0.1, 10**7).logdet == pytest.approx(bound, rel=1e-5)
    assert wishart.deterministic_equivalent(EIGENVALUES, 0.5, 0.1, 10).logdet < bound


@pytest.mark.parametrize(("rank", "inputs"), [(2, 2), (2, 3), (3, 2)])
def test_the_mean_determinant_is_the_average_over_all_sign_matrices(rank, inputs):
    features = np.random.default_rng(0).standard_normal((inputs, 3))
    A = np.array(list(itertools.product([-1.0, 1.0], repeat=3 * rank))).reshape(-1, rank, 3) * np.sqrt(0.7 / rank)
    projected = features @ A.transpose(0, 2, 1)
    mean = np.linalg.det(np.eye(inputs) + projected @ projected.transpose(0, 2, 1) / 0.2).mean()
    eigenvalues = np.linalg.eigvalsh(features @ features.T)
    assert wishart.mean_determinant_bound(eigenvalues, 0.7, 0.2, rank) == pytest.approx(np.log(mean), rel=1e-12)


@pytest.mark.parametrize("rank", [1, 7, 60, 4000])
def test_the_mean_determinant_lies_between_the_equivalent_and_the_bound_of_the_mean_kernel(rank):
    bound = wishart.mean_determinant_bound(EIGENVALUES, 0.5, 0.1, rank)
    assert bound < np.sum(np.log1p(5 * EIGENVALUES)) + 1e-9
    value = wishart.deterministic_equivalent(EIGENVALUES, 0.5, 0.1, rank).logdet
    assert bound < value + gammaln(rank + 1) + rank - rank * np.log(rank)


def test_a_ridge_of_zero_is_refused():
    with pytest.raises(ValueError, match="ridge > 0"):
        wishart.deterministic_equivalent(EIGENVALUES, 0.5, 0.0, 3)


def test_the_distance_from_the_law_is_that_of_the_samples():
    values = wishart.sample_gap(3, 5, 0.4, 2000, rng=np.random.default_rng(0), outputs=2)
    exact = stats.kstest(values, lambda x: wishart.gap_cdf(x, 3, 5, 0.4, outputs=2)).statistic
    assert wishart.law_distance(values, 3, 5, 0.4, outputs=2) == pytest.approx(exact, abs=1e-3)
    assert wishart.law_distance(values, 3, 5, 0.4, outputs=1) > 0.3
