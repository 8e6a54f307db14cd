"""What a random projection does to inner products and to cosines: LoRA's adapters as random projections of features.

At ``B = 0`` an adapter replaces the inner product ``⟨h, h'⟩`` of the features of two inputs by ``s² (Ah)ᵀ(Ah')``. For
Gaussian A of shape ``r × n`` with entries of variance ``σ_a²`` the r rows of ``(Ah, Ah')`` are independent pairs of normal
variables with correlation ρ, the cosine of h and h'. The cosine of ``Ah`` and ``Ah'`` is therefore a sample correlation with
known mean 0 and r degrees of freedom (Muirhead 1982, chapter 5): its law depends on r and ρ alone, neither on ``n`` nor on
``σ_a²`` nor on s. Its square is, with J of the negative binomial law ``P(J = j) = (r/2)_j/j! (1-ρ²)^{r/2} ρ^{2j}``,
a ``Beta(J + ½, (r-1)/2)`` variable.
"""

from functools import partial

import numpy as np
from flint import arb, ctx
from jaxtyping import Float
from scipy import optimize, stats
from scipy.special import gammaln, ndtr


def _check(rank: int, rho) -> np.ndarray:
    if rank != int(rank) or rank < 1:
        msg = f"rank must be a whole number of at least 1; got {rank}"
        raise ValueError(msg)
    rho = np.asarray(rho, dtype=float)
    if not (np.abs(rho) <= 1).all():
        msg = f"rho is a cosine and must lie in [-1, 1]; got {rho}"
        raise ValueError(msg)
    return rho


@partial(np.vectorize, otypes=[float])
def _hyp2f1(a: float, b: float, c: float, z: float) -> float:
    """Return ``₂F₁(a, b; c; z)`` by ball arithmetic: SciPy's gives NaN at c of some hundreds and z near 1.

    At 53 bits the ball may be the whole line, so the precision doubles until 53 bits are certain.
    """
    bits = 64
    while True:
        with ctx.workprec(bits):
            ball = arb(float(z)).hypgeom_2f1(float(a), float(b), float(c))
        if ball.rel_accuracy_bits() >= 53:
            return float(ball.mid())
        bits *= 2


def inner_product_variance(
    h1: Float[np.ndarray, " n"], h2: Float[np.ndarray, " n"], *, rank: int, variance: float, kurtosis: float = 0.0
) -> float:
    """Return the variance of ``(Ah)ᵀ(Ah')``: ``r σ_a⁴ (|h|²|h'|² + ⟨h,h'⟩² + κ Σ_i h_i² h'_i²)``, independent symmetric entries.

    The mean is ``r σ_a² ⟨h, h'⟩``. For Gaussian entries the relative standard deviation is ``√((1 + 1/ρ²)/r)``.

    Parameters
    ----------
    h1, h2 : array (n,)
        Features ``h`` and ``h'``.
    rank : int
        ``r``.
    variance : float
        ``σ_a²``.
    kurtosis : float
        Excess kurtosis κ of A's entries: 0 for Gaussian, -6/5 for uniform, -2 for Rademacher.

    Returns
    -------
    float
        The variance.

    Raises
    ------
    ValueError
        Rank below 1.

    Examples
    --------
    Between equal features the relative standard deviation is ``√(2/r)``:

    >>> from lorantk.theory import projection
    >>> h = np.array([0.6, 0.8])
    >>> projection.inner_product_variance(h, h, rank=8, variance=1 / 8)
    0.25
    """
    _check(rank, 0.0)
    mixed = (h1 @ h1) * (h2 @ h2) + (h1 @ h2) ** 2 + kurtosis * (h1**2) @ (h2**2)
    return float(rank * variance**2 * mixed)


def inner_product_cdf(x, rank: int, rho: float, *, nodes: int = 400):
    """Distribution function of ``(Ah)ᵀ(Ah')/(r σ_a² |h||h'|)`` for Gaussian A: mean ρ, variance ``(1 + ρ²)/r``.

    Given ``|Ah|² = σ_a²|h|² u`` with u of the ``χ²_r`` law, the inner product is normal with mean ``ρ u/r`` and variance
    ``(1 - ρ²) u/r²`` in these units; the mean over u is a Gauss-Legendre sum over its quantiles.

    Parameters
    ----------
    x : array (...)
        Points, of any shape.
    rank : int
        ``r ≥ 1``.
    rho : float
        Cosine of the features; at ``ρ = ±1`` the law is that of ``±χ²_r/r``.
    nodes : int
        Number of nodes; at 400 the error is below 1e-4 for r = 1 at ρ = 0, where the density is infinite at 0, and below 1e-6
        from r = 2 on.

    Returns
    -------
    array (...)
        Values in [0, 1].

    Raises
    ------
    ValueError
        Rank below 1, or a cosine outside ``[-1, 1]``.

    Examples
    --------
    >>> from lorantk.theory import projection
    >>> found = [projection.inner_product_cdf(0.0, 8, rho) for rho in (0.0, 0.5, 0.9)]
    >>> [round(float(p), 3) for p in found]
    [0.5, 0.071, 0.0]
    """
    rho, x = float(_check(rank, rho)), np.asarray(x, dtype=float)
    if abs(rho) == 1:
        law = stats.chi2(rank, scale=1 / rank)
        return law.cdf(x) if rho > 0 else law.sf(-x)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    u = stats.chi2(rank).ppf((points + 1) / 2) / rank
    scores = (x[..., None] - rho * u) / np.sqrt((1 - rho**2) * u / rank)
    return ndtr(scores) @ weights / 2


def entry_bound(rank: int, inputs: int, failure: float) -> float:
    """Return an ε above all ``|(Ah)ᵀ(Ah')/(r σ_a²) - ⟨h, h'⟩|`` of N unit vectors, for Gaussian A, except with probability δ.

    ``2N² exp(-(r/2)(ε - log(1 + ε))) = δ``: both tails of ``χ²_r/r`` lie below that exponential (Chernoff), and the ``N²``
    squared lengths of ``h_i`` and ``h_i ± h_j`` give every inner product (Johnson and Lindenstrauss 1984). The number of vectors
    enters through its logarithm only.

    Parameters
    ----------
    rank, inputs : int
        ``r`` and ``N``.
    failure : float
        ``δ`` in ``(0, 1)``.

    Returns
    -------
    float
        ``ε``.

    Raises
    ------
    ValueError
        Rank or N below 1, or a probability outside ``(0, 1)``.

    Examples
    --------
    >>> from lorantk.theory import projection
    >>> ranks = (8, 1000, 100_000)
    >>> [round(projection.entry_bound(r, 100, 0.05), 2) for r in ranks]
    [5.02, 0.24, 0.02]
    """
    _check(rank, 0.0)
    if not (inputs >= 1 and 0 < failure < 1):
        msg = f"expected inputs >= 1 and 0 < failure < 1; got {inputs} and {failure}"
        raise ValueError(msg)
    level = 2 / rank * np.log(2 * inputs**2 / failure)
    return optimize.brentq(lambda e: e - np.log1p(e) - level, 0, 2 * level + 2 * np.sqrt(level))


def sign_flip_probability(rank: int, rho):
    """Probability that the projected inner product has the sign opposite to ρ: ``P(F_{r,r} ≤ (1-|ρ|)/(1+|ρ|))``.

    For unit h and h', ``(Ah)ᵀ(Ah') = ¼|A(h+h')|² - ¼|A(h-h')|²``, and ``h + h' ⟂ h - h'``: the difference of two independent
    variables, ``σ_a² [(1+ρ)/2 χ²_r - (1-ρ)/2 χ̃²_r]``. One half at ρ = 0.

    Parameters
    ----------
    rank : int
        ``r ≥ 1``.
    rho : float or array (...)
        Cosine of the features, in ``[-1, 1]``.

    Returns
    -------
    float or array (...)
        The probability.

    Raises
    ------
    ValueError
        Rank below 1, or a cosine outside ``[-1, 1]``.

    Examples
    --------
    At rank 1 it is ``arccos|ρ|/π``, here a third:

    >>> from lorantk.theory import projection
    >>> [round(float(projection.sign_flip_probability(r, 0.5)), 4) for r in (1, 8)]
    [0.3333, 0.0706]
    """
    rho = np.abs(_check(rank, rho))
    return stats.f.cdf((1 - rho) / (1 + rho), rank, rank)


def mean_cosine(rank: int, rho):
    """Mean of the projected cosine: ``ρ (2/r) (Γ((r+1)/2)/Γ(r/2))² ₂F₁(½, ½; r/2+1; ρ²)``, between 0 and ρ.

    The mean of a sample correlation (Muirhead 1982, chapter 5).

    Parameters
    ----------
    rank : int
        ``r ≥ 1``.
    rho : float or array (...)
        Cosine of the features, in ``[-1, 1]``.

    Returns
    -------
    float or array (...)
        The mean.

    Raises
    ------
    ValueError
        Rank below 1, or a cosine outside ``[-1, 1]``.

    Examples
    --------
    At rank 1 the cosine is ±1, of mean ``(2/π) arcsin ρ``, here a third:

    >>> from lorantk.theory import projection
    >>> [round(float(projection.mean_cosine(r, 0.5)), 4) for r in (1, 8)]
    [0.3333, 0.476]
    """
    rho = _check(rank, rho)
    ratio = 2 / rank * np.exp(2 * (gammaln((rank + 1) / 2) - gammaln(rank / 2)))
    return ratio * rho * _hyp2f1(0.5, 0.5, rank / 2 + 1, rho**2)


def mean_squared_cosine(rank: int, rho):
    """Mean of the squared projected cosine: ``1 - ((r-1)/r)(1-ρ²) ₂F₁(1, 1; r/2+1; ρ²)``.

    At least 1/r, with equality at ρ = 0 only (for r > 1); 1 at ``ρ = ±1`` and for r = 1.

    Parameters
    ----------
    rank : int
        ``r ≥ 1``.
    rho : float or array (...)
        Cosine of the features, in ``[-1, 1]``.

    Returns
    -------
    float or array (...)
        The mean.

    Raises
    ------
    ValueError
        Rank below 1, or a cosine outside ``[-1, 1]``.

    Examples
    --------
    Orthogonal gradients, the aim of equation 4 of the paper, are out of reach at low rank:

    >>> from lorantk.theory import projection
    >>> [float(projection.mean_squared_cosine(r, 0.0)) for r in (1, 8, 64)]
    [1.0, 0.125, 0.015625]
    """
    rho = _check(rank, rho)
    inside = np.abs(rho) < 1
    safe = np.where(inside, rho, 0.0) ** 2
    return np.where(inside, 1 - (rank - 1) / rank * (1 - safe) * _hyp2f1(1, 1, rank / 2 + 1, safe), 1.0)[()]


def _mixture(rank: int, rho: float, tail: float = 1e-15):
    """Return the values of J and their probabilities, except for a mass of at most ``tail``."""
    top = int(stats.nbinom.isf(tail, rank / 2, 1 - rho**2)) if rho else 0
    j = np.arange(top + 1)
    return j, stats.nbinom.pmf(j, rank / 2, 1 - rho**2)


def squared_cosine_cdf(x, rank: int, rho: float):
    """Distribution function of the squared projected cosine, as the mixture of beta laws of this module's heading.

    Parameters
    ----------
    x : array (...)
        Points in ``[0, 1]``, of any shape.
    rank : int
        ``r ≥ 2`` (for r = 1 the squared cosine is 1).
    rho : float
        Cosine of the features, ``|ρ| < 1``.

    Returns
    -------
    array (...)
        Values in [0, 1].

    Raises
    ------
    ValueError
        Rank below 2, or a cosine outside ``(-1, 1)``.

    Examples
    --------
    At r = 2 and ρ = 0 it is the arcsine law, of median one half:

    >>> from lorantk.theory import projection
    >>> round(float(projection.squared_cosine_cdf(0.5, 2, 0.0)), 6)
    0.5
    """
    _check(rank, rho)
    if rank < 2 or abs(rho) == 1:
        msg = f"the law has a density for rank >= 2 and |rho| < 1 only; got rank {rank} and rho {rho}"
        raise ValueError(msg)
    j, weights = _mixture(rank, float(rho))
    return stats.beta.cdf(np.asarray(x, dtype=float)[..., None], j + 0.5, (rank - 1) / 2) @ weights


def neutral_cosine(rank: int) -> float:
    """Return the ``ρ² < 1`` at which projection leaves the squared cosine as it is in the mean, for ``r ≥ 2``.

    Below it the mean, `mean_squared_cosine`, is raised, above it lowered. It tends to ½ as r grows.

    Parameters
    ----------
    rank : int
        ``r ≥ 2``.

    Returns
    -------
    float
        ``ρ²``.

    Raises
    ------
    ValueError
        Rank below 2: there the squared cosine is always 1.

    Examples
    --------
    >>> from lorantk.theory import projection
    >>> [round(projection.neutral_cosine(r), 3) for r in (2, 8, 64)]
    [0.797, 0.569, 0.508]
    """
    if rank < 2:
        msg = f"rank must be at least 2, as the squared cosine is always 1 at rank 1; got {rank}"
        raise ValueError(msg)
    return optimize.brentq(lambda x: mean_squared_cosine(rank, np.sqrt(x)) - x, 0.01, 0.9)


def sample_cosines(
    h1: Float[np.ndarray, " n"], h2: Float[np.ndarray, " n"], *, rank: int, draws: int, rng: np.random.Generator, sample=None
) -> Float[np.ndarray, " draws"]:
    """Draw A and return the cosines of ``Ah`` and ``Ah'``: the second route, independent of the formulas above.

    Parameters
    ----------
    h1, h2 : array (n,)
        Features ``h`` and ``h'``.
    rank, draws : int
        ``r`` and the number of independent A.
    rng : numpy.random.Generator
        Source of the randomness.
    sample : callable, optional
        Function of a shape ``(draws, r, n)`` that draws the entries; ``rng.standard_normal`` where None.

    Returns
    -------
    array (draws,)
        The cosines.

    Raises
    ------
    ValueError
        Rank below 1.

    Examples
    --------
    >>> from lorantk.theory import projection
    >>> h1, h2 = np.array([1.0, 0.0]), np.array([0.6, 0.8])
    >>> options = {"rank": 8, "draws": 20_000, "rng": np.random.default_rng(0)}
    >>> cosines = projection.sample_cosines(h1, h2, **options)
    >>> truth = projection.mean_squared_cosine(8, 0.6)
    >>> round(float((cosines**2).mean()), 2), round(float(truth), 2)
    (0.39, 0.39)
    """
    _check(rank, 0.0)
    A = (sample or rng.standard_normal)((draws, rank, len(h1)))
    left, right = A @ h1, A @ h2
    return (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)
