"""Functions of the spectrum of a kernel, exactly where the kernel can be factorised.

With ``λ_i`` the eigenvalues of a positive semi-definite N × N matrix K, everything here is a sum ``Σ_i f(λ_i)``. Up to a few
thousand rows LAPACK gives it exactly: a Cholesky factor where only a determinant is asked for, all eigenvalues otherwise.
For larger kernels see `lorantk.theory.lanczos`.
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
    """Return ``value``; raise ValueError unless it is a positive finite number.

    Parameters
    ----------
    value : float
        Number to check.
    name : str
        What the message calls it.

    Returns
    -------
    float
        ``value``.

    Raises
    ------
    ValueError
        Zero, a negative number, infinity or NaN.

    Examples
    --------
    >>> from lorantk.theory import spectra
    >>> spectra.check_positive(-1.0, "tau")
    Traceback (most recent call last):
        ...
    ValueError: tau must be a positive finite number; got -1.0
    """
    if not (math.isfinite(value) and value > 0):
        msg = f"{name} must be a positive finite number; got {value}"
        raise ValueError(msg)
    return value


def eigenvalues(K: Float[Array, "N N"]) -> Float[np.ndarray, " N"]:
    """Return the eigenvalues in ascending order, by divide and conquer (LAPACK's ``syevd``), in float64.

    Float32 would lose the eigenvalues below about ``1e-7`` of the largest, so a float32 kernel is widened first.

    Parameters
    ----------
    K : array (N, N)
        Symmetric; only its lower triangle is read.

    Returns
    -------
    array (N,)
        ``λ_1 ≤ … ≤ λ_N``.

    Raises
    ------
    ValueError
        A matrix that is not square, empty or not finite.

    Examples
    --------
    >>> from lorantk.theory import spectra
    >>> spectra.eigenvalues(jnp.array([[2.0, 1.0], [1.0, 2.0]])).round(9).tolist()
    [1.0, 3.0]
    """
    return scipy.linalg.eigh(_square(K).astype(np.float64), eigvals_only=True, driver="evd", overwrite_a=True, check_finite=False)


def log_determinant(K: Float[Array, "N N"], *, tau: float) -> float:
    """Return ``log det(I + K/τ) = Σ_i log(1 + λ_i/τ)`` in nats, from a Cholesky factor; memory for one more matrix.

    Twice the regularised information of `lorantk.theory.information.regularised_information`.

    Parameters
    ----------
    K : array (N, N)
        Positive semi-definite; only its lower triangle is read.
    tau : float
        ``τ > 0``, in the units of K.

    Returns
    -------
    float
        The logarithm.

    Raises
    ------
    ValueError
        A ``tau`` that is not positive and finite, K as for `eigenvalues`, or K with an eigenvalue below ``-τ``.

    Examples
    --------
    >>> from lorantk.theory import spectra
    >>> value = spectra.log_determinant(np.diag([1.0, 3.0]), tau=1.0)
    >>> round(float(np.exp(value)), 6)
    8.0
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
    """Return how many eigenvalues exceed ``tolerance · max λ``.

    Parameters
    ----------
    values : array (N,)
        Eigenvalues.
    tolerance : float
        In ``[0, 1)``, relative to the largest eigenvalue.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValueError
        A tolerance outside ``[0, 1)``, or no eigenvalues.

    Examples
    --------
    >>> from lorantk.theory import spectra
    >>> spectra.count_positive([1e-14, 0.5, 2.0], tolerance=1e-11)
    2
    """
    if not 0 <= tolerance < 1:
        msg = f"tolerance must lie in [0, 1), as it is relative to the largest eigenvalue; got {tolerance}"
        raise ValueError(msg)
    values = np.asarray(values)
    if values.size == 0:
        msg = "eigenvalues must be an array with at least one; got none"
        raise ValueError(msg)
    return int((values > tolerance * max(values.max(), 0)).sum())
