"""Linear predictions against training that knows no kernel: normal equations, loops of gradient descent, real adapters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from lorantk.theory import dynamics, kernels, linearised, networks
from lorantk.theory.adapters import adapt, adapter

RNG = np.random.default_rng(0)
G, NEW, Y = RNG.standard_normal((5, 8)), RNG.standard_normal((3, 8)), RNG.standard_normal(5)
K, k = G @ G.T, NEW @ G.T


def predicted(filter, y=Y):
    return linearised.linear_prediction(filter, K, k, y)


def test_a_ridge_minimises_the_loss_in_parameter_space():
    theta = np.linalg.solve(G.T @ G + 0.7 * np.eye(8), G.T @ Y)
    np.testing.assert_allclose(predicted(linearised.ridge_filter(0.7)), NEW @ theta, rtol=1e-11)


@pytest.mark.parametrize(("rate", "steps"), [(0.02, 1), (0.02, 7), (0.09, 40), (0.3, 3)])
def test_descent_is_a_loop_of_steps(rate, steps):
    theta = np.zeros(8)
    for _ in range(steps):
        theta -= rate * G.T @ (G @ theta - Y)
    np.testing.assert_allclose(predicted(linearised.descent_filter(rate, steps)), NEW @ theta, rtol=1e-10)


def test_the_flow_is_a_matrix_exponential():
    fit = Y - linalg.expm(-0.3 * K) @ Y
    flow = linearised.flow_filter(0.3)
    np.testing.assert_allclose(linearised.linear_response(flow, K) @ Y, fit, rtol=1e-11)
    np.testing.assert_allclose(dynamics.linear_flow(jnp.asarray(K), jnp.zeros(5), jnp.asarray(Y), 0.3), fit, rtol=1e-9)
    np.testing.assert_allclose(predicted(flow), k @ np.linalg.solve(K, fit), rtol=1e-11)


def test_interpolation_has_the_least_norm_even_without_full_rank():
    thin = np.vstack([G[:4], G[0] + G[1]])
    found = linearised.linear_prediction(linearised.interpolation_filter(), thin @ thin.T, NEW @ thin.T, Y)
    np.testing.assert_allclose(found, NEW @ np.linalg.lstsq(thin, Y)[0], rtol=1e-9)


def test_short_runs_move_every_direction_alike_and_long_ones_interpolate():
    z = np.array([0.0, 1e-14, 0.5, 2.0])
    np.testing.assert_allclose(linearised.flow_filter(1e-9)(z), 1e-9, rtol=1e-8)
    np.testing.assert_allclose(linearised.descent_filter(1e-3, 10**6)(z)[1:3], [1e3, 2.0], rtol=1e-6)


def test_many_kernels_at_once_give_what_they_give_one_by_one():
    many = np.stack([K, 2 * K, K + np.eye(5)])
    ridge = linearised.ridge_filter(0.5)
    one = [linearised.linear_prediction(ridge, Ks, k, Y) for Ks in many]
    np.testing.assert_allclose(linearised.linear_prediction(ridge, many, np.stack([k] * 3), Y), one, rtol=1e-12)
    H = linearised.linear_response(ridge, many)
    np.testing.assert_allclose(linearised.uptake(H, Y), [Y @ X @ Y / (Y @ Y) for X in H], rtol=1e-12)


def test_poisoned_labels_act_linearly_on_an_adapted_head_that_really_trains():
    """The head is linear in B: gradient descent on B, by automatic differentiation, has no error of linearisation."""
    network = networks.init_network((4, 6, 2), key=jax.random.key(0), activation="tanh")
    network = adapt(network, adapter(3, scale=1.5), roles=("frozen", "lora"), key=jax.random.key(1))
    x = jax.random.normal(jax.random.key(2), (7, 4))
    y = jax.random.normal(jax.random.key(3), (5, 2))
    flipped = y.at[1].set(-y[1])

    def trained(y):
        def loss(B):
            return 0.5 * jnp.sum((networks.forward(networks.replace_parameters(network, {"B2": B}), x[:5]) - y) ** 2)

        B = jnp.zeros((2, 3))
        for _ in range(30):
            B = B - 0.2 * jax.grad(loss)(B)
        return networks.forward(networks.replace_parameters(network, {"B2": B}), x)

    change = np.asarray(trained(flipped) - trained(y))
    whole = np.asarray(kernels.as_matrix(kernels.ntk(network, x, outputs="full")))
    descent = linearised.descent_filter(0.2, 30)
    z = np.asarray(flipped - y).ravel()
    np.testing.assert_allclose(
        linearised.linear_prediction(descent, whole[:10, :10], whole[10:, :10], z), change[5:].ravel(), atol=1e-12
    )
    H = linearised.linear_response(descent, whole[:10, :10])
    np.testing.assert_allclose(H @ z, change[:5].ravel(), atol=1e-12)
    assert linearised.uptake(H, z) == pytest.approx(change[:5].ravel() @ z / (z @ z), rel=1e-10)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: linearised.ridge_filter(0.0), "ridge must be positive.*got 0.0"),
        (lambda: linearised.ridge_filter(float("nan")), "ridge must be positive"),
        (lambda: linearised.flow_filter(-1.0), "time must be at least 0; got -1.0"),
        (lambda: linearised.descent_filter(0.1, -1), "steps must be at least 0; got -1"),
        (lambda: linearised.linear_response(linearised.flow_filter(1.0), K[:3]), r"square matrix.*got shape \(3, 5\)"),
        (lambda: linearised.uptake(K, np.zeros(5)), "must change some label"),
    ],
)
def test_wrong_input_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
