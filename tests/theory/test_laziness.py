"""When the kernel of an adapter stays where it started."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory.adapters import adapt, adapter
from lorantk.theory.dynamics import STATUS, gradient_flow, sized_rates, train, weighted_ntk
from lorantk.theory.kernels import gradient_factors, ntk_terms
from lorantk.theory.laziness import flow_growth, kernel_change, laziness, movement
from lorantk.theory.networks import Layer, Network, forward, init_network


def one_layer(activation, last, seed=0):
    """Return one example and a network with an adapter only in layer 2: the last layer, or one below a frozen layer."""
    widths = (3, 8, 1) if last else (3, 8, 8, 1)
    network = init_network(widths, key=jax.random.key(seed), activation=activation)
    roles = ("frozen", "lora") if last else ("frozen", "lora", "frozen")
    return adapt(network, adapter(2, scale=1.5), roles=roles, key=jax.random.key(seed + 1)), jnp.ones((1, 3)), jnp.ones((1, 1))


def rho(network, x, y):
    factors = gradient_factors(network, x)
    s, (u, sAh), (_, h) = network.layers[1].scale, factors["B2"], factors["A2"]
    g = (forward(network, x) - y)[0, 0]
    return movement(g, (h**2).sum(), (u**2).sum(), (sAh**2).sum() / s**2, s), u[0, 0]


def ratio_after_one_step(network, x, y):
    rate = 1 / ntk_terms(network, x, outputs="trace")["B2"][0, 0]
    end = train(network, x, y, rates=rate, steps=1).network
    terms = ntk_terms(end, x, outputs="trace")
    return (terms["A2"] / terms["B2"])[0, 0], gradient_factors(end, x)["B2"][0][0, 0]


@pytest.mark.parametrize("activation", ["tanh", "identity"])
def test_the_ratio_after_one_step_is_exact_at_the_last_layer(activation):
    problem = one_layer(activation, last=True)
    np.testing.assert_allclose(ratio_after_one_step(*problem)[0], rho(*problem)[0], rtol=1e-12)


def test_below_a_nonlinear_layer_the_ratio_carries_the_squared_cosine_of_the_backward_vectors():
    problem = one_layer("tanh", last=False)
    (ratio, after), (expected, before) = ratio_after_one_step(*problem), rho(*problem)
    cosine = before @ after / jnp.linalg.norm(before) / jnp.linalg.norm(after)
    np.testing.assert_allclose(ratio, expected * cosine**2, rtol=1e-12)
    assert abs(ratio / expected - 1) > 1e-6


@pytest.mark.parametrize("omega", [1.0, 0.1])
def test_gradient_flow_grows_the_weighted_kernel_by_the_closed_form(omega):
    network, x, y = one_layer("tanh", last=True)
    start = weighted_ntk(network, 1.0, x, outputs="trace")[0, 0]
    rates = {"A": omega / start, "B": 1 / start}
    (end,) = gradient_flow(network, x, y, rates=rates, times=[60.0])
    growth = weighted_ntk(end, rates, x, outputs="trace")[0, 0] / weighted_ntk(network, rates, x, outputs="trace")[0, 0]
    np.testing.assert_allclose(growth, flow_growth(rho(network, x, y)[0], omega), rtol=1e-7)


def test_movement_falls_like_the_inverse_square_of_laziness():
    n = np.array([64.0, 1024.0])
    Z = laziness(1.0, 4, 1 / n, n)
    rho = movement(1.0, n, 1.0, 4 / n * n)
    np.testing.assert_allclose(rho * Z**2, 1, rtol=1e-13)


def test_rows_of_zeros_a_scale_of_zero_and_a_rate_of_zero_change_nothing_in_the_kernels_change():
    W1, W2, W3 = init_network((3, 8, 8, 1), key=jax.random.key(0)).layers
    A, B = jax.random.normal(jax.random.key(1), (2, 8)), jnp.zeros((8, 2))
    frozen = Network((replace(W1, role="frozen"), Layer(W2.W, A, B, 1.0, "lora-fa"), replace(W3, role="frozen")), "relu")
    padded = Layer(W2.W, jnp.pad(A, ((0, 3), (0, 0))), jnp.pad(B, ((0, 0), (0, 3))), 1.0, "lora")
    none = Layer(W3.W, jax.random.normal(jax.random.key(2), (5, 8)), jnp.zeros((1, 5)), 0.0, "lora")
    x, y = jax.random.normal(jax.random.key(3), (4, 3)), jnp.array([[1.0], [-1.0], [1.0], [-1.0]])
    options = {"step": 0.5, "fraction": 0.5, "steps": 300}
    expected = kernel_change(frozen, x, y, relative={"B": 1.0}, **options)
    network = Network((frozen.layers[0], padded, none), "relu")
    found = kernel_change(network, x, y, relative={"A": 0.0, "B": 1.0}, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert expected.status == STATUS.index("reached")
    moving = kernel_change(network, x, y, relative={"A": 1.0, "B": 1.0}, **options)
    assert abs(moving.raw / expected.raw - 1) > 1e-3


def test_the_kernels_change_tells_how_much_the_trace_of_the_weighted_kernel_grew():
    network, x, y = one_layer("relu", last=False)
    relative, start = {"A": 1.0, "B": 1.0}, (forward(network, x) - y)[0, 0] ** 2 / 2
    rates = sized_rates(network, x, relative, 0.5)
    end = train(network, x, y, rates=rates, steps=300, target=start / 2).network

    def trace(net):
        return sum(rates[name[0]] * K[0, 0] for name, K in ntk_terms(net, x, outputs="trace").items())

    growth = kernel_change(network, x, y, relative=relative, step=0.5, fraction=0.5, steps=300).growth
    np.testing.assert_allclose(growth, trace(end) / trace(network), rtol=1e-10)
    assert abs(growth - 1) > 1e-3
