"""Labels that a low-rank change fits, and the dimension of such changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.experiments.disputes import memory


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_the_dimension_is_the_rank_of_the_derivative_of_the_product(rank):
    keys = jax.random.split(jax.random.key(rank))
    A, B = jax.random.normal(keys[0], (rank, 16)), jax.random.normal(keys[1], (8, rank))
    dA, dB = jax.jacobian(lambda A, B: (B @ A).ravel(), argnums=(0, 1))(A, B)
    derivative = np.concatenate([dA.reshape(128, -1), dB.reshape(128, -1)], axis=1)
    assert np.linalg.matrix_rank(derivative, tol=1e-4) == memory.dimension(rank)


def test_few_labels_are_fitted_and_far_too_many_are_not():
    few, many = (memory.fitted(2, labels, seeds=2, steps=1000) for labels in (8, 400))
    assert (few == 1).all()
    assert (many < 0.9).all()


def test_problems_depend_on_the_seed_and_only_on_it():
    one, same, other = (memory.problem(2, 30, seed) for seed in (0, 0, 1))
    for a, b, c in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    assert jnp.shape(one[3]) == (2, memory.INPUTS)
