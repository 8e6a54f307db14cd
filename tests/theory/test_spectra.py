"""Exact functions of a spectrum, against all eigenvalues."""

import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import spectra


def matrix(N=40, rank=25, seed=0):
    J = np.random.default_rng(seed).standard_normal((N, rank))
    return J @ J.T


def test_eigenvalues_are_those_of_another_driver():
    K = matrix()
    np.testing.assert_allclose(spectra.eigenvalues(K), np.linalg.eigvalsh(K), atol=1e-12 * np.trace(K))
    single = K.astype(np.float32)
    assert spectra.eigenvalues(jnp.asarray(single)).dtype == np.float64
    np.testing.assert_allclose(spectra.eigenvalues(single), np.linalg.eigvalsh(single.astype(float)), atol=1e-12 * np.trace(K))


@pytest.mark.parametrize("tau", [1e-3, 1.0, 1e4])
def test_the_determinant_by_cholesky_is_the_sum_over_eigenvalues(tau):
    K = matrix()
    before = K.copy()
    truth = np.log1p(np.clip(np.linalg.eigvalsh(K), 0, None) / tau).sum()
    assert abs(spectra.log_determinant(K, tau=tau) - truth) < 1e-9 * truth
    assert (before == K).all()
    assert abs(spectra.log_determinant(2 * K, tau=tau) - truth) > 0.01 * truth


def test_counting_is_by_the_stated_tolerance():
    assert spectra.count_positive(np.linalg.eigvalsh(matrix()), tolerance=1e-10) == 25
    assert spectra.count_positive([1.0, 0.5, 1e-3], tolerance=0.01) == 2
    assert spectra.count_positive([1.0, 0.5, 1e-3], tolerance=0.5) == 1
    assert spectra.count_positive([0.0, 0.0], tolerance=0) == 0


@pytest.mark.parametrize("tau", [0, -1.0, np.inf, np.nan])
def test_tau_must_be_positive(tau):
    with pytest.raises(ValueError, match=f"tau must be a positive finite number; got {tau}"):
        spectra.log_determinant(matrix(), tau=tau)
    with pytest.raises(TypeError, match="positional"):
        spectra.log_determinant(matrix(), tau)


@pytest.mark.parametrize("K", [np.ones(3), np.ones((2, 3)), np.ones((0, 0))])
def test_a_kernel_that_is_not_a_square_matrix_is_refused(K):
    for function in (spectra.eigenvalues, lambda K: spectra.log_determinant(K, tau=1.0)):
        with pytest.raises(ValueError, match="must be a square matrix"):
            function(K)


def test_nan_negative_eigenvalues_and_wild_tolerances_are_refused():
    with pytest.raises(ValueError, match="must be finite"):
        spectra.eigenvalues(np.full((2, 2), np.nan))
    with pytest.raises(ValueError, match=r"got an eigenvalue below -tau = -0.5"):
        spectra.log_determinant(-np.eye(3), tau=0.5)
    with pytest.raises(ValueError, match=r"tolerance must lie in \[0, 1\)"):
        spectra.count_positive([1.0], tolerance=1.0)
    with pytest.raises(ValueError, match="at least one"):
        spectra.count_positive([], tolerance=0.1)
