"""The order in the mean and on the data: exact enumeration of A, dense matrices, simulation."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from lorantk.theory import delta, information, kernels, networks, order
from lorantk.theory.adapters import adapt, adapter

SIGNS = jnp.asarray(list(itertools.product([-1.0, 1.0], repeat=6)))


def enumerated_mean(network, x, config, layer, offset=0.0):
    """Average the kernel, by automatic differentiation, over every 2 × 3 sign matrix A of one layer, plus an offset."""
    size = math.sqrt(config.variance)

    def one(signs):
        return reference.ntk(networks.replace_parameters(network, {f"A{layer}": size * signs.reshape(2, 3) + offset}), x, x)

    return jax.vmap(one)(SIGNS).mean(axis=0)


def small_network(roles):
    config = adapter(2, scale=1.5, law="rademacher", variance=0.7)
    network = networks.init_network((4, 3, 5, 2), key=jax.random.key(3), activation="tanh")
    return adapt(network, config, roles=roles, key=jax.random.key(4)), config


@pytest.mark.parametrize("others", ["full", "frozen"])
def test_the_mean_kernel_is_the_average_over_every_sign_matrix(others):
    network, config = small_network((others, "lora", others))
    x = jax.random.normal(jax.random.key(5), (3, 4))
    mean = enumerated_mean(network, x, config, 2)
    np.testing.assert_allclose(order.expected_ntk(network, config, x, outputs="full"), mean, rtol=1e-12)


def test_a_law_with_a_mean_breaks_the_identity():
    network, config = small_network(("full", "lora", "full"))
    x = jax.random.normal(jax.random.key(5), (3, 4))
    mean = enumerated_mean(network, x, config, 2, offset=0.3)
    assert jnp.abs(order.expected_ntk(network, config, x, outputs="full") - mean).max() > 0.01


def test_every_layer_has_its_own_factor_and_a_frozen_layer_none():
    config = adapter(2, alpha=4)
    network = networks.init_network((9, 6, 4), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 9))
    full = kernels.ntk_terms(network, x, outputs="trace")
    adapted = adapt(network, config, roles=("lora", "frozen"), key=jax.random.key(2))
    np.testing.assert_allclose(order.expected_ntk(adapted, config, x, outputs="trace"), 8 / 27 * full["W1"], rtol=1e-12)
    assert order.mean_factor(config, 6) == pytest.approx(8 / 18)
    assert order.mean_factor(adapter(8, alpha=16), 1024) == pytest.approx(4 * 8 / (3 * 1024))


def test_the_mean_needs_b_equal_to_zero():
    network, config = small_network("lora")
    moved = networks.replace_parameters(network, {"B2": jnp.ones((5, 2))})
    with pytest.raises(ValueError, match="B = 0"):
        order.expected_ntk(moved, config, jnp.ones((1, 4)), outputs="trace")


def test_kernels_from_gram_matrices_are_those_of_the_adapters():
    network, config = small_network(("lora", "frozen", "lora"))
    x = jax.random.normal(jax.random.key(5), (3, 4))
    grams = {l: (config.scale**2 * network.layers[l - 1].A.T @ network.layers[l - 1].A)[None] for l in (1, 3)}
    K = kernels.as_matrix(kernels.ntk(network, x, outputs="full"))
    np.testing.assert_allclose(order.ntk_from_grams(network, x, grams)[0], K, rtol=1e-12)


def test_the_capacity_of_the_common_default_is_about_620_directions_at_width_1024():
    config = adapter(8, alpha=16)
    capacity = order.gram_capacity(config, 1024)
    assert 615 < capacity < 625
    assert order.gram_value(config, capacity, 1024) == pytest.approx(1)
    assert order.gram_value(config, 1024, 1024) > 1
    assert order.gram_capacity(adapter(8, scale=100.0), 1024) == 0


@pytest.mark.parametrize(("dimension", "rank"), [(5, 2), (20, 8)])
def test_the_failure_probability_bounds_the_measured_one(dimension, rank):
    config, failure, samples = adapter(rank, scale=1.0, law="gaussian", variance=1.0), 0.1, 4000
    limit = order.gram_value(config, dimension, 50, failure=failure)
    G = np.random.default_rng(0).standard_normal((samples, rank, dimension))
    measured = np.mean(np.linalg.norm(G, ord=2, axis=(1, 2)) ** 2 > limit)
    assert measured < failure
    without_t = order.gram_value(config, dimension, 50)
    assert np.mean(np.linalg.norm(G, ord=2, axis=(1, 2)) ** 2 > without_t) > measured


def test_the_failure_probability_is_shared_by_the_layers():
    config = adapter(4, scale=1.0, variance=1.0, law="gaussian")
    assert order.gram_value(config, 9, 50, layers=6, failure=0.06) == order.gram_value(config, 9, 50, failure=0.01)
    assert order.gram_capacity(config, 50, layers=6, failure=0.06) == 0


def test_what_a_failure_probability_adds_solves_its_tail():
    config, layers, failure = adapter(4, scale=1.0, variance=1.0, law="gaussian"), 3, 0.02
    t = np.sqrt(order.gram_value(config, 9, 50, layers=layers, failure=failure)) - np.sqrt(9) - np.sqrt(4)
    assert layers * np.exp(-(t**2) / 2) == pytest.approx(failure, rel=1e-12)


@pytest.mark.parametrize("arguments", [{"dimension": -1}, {"layers": 0}, {"failure": -0.5}, {"failure": 0.0}, {"failure": 1.0}])
def test_bad_arguments_of_the_gram_value_are_refused(arguments):
    with pytest.raises(ValueError, match="got"):
        order.gram_value(adapter(2, alpha=2), **({"dimension": 3, "features": 8} | arguments))


@pytest.mark.parametrize("scale", [0.2, 2.0])
def test_the_ridge_value_decides_the_order_up_to_the_ridge(scale):
    A = jax.random.normal(jax.random.key(0), (3, 12))
    features = jax.random.normal(jax.random.key(1), (7, 12)) * jnp.logspace(0, -3, 7)[:, None]
    for ridge in (1e-4, 1e-1, 10.0):
        gap = scale**2 * features @ A.T @ A @ features.T - features @ features.T - ridge * jnp.eye(7)
        holds = bool(jnp.linalg.eigvalsh(gap)[-1] <= 0)
        assert holds == bool(order.ridge_top(A, features, ridge, scale) <= 1)


def test_without_a_ridge_the_value_is_the_restricted_one():
    A = jax.random.normal(jax.random.key(0), (3, 12))
    features = jax.random.normal(jax.random.key(1), (5, 12))
    np.testing.assert_allclose(order.ridge_top(A, features, 1e-13), delta.restricted_top(A, features), rtol=1e-10)


def test_the_trace_of_the_blurred_projection_is_the_effective_dimension():
    features = jax.random.normal(jax.random.key(1), (5, 12))
    rows = jnp.stack([order.ridge_top(jnp.eye(12)[i : i + 1], features, 2.0) for i in range(12)])
    eigenvalues = jnp.linalg.eigvalsh(features @ features.T)
    np.testing.assert_allclose(rows.sum(), information.effective_dimension(eigenvalues, tau=2.0), rtol=1e-10)


def test_the_loewner_value_is_the_smallest_multiple_that_dominates():
    X, Y = jax.random.normal(jax.random.key(0), (2, 6, 9))
    K, reference_kernel = X @ X.T, Y @ Y.T
    t = order.loewner_top(K, reference_kernel)
    assert abs(jnp.linalg.eigvalsh(t * reference_kernel - K)[0]) < 1e-10
    np.testing.assert_allclose(order.loewner_top(3 * reference_kernel, reference_kernel), 3, rtol=1e-10)
    assert jnp.isnan(order.loewner_top(K, -reference_kernel))


def test_many_ridges_at_once_are_those_of_one_at_a_time():
    rng = np.random.default_rng(0)
    As, features, ridges = rng.standard_normal((3, 2, 9)), rng.standard_normal((5, 9)), (1e-3, 0.5, 40.0)
    tops = order.ridge_tops(As, features, ridges)
    expected = [[order.ridge_top(A, features, ridge) for ridge in ridges] for A in As]
    np.testing.assert_allclose(tops, expected, rtol=1e-9)


def test_many_ridges_are_all_positive():
    with pytest.raises(ValueError, match="positive"):
        order.ridge_tops(np.ones((1, 1, 2)), np.ones((1, 2)), (1.0, 0.0))


@pytest.mark.parametrize("layers", [1, 6])
def test_the_probability_of_failure_inverts_the_gram_value(layers):
    config = adapter(4, alpha=8)
    failure = order.gram_failure(config, 100, 1024, layers=layers)
    assert 0 < failure < 1
    assert order.gram_value(config, 100, 1024, layers=layers, failure=failure) == pytest.approx(1)
    assert order.gram_failure(config, 1024, 1024) == 1
