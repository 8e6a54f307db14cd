"""The effective ridge of an adapter on the head: LoRA's mean predictor is full fine-tuning's at a larger ridge.

The head's kernel at ``c = 1`` is ``ΦAᵀAΦᵀ/r`` for features Φ of shape N × n, with ``K = ΦΦᵀ`` and ``C = ΦᵀΦ`` of eigenvalues c_i.
For a ridge λ the effective ridge κ solves ``κ = λ + (κ/r) Σ c_i/(c_i + κ)`` (Jacot et al. 2020 for random features). To leading
order in the sizes the mean over A is the predictor of full fine-tuning at κ; LeJeune et al. (2022) have the second order.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lorantk.theory.wishart import deterministic_equivalent


class Head(NamedTuple):
    """What `head_equivalent` returns.

    Attributes
    ----------
    ridge : float
        ``κ``.
    mean : array (T, C)
        Mean over A of the outputs.
    scatter : array (T,)
        ``|κ(C + κ)⁻¹h|²/(r - df₂)``.
    energy : array (C, C)
        ``YᵀK(K + κ)⁻²Y``; the covariance of the outputs c, d on input t is ``scatter[t] · energy[c, d]``.
    """

    ridge: float
    mean: np.ndarray
    scatter: np.ndarray
    energy: np.ndarray


def effective_ridge(eigenvalues: Float[np.ndarray, " k"], ridge: float, rank: float) -> float:
    """Return κ, the one solution of ``κ = λ + (κ/r) Σ c_i/(c_i + κ)`` above λ.

    ``λ/κ`` is the share of the rank that the data leave free, ``e`` of `lorantk.theory.wishart.deterministic_equivalent`.

    Parameters
    ----------
    eigenvalues : array (k,)
        ``c_i``, those of ``ΦᵀΦ`` or of ``ΦΦᵀ``.
    ridge : float
        ``λ > 0``.
    rank : float
        ``r > 0``.

    Returns
    -------
    float
        ``κ``, at most ``λ + Σ c_i/r``.

    Raises
    ------
    ValueError
        A ridge or a rank that is not positive.

    Examples
    --------
    One eigenvalue 4 at rank 1 and λ = 2: ``κ = 2 + 4κ/(4 + κ)``.

    >>> from lorantk.theory import effective_ridge
    >>> round(effective_ridge.effective_ridge(np.array([4.0]), 2.0, 1), 9)
    4.0
    """
    if not (ridge > 0 and rank > 0):
        msg = f"the ridge and the rank must be positive; got {ridge} and {rank}"
        raise ValueError(msg)
    if np.isinf(rank):
        return float(ridge)
    return ridge / deterministic_equivalent(np.clip(eigenvalues, 0, None), 1.0, ridge, rank).free


def head_equivalent(
    features: Float[np.ndarray, "N n"],
    test: Float[np.ndarray, "T n"],
    y: Float[np.ndarray, "N C"],
    *,
    ridge: float,
    rank: float,
) -> Head:
    """Return the equivalent's mean and covariance over A of an adapter on the head, A frozen and ``c = 1``.

    Mean ``hᵀΦᵀ(K + κ)⁻¹Y``; covariance ``|κ(C + κ)⁻¹h|² YᵀK(K + κ)⁻²Y/(r - df₂)`` with ``df₂ = Σ (c_i/(c_i + κ))²``. All outputs
    share A, so the C outputs do not add to the rank.

    Parameters
    ----------
    features, test : array (N, n) and array (T, n)
        Inputs of the head, one per row.
    y : array (N, C)
        Labels minus outputs at the start.
    ridge, rank : float
        ``λ`` and ``r``.

    Returns
    -------
    Head
        Effective ridge, mean and the two factors of the covariance.

    Examples
    --------
    The example of `effective_ridge`, output at ``h = 1``: ``2/(4 + 4)``, and ``½²·(1/16)/(1 - ¼)``.

    >>> from lorantk.theory import effective_ridge
    >>> one = np.ones((1, 1))
    >>> found = effective_ridge.head_equivalent(2 * one, one, one, ridge=2.0, rank=1)
    >>> round(float(found.mean[0, 0]), 6), round(48 * float(found.scatter[0] * found.energy[0, 0]), 6)
    (0.25, 1.0)
    """
    U, singular, Vt = np.linalg.svd(features, full_matrices=False)
    c = singular**2
    kappa = effective_ridge(c, ridge, rank)
    p, UtY, coordinates = c / (c + kappa), U.T @ y, test @ Vt.T
    outside = ((test - coordinates @ Vt) ** 2).sum(axis=1)
    left = outside + (((1 - p) * coordinates) ** 2).sum(axis=1)
    return Head(
        ridge=kappa,
        mean=(coordinates * (singular / (c + kappa))) @ UtY,
        scatter=left / (rank - (p**2).sum()),
        energy=(UtY.T * (c / (c + kappa) ** 2)) @ UtY,
    )


def noise_sensitivity(
    features: Float[np.ndarray, "N n"], test: Float[np.ndarray, "T n"], *, ridge: float, rank: float
) -> Float[np.ndarray, " T"]:
    """Return the equivalent of ``S(r) = E |k̂(K̂ + λ)⁻¹|²``: the variance of a test output per unit variance of label noise.

    ``hᵀC(C + κ)⁻²h + |κ(C + κ)⁻¹h|² tr K(K + κ)⁻²/(r - df₂)``; full fine-tuning is ``rank = ∞``.

    Parameters
    ----------
    features, test : array (N, n) and array (T, n)
        Inputs of the head, one per row.
    ridge, rank : float
        ``λ`` and ``r``.

    Returns
    -------
    array (T,)
        One value for each test input.

    Examples
    --------
    >>> from lorantk.theory import effective_ridge
    >>> one = np.ones((1, 1))
    >>> [round(float(effective_ridge.noise_sensitivity(one, one, ridge=1.0, rank=r)[0]), 4) for r in (2, np.inf)]
    [0.2258, 0.25]
    """
    found = head_equivalent(features, test, np.eye(len(features)), ridge=ridge, rank=rank)
    return (found.mean**2).sum(axis=1) + found.scatter * np.trace(found.energy)
