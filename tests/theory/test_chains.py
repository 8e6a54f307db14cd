"""Chains of stages: what the closed form covers, what it refuses, and what is computed on request."""

import jax
import jax.numpy as jnp
import pytest
from reference import adapted_network, relative_error

from lorantk.theory import chains, kernels
from lorantk.theory.networks import Layer


def scale_rows(gain, h):
    return gain[None] * (h - h.mean(axis=1, keepdims=True))


NETWORK = adapted_network((5, 9, 7, 3), ("full", "lora", "frozen"))
STAGES = [NETWORK.layers[0], "relu", NETWORK.layers[1], "relu", NETWORK.layers[2]]
X = jax.random.normal(jax.random.key(1), (6, 5))


@pytest.mark.parametrize("outputs", kernels.OUTPUTS)
def test_a_chain_that_is_a_network_has_its_kernel_by_both_routes(outputs):
    truth = kernels.ntk(NETWORK, X, outputs=outputs)
    assert relative_error(chains.ntk_of_chain(STAGES, X, outputs=outputs), truth) < 1e-13
    identity = (lambda p, h: h, {})
    by_differentiation = chains.ntk_of_chain([*STAGES, identity], X, outputs=outputs, fallback=True)
    assert relative_error(by_differentiation, truth) < 1e-12


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([STAGES[0], "relu", (scale_rows, jnp.ones(9)), STAGES[2]], "needs a linear layer as stage 3; got scale_rows"),
        ([STAGES[0], "relu", STAGES[2], "tanh", STAGES[4]], "needs one activation throughout .* as stage 4; got tanh"),
        ([STAGES[0], STAGES[2]], "needs one activation throughout .* as stage 2; got Layer"),
        ([STAGES[0], "relu"], "needs a linear layer at the end; got 2 stages"),
    ],
)
def test_an_unknown_stage_is_named_and_computed_only_when_asked(stages, message):
    with pytest.raises(ValueError, match=message):
        chains.ntk_of_chain(stages, X, outputs="trace")
    K = chains.ntk_of_chain(stages, X, outputs="trace", fallback=True)
    f, params = chains.as_function(stages)
    J = jax.jacobian(lambda p: f(p, X))(params)
    truth = sum(jnp.einsum("icmn,jcmn->ij", *[L.reshape(*L.shape[:2], L.shape[2], -1)] * 2) for L in jax.tree.leaves(J))
    assert relative_error(K, truth) < 1e-12


def test_a_frozen_layer_stays_out():
    chain = [Layer(jnp.eye(5)), "relu", Layer(jnp.ones((2, 5)), role="frozen")]
    assert chains.as_function(chain)[1] == [{"W": chain[0].W}, {}]
