"""Sampled kernels against the exact average over all layers except the first."""

import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import finite_width, limits
from lorantk.theory.adapters import adapter

X = jnp.array([[1.0, 0.4, -0.3], [0.2, -0.9, 1.1]])


def test_the_terms_are_those_of_the_kernel_with_layer_by_layer_factors():
    terms = finite_width.sample_terms(X, (3, 6, 4, 1), samples=3, seed=0)
    assert terms.shape == (3, 3, 2, 2)
    again = finite_width.sample_terms(X, (3, 6, 4, 1), samples=3, seed=0)
    np.testing.assert_array_equal(terms, again)
    assert np.abs(terms[0] - terms[1]).max() > 1e-3
    # The head's term is known without drawing the head: σ_w² ⟨h, h'⟩/n ≥ 0 on the diagonal.
    assert (np.einsum("slii->sli", terms) >= 0).all()


def test_a_kernel_is_the_sum_of_its_terms_and_scatters_about_the_limit():
    kernels = finite_width.sample_kernels(X, (3, 8, 1), samples=4000, seed=0)
    terms = finite_width.sample_terms(X, (3, 8, 1), samples=4000, seed=0)
    np.testing.assert_allclose(kernels, terms[:, 0] + terms[:, 1], rtol=1e-14)
    error = kernels.std(axis=0) / np.sqrt(len(kernels))  # two layers: the mean is the limit at every width
    assert (np.abs(kernels.mean(axis=0) - limits.limit_ntk(X, depth=2)) < 5 * error).all()


def test_all_networks_of_all_stacks_differ(monkeypatch):
    monkeypatch.setattr(finite_width, "STACK", 50)
    terms = finite_width.sample_terms(X, (3, 6, 1), samples=5, seed=0)
    assert len(np.unique(terms[:, 0, 0, 0])) == 5


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_the_exact_average_over_the_upper_layers_is_the_average_of_samples(activation):
    # Narrow layers, so that every correction is large: n = 4.
    n, samples, v = 4, 10_000, 1.7
    draws = finite_width.sample_terms(X, (3, n, n, 1), samples=samples, seed=1, activation=activation, weight_variance=v)
    sigma = limits.limit_recursion(X, depth=1, weight_variance=v).sigma[0]
    y = np.random.default_rng(2).standard_normal((samples, n, 2)) @ np.linalg.cholesky(sigma).T
    exact = finite_width.mean_given_first_layer(y, sigma[0, 1], activation=activation, weight_variance=v).T
    gap = draws[:, :, 0, 1].mean(axis=0) - exact.mean(axis=0)
    error = np.sqrt(draws[:, :, 0, 1].var(axis=0) / samples + exact.var(axis=0) / len(exact))
    assert (np.abs(gap) < 5 * error).all()


def test_the_bias_agrees_with_sampled_networks():
    n, samples = 8, 10_000
    estimate = finite_width.kernel_bias(X, n, samples=4000, seed=0)
    draws = finite_width.sample_terms(X, (3, n, n, 1), samples=samples, seed=1).sum(axis=1)[:, 0, 1]
    direct = draws.mean() - float(limits.limit_ntk(X, depth=3)[0, 1])
    error = np.hypot(estimate.error, draws.std() / np.sqrt(samples))
    assert abs(direct - estimate.value) < 5 * error
    assert abs(estimate.value) > 10 * estimate.error


def test_what_the_bias_takes_off_has_mean_zero():
    n, draws = 8, 100_000
    limit = limits.limit_recursion(X, depth=3)
    y = np.random.default_rng(1).standard_normal((draws, n, 2)) @ np.linalg.cholesky(limit.sigma[0]).T
    exact = finite_width.mean_given_first_layer(y, limit.sigma[0, 0, 1], activation="relu", weight_variance=2.0).sum(axis=0)
    plain, plain_error = exact.mean() - float(limit.kernel[-1, 0, 1]), exact.std() / np.sqrt(draws)
    estimate = finite_width.kernel_bias(X, n, samples=draws, seed=2)
    assert abs(plain - estimate.value) < 5 * np.hypot(plain_error, estimate.error)
    assert estimate.error < plain_error / 2


def test_adapters_replace_the_terms_of_their_layers_alone():
    config = adapter(2, scale=1.0, law="gaussian", variance=0.5)
    roles = ("full", "lora", "frozen")
    terms = finite_width.sample_terms(X, (3, 6, 4, 1), samples=2, seed=0, roles=roles, config=config)
    full = finite_width.sample_terms(X, (3, 6, 4, 1), samples=2, seed=0)
    np.testing.assert_allclose(terms[:, 0], full[:, 0], rtol=1e-12)
    assert np.abs(terms[:, 1] - full[:, 1]).max() > 1e-3
    assert np.abs(terms[:, 2]).max() == 0


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="expected one output and 2 laws.*got 2 outputs"):
        finite_width.sample_terms(X, (3, 6, 2), samples=2, seed=0)
    with pytest.raises(ValueError, match="expected one output and 2 laws"):
        finite_width.sample_terms(X, (3, 6, 1), samples=2, seed=0, laws=("gaussian",))
    with pytest.raises(ValueError, match="samples must be at least 10"):
        finite_width.kernel_bias(X, 4, samples=9, seed=0)
    assert np.isfinite(finite_width.kernel_bias(X, 4, samples=10, seed=0)).all()
    with pytest.raises(ValueError, match="roles must be 2 of full, .*got"):
        finite_width.sample_terms(X, (3, 6, 1), samples=2, seed=0, roles=("full", "half"))
