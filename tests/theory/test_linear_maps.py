"""Kernels from what enters and returns at linear maps, against automatic differentiation that knows nothing of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import linear_maps

N, T, WIDTH, C = 5, 4, 6, 2
WORDS = 3


def linear(weights, name, v):
    """Two matrices without a bias, two with one, a gain and a table."""
    W = weights[name]
    if name == "words":
        return W["table"][v]
    if name == "norm":
        return W["gain"][None, None] * v + W["bias"][None, None]
    y = v @ W["matrix"].T
    return y + W["bias"].reshape((1,) * (y.ndim - 1) + (-1,)) if "bias" in W else y


def model(linear, x):
    """A model with tokens: a map of each token and a table of words, attention without weights, outputs from the first token."""
    h = linear("norm", jnp.tanh(linear("embed", x["v"]) + linear("words", x["words"])))
    scores = jax.nn.softmax(jnp.einsum("nsd,ntd->nst", linear("query", h), h))
    h = h + jnp.tanh(linear("up", jnp.einsum("nst,ntd->nsd", scores, h)))
    return linear("head", h[:, 0])


PARTS = {
    "embed": {"matrix": (WIDTH, 3)},
    "words": {"table": (WORDS, WIDTH)},
    "norm": {"gain": (WIDTH,), "bias": (WIDTH,)},
    "query": {"matrix": (WIDTH, WIDTH), "bias": (WIDTH,)},
    "up": {"matrix": (WIDTH, WIDTH), "bias": (WIDTH,)},
    "head": {"matrix": (C, WIDTH)},
}
MATRICES = {name: ("matrix",) for name, parts in PARTS.items() if "matrix" in parts}


@pytest.fixture(scope="module")
def weights():
    keys = iter(jax.random.split(jax.random.key(0), 9))
    return {name: {part: jax.random.normal(next(keys), shape) for part, shape in parts.items()} for name, parts in PARTS.items()}


@pytest.fixture(scope="module")
def x():
    words = jax.random.randint(jax.random.key(4), (N, T), 0, WORDS)
    return {"v": jax.random.normal(jax.random.key(1), (N, T, 3)), "words": words}


@pytest.fixture(scope="module")
def found(weights, x):
    return linear_maps.factors(model, linear, weights, x)


def by_autodiff(f, params, x):
    """The kernel of a function of parameters and a batch, outputs varying fastest, from its whole Jacobian."""
    J = jax.tree.leaves(jax.jacobian(f)(params, x))
    return sum(leaf.reshape(N * C, -1) @ leaf.reshape(N * C, -1).T for leaf in J)


@pytest.mark.parametrize(
    "parts",
    [
        *({name: (part,)} for name, parts in PARTS.items() for part in parts),
        {"query": ("matrix", "bias"), "norm": ("bias",)},
        {name: tuple(parts) for name, parts in PARTS.items()},
    ],
    ids=str,
)
def test_the_kernel_of_full_fine_tuning_is_that_of_automatic_differentiation(weights, x, found, parts):
    def f(trained, x):
        return model(lambda name, v: linear({**weights, name: weights[name] | trained.get(name, {})}, name, v), x)

    truth = by_autodiff(f, {name: {part: weights[name][part] for part in chosen} for name, chosen in parts.items()}, x)
    K = linear_maps.full_kernel(found, parts)
    np.testing.assert_allclose(K, truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max())
    wrong = linear_maps.full_kernel(found, MATRICES)
    if parts != MATRICES:
        assert np.abs(wrong - truth).max() > 1e-3 * np.abs(truth).max()


def test_the_matrices_train_unless_told_otherwise(found):
    matrices = {name: found[name] for name in MATRICES}
    np.testing.assert_array_equal(linear_maps.full_kernel(matrices), linear_maps.full_kernel(found, MATRICES))


def contracted(found, monkeypatch, cheaper, block):
    monkeypatch.setattr(linear_maps, "pairs_are_cheaper", lambda *sizes: cheaper)
    monkeypatch.setattr(linear_maps, "BLOCK_BYTES", block)
    return np.asarray(sum(linear_maps.matrix_kernel(found[name]) for name in MATRICES))


@pytest.mark.parametrize("block", [1, 700, 1 << 20])  # one row at a time, some, all
def test_both_contractions_agree_in_blocks_of_any_size(found, monkeypatch, block):
    truth = np.asarray(linear_maps.full_kernel(found, MATRICES))
    for cheaper in (True, False):
        np.testing.assert_allclose(contracted(found, monkeypatch, cheaper, block), truth, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("sizes", [(8, 4, 24, 24), (16, 4, 24, 24), (32, 1, 24, 40), (8, 16, 24, 40)], ids=str)
def test_the_cheaper_contraction_has_fewer_operations(sizes, monkeypatch):
    """As XLA counts them in the programs; the first two sizes lie near the crossing, on its two sides."""
    R, T, m, n = sizes
    arrays = jax.ShapeDtypeStruct((R, 1, T, m), float), jax.ShapeDtypeStruct((R, T, n), float)
    monkeypatch.setattr(linear_maps, "BLOCK_BYTES", 1 << 30)  # one block, as the body of a loop is counted once

    def operations(cheaper):
        monkeypatch.setattr(linear_maps, "pairs_are_cheaper", lambda *sizes: cheaper)
        kernel = jax.jit(lambda delta, v: linear_maps.matrix_kernel(linear_maps.Factors(v, delta)))
        return kernel.lower(*arrays).cost_analysis()["flops"]

    expected = linear_maps.pairs_are_cheaper(R, T, m, n)
    assert expected == (operations(True) < operations(False))


def test_only_tokens_that_reach_an_output_are_kept(found):
    assert found["up"].entering.shape == (N, 1, WIDTH)  # the outputs read the first token alone
    assert found["embed"].entering.shape == (N, T, 3)
    assert found["words"].entering.shape == (N, T)
    assert found["head"].returning.shape == (N, C, 1, C)


def test_maps_come_in_the_order_of_the_calls_or_as_named(weights, x, found):
    assert list(found) == ["embed", "words", "norm", "query", "up", "head"]
    assert list(linear_maps.factors(model, linear, weights, x, ["up", "embed"])) == ["up", "embed"]


def test_tokens_on_two_axes_are_one_axis_of_factors():
    weights, x = jnp.arange(6.0).reshape(2, 3), jax.random.normal(jax.random.key(5), (4, 2, 5, 3))

    def picture(linear, x):
        return jnp.tanh(linear("only", x)).sum(axis=(1, 2))

    found = linear_maps.factors(picture, lambda W, name, v: v @ W.T, weights, x)["only"]
    assert (found.entering.shape, found.returning.shape) == ((4, 10, 3), (4, 2, 10, 2))
    J = jax.jacobian(lambda W: jnp.tanh(x @ W.T).sum(axis=(1, 2)))(weights).reshape(8, 6)
    np.testing.assert_allclose(linear_maps.matrix_kernel(found), J @ J.T, rtol=1e-12)


def test_a_map_that_is_called_twice_or_not_at_all_is_refused(weights, x):
    with pytest.raises(ValueError, match="called once, .* got 'embed' twice"):
        linear_maps.factors(lambda linear, x: linear("embed", x["v"])[:, 0] + linear("embed", x["v"])[:, 1], linear, weights, x)
    with pytest.raises(ValueError, match=r"embed, words, norm, query, up, head\); got 'value'"):
        linear_maps.factors(model, linear, weights, x, ("value",))


def test_outputs_of_another_shape_are_refused(weights, x):
    with pytest.raises(ValueError, match=r"outputs of shape \(N, C\); got \(5, 4, 6\)"):
        linear_maps.factors(lambda linear, x: linear("embed", x["v"]), linear, weights, x)


@pytest.mark.parametrize(("parts", "got"), [({"query": ("weight",)}, "'weight'"), ({}, "None"), ({"other": ("bias",)}, "None")])
def test_parts_that_are_not_there_are_refused(found, parts, got):
    with pytest.raises(ValueError, match=f"parts must name what trains, out of matrix, bias, gain, table, .*; got {got}"):
        linear_maps.full_kernel(found, parts)
