r"""The law of LoRA's information bits for one adapter on the head, and its approximation at a ridge.

The head's kernel at ``B = 0`` is ``s² ΦAᵀAΦᵀ ⊗ I_C`` against ``ΦΦᵀ ⊗ I_C`` of full fine-tuning, with N inputs, features Φ of
shape N × n and C outputs. For Gaussian A the first is a Wishart matrix with r degrees of freedom. Information bits are
``IB = ½ log det K``, in nats; ``c = s² r σ_a²`` is the mean factor, so that ``s²σ_a² = c/r``.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import digamma, loggamma, logsumexp, polygamma


def _degrees(inputs: int, rank: int) -> np.ndarray:
    if not 1 <= inputs <= rank:
        msg = f"the law needs 1 <= N <= r, else LoRA's kernel is singular; got N={inputs} and r={rank}"
        raise ValueError(msg)
    return rank - np.arange(inputs)


def gap_mean(inputs: int, rank: int, factor: float, *, outputs: int = 1) -> float:
    r"""Return the mean of ``IB_lora - IB_ff``: ``(C/2) Σ_{i<N} [ψ((r-i)/2) + log(2c/r)]``, ψ the digamma function.

    Parameters
    ----------
    inputs, rank
        ``N ≤ r``.
    factor
        ``c = s² r σ_a²``.
    outputs
        ``C``; all outputs share A, hence the factor C on the gap itself.

    Raises
    ------
    ValueError
        N larger than r.
    """
    return outputs / 2 * float(np.sum(digamma(_degrees(inputs, rank) / 2) + np.log(2 * factor / rank)))


def gap_variance(inputs: int, rank: int, *, outputs: int = 1) -> float:
    r"""Return the variance of ``IB_lora - IB_ff``: ``(C²/4) Σ_{i<N} ψ₁((r-i)/2)``, ψ₁ the trigamma function.

    Parameters and errors as in `gap_mean`; the factor c shifts the law and leaves its variance alone.
    """
    return outputs**2 / 4 * float(np.sum(polygamma(1, _degrees(inputs, rank) / 2)))


def sample_gap(inputs: int, rank: int, factor: float, samples: int, *, rng: np.random.Generator, outputs: int = 1) -> np.ndarray:
    r"""Draw ``IB_lora - IB_ff = (C/2)[N log(c/r) + Σ_{i<N} log χ²_{r-i}]``; shape ``(samples,)``.

    Parameters and errors as in `gap_mean`.
    """
    chi2 = rng.chisquare(_degrees(inputs, rank), size=(samples, inputs))
    return outputs / 2 * np.sum(np.log(chi2 * factor / rank), axis=1)


def gap_cdf(x: np.ndarray, inputs: int, rank: int, factor: float, *, outputs: int = 1, nodes: int = 4000) -> np.ndarray:
    r"""Return the distribution function of ``IB_lora - IB_ff`` at the points x, by inverting its characteristic function.

    ``Σ log χ²_k`` has the characteristic function ``Π_k 2^{it} Γ(k/2 + it)/Γ(k/2)``, and
    ``F(x) = ½ - (1/π)∫_0^∞ Im[e^{-itx} φ(t)]/t dt`` (Gil-Pelaez 1951), here by the midpoint rule over 12 decay lengths.

    Parameters and errors as in `gap_mean`; error below 1e-6 (tests).
    """
    k = _degrees(inputs, rank) / 2
    standard = np.sqrt(np.sum(polygamma(1, k)))
    # |Γ(k + it)| falls like exp(-π t/2) per factor at large t, and like a Gaussian of width 1/sd before.
    length = 12 / standard + 24 / (np.pi * inputs)
    t = (np.arange(nodes) + 0.5) * length / nodes
    log_phi = np.sum(loggamma(k + 1j * t[:, None]) - loggamma(k), axis=1) + 1j * t * inputs * np.log(2 * factor / rank)
    points = 2 * np.atleast_1d(np.asarray(x, dtype=float)) / outputs
    waves = np.exp(log_phi[None, :] - 1j * points[:, None] * t[None, :]).imag / t
    return np.clip(0.5 - waves.sum(axis=1) * length / nodes / np.pi, 0, 1)


class Equivalent(NamedTuple):
    """Result of `deterministic_equivalent`.

    Attributes
    ----------
    logdet
        ``V``, the leading value of ``log det(I + K_lora/τ)``, one output.
    free
        ``e`` in (0, 1]: the share of the rank that the data leaves free; ``r(1 - e)`` directions are in use.
    load
        ``γ = (1/r) Σ t_i²`` in [0, 1), ``t_i = aλ_i e/(1 + aλ_i e)``: ``V + ½ log(1 - γ)`` and ``-2 log(1 - γ)`` are the mean and
        the variance to next order, for real Gaussian A.
    """

    logdet: float
    free: float
    load: float


def _scaled(eigenvalues: np.ndarray, factor: float, ridge: float) -> np.ndarray:
    eigenvalues = np.asarray(eigenvalues, dtype=float)
    if ridge <= 0 or eigenvalues.min() < 0:
        msg = f"expected ridge > 0 and eigenvalues >= 0; got {ridge} and a least eigenvalue of {eigenvalues.min()}"
        raise ValueError(msg)
    return factor / ridge * eigenvalues


def deterministic_equivalent(eigenvalues: np.ndarray, factor: float, ridge: float, rank: int) -> Equivalent:
    r"""Approximate ``log det(I + s² ΦAᵀAΦᵀ/τ)`` for Gaussian A by a number that no longer holds A.

    ``V = Σ log(1 + aλ_i e) + r(e - 1 - log e)`` with ``a = c/τ`` and e the only root in (0, 1] of
    ``1/e = 1 + (1/r) Σ aλ_i/(1 + aλ_i e)`` (Silverstein and Bai 1995; Tulino and Verdú 2004).
    As a function of e, V is least there.

    Parameters
    ----------
    eigenvalues
        ``λ_i ≥ 0`` of ``ΦΦᵀ``, shape ``(N,)``; any N, below or above the rank.
    factor, ridge, rank
        ``c = s² r σ_a²``, ``τ > 0`` and ``r``.

    Raises
    ------
    ValueError
        A ridge that is not positive, or a negative eigenvalue.
    """
    a_lam = _scaled(eigenvalues, factor, ridge)
    low, high = 0.0, 1.0
    # e + (1/r) Σ aλe/(1 + aλe) grows with e and passes 1 once on (0, 1]: bisect to the last bit.
    for _ in range(200):
        e = (low + high) / 2
        low, high = (e, high) if e + np.sum(a_lam * e / (1 + a_lam * e)) / rank < 1 else (low, e)
    used = a_lam * high / (1 + a_lam * high)
    value = np.sum(np.log1p(a_lam * high)) + rank * (high - 1 - np.log(high))
    return Equivalent(float(value), float(high), float(np.sum(used**2) / rank))


def mean_determinant_bound(eigenvalues: np.ndarray, factor: float, ridge: float, rank: int) -> float:
    r"""Return ``log E det(I + s² ΦAᵀAΦᵀ/τ) = log Σ_k r(r-1)…(r-k+1)/rᵏ · aᵏ e_k(λ)``, e_k the elementary symmetric polynomials.

    Exact for every law of A with independent entries of mean 0 and one variance, at any size; by Jensen's inequality an
    upper bound on ``E log det``. Without the falling factorials, at ``r = ∞``, it is ``Σ log(1 + aλ_i)``.

    Parameters and errors as in `deterministic_equivalent`.
    """
    a_lam = _scaled(eigenvalues, factor, ridge)
    # log of e_k(aλ), one eigenvalue at a time: e_k ← e_k + aλ_i e_{k-1}. All terms are positive: nothing cancels.
    log_e = np.full(a_lam.size + 1, -np.inf)
    log_e[0] = 0.0
    for value in a_lam[a_lam > 0]:
        log_e[1:] = np.logaddexp(log_e[1:], log_e[:-1] + np.log(value))
    k = np.arange(min(a_lam.size, rank))
    falling = np.concatenate([[0.0], np.cumsum(np.log1p(-k / rank))])
    return float(logsumexp(falling + log_e[: falling.size]))
