"""Kernels from what enters and returns at linear maps, against automatic differentiation that knows nothing of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import linear_maps
from lorantk.theory.matrix_free import ntk_of_function

N, T, WIDTH, C = 5, 4, 6, 2


def linear(weights, name, v):
    return v @ weights[name].T


def model(linear, x):
    """A model with tokens: a map of each token, attention without weights, a map to the outputs from the first token."""
    h = jnp.tanh(linear("embed", x))
    scores = jax.nn.softmax(jnp.einsum("nsd,ntd->nst", linear("query", h), h))
    h = h + jnp.tanh(linear("up", jnp.einsum("nst,ntd->nsd", scores, h)))
    return linear("head", h[:, 0])


@pytest.fixture(scope="module")
def weights():
    keys = jax.random.split(jax.random.key(0), 4)
    shapes = {"embed": (WIDTH, 3), "query": (WIDTH, WIDTH), "up": (WIDTH, WIDTH), "head": (C, WIDTH)}
    return {name: jax.random.normal(key, shape) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (N, T, 3))


@pytest.fixture(scope="module")
def found(weights, x):
    return linear_maps.factors(model, linear, weights, x)


def by_autodiff(weights, x, trained):
    """The kernel of the matrices of some names, outputs varying fastest, by Jacobians."""
    rest = {name: W for name, W in weights.items() if name not in trained}

    def f(trained, x):
        return model(lambda name, v: linear(rest | trained, name, v), x)

    K = ntk_of_function(f, {name: weights[name] for name in trained}, x, outputs="full")
    return np.moveaxis(np.asarray(K), 2, 1).reshape(N * C, N * C)


@pytest.mark.parametrize("trained", [("embed",), ("query",), ("up",), ("head",), ("embed", "query", "up", "head")])
def test_the_kernel_of_full_fine_tuning_is_that_of_automatic_differentiation(weights, x, found, trained):
    truth = by_autodiff(weights, x, trained)
    K = linear_maps.full_kernel({name: found[name] for name in trained})
    np.testing.assert_allclose(K, truth, rtol=1e-10, atol=1e-12 * np.abs(truth).max())


def test_both_contractions_agree(found, monkeypatch):
    kernels = {}
    for cheaper in (True, False):
        monkeypatch.setattr(linear_maps, "pairs_are_cheaper", lambda *sizes, cheaper=cheaper: cheaper)
        kernels[cheaper] = np.asarray(linear_maps.full_kernel(found))
    np.testing.assert_allclose(kernels[True], kernels[False], rtol=1e-12)
    monkeypatch.setattr(linear_maps, "BLOCK_BYTES", 1)  # one output row at a time
    np.testing.assert_allclose(linear_maps.full_kernel(found), kernels[False], rtol=1e-12)


def test_only_tokens_that_reach_an_output_are_kept(found):
    assert found["up"].entering.shape == (N, 1, WIDTH)  # the outputs read the first token alone
    assert found["embed"].entering.shape == (N, T, 3)
    assert found["head"].returning.shape == (N, C, 1, C)


def test_the_kernel_of_a_bias_is_that_of_automatic_differentiation(weights, x, found):
    def f(bias, x):
        return model(lambda name, v: linear(weights, name, v) + (bias[None, None] if name == "query" else 0), x)

    K = np.asarray(ntk_of_function(f, jnp.zeros(WIDTH), x, outputs="full"))
    np.testing.assert_allclose(
        linear_maps.bias_kernel(found["query"]), np.moveaxis(K, 2, 1).reshape(N * C, N * C), rtol=1e-9, atol=1e-14
    )


@pytest.mark.parametrize("zero_B", [True, False])
@pytest.mark.parametrize("name", ["embed", "query", "up"])
def test_lora_is_that_of_automatic_differentiation(weights, x, name, zero_B):
    m, n = weights[name].shape
    r, s = 2, 0.5
    A = jax.random.normal(jax.random.key(2), (r, n))
    B = jnp.zeros((m, r)) if zero_B else jax.random.normal(jax.random.key(3), (m, r))

    def adapted(pair, other, v):
        change = s * (v @ pair["A"].T) @ pair["B"].T if other == name else 0
        return linear(weights, other, v) + change

    K = ntk_of_function(lambda pair, x: model(lambda other, v: adapted(pair, other, v), x), {"A": A, "B": B}, x, outputs="full")
    truth = np.moveaxis(np.asarray(K), 2, 1).reshape(N * C, N * C)
    factors = linear_maps.factors(model, adapted, {"A": A, "B": B}, x, (name,))[name]
    G = linear_maps.lora_features(factors, A, s, None if zero_B else B)
    np.testing.assert_allclose(G @ G.T, truth, rtol=1e-9, atol=1e-12 * np.abs(truth).max())
    assert G.shape == (N * C, m * r if zero_B else r * (m + n))


def test_a_forgotten_scale_would_be_noticed(found):
    A = jax.random.normal(jax.random.key(2), (2, WIDTH))
    one, half = (linear_maps.lora_features(found["query"], A, s) for s in (1.0, 0.5))
    np.testing.assert_allclose(half @ half.T, (one @ one.T) / 4, rtol=1e-12)


def test_a_map_that_is_called_twice_or_not_at_all_is_refused(weights, x):
    with pytest.raises(ValueError, match="called once, .* got 'embed' twice"):
        linear_maps.factors(lambda linear, x: linear("embed", x)[:, 0] + linear("embed", x)[:, 1], linear, weights, x)
    with pytest.raises(ValueError, match=r"embed, query, up, head\); got 'value'"):
        linear_maps.factors(model, linear, weights, x, ("value",))


def test_outputs_of_another_shape_are_refused(weights, x):
    with pytest.raises(ValueError, match=r"outputs of shape \(N, C\); got \(5, 4, 6\)"):
        linear_maps.factors(lambda linear, x: linear("embed", x), linear, weights, x)
