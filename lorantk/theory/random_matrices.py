"""Limit laws of the eigenvalues of sample covariance matrices: Marchenko-Pastur in the bulk, Tracy-Widom at the edge.

Normalisation: ``S = G Gᵀ / n`` with ``G: r × n`` of independent entries of mean 0 and variance 1, ``r/n → γ``.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import airy


def marchenko_pastur_edges(ratio: float) -> tuple[float, float]:
    """Return ``a = (1 - √γ)²`` and ``b = (1 + √γ)²``, the ends of the support away from 0 (Marchenko and Pastur 1967).

    Parameters
    ----------
    ratio : float
        ``γ > 0``.

    Returns
    -------
    tuple of float
        ``(a, b)``.

    Examples
    --------
    >>> from lorantk.theory import random_matrices
    >>> low, high = random_matrices.marchenko_pastur_edges(1 / 4)
    >>> float(low), float(high)
    (0.25, 2.25)
    """
    return (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2


def marchenko_pastur_density(x: np.ndarray, ratio: float) -> np.ndarray:
    """Return the Marchenko-Pastur density ``√((b - x)(x - a)) / (2π γ x)`` on ``(a, b)``, 0 elsewhere.

    For ``γ > 1`` it integrates to ``1/γ``: the rest is an atom of mass ``1 - 1/γ`` at 0 (Marchenko and Pastur 1967).

    Parameters
    ----------
    x : array
        Points, of any shape.
    ratio : float
        ``γ > 0``.

    Returns
    -------
    array
        Same shape as ``x``.

    Examples
    --------
    >>> from lorantk.theory import random_matrices
    >>> x = np.linspace(0.25, 2.25, 2001)
    >>> density = random_matrices.marchenko_pastur_density(x, 1 / 4)
    >>> mass, mean = (float(values.sum()) * 0.001 for values in (density, x * density))
    >>> round(mass, 3), round(mean, 3)
    (1.0, 1.0)
    """
    a, b = marchenko_pastur_edges(ratio)
    x = np.asarray(x, dtype=float)
    inside = (x > a) & (x < b)
    safe = np.where(inside, x, 1.0)
    return np.where(inside, np.sqrt(np.clip((b - safe) * (safe - a), 0, None)) / (2 * np.pi * ratio * safe), 0.0)


def marchenko_pastur_cdf(x: np.ndarray, ratio: float) -> np.ndarray:
    """Return the Marchenko-Pastur distribution function for ``0 < γ ≤ 1``.

    The integral of the density is elementary: with ``x = 1 + γ - 2√γ cos φ`` it is that of
    ``(2/π) sin² φ / (1 + γ - 2√γ cos φ)`` over φ.

    Parameters
    ----------
    x : array
        Points, of any shape.
    ratio : float
        ``γ`` in (0, 1].

    Returns
    -------
    array
        Same shape as ``x``, values in [0, 1].

    Raises
    ------
    ValueError
        ``ratio`` outside ``(0, 1]``.

    Examples
    --------
    The share of eigenvalues above 1 at ``r = n`` is ``2/3 - √3/(2π)``: in the paper's ideal case 39% of the eigenvalues of
    ``M_Δ`` are positive.

    >>> from lorantk.theory import random_matrices
    >>> round(1 - float(random_matrices.marchenko_pastur_cdf(1.0, 1.0)), 4)
    0.391
    """
    if not 0 < ratio <= 1:
        msg = f"ratio must lie in (0, 1]; got {ratio}"
        raise ValueError(msg)
    root = np.sqrt(ratio)
    a, b = marchenko_pastur_edges(ratio)
    x = np.clip(np.asarray(x, dtype=float), a, b)
    phi = np.arccos(np.clip((1 + ratio - x) / (2 * root), -1, 1))
    # ∫ sin²φ / (1 + γ - 2√γ cos φ) dφ, split into a linear, a sine and an arctangent part.
    arctangent = 2 * np.arctan2((1 + root) * np.sin(phi / 2), (1 - root) * np.cos(phi / 2))
    return ((1 + ratio) * phi + 2 * root * np.sin(phi) - (1 - ratio) * arctangent) / (2 * np.pi * ratio)


def tracy_widom_cdf(s: float, *, nodes: int = 60) -> float:
    """Return the Tracy-Widom distribution function of order 1, the law of the largest eigenvalue of real matrices.

    ``F_1(s) = det(I - K_s)`` on ``L²(0, ∞)``, ``K_s(x, y) = ½ Ai((x + y)/2 + s)`` (Ferrari and Spohn 2005), by
    Gauss-Legendre quadrature (Bornemann 2010), whose error falls exponentially in ``nodes``: below 1e-13 for
    ``-10 ≤ s ≤ 10`` at 60. Outside that range the value is 0 or 1 to 1e-16.

    Parameters
    ----------
    s : float
        Point, in units of the fluctuations at the edge.
    nodes : int
        Number of nodes of the quadrature.

    Returns
    -------
    float
        ``F_1(s)``.

    Examples
    --------
    >>> from lorantk.theory import random_matrices
    >>> round(random_matrices.tracy_widom_cdf(0.0), 5)
    0.83191
    """
    if s < -10:
        return 0.0
    if s > 10:
        return 1.0
    points, weights = np.polynomial.legendre.leggauss(nodes)
    length = 2 * (16.0 - min(s, 0.0))
    x, root = length * (points + 1) / 2, np.sqrt(length * weights / 2)
    kernel = airy((x[:, None] + x[None, :]) / 2 + s)[0] / 2
    return float(np.clip(np.linalg.det(np.eye(nodes) - root[:, None] * kernel * root[None, :]), 0.0, 1.0))


def sample_grams(rank: int, features: int, shape: tuple[int, ...], *, rng: np.random.Generator) -> Float[np.ndarray, "... n n"]:
    """Draw ``AᵀA`` for A of shape ``r × n`` with independent ``N(0, 1/r)`` entries, whose mean is the identity.

    From ``r = n`` on the Wishart law itself is drawn, which costs the same at every rank.

    Parameters
    ----------
    rank, features : int
        ``r`` and ``n``, at least 1.
    shape : tuple of int
        How many are drawn.
    rng : numpy.random.Generator
        Where the numbers come from.

    Returns
    -------
    array (*shape, n, n)
        The Gram matrices.

    Raises
    ------
    ValueError
        A rank or a number of features below 1.

    Examples
    --------
    >>> from lorantk.theory import random_matrices
    >>> G = random_matrices.sample_grams(2, 3, (4000,), rng=np.random.default_rng(0))
    >>> G.shape, bool(np.abs(G.mean(axis=0) - np.eye(3)).max() < 0.1)
    ((4000, 3, 3), True)
    """
    if rank < 1 or features < 1:
        msg = f"rank and features must be at least 1; got {rank} and {features}"
        raise ValueError(msg)
    if rank < features:
        A = rng.standard_normal((*shape, rank, features)) / np.sqrt(rank)
        return A.swapaxes(-1, -2) @ A
    from scipy import stats  # it takes half a second to import, and `lorantk audit` needs only the laws above

    law = stats.wishart(rank, np.eye(features) / rank)
    return law.rvs(int(np.prod(shape)), random_state=rng).reshape(*shape, features, features)
