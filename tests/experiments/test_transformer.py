"""The transformer against definitions written out for one token at a time, and its kernels against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
from reference import relative_error

from lorantk.experiments.kernels import transformer
from lorantk.theory import attach, matrix_free
from lorantk.theory.adapters import adapter

PARAMS = transformer.init(tokens=3, features=4, width=6, hidden=8, blocks=2, outputs=2, key=jax.random.key(0))
X = jax.random.normal(jax.random.key(1), (5, 3, 4))


def f(params, x):
    return transformer.forward(params, x, heads=2)


def test_attention_is_the_weighted_mean_of_its_definition():
    block, x = PARAMS["blocks"][0], np.asarray(jax.random.normal(jax.random.key(2), (3, 6)))
    query, key, value = (x @ np.asarray(block[name]).T for name in ("query", "key", "value"))
    mixed = np.zeros((3, 6))
    for head in (slice(0, 3), slice(3, 6)):
        for s in range(3):
            weights = np.exp([query[s, head] @ key[t, head] / np.sqrt(3) for t in range(3)])
            mixed[s, head] = sum(w * value[t, head] for t, w in enumerate(weights / weights.sum()))
    np.testing.assert_allclose(transformer.attention(block, jnp.asarray(x), 2), mixed @ np.asarray(block["out"]).T, rtol=1e-12)


def test_layer_norm_standardises_each_token():
    y = transformer.layer_norm({"gain": 2 * jnp.ones(50), "shift": jnp.ones(50)}, jax.random.normal(jax.random.key(3), (4, 50)))
    np.testing.assert_allclose(y.mean(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=1), 2, rtol=1e-5)


def test_rows_of_a_batch_do_not_mix():
    np.testing.assert_allclose(f(PARAMS, X)[2:3], f(PARAMS, X[2:3]), rtol=1e-12)
    assert f(PARAMS, X).shape == (5, 2)


def test_kernels_from_gradients_are_those_of_automatic_differentiation():
    adapters = attach.attach(PARAMS, adapter(2, alpha=4), patterns=transformer.LINEAR, layout="out-in", key=jax.random.key(4))
    assert len(adapters) == 14
    lora = attach.adapted_function(f, PARAMS, scale=2.0, layout="out-in")
    truth = matrix_free.ntk_of_function(lora, adapters, X, outputs="full").transpose(0, 2, 1, 3).reshape(10, 10)
    G = transformer.gradients(f, PARAMS, transformer.LINEAR, X)
    K = 4.0 * sum(transformer.kernel(G[name], pair["A"]) for name, pair in adapters.items())
    assert relative_error(K, truth) < 1e-12
    full = matrix_free.ntk_of_function(f, PARAMS, X, outputs="trace")
    linear = sum(transformer.kernel(part) for part in G.values())
    assert (jnp.diagonal(full) > jnp.diagonal(linear)[::2] + jnp.diagonal(linear)[1::2]).all()  # norms and places train there too


def test_the_spread_is_one_over_the_rank_of_equal_directions():
    G = np.zeros((2, 1, 4, 5))
    G[0, 0, 0, 0], G[1, 0, :3, :3] = 7, 2 * np.eye(3)
    np.testing.assert_allclose(transformer.spread(G), [1, 1 / 3])
