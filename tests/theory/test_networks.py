"""Networks: forward pass against a plain loop, parameters by name, errors for shapes that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from lorantk.theory import networks
from lorantk.theory.adapters import adapt, adapter

NUMPY_ACTIVATIONS = {
    "relu": lambda y: np.maximum(y, 0),
    "erf": scipy.special.erf,
    "tanh": np.tanh,
    "identity": lambda y: y,
}


@pytest.mark.parametrize("activation", sorted(networks.ACTIVATIONS))
@pytest.mark.parametrize("widths", [(3, 2), (4, 6, 1), (2, 5, 3, 4)])
def test_forward_is_the_composition_of_the_layers(activation, widths):
    network = networks.init_network(widths, key=jax.random.key(0), activation=activation)
    network = adapt(network, adapter(1, scale=0.7), roles="lora", key=jax.random.key(1))
    network = networks.replace_parameters(
        network, {f"B{l}": jnp.full_like(layer.B, 0.3) for l, layer in enumerate(network.layers, 1)}
    )
    x = np.random.default_rng(2).normal(size=(5, widths[0]))
    h = x.T
    for l, layer in enumerate(network.layers):
        y = (np.asarray(layer.W) + 0.7 * np.asarray(layer.B) @ np.asarray(layer.A)) @ h
        h = NUMPY_ACTIVATIONS[activation](y) if l < len(widths) - 2 else y
    np.testing.assert_allclose(networks.forward(network, jnp.asarray(x)), h.T, rtol=1e-13, atol=1e-13)


def test_a_single_input_gives_the_row_of_the_batch():
    network = networks.init_network((3, 8, 2), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 3))
    np.testing.assert_allclose(networks.forward(network, x[2]), networks.forward(network, x)[2], rtol=1e-14)


def test_the_variance_of_the_weights_is_two_for_relu_and_else_one():
    variances = {name: networks.default_weight_variance(name) for name in networks.ACTIVATIONS}
    assert variances == {"relu": 2, "erf": 1, "tanh": 1, "identity": 1}


def test_weights_have_variance_sigma_w_squared_over_fan_in():
    network = networks.init_network((50, 400, 300), key=jax.random.key(0), weight_variance=3.0)
    for layer in network.layers:
        m, n = layer.W.shape
        np.testing.assert_allclose(float((layer.W**2).mean()) * n, 3.0, rtol=5 * np.sqrt(2 / (m * n)))


@pytest.mark.parametrize("activation", sorted(networks.ACTIVATIONS))
def test_the_derivative_of_the_activation_matches_central_differences(activation):
    y, h = np.linspace(-2.03, 2.1, 50), 1e-6
    sigma = NUMPY_ACTIVATIONS[activation]
    np.testing.assert_allclose(
        networks.activation_derivative(activation, jnp.asarray(y)), (sigma(y + h) - sigma(y - h)) / (2 * h), atol=1e-8
    )


def test_trained_parameters_follow_the_roles_and_can_be_put_back():
    network = networks.init_network((4, 5, 6, 2), key=jax.random.key(0))
    network = adapt(network, adapter(2, alpha=4), roles=("full", "lora-fa", "lora"), key=jax.random.key(1))
    parameters = networks.trained_parameters(network)
    assert {name: p.shape for name, p in parameters.items()} == {
        "W1": (5, 4),
        "B2": (6, 2),
        "A3": (2, 6),
        "B3": (2, 2),
    }
    assert networks.parameter_count(network) == 20 + 12 + 12 + 4
    doubled = networks.replace_parameters(network, {name: 2 * p for name, p in parameters.items()})
    assert all((q == 2 * parameters[name]).all() for name, q in networks.trained_parameters(doubled).items())
    assert (doubled.layers[1].A == network.layers[1].A).all()


def test_new_roles_change_what_trains_and_leave_the_matrices():
    network = adapt(
        networks.init_network((3, 5, 2), key=jax.random.key(0)), adapter(2, scale=1.0), roles="lora", key=jax.random.key(1)
    )
    changed = networks.with_roles(network, ("frozen", "full"))
    assert list(networks.trained_parameters(changed)) == ["W2"]
    for one, other in zip(jax.tree.leaves(changed), jax.tree.leaves(network), strict=True):
        assert jnp.array_equal(one, other)
    assert list(networks.trained_parameters(networks.with_roles(network, "lora-fa"))) == ["B1", "B2"]
    with pytest.raises(ValueError, match="roles must be 2 of"):
        networks.with_roles(network, ("full",))


def test_effective_weight_adds_the_scaled_product():
    network = networks.init_network((3, 4), key=jax.random.key(0))
    network = adapt(network, adapter(2, scale=5.0), roles="lora", key=jax.random.key(1))
    B = jax.random.normal(jax.random.key(2), (4, 2))
    layer = networks.replace_parameters(network, {"B1": B}).layers[0]
    np.testing.assert_allclose(networks.effective_weight(layer), layer.W + 5 * (B @ layer.A), rtol=1e-14)
    assert float(jnp.abs(networks.effective_weight(layer) - layer.W).max()) > 0


@pytest.mark.parametrize("role", ["full", "lora"])
def test_the_change_of_a_weight_keeps_the_digits_that_a_difference_loses(role):
    network = networks.init_network((3, 4), key=jax.random.key(0))
    before = adapt(network, adapter(2, scale=5.0), roles=role, key=jax.random.key(1)).layers[0]
    kind = {"full": "W", "lora": "B"}[role]
    step = 1e-20 if role == "lora" else 1e-3
    moved = networks.replace(before, **{kind: getattr(before, kind) + step})
    expected = jnp.full((4, 3), step) if role == "full" else 5.0 * step * jnp.ones((4, 2)) @ before.A
    np.testing.assert_allclose(networks.weight_change(before, moved), expected, rtol=1e-12)


@pytest.mark.parametrize("widths", [(), (3,), (3, 0, 1), (3, -2)])
def test_invalid_widths_are_refused(widths):
    with pytest.raises(ValueError, match="at least two positive integers"):
        networks.init_network(widths, key=jax.random.key(0))


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation must be one of relu, .*; got 'swish'"):
        networks.init_network((2, 2), key=jax.random.key(0), activation="swish")


def test_weights_that_do_not_chain_are_refused():
    with pytest.raises(ValueError, match=r"got shapes \[\(3, 2\), \(4, 5\)\]"):
        networks.network_from_weights([np.zeros((3, 2)), np.zeros((4, 5))])
    with pytest.raises(ValueError, match=r"got shapes \[\(3, 3\), \(2, 2\)\]"):
        networks.network_from_weights([np.zeros((3, 3)), np.zeros((2, 2))])


def test_widths_are_read_off_weights_that_chain():
    network = networks.network_from_weights([np.zeros((3, 2)), np.zeros((4, 3)), np.zeros((1, 4))])
    assert networks.widths(network) == (2, 3, 4, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(bad):
    with pytest.raises(ValueError, match="weights must be finite"):
        networks.network_from_weights([np.full((2, 2), bad)])


def test_inputs_of_another_width_are_refused():
    network = networks.init_network((3, 2), key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 3\).*; got \(5, 4\)"):
        networks.forward(network, jnp.zeros((5, 4)))


@pytest.mark.parametrize("name", ["A1", "W9", "Z1"])
def test_replacing_a_matrix_that_is_not_there_is_refused(name):
    network = networks.init_network((3, 2), key=jax.random.key(0))
    with pytest.raises(ValueError, match=f"no matrix '{name}'"):
        networks.replace_parameters(network, {name: jnp.zeros((2, 3))})


def test_networks_can_be_drawn_under_vmap():
    keys = jax.random.split(jax.random.key(0), 3)
    draws = jax.vmap(lambda key: networks.init_network((3, 4, 2), key=key))(keys)
    one = networks.init_network((3, 4, 2), key=keys[1])
    np.testing.assert_allclose(draws.layers[1].W[1], one.layers[1].W, rtol=1e-12)
