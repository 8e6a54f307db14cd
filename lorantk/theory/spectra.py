r"""Functions of the spectrum of a kernel, exactly where the kernel can be factorised.

With ``λ_i`` the eigenvalues of a positive semi-definite N × N matrix K, everything here is a sum ``Σ_i f(λ_i)``. Up to a few
thousand rows LAPACK gives it exactly: a Cholesky factor where a determinant is all that is asked for, all eigenvalues
otherwise. For larger kernels see `lorantk.theory.lanczos`.
"""

import math

import numpy as np
import scipy.linalg
from jaxtyping import Array, Float


def _square(K) -> np.ndarray:
    K = np.asarray(K)
    if K.ndim != 2 or K.shape[0] != K.shape[1] or K.shape[0] == 0:
        msg = f"the kernel must be a square matrix with at least one row; got shape {K.shape}"
        raise ValueError(msg)
    if not np.isfinite(K).all():
        msg = "the kernel must be finite; got NaN or infinity"
        raise ValueError(msg)
    return K


def check_positive(value: float, name: str) -> float:
    """Return ``value``; raise ValueError unless it is a positive finite number."""
    if not (math.isfinite(value) and value > 0):
        msg = f"{name} must be a positive finite number; got {value}"
        raise ValueError(msg)
    return value


def eigenvalues(K: Float[Array, "N N"]) -> Float[np.ndarray, " N"]:
    """Return the eigenvalues in ascending order, by divide and conquer (LAPACK's ``syevd``), in float64.

    Float32 would lose the eigenvalues below about ``1e-7`` of the largest, so that a float32 kernel is widened first.

    Raises
    ------
    ValueError
        A matrix that is not square, empty or not finite.
    """
    return scipy.linalg.eigh(_square(K).astype(np.float64), eigvals_only=True, driver="evd", overwrite_a=True, check_finite=False)


def log_determinant(K: Float[Array, "N N"], *, tau: float) -> float:
    """Return ``log det(I + K/τ) = Σ log(1 + λ_i/τ)`` in nats, from a Cholesky factor; memory for one more matrix.

    Parameters
    ----------
    K
        Positive semi-definite, shape ``(N, N)``; only its lower triangle is read.
    tau
        ``τ > 0``, in the units of K.

    Raises
    ------
    ValueError
        A ``tau`` that is not positive and finite, or K as for `eigenvalues`, or with an eigenvalue below ``-τ``.
    """
    check_positive(tau, "tau")
    shifted = np.array(_square(K), dtype=np.float64, order="F")
    shifted /= tau
    shifted[np.diag_indices_from(shifted)] += 1
    factor, failed = scipy.linalg.lapack.dpotrf(shifted, lower=True, clean=False, overwrite_a=True)
    if failed:
        msg = f"the kernel must be positive semi-definite; got an eigenvalue below -tau = {-tau}"
        raise ValueError(msg)
    return 2 * float(np.log(np.diagonal(factor)).sum())


def count_positive(values: Float[np.ndarray, " N"], *, tolerance: float) -> int:
    """Return how many eigenvalues exceed ``tolerance`` times the largest.

    Raises
    ------
    ValueError
        A tolerance outside ``[0, 1)``, or no eigenvalues.
    """
    if not 0 <= tolerance < 1:
        msg = f"tolerance must lie in [0, 1), as it is relative to the largest eigenvalue; got {tolerance}"
        raise ValueError(msg)
    values = np.asarray(values)
    if values.size == 0:
        msg = "eigenvalues must be an array with at least one; got none"
        raise ValueError(msg)
    return int((values > tolerance * max(values.max(), 0)).sum())
