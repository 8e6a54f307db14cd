"""The law of LoRA's information bits for one adapter on the head, and its approximation at a ridge.

The head's kernel at ``B = 0`` is ``s² ΦAᵀAΦᵀ ⊗ I_C`` against ``ΦΦᵀ ⊗ I_C`` of full fine-tuning, with N inputs, features Φ of
shape N × n and C outputs. For Gaussian A the first is a Wishart matrix with r degrees of freedom. Information bits are
``IB = ½ log det K``, in nats; ``c = s² r σ_a²`` is the mean factor, so that ``s²σ_a² = c/r``.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import digamma, loggamma, logsumexp, polygamma


def _degrees(inputs: int, rank: int) -> np.ndarray:
    if not 1 <= inputs <= rank:
        msg = f"the law needs 1 <= N <= r, as LoRA's kernel is singular otherwise; got N={inputs} and r={rank}"
        raise ValueError(msg)
    return rank - np.arange(inputs)


def gap_mean(inputs: int, rank: int, factor: float, *, outputs: int = 1) -> float:
    """Return the mean of ``IB_lora - IB_ff``: ``(C/2) Σ_{i<N} [ψ((r-i)/2) + log(2c/r)]``, ψ the digamma function.

    From the law of a Wishart determinant (Goodman 1963; Muirhead 1982), free of the data and of the kernel.

    Parameters
    ----------
    inputs, rank : int
        ``N ≤ r``.
    factor : float
        ``c = s² r σ_a²``.
    outputs : int
        ``C``; all outputs share A, hence the factor C on the gap itself.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ValueError
        N larger than r.

    Examples
    --------
    Even at ``c = 1``, where the mean kernels agree, LoRA has fewer information bits:

    >>> from lorantk.theory import wishart
    >>> round(wishart.gap_mean(8, 16, 1.0), 3)
    -1.398
    """
    return outputs / 2 * float(np.sum(digamma(_degrees(inputs, rank) / 2) + np.log(2 * factor / rank)))


def gap_variance(inputs: int, rank: int, *, outputs: int = 1) -> float:
    """Return the variance of ``IB_lora - IB_ff``: ``(C²/4) Σ_{i<N} ψ₁((r-i)/2)``, ψ₁ the trigamma function.

    The factor c shifts the law and leaves its variance alone.

    Parameters
    ----------
    inputs, rank : int
        ``N ≤ r``.
    outputs : int
        ``C``.

    Returns
    -------
    float
        In squared nats.

    Raises
    ------
    ValueError
        N larger than r.

    Examples
    --------
    ``ψ₁(1) = π²/6``:

    >>> from lorantk.theory import wishart
    >>> round(24 * wishart.gap_variance(1, 2) / np.pi**2, 6)
    1.0
    """
    return outputs**2 / 4 * float(np.sum(polygamma(1, _degrees(inputs, rank) / 2)))


def sample_gap(inputs: int, rank: int, factor: float, samples: int, *, rng: np.random.Generator, outputs: int = 1) -> np.ndarray:
    """Draw ``IB_lora - IB_ff = (C/2)[N log(c/r) + Σ_{i<N} log χ²_{r-i}]``.

    Parameters
    ----------
    inputs, rank : int
        ``N ≤ r``.
    factor : float
        ``c = s² r σ_a²``.
    samples : int
        Number of independent draws.
    rng : numpy.random.Generator
        Source of the randomness.
    outputs : int
        ``C``.

    Returns
    -------
    array (samples,)
        In nats.

    Raises
    ------
    ValueError
        N larger than r.

    Examples
    --------
    >>> from lorantk.theory import wishart
    >>> rng = np.random.default_rng(0)
    >>> draws = wishart.sample_gap(8, 16, 1.0, 100_000, rng=rng)
    >>> round(float(draws.mean()) / wishart.gap_mean(8, 16, 1.0), 2)
    1.0
    """
    chi2 = rng.chisquare(_degrees(inputs, rank), size=(samples, inputs))
    return outputs / 2 * np.sum(np.log(chi2 * factor / rank), axis=1)


def gap_cdf(x: np.ndarray, inputs: int, rank: int, factor: float, *, outputs: int = 1, nodes: int = 4000) -> np.ndarray:
    """Return the distribution function of ``IB_lora - IB_ff`` at the points x, by inverting its characteristic function.

    ``Σ log χ²_k`` has the characteristic function ``Π_k 2^{it} Γ(k/2 + it)/Γ(k/2)``, and
    ``F(x) = ½ - (1/π)∫_0^∞ Im[e^{-itx} φ(t)]/t dt`` (Gil-Pelaez 1951), here by the midpoint rule over 12 decay lengths; the
    error is below 1e-6 (tests).

    Parameters
    ----------
    x : array (k,)
        Points, in nats.
    inputs, rank : int
        ``N ≤ r``.
    factor : float
        ``c = s² r σ_a²``.
    outputs : int
        ``C``.
    nodes : int
        Number of nodes of the midpoint rule.

    Returns
    -------
    array (k,)
        Values in [0, 1].

    Raises
    ------
    ValueError
        N larger than r.

    Examples
    --------
    For N = 1 and r = 2, ``exp(2x)`` is exponential of mean c:

    >>> from lorantk.theory import wishart
    >>> found = wishart.gap_cdf(np.array([0.0, 0.5]), 1, 2, 1.0)
    >>> [round(float(p), 4) for p in found]
    [0.6321, 0.934]
    >>> [round(1 - float(np.exp(-np.exp(2 * x))), 4) for x in (0.0, 0.5)]
    [0.6321, 0.934]
    """
    k = _degrees(inputs, rank) / 2
    standard = np.sqrt(np.sum(polygamma(1, k)))
    # |Γ(k + it)| falls like exp(-π t/2) per factor at large t, and like a Gaussian of width 1/sd before that.
    length = 12 / standard + 24 / (np.pi * inputs)
    t = (np.arange(nodes) + 0.5) * length / nodes
    log_phi = np.sum(loggamma(k + 1j * t[:, None]) - loggamma(k), axis=1) + 1j * t * inputs * np.log(2 * factor / rank)
    points = 2 * np.atleast_1d(np.asarray(x, dtype=float)) / outputs
    waves = np.exp(log_phi[None, :] - 1j * points[:, None] * t[None, :]).imag / t
    return np.clip(0.5 - waves.sum(axis=1) * length / nodes / np.pi, 0, 1)


def law_distance(values: np.ndarray, inputs: int, rank: int, factor: float, *, outputs: int = 1) -> float:
    """Return the Kolmogorov-Smirnov distance of measured gaps ``IB_lora - IB_ff`` from their law.

    The law's distribution function is tabulated at 2000 points over the range of the values, and read off between them; the
    distance is good to about 1e-3.

    Parameters
    ----------
    values : array (samples,)
        Measured gaps, in nats.
    inputs, rank, factor, outputs : int, int, float, int
        As in `gap_mean`, which also says what is refused.

    Returns
    -------
    float
        The distance, between 0 and 1.

    Examples
    --------
    Draws from the law with ``N = 4``, ``r = 8`` and ``c = 1``, against it and against the law with ``c = 1.2``:

    >>> from lorantk.theory import wishart
    >>> A = np.random.default_rng(0).standard_normal((500, 4, 8))
    >>> gaps = np.linalg.slogdet(A @ A.swapaxes(1, 2) / 8)[1] / 2
    >>> [round(wishart.law_distance(gaps, 4, 8, c), 2) for c in (1.0, 1.2)]
    [0.03, 0.27]
    """
    points = np.linspace(values.min() - 1e-9, values.max() + 1e-9, 2000)
    table = gap_cdf(points, inputs, rank, factor, outputs=outputs, nodes=800)
    return float(stats.kstest(values, lambda x: np.interp(x, points, table)).statistic)


class Equivalent(NamedTuple):
    """Result of `deterministic_equivalent`.

    Attributes
    ----------
    logdet : float
        ``V``, the leading value of ``log det(I + K_lora/τ)``, one output.
    free : float
        ``e`` in (0, 1]: the share of the rank that the data leaves free; ``r(1 - e)`` directions are in use.
    load : float
        ``γ = (1/r) Σ t_i²`` in [0, 1), ``t_i = aλ_i e/(1 + aλ_i e)``: ``V + ½ log(1 - γ)`` and ``-2 log(1 - γ)`` are the mean
        and the variance to next order, for real Gaussian A.
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
    """Approximate ``log det(I + s² ΦAᵀAΦᵀ/τ)`` for Gaussian A by a number that does not depend on A.

    ``V = Σ_i log(1 + aλ_i e) + r(e - 1 - log e)`` with ``a = c/τ`` and e the only root in (0, 1] of
    ``1/e = 1 + (1/r) Σ_i aλ_i/(1 + aλ_i e)`` (Silverstein and Bai 1995; Tulino and Verdú 2004).
    As a function of e, V is least there.

    Parameters
    ----------
    eigenvalues : array (N,)
        ``λ_i ≥ 0`` of ``ΦΦᵀ``; any N, below or above the rank.
    factor, ridge : float
        ``c = s² r σ_a²`` and ``τ > 0``.
    rank : int
        ``r``.

    Returns
    -------
    Equivalent
        ``V``, ``e`` and ``γ``.

    Raises
    ------
    ValueError
        A ridge that is not positive, or a negative eigenvalue.

    Examples
    --------
    As r grows, V tends to that of full fine-tuning, here ``8 log 2``:

    >>> from lorantk.theory import wishart
    >>> values, ranks = np.ones(8), (4, 64, 1024)
    >>> found = [wishart.deterministic_equivalent(values, 1.0, 1.0, r) for r in ranks]
    >>> [round(float(V.logdet / (8 * np.log(2))), 3) for V in found]
    [0.713, 0.978, 0.999]
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


def second_order(equivalent: Equivalent) -> tuple[float, float]:
    """Return mean and standard deviation of ``log det(I + s² ΦAᵀAΦᵀ/τ)`` to next order, for real Gaussian A.

    They are ``V + ½ log(1 - γ)`` and ``√(-2 log(1 - γ))`` (Bai and Silverstein 2004).

    Parameters
    ----------
    equivalent : Equivalent
        As `deterministic_equivalent` gives it.

    Returns
    -------
    float, float
        Mean and standard deviation, in nats.

    Examples
    --------
    >>> from lorantk.theory import wishart
    >>> equivalent = wishart.deterministic_equivalent(np.ones(20), 1.0, 0.1, 40)
    >>> [round(value, 2) for value in wishart.second_order(equivalent)]
    [43.1, 0.95]
    """
    log_left = np.log1p(-equivalent.load)
    return float(equivalent.logdet + log_left / 2), float(np.sqrt(-2 * log_left))


def mean_determinant_bound(eigenvalues: np.ndarray, factor: float, ridge: float, rank: int) -> float:
    """Return ``log E det(I + s² ΦAᵀAΦᵀ/τ) = log Σ_k r(r-1)…(r-k+1)/rᵏ · aᵏ e_k(λ)``, e_k the elementary symmetric polynomials.

    ``a = c/τ``. Exact for every law of A with independent entries of mean 0 and one variance, at any size; by Jensen's
    inequality an upper bound on ``E log det``. Without the falling factorials, at ``r = ∞``, it is ``Σ_i log(1 + aλ_i)``.

    Parameters
    ----------
    eigenvalues : array (N,)
        ``λ_i ≥ 0`` of ``ΦΦᵀ``.
    factor, ridge : float
        ``c = s² r σ_a²`` and ``τ > 0``.
    rank : int
        ``r``.

    Returns
    -------
    float
        The bound.

    Raises
    ------
    ValueError
        A ridge that is not positive, or a negative eigenvalue.

    Examples
    --------
    At rank 1 the determinant is ``1 + |Φaᵀ|²/τ``, of mean ``1 + a Σ_i λ_i``:

    >>> from lorantk.theory import wishart
    >>> bound = wishart.mean_determinant_bound(np.array([1.0, 2.0]), 1.0, 1.0, 1)
    >>> round(float(np.exp(bound)), 6)
    4.0
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
