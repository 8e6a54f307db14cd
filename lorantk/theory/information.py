"""Information bits and Rényi entropies of a spectrum (equations 6 and 7 of the paper), printed and corrected.

Every function takes the eigenvalues of a positive semi-definite matrix (a Fisher matrix, or a kernel, which has the same
non-zero ones) along the last axis, and returns one number for each spectrum. Eigenvalues that are exactly 0 never matter,
except that in floating point nothing is exactly 0: an eigenvalue counts as positive where ``λ > tolerance · max λ``.
Logarithms are in the unit that the caller names, a key of `UNITS`.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from lorantk.choices import one_of
from lorantk.theory.spectra import check_positive

UNITS = {"nats": 1.0, "bits": math.log(2)}


def rounding_tolerance(count: int) -> float:
    """Return ``count · 2⁻⁵²``, the relative size of the rounding error in ``count`` eigenvalues found in float64.

    Parameters
    ----------
    count : int
        Number of eigenvalues.

    Returns
    -------
    float
        The tolerance.

    Examples
    --------
    >>> from lorantk.theory import information
    >>> float(information.rounding_tolerance(1024)) == 2.0**-42
    True
    """
    return count * np.finfo(np.float64).eps


def _spectra(eigenvalues, tolerance: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues as float64, clipped at 0, and which of them count as positive."""
    values = np.asarray(eigenvalues, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        msg = f"eigenvalues must be an array with at least one in its last axis; got shape {values.shape}"
        raise ValueError(msg)
    if not np.isfinite(values).all():
        msg = "eigenvalues must be finite; got NaN or infinity"
        raise ValueError(msg)
    if tolerance is None:
        tolerance = rounding_tolerance(values.shape[-1])
    if not 0 <= tolerance < 1:
        msg = f"tolerance must lie in [0, 1), as it is relative to the largest eigenvalue; got {tolerance}"
        raise ValueError(msg)
    top = values.max(axis=-1, keepdims=True)
    if (values < -max(tolerance, rounding_tolerance(values.shape[-1])) * np.abs(top)).any():
        msg = f"eigenvalues must not be negative beyond rounding; got {values.min()} with a largest of {top.max()}"
        raise ValueError(msg)
    return np.clip(values, 0, None), values > tolerance * np.clip(top, 0, None)


def _unit(unit: str) -> float:
    one_of("unit", unit, UNITS)
    return UNITS[unit]


def _order(order: float) -> float:
    if math.isnan(order) or order < 0:
        msg = f"order must be a number of at least 0, or infinity; got {order}"
        raise ValueError(msg)
    return order


def numerical_rank(eigenvalues: Float[np.ndarray, "... n"], *, tolerance: float | None = None) -> np.ndarray:
    """Return how many eigenvalues count as positive, ``#{i : λ_i > tolerance · max λ}``.

    Parameters
    ----------
    eigenvalues : array (..., n)
        Eigenvalues of positive semi-definite matrices.
    tolerance : float, optional
        Relative tolerance; `rounding_tolerance` of n where None.

    Returns
    -------
    array (...) of int
        The ranks.

    Raises
    ------
    ValueError
        No eigenvalues, NaN or infinity, eigenvalues that are negative beyond rounding, or a tolerance outside ``[0, 1)``.

    Examples
    --------
    >>> from lorantk.theory import information
    >>> information.numerical_rank([[1e-20, 0.1, 1.0], [0.2, 0.1, 1.0]]).tolist()
    [2, 3]
    """
    return _spectra(eigenvalues, tolerance)[1].sum(axis=-1)


def information_bits(eigenvalues: Float[np.ndarray, "... n"], *, unit: str, tolerance: float | None = None) -> np.ndarray:
    """Return ``½ log pdet = ½ Σ_{λ_i > 0} log λ_i``, what equation 6 of the paper must mean.

    Not invariant to the unit of the loss: ``k λ`` instead of ``λ`` adds ``½ rank · log k``. A zero matrix has 0, the logarithm
    of an empty product.

    Parameters
    ----------
    eigenvalues : array (..., n)
        Eigenvalues of positive semi-definite matrices.
    unit : {"nats", "bits"}
        Of the logarithm.
    tolerance : float, optional
        Which eigenvalues count as positive, see `numerical_rank`.

    Returns
    -------
    array (...)
        The information.

    Raises
    ------
    ValueError
        As for `numerical_rank`, or an unknown unit.

    Examples
    --------
    The order of two spectra can be opposite to that of their information: ``{1, 1/100}`` lies above ``{1/4, 0}``.

    >>> from lorantk.theory import information
    >>> spectra = [[1.0, 0.01], [0.25, 0.0]]
    >>> information.information_bits(spectra, unit="bits").round(2).tolist()
    [-3.32, -1.0]
    """
    values, positive = _spectra(eigenvalues, tolerance)
    return np.log(values, where=positive, out=np.zeros_like(values)).sum(axis=-1) / (2 * _unit(unit))


def information_bits_as_printed(eigenvalues: Float[np.ndarray, "... n"]) -> np.ndarray:
    """Return ``½ Σ_{λ_i > 0} λ_i``, half the trace: the right-hand side of equation 6 of the paper, letter by letter.

    Parameters
    ----------
    eigenvalues : array (..., n)
        Eigenvalues of positive semi-definite matrices.

    Returns
    -------
    array (...)
        The numbers.

    Raises
    ------
    ValueError
        As for `numerical_rank`.

    Examples
    --------
    >>> from lorantk.theory import information
    >>> float(information.information_bits_as_printed([1.0, 3.0]))
    2.0
    """
    return _spectra(eigenvalues, None)[0].sum(axis=-1) / 2


def regularised_information(eigenvalues: Float[np.ndarray, "... n"], *, tau: float, unit: str) -> np.ndarray:
    """Return ``½ log det(I + K/τ) = ½ Σ_i log(1 + λ_i/τ)``.

    Continuous in the spectrum, needs no tolerance, and grows with K in the Loewner order. It is the information that
    observations with noise of variance τ carry about a Gaussian process with covariance K.

    Parameters
    ----------
    eigenvalues : array (..., n)
        Eigenvalues of positive semi-definite matrices.
    tau : float
        ``τ > 0``, in the units of the eigenvalues.
    unit : {"nats", "bits"}
        Of the logarithm.

    Returns
    -------
    array (...)
        The information.

    Raises
    ------
    ValueError
        As for `numerical_rank`, an unknown unit, or a ``tau`` that is not positive and finite.

    Examples
    --------
    Unlike `information_bits`, it is larger for the larger spectrum:

    >>> from lorantk.theory import information
    >>> spectra = [[1.0, 0.01], [0.25, 0.0]]
    >>> bits = information.regularised_information(spectra, tau=0.01, unit="bits")
    >>> bits.round(2).tolist()
    [3.83, 2.35]
    """
    values, _ = _spectra(eigenvalues, None)
    return np.log1p(values / check_positive(tau, "tau")).sum(axis=-1) / (2 * _unit(unit))


def effective_dimension(eigenvalues: Float[np.ndarray, "... n"], *, tau: float) -> np.ndarray:
    """Return the effective dimension ``Σ_i λ_i / (λ_i + τ)``, between 0 and the rank.

    Parameters
    ----------
    eigenvalues : array (..., n)
        Eigenvalues of positive semi-definite matrices.
    tau : float
        ``τ > 0``, in the units of the eigenvalues.

    Returns
    -------
    array (...)
        The dimension.

    Raises
    ------
    ValueError
        As for `numerical_rank`, or a ``tau`` that is not positive and finite.

    Examples
    --------
    >>> from lorantk.theory import information
    >>> float(information.effective_dimension([3.0, 1.0, 0.0], tau=1.0))
    1.25
    """
    values, _ = _spectra(eigenvalues, None)
    return (values / (values + check_positive(tau, "tau"))).sum(axis=-1)


def _log_power_sum(values: np.ndarray, positive: np.ndarray, order: float) -> np.ndarray:
    """Return ``log Σ_{λ_i > 0} λ_i^α``."""
    with np.errstate(divide="ignore"):
        logs = np.where(positive, np.log(values), 0.0)
    return logsumexp(np.where(positive, order * logs, -np.inf), axis=-1)


def _some_positive(positive: np.ndarray) -> None:
    if not positive.any(axis=-1).all():
        msg = "a Rényi entropy needs at least one positive eigenvalue; got a spectrum of zeros"
        raise ValueError(msg)


def renyi_as_printed(
    eigenvalues: Float[np.ndarray, "... n"], *, order: float, unit: str, tolerance: float | None = None
) -> np.ndarray:
    """Return ``H_α = log(Σ_i λ_i^α) / (1 - α)`` without normalisation, as equation 7 of the paper prints it.

    ``α = 0`` gives the logarithm of the rank and ``α = ∞`` the limit, ``-log max λ``. At ``α = 1`` the formula has no
    value: it tends to ±∞ unless ``Σ λ_i = 1``. With ``k λ`` instead of ``λ`` it gains ``α/(1-α) log k``.

    Parameters
    ----------
    eigenvalues : array (..., n)
        Eigenvalues of positive semi-definite matrices.
    order : float
        ``α ≥ 0``, other than 1; ``math.inf`` for the limit.
    unit : {"nats", "bits"}
        Of the logarithm.
    tolerance : float, optional
        Which eigenvalues count as positive, see `numerical_rank`.

    Returns
    -------
    array (...)
        The entropy.

    Raises
    ------
    ValueError
        As for `numerical_rank`, an unknown unit, a negative order or one of 1, or a spectrum of zeros.

    Examples
    --------
    Doubling the loss raises the printed entropy of order ½ by a bit and lowers that of order 2 by two:

    >>> from lorantk.theory import information
    >>> spectra = np.array([[0.5, 0.5], [1.0, 1.0]])
    >>> information.renyi_as_printed(spectra, order=0.5, unit="bits").round(6).tolist()
    [1.0, 2.0]
    >>> information.renyi_as_printed(spectra, order=2, unit="bits").round(6).tolist()
    [1.0, -1.0]
    """
    if _order(order) == 1:
        msg = "order must differ from 1, where the formula as printed divides by zero; got 1"
        raise ValueError(msg)
    values, positive = _spectra(eigenvalues, tolerance)
    _some_positive(positive)
    if order == math.inf:
        return -np.log(values.max(axis=-1)) / _unit(unit)
    return _log_power_sum(values, positive, order) / ((1 - order) * _unit(unit))


def renyi(eigenvalues: Float[np.ndarray, "... n"], *, order: float, unit: str, tolerance: float | None = None) -> np.ndarray:
    """Return the Rényi entropy ``log(Σ_i p_i^α) / (1 - α)`` of the normalised spectrum ``p_i = λ_i / Σ_j λ_j``.

    Limits: ``α = 0`` the logarithm of the rank, ``α = 1`` Shannon's ``-Σ p log p``, ``α = ∞`` ``-log max p``. It lies
    between 0 and the logarithm of the rank, falls with α, and does not depend on the unit of the loss (Rényi 1961; the
    corrected equation 7 of the paper).

    Parameters
    ----------
    eigenvalues : array (..., n)
        Eigenvalues of positive semi-definite matrices.
    order : float
        ``α ≥ 0``; ``math.inf`` allowed.
    unit : {"nats", "bits"}
        Of the logarithm.
    tolerance : float, optional
        Which eigenvalues count as positive, see `numerical_rank`.

    Returns
    -------
    array (...)
        The entropy.

    Raises
    ------
    ValueError
        As for `numerical_rank`, an unknown unit, a negative order, or a spectrum of zeros.

    Examples
    --------
    >>> from lorantk.theory import information
    >>> orders, values = (0, 1, 2, np.inf), [4.0, 2.0, 2.0]
    >>> found = [information.renyi(values, order=a, unit="bits") for a in orders]
    >>> [round(float(entropy), 4) for entropy in found]
    [1.585, 1.5, 1.415, 1.0]
    """
    values, positive = _spectra(eigenvalues, tolerance)
    _some_positive(positive)
    p = np.where(positive, values, 0.0)
    p = p / p.sum(axis=-1, keepdims=True)
    if _order(order) == math.inf:
        return -np.log(p.max(axis=-1)) / _unit(unit)
    logs = np.log(p, where=positive, out=np.zeros_like(p))
    if order == 1:
        return -(p * logs).sum(axis=-1) / _unit(unit)
    if abs(order - 1) < 0.1:  # Σ p^α = 1 + Σ p (p^{α-1} - 1), without cancellation near 1
        return np.log1p((p * np.expm1((order - 1) * logs)).sum(axis=-1)) / ((1 - order) * _unit(unit))
    return _log_power_sum(p, positive, order) / ((1 - order) * _unit(unit))
