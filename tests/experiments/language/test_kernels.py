"""Kernels of a tiny BERT in double precision, against automatic differentiation of every parameter."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from language import REFERENCE

from lorantk.experiments.language import bert, finetune, kernels
from lorantk.experiments.language.text import Tokens
from lorantk.theory import linear_maps

RANK = 3


@pytest.fixture(scope="module")
def model():
    return bert.read(REFERENCE)


@pytest.fixture(scope="module")
def tokens():
    kept = safetensors.numpy.load_file(REFERENCE / "reference.safetensors")
    return Tokens(kept["ids"], kept["lengths"])


@pytest.fixture(scope="module")
def parameters(model):
    head = bert.fresh_head(model.architecture, classes=2, key=jax.random.key(0))
    return {name: jnp.asarray(array, float) for name, array in (model.parameters | head).items()}


@partial(jax.jit, static_argnums=0)
@partial(jax.jacrev, argnums=1)
def jacobian(architecture, trained, frozen, ids, lengths):
    """The Jacobian of the difference of the logits, by array that trains."""
    outputs = finetune.logits(architecture, frozen | trained, ids, lengths)
    return outputs[:, 1] - outputs[:, 0]


def by_autodiff(architecture, trained, frozen, tokens):
    """The kernel of the difference of the logits, from its whole Jacobian."""
    J = jacobian(architecture, trained, frozen, jnp.asarray(tokens.ids), jnp.asarray(tokens.lengths))
    rows = [leaf.reshape(len(tokens.ids), -1) for leaf in jax.tree.leaves(J)]
    return sum(J @ J.T for J in rows)


def test_every_parameter_is_counted_once(model, parameters, tokens):
    found = kernels.factors(model.architecture, parameters, tokens)
    K = linear_maps.full_kernel(found, kernels.everything(found))
    np.testing.assert_allclose(K, by_autodiff(model.architecture, parameters, {}, tokens), rtol=1e-9)


@pytest.mark.parametrize("trained", [0.0, 1.0])
def test_adapters_and_a_head_that_trains_in_full(model, parameters, tokens, trained):
    names, adapters = bert.linear_names(model.architecture.layers), {}
    for name, key in zip(names, jax.random.split(jax.random.key(1), (len(names), 2)), strict=True):
        m, n = parameters[f"{name}.weight"].shape
        adapters[f"{name}.A"] = jax.random.normal(key[0], (RANK, n)) / np.sqrt(n)
        adapters[f"{name}.B"] = trained * jax.random.normal(key[1], (m, RANK)) / np.sqrt(m)
    whole = parameters | adapters | {"scale": jnp.asarray(0.5)}
    found = kernels.factors(model.architecture, whole, tokens)
    parts = kernels.adapter_kernels(found, whole)
    for part, K in (parts | {"head": kernels.head_kernel(found)}).items():
        which = {name for name in whole if name.startswith(bert.HEAD) if part == "head"} or {
            name for name in adapters if name.endswith(f".{part}")
        }
        arrays = {name: whole[name] for name in which}
        rest = {name: array for name, array in whole.items() if name not in arrays}
        truth = by_autodiff(model.architecture, arrays, rest, tokens)
        np.testing.assert_allclose(K, truth, rtol=1e-9, atol=1e-12 * np.abs(truth).max())
    assert (np.trace(parts["A"]) > 0) == (trained > 0)


def test_a_fitted_head_separates_what_can_be_separated(model, parameters):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    vectors = rng.standard_normal((200, model.architecture.width)) + 2 * labels[:, None]
    head = kernels.fitted_head(vectors, labels)
    outputs = bert.plain({name: np.asarray(a, float) for name, a in head.items()}, bert.HEAD, vectors)
    assert (outputs.argmax(axis=1) == labels).mean() == 1
    np.testing.assert_allclose(outputs.sum(axis=1), 0, atol=1e-5)  # only the difference matters
    assert kernels.margin(model.architecture) is kernels.margin(model.architecture)  # so that it is compiled once
