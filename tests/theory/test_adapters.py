"""Adapters: scales, default variances, roles, and errors for bad descriptions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import networks
from lorantk.theory.adapters import adapt, adapter, init_adapted, sample_A
from lorantk.theory.conditions import default_variance


def test_scale_is_alpha_over_r_and_alpha_over_root_r_for_rslora():
    assert adapter(8, alpha=16).scale == 2.0
    assert adapter(16, alpha=16, rslora=True).scale == 4.0
    assert adapter(8, scale=1.0).scale == 1.0


@pytest.mark.parametrize(("law", "variance"), [("kaiming-uniform", 1 / 300), ("gaussian", 1 / 64), ("orthonormal", 1 / 100)])
def test_default_variances_are_those_of_the_usual_libraries(law, variance):
    assert math.isclose(default_variance(law, rank=8, features=100), variance)
    A = sample_A(adapter(8, alpha=8, law=law), 100, key=jax.random.key(0))
    np.testing.assert_allclose(float((A**2).mean()), variance, rtol=5 * math.sqrt(2 / 800))


def test_a_fresh_adapter_leaves_the_function_unchanged():
    network = networks.init_network((4, 6, 2), key=jax.random.key(0))
    adapted = adapt(network, adapter(2, alpha=4), roles="lora", key=jax.random.key(1))
    x = jax.random.normal(jax.random.key(2), (5, 4))
    assert (networks.forward(network, x) == networks.forward(adapted, x)).all()


def test_a_layers_draw_does_not_depend_on_the_other_layers_roles():
    network = networks.init_network((4, 6, 2), key=jax.random.key(0))
    config = adapter(2, alpha=4)
    both = adapt(network, config, roles="lora", key=jax.random.key(1))
    last = adapt(network, config, roles=("full", "lora"), key=jax.random.key(1))
    assert (both.layers[1].A == last.layers[1].A).all()
    assert last.layers[0].A is None
    other = adapt(network, config, roles="lora", key=jax.random.key(2))
    assert (both.layers[1].A != other.layers[1].A).any()


def test_rank_one_is_the_least():
    assert adapter(1, alpha=2).scale == 2


@pytest.mark.parametrize("rank", [0, -1, 2.5])
def test_a_rank_below_one_or_not_whole_is_refused(rank):
    with pytest.raises(ValueError, match=f"rank must be a whole number of at least 1; got {rank}"):
        adapter(rank, alpha=1)


def test_a_rank_above_the_layers_inputs_is_refused():
    network = networks.init_network((4, 6, 2), key=jax.random.key(0))
    with pytest.raises(ValueError, match="rank must be at most the layer's 4 inputs; got 5"):
        adapt(network, adapter(5, alpha=5), roles="lora", key=jax.random.key(1))


@pytest.mark.parametrize("arguments", [{}, {"alpha": 1, "scale": 1}])
def test_exactly_one_of_alpha_and_scale_is_asked_for(arguments):
    with pytest.raises(ValueError, match="exactly one of alpha and scale"):
        adapter(4, **arguments)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_not_positive_and_finite_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be a positive finite number"):
        adapter(4, scale=scale)


@pytest.mark.parametrize("variance", [-0.1, 0.0, float("nan")])
def test_a_variance_that_is_not_positive_and_finite_is_refused(variance):
    with pytest.raises(ValueError, match="variance must be a positive finite number"):
        adapter(4, alpha=4, variance=variance)


def test_an_unknown_law_is_refused():
    with pytest.raises(ValueError, match="law must be one of"):
        adapter(4, alpha=4, law="pissa")


@pytest.mark.parametrize("roles", [("lora",), ("lora", "lora", "lora"), ("lora", "half"), "none"])
def test_roles_that_do_not_fit_are_refused(roles):
    network = networks.init_network((4, 6, 2), key=jax.random.key(0))
    with pytest.raises(ValueError, match="roles must be 2 of full, lora, lora-fa, frozen"):
        adapt(network, adapter(2, alpha=2), roles=roles, key=jax.random.key(1))


def test_adapting_again_replaces_the_adapters():
    network = networks.init_network((4, 6), key=jax.random.key(0))
    once = adapt(network, adapter(2, alpha=4), roles="lora", key=jax.random.key(1))
    again = adapt(once, adapter(3, alpha=4), roles="full", key=jax.random.key(1))
    assert again.layers[0].A is None
    assert jnp.array_equal(again.layers[0].W, network.layers[0].W)


def test_an_adapted_network_is_drawn_from_two_halves_of_one_key():
    config, key, widths = adapter(2, alpha=4), jax.random.key(5), (4, 6, 2)
    found = init_adapted(widths, config, roles=("full", "lora"), key=key, activation="tanh")
    of_weights, of_adapters = jax.random.split(key)
    plain = networks.init_network(widths, key=of_weights, activation="tanh")
    wanted = adapt(plain, config, roles=("full", "lora"), key=of_adapters)
    assert found.activation == "tanh"
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), found, wanted))
