"""Ensembles of networks against the same networks one by one, and the laws of their draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lorantk.theory import kernels, networks
from lorantk.theory.adapters import adapt, adapter
from lorantk.theory.ensembles import draw_matrices, ensemble_terms
from lorantk.theory.laws import LAWS

X = jnp.array([[1.0, 0.4, -0.3], [0.2, -0.9, 1.1]])
KURTOSIS = {"gaussian": 3.0, "kaiming-uniform": 1.8, "rademacher": 1.0}


@pytest.mark.parametrize("law", LAWS)
def test_entries_have_the_moments_of_their_law(law):
    A = draw_matrices(law, 3, (400, 500), 0.3, rng=np.random.default_rng(1))[1]
    assert abs(A.mean()) < 5 * np.sqrt(0.3 / A.size)
    np.testing.assert_allclose((A**2).mean(), 0.3, rtol=5 * np.sqrt(2 / A.size))
    if law in KURTOSIS:
        np.testing.assert_allclose((A**4).mean() / 0.3**2, KURTOSIS[law], rtol=0.03)


def test_orthonormal_rows_are_orthonormal_and_haar_distributed():
    Q = draw_matrices("orthonormal", 4000, (2, 4), 1 / 4, rng=np.random.default_rng(0))
    np.testing.assert_allclose(Q @ Q.mT, np.broadcast_to(np.eye(2), (4000, 2, 2)), atol=1e-14)
    # An entry has density ∝ (1 - q²)^{(n-3)/2}; the plain QR decomposition biases the sign of the first one.
    for entries in (Q[:, 0, 0], Q[:, 1, 3]):
        assert stats.kstest(entries, lambda q: stats.beta(1.5, 1.5).cdf((q + 1) / 2)).pvalue > 1e-7


def test_the_same_generator_gives_the_same_stack_of_different_matrices():
    first, again, other = (draw_matrices("gaussian", 2, (3, 4), 1.0, rng=np.random.default_rng(k)) for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize(
    ("law", "variance", "message"),
    [
        ("cauchy", 1.0, "law must be one of gaussian, .*; got 'cauchy'"),
        ("gaussian", -1.0, "variance must be a positive finite number; got"),
        ("orthonormal", 1.0, "at most as many rows as columns"),
    ],
)
def test_bad_draws_are_refused(law, variance, message):
    with pytest.raises(ValueError, match=message):
        draw_matrices(law, 2, (3, 2), variance, rng=np.random.default_rng(0))


@pytest.mark.parametrize("activation", networks.ACTIVATIONS)
@pytest.mark.parametrize("roles", [("full", "full", "full"), ("full", "lora", "frozen")])
def test_ensemble_terms_are_those_of_the_closed_form_for_each_network(activation, roles):
    config, keys = adapter(2, scale=1.3, law="gaussian", variance=0.5), jax.random.split(jax.random.key(3), 4)
    nets = [
        adapt(networks.init_network((3, 6, 4, 1), key=key, activation=activation), config, roles=roles, key=key) for key in keys
    ]
    layers = [[net.layers[l] for net in nets] for l in range(3)]
    maps = [
        {"full": None, "frozen": np.zeros((1, 1, stack[0].W.shape[1]))}.get(
            role, None if stack[0].A is None else np.stack([layer.scale * layer.A for layer in stack])
        )
        for role, stack in zip(roles, layers, strict=True)
    ]
    weights = [np.stack([layer.W for layer in stack]) for stack in layers]
    terms = ensemble_terms(weights, np.asarray(X), activation=activation, maps=maps)
    for net, term in zip(nets, terms, strict=True):
        expected = dict.fromkeys("123", np.zeros((2, 2)))
        for name, part in kernels.ntk_terms(net, X, outputs="trace").items():
            expected[name[1]] = expected[name[1]] + part
        np.testing.assert_allclose(term, list(expected.values()), rtol=1e-12, atol=1e-14)
