"""Kernels from gradients as outer products, against automatic differentiation and plain averages."""

import jax
import numpy as np
import pytest
import reference

from lorantk.theory import gradient_rows, kernels, networks
from lorantk.theory.adapters import adapt, adapter


def test_rows_and_gram_matrix_give_the_kernel_of_automatic_differentiation():
    network = networks.init_network((4, 6, 5, 2), key=jax.random.key(0), activation="tanh")
    network = adapt(network, adapter(3, scale=1.5), roles=("lora", "frozen", "full"), key=jax.random.key(1))
    x, x2 = jax.random.normal(jax.random.key(2), (3, 4)), jax.random.normal(jax.random.key(3), (2, 4))
    left, right = (gradient_rows.gradient_rows(network, part) for part in (x, x2))
    A = 1.5 * np.asarray(network.layers[0].A)
    K = gradient_rows.layer_kernel(left["W1"], right["W1"], gram=A.T @ A) + gradient_rows.layer_kernel(left["W3"], right["W3"])
    np.testing.assert_allclose(K, kernels.as_matrix(reference.ntk(network, x, x2)), rtol=1e-12)


def test_the_backward_trace_is_the_mean_of_the_quadratic_form():
    rng = np.random.default_rng(0)
    rows = gradient_rows.Rows(rng.standard_normal((9, 3)), rng.standard_normal((9, 20)))
    W = rng.standard_normal((9, 9))
    A = np.sqrt(20) * np.eye(20)  # its rows have mean square I
    Z = (rows.forward @ A.T).T[:, :, None] * rows.backward
    mean = np.einsum("kam,ab,kbn->mn", Z, W, Z) / 20
    np.testing.assert_allclose(gradient_rows.backward_trace(rows, W), mean, rtol=1e-12)
    K = gradient_rows.layer_kernel(rows, rows)
    assert np.trace(mean) == pytest.approx(np.trace(K @ W))


def test_gradient_rows_are_those_of_automatic_differentiation():
    network = reference.adapted_network((4, 5, 3), ("lora", "full"))
    plain = kernels.as_full_fine_tuning(network)
    x = jax.random.normal(jax.random.key(4), (3, 4))
    J = np.asarray(reference.jacobian(plain, x)).reshape(9, -1)
    blocks = [np.einsum("pa,pi->pai", *rows).reshape(9, -1) for rows in gradient_rows.gradient_rows(network, x).values()]
    np.testing.assert_allclose(np.hstack(blocks), J, atol=1e-12)
