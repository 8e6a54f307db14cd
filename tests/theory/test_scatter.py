"""Moments of LoRA's kernel over the draw of A against sums over every possible A of a law with three values."""

import itertools

import jax
import numpy as np
import pytest

from lorantk.theory import laws, linear_maps, scatter


def all_draws(chance, shape, variance):
    """Every matrix whose entries are ±√(v/2p), each with chance p, or 0, and the chance of each matrix."""
    values = np.sqrt(variance / (2 * chance)) * np.array([-1.0, 0.0, 1.0])
    chances = np.array([chance, 1 - 2 * chance, chance])
    cells = np.array(list(itertools.product(range(3), repeat=shape[0] * shape[1])))
    return values[cells].reshape(-1, *shape), chances[cells].prod(axis=1)


def exact_moments(forms, weights):
    mean = weights @ forms
    return mean, weights @ (forms - mean) ** 2


@pytest.mark.parametrize("chance", [0.5, 1 / 3, 0.05])  # signs, κ = -2; κ = -3/2; κ = 7
@pytest.mark.parametrize("shape", [(1, 6), (2, 3)])
def test_mean_and_variance_are_those_over_every_draw(chance, shape):
    variance, scale, kurtosis = 0.7, 1.5, 1 / (2 * chance) - 3
    M = np.random.default_rng(0).standard_normal((shape[1], shape[1]))
    A, weights = all_draws(chance, shape, variance)
    mean, spread = exact_moments(scale**2 * np.einsum("sri,ij,srj->s", A, M, A), weights)
    found = scatter.form_moments(M, rank=shape[0], variance=variance, kurtosis=kurtosis, scale=scale)
    np.testing.assert_allclose(found, (mean, spread), rtol=1e-10)
    forgotten = scatter.form_moments(M, rank=shape[0], variance=variance, kurtosis=0.0, scale=scale)
    assert abs(forgotten.variance / spread - 1) > 0.1


@pytest.fixture(scope="module")
def one():
    """Factors of three examples with two outputs, four tokens, and a map from 5 inputs to 6 outputs."""
    keys = jax.random.split(jax.random.key(0))
    return linear_maps.Factors(jax.random.normal(keys[0], (3, 4, 5)), jax.random.normal(keys[1], (3, 2, 4, 6)))


def gradients(one):
    return np.einsum("nctm,nti->ncmi", one.returning, one.entering)


def test_the_gram_is_that_of_the_gradients(one):
    G = gradients(one).reshape(6, 6, 5)
    np.testing.assert_allclose(scatter.gradient_gram(one), np.einsum("rmi,rmj->ij", G, G), rtol=1e-12)
    np.testing.assert_allclose(np.trace(scatter.gradient_gram(one)), np.trace(linear_maps.matrix_kernel(one)), rtol=1e-12)


@pytest.mark.parametrize("chance", [0.5, 0.2])
def test_concentrations_give_the_spread_of_every_diagonal_entry(one, chance):
    A, weights = all_draws(chance, (1, 5), 1 / 5)
    forms = np.square(np.einsum("ncmi,sri->sncmr", gradients(one), A)).sum(axis=(3, 4))
    mean = np.tensordot(weights, forms, 1)
    deviation = np.sqrt(np.tensordot(weights, (forms - mean) ** 2, 1))
    rho, mu = scatter.concentrations(one)
    found = scatter.relative_spread(rho, mu, rank=1, kurtosis=1 / (2 * chance) - 3)
    np.testing.assert_allclose(found, deviation / mean, rtol=1e-10)
    assert ((mu <= rho) & (rho < 1)).all()


def test_one_token_has_rank_one(one):
    first = linear_maps.Factors(one.entering[:, :1], one.returning[:, :, :1])
    np.testing.assert_allclose(scatter.concentrations(first).rho, 1, rtol=1e-12)


def test_no_law_has_a_kurtosis_below_that_of_signs():
    with pytest.raises(ValueError, match="kurtosis must be at least -2, .*; got -2.1"):
        scatter.form_moments(np.eye(2), rank=1, variance=1.0, kurtosis=-2.1)


@pytest.mark.parametrize("law", ["gaussian", "kaiming-uniform", "rademacher"])
def test_the_excess_kurtosis_of_each_law_is_that_of_its_draws(law):
    draws = np.asarray(laws.sample_matrix(law, (1000, 1000), 2.0, key=jax.random.key(0)))
    # The standard error for Gaussian entries, the largest of the three, is √(24/10⁶) = 0.005.
    assert np.mean(draws**4) / np.mean(draws**2) ** 2 - 3 == pytest.approx(laws.excess_kurtosis(law), abs=0.035)


def test_orthonormal_rows_have_no_kurtosis():
    with pytest.raises(ValueError, match="independent entries, one of gaussian, kaiming-uniform, rademacher; got 'orthonormal'"):
        laws.excess_kurtosis("orthonormal")
