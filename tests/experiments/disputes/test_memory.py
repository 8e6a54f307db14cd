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


def test_random_numbers_are_fitted_to_rounding_below_the_dimension_and_not_above():
    dimension = memory.dimension(1)
    assert max(memory.misfit(1, round(dimension / 1.35), seed) for seed in range(3)) < 1e-20
    assert min(memory.misfit(1, round(1.5 * dimension), seed) for seed in range(3)) > 1e-3


def test_with_the_full_rank_only_as_many_numbers_are_fitted_as_the_matrix_has_entries():
    entries = memory.CLASSES * memory.INPUTS
    assert memory.dimension(memory.CLASSES) == entries
    assert memory.misfit(memory.CLASSES, entries // 2, 0) < 1e-20
    # Least squares without factors, for the part of the labels that no matrix fits.
    labels = entries + 40
    rng = np.random.default_rng([0, memory.CLASSES, labels])
    G, y = rng.standard_normal((labels, entries)), rng.standard_normal(labels)
    rest = y - G @ np.linalg.lstsq(G, y)[0]
    assert memory.misfit(memory.CLASSES, labels, 0) == pytest.approx((rest @ rest) / (y @ y), rel=1e-6)
