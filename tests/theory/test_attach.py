"""Adapters attached by path, against the adapters of networks."""

import jax
import jax.numpy as jnp
import pytest
from reference import adapted_network, relative_error

from lorantk.theory import attach, kernels, matrix_free
from lorantk.theory.adapters import adapter

PARAMS = {"blocks": [{"query": jnp.ones((4, 6)), "bias": jnp.ones(4)}, {"query": jnp.ones((4, 6)), "out": jnp.ones((6, 4))}]}
CONFIG = adapter(2, alpha=4)


def test_patterns_pick_matrices_by_their_paths():
    assert attach.matching(PARAMS, ("*/query",)) == ["blocks/0/query", "blocks/1/query"]
    assert attach.matching(PARAMS, ("blocks/1/*",)) == ["blocks/1/out", "blocks/1/query"]


@pytest.mark.parametrize("layout", attach.LAYOUTS)
def test_adapters_start_at_the_function_and_have_the_layers_shapes(layout):
    adapters = attach.attach(PARAMS, CONFIG, patterns=("*/query",), layout=layout, key=jax.random.key(0))
    inputs, outputs = (6, 4) if layout == "out-in" else (4, 6)
    assert {p: (a["A"].shape, a["B"].shape) for p, a in adapters.items()} == {
        f"blocks/{i}/query": ((2, inputs), (outputs, 2)) for i in range(2)
    }
    assert not (adapters["blocks/0/query"]["A"] == adapters["blocks/1/query"]["A"]).any()
    merged = attach.merge(PARAMS, adapters, scale=2.0, layout=layout)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), merged, PARAMS))
    trained = jax.tree.map(lambda a: a + 1, adapters)
    changed = attach.merge(PARAMS, trained, scale=2.0, layout=layout)["blocks"][0]["query"] - 1
    product = 2 * trained["blocks/0/query"]["B"] @ trained["blocks/0/query"]["A"]
    assert relative_error(changed, product if layout == "out-in" else product.T) < 1e-13


@pytest.mark.parametrize("layout", attach.LAYOUTS)
def test_the_kernel_of_adapters_by_path_is_the_closed_form(layout):
    network = adapted_network((5, 9, 7, 3), ("frozen", "lora", "lora"))
    x = jax.random.normal(jax.random.key(1), (6, 5))
    turn = (lambda W: W) if layout == "out-in" else jnp.transpose
    params = {f"layer{l}": turn(layer.W) for l, layer in enumerate(network.layers)}
    adapters = {f"layer{l}": {"A": layer.A, "B": layer.B} for l, layer in enumerate(network.layers) if layer.A is not None}

    def f(params, x):
        for l in range(3):
            x = (jax.nn.relu(x) if l else x) @ turn(params[f"layer{l}"]).T
        return x

    lora = attach.adapted_function(f, params, scale=float(network.layers[1].scale), layout=layout)
    truth = kernels.ntk(network, x, outputs="full")
    assert relative_error(matrix_free.ntk_of_function(lora, adapters, x, outputs="full"), truth) < 1e-12


def test_paths_and_layouts_that_do_not_fit_are_refused():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"each pattern must match a matrix; got '\*/key', and the paths are blocks/0/bias, "):
        attach.attach(PARAMS, CONFIG, patterns=("*/query", "*/key"), layout="out-in", key=key)
    with pytest.raises(ValueError, match=r"matches blocks/0/bias of shape \(4,\)"):
        attach.attach(PARAMS, CONFIG, patterns=("*/bias",), layout="out-in", key=key)
    with pytest.raises(ValueError, match="layout must be one of out-in, in-out; got 'rows'"):
        attach.attach(PARAMS, CONFIG, patterns=("*/query",), layout="rows", key=key)
    with pytest.raises(ValueError, match="rank must be at most the layer's 4 inputs; got 5"):
        attach.attach(PARAMS, adapter(5, alpha=1), patterns=("*/query",), layout="in-out", key=key)
