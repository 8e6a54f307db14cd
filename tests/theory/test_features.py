"""LoRA's stored gradients against automatic differentiation, and what is read from them against the explicit kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import features, lanczos

N, T, WIDTH, C, RANK, SCALE = 5, 4, 6, 2, 2, 0.5


def linear(params, name, v):
    y = v @ params["weights"][name].T
    if name in params["adapters"]:
        pair = params["adapters"][name]
        y = y + SCALE * (v @ pair["A"].T) @ pair["B"].T
    return y


def model(linear, x):
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


def pairs_of(weights, names, trained):
    keys = jax.random.split(jax.random.key(2), (len(names), 2))
    made = {}
    for name, (a, b) in zip(names, keys, strict=True):
        m, n = weights[name].shape
        made[name] = {"A": jax.random.normal(a, (RANK, n)), "B": float(trained) * jax.random.normal(b, (m, RANK))}
    return made


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("names", [("embed",), ("query",), ("up", "head"), ("embed", "query", "up", "head")], ids=str)
def test_lora_is_that_of_automatic_differentiation(weights, x, names, trained):
    pairs = pairs_of(weights, names, trained)

    def f(pairs):
        return model(lambda name, v: linear({"weights": weights, "adapters": pairs}, name, v), x)

    truth = sum(leaf.reshape(N * C, -1) @ leaf.reshape(N * C, -1).T for leaf in jax.tree.leaves(jax.jacobian(f)(pairs)))
    given = pairs if trained else {name: {"A": pair["A"]} for name, pair in pairs.items()}
    params = {"weights": weights, "adapters": pairs}
    sizes = [RANK * (m + trained * n) for m, n in (weights[name].shape for name in names)]
    for block in (2, 5):
        G = features.adapter_features(model, linear, params, x, given, SCALE, block=block)
        np.testing.assert_allclose(G @ G.T, truth, rtol=1e-9, atol=1e-12 * np.abs(truth).max())
        assert G.shape == (N * C, sum(sizes))


def test_products_and_spectra_are_those_of_the_kernel():
    G = jax.random.normal(jax.random.key(3), (60, 200)) * jnp.linspace(1, 0.01, 60)[:, None]
    K = np.asarray(G @ G.T)
    V = jax.random.normal(jax.random.key(4), (3, 60))
    np.testing.assert_allclose(features.feature_product(V, G), V @ K, rtol=1e-11)
    truth = np.linalg.slogdet(np.eye(60) + K / 2.0)[1]
    exact = features.feature_quadrature(G, key=jax.random.key(0))
    found = lanczos.estimate_log_determinant(exact, tau=2.0)
    assert found.error == 0
    np.testing.assert_allclose(found.value, truth, rtol=1e-12)
    np.testing.assert_allclose(lanczos.extreme_nodes(exact), np.linalg.eigvalsh(K)[[0, -1]], rtol=1e-8)
    sampled = features.feature_quadrature(G, exact_rows=59, probes=8, depth=30, key=jax.random.key(0))
    found = lanczos.estimate_log_determinant(sampled, tau=2.0)
    assert sampled.total == pytest.approx(np.trace(K))
    assert 0 < found.error < 0.05 * truth
    assert abs(found.value - truth) < 3 * found.error
