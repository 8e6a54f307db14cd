"""The order after training: the linear map of a gradient step, written out densely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import trained_order

m, n, r, s = 4, 5, 2, 1.3
A = jax.random.normal(jax.random.key(0), (r, n))
B = jax.random.normal(jax.random.key(1), (m, r))


def jacobian_of_the_weights():
    """Return ∂vec(W)/∂(A, B), shape (mn, P), by automatic differentiation of ``s B A``."""
    blocks = jax.jacrev(lambda a, b: (s * b @ a).reshape(-1), argnums=(0, 1))(A, B)
    return jnp.concatenate([block.reshape(m * n, -1) for block in blocks], axis=1)


def test_the_weight_gram_is_that_of_the_jacobian():
    J = jacobian_of_the_weights()
    np.testing.assert_allclose(trained_order.weight_gram(A, B, s), J @ J.T, atol=1e-12)


def test_its_eigenvalues_are_the_sums():
    eigenvalues = trained_order.weight_gram_eigenvalues(A, B, s)
    dense = jnp.linalg.eigvalsh(trained_order.weight_gram(A, B, s))
    assert eigenvalues.shape == (m, n)
    np.testing.assert_allclose(jnp.sort(eigenvalues.reshape(-1)), dense, atol=1e-12)
    np.testing.assert_allclose(trained_order.trained_value(A, B, s), dense[-1], rtol=1e-12)
    assert int(jnp.sum(eigenvalues > 1e-9)) == r * (m + n - r)


def test_the_test_of_the_start_misses_what_b_adds():
    assert trained_order.trained_value(A, B, s) > s**2 * jnp.linalg.norm(A, ord=2) ** 2
    start = trained_order.trained_value(A, jnp.zeros_like(B), s)
    np.testing.assert_allclose(start, s**2 * jnp.linalg.norm(A, ord=2) ** 2, rtol=1e-12)


def test_balancing_keeps_the_product_and_reaches_the_least_value():
    a, b = trained_order.balance(A, B)
    np.testing.assert_allclose(b @ a, B @ A, atol=1e-12)
    np.testing.assert_allclose(a @ a.T, b.T @ b, atol=1e-12)
    least = trained_order.balanced_value(A, B, s)
    np.testing.assert_allclose(trained_order.trained_value(a, b, s), least, rtol=1e-12)
    for key in jax.random.split(jax.random.key(2), 50):
        M = jax.random.normal(key, (r, r))
        assert trained_order.trained_value(M @ A, B @ jnp.linalg.inv(M), s) >= least


@pytest.mark.parametrize(
    "function", [trained_order.weight_gram, trained_order.weight_gram_eigenvalues, trained_order.trained_value]
)
def test_the_scale_is_one_where_none_is_given(function):
    np.testing.assert_array_equal(function(A, B), function(A, B, 1.0))


@pytest.mark.parametrize("function", [trained_order.weight_gram, trained_order.trained_value, trained_order.balance])
def test_shapes_that_do_not_chain_are_refused(function):
    for pair in ((A, B.T), (A[:, :, None], B), (A, B[:, :, None])):
        with pytest.raises(ValueError, match="expected A of shape"):
            function(*pair)
