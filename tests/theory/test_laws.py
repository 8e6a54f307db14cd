"""Laws of random matrices: moments, supports, and errors for bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory.laws import LAWS, sample_matrix

KURTOSIS = {"gaussian": 3.0, "kaiming-uniform": 1.8, "rademacher": 1.0}


@pytest.mark.parametrize("law", LAWS)
def test_entries_have_mean_zero_and_the_given_variance(law):
    A = np.asarray(sample_matrix(law, (400, 500), 0.3, key=jax.random.key(1)))
    standard_error = np.sqrt(0.3 / A.size)
    assert abs(A.mean()) < 5 * standard_error
    np.testing.assert_allclose((A**2).mean(), 0.3, rtol=5 * np.sqrt(2 / A.size))


@pytest.mark.parametrize("law", sorted(KURTOSIS))
def test_fourth_moments_tell_the_laws_apart(law):
    A = np.asarray(sample_matrix(law, (400, 500), 2.0, key=jax.random.key(2)))
    np.testing.assert_allclose((A**4).mean() / 4.0, KURTOSIS[law], rtol=0.03)


def test_orthonormal_rows_are_orthonormal_at_variance_one_over_n():
    A = sample_matrix("orthonormal", (7, 12), 1 / 12, key=jax.random.key(3))
    np.testing.assert_allclose(A @ A.T, np.eye(7), atol=1e-14)
    gaussian = sample_matrix("gaussian", (7, 12), 1 / 12, key=jax.random.key(3))
    assert float(jnp.abs(gaussian @ gaussian.T - jnp.eye(7)).max()) > 0.1


def test_the_same_key_gives_the_same_matrix_and_another_key_another():
    draws = [sample_matrix("gaussian", (3, 4), 1.0, key=jax.random.key(k)) for k in (0, 0, 1)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


@pytest.mark.parametrize("variance", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_variance_that_is_not_positive_and_finite_is_refused(variance):
    with pytest.raises(ValueError, match="variance must be a positive finite number; got"):
        sample_matrix("gaussian", (2, 2), variance, key=jax.random.key(0))


def test_an_unknown_law_is_refused_with_the_list_of_known_ones():
    with pytest.raises(ValueError, match="law must be one of gaussian, .*; got 'cauchy'"):
        sample_matrix("cauchy", (2, 2), 1.0, key=jax.random.key(0))


def test_more_orthonormal_rows_than_columns_are_refused():
    with pytest.raises(ValueError, match="at most as many rows as columns"):
        sample_matrix("orthonormal", (3, 2), 1.0, key=jax.random.key(0))
