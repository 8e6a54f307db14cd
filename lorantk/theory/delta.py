"""The matrix ``M_Δ = s² Aᵀ A - I`` of the paper's theorem on negative semi-definiteness, and its spectrum.

``M_Δ`` is what an adapted layer's kernel adds to that of full fine-tuning: ``Δ_r = hᵀ M_Δ h'`` (equation 11). With
``A: r × n`` of entries of variance ``σ_a²``, the number that decides its sign is ``q (1 + √(r/n))²``, ``q = s² σ_a² n``:
`sharp_value`, `sharp_ratio` and `nsd_probability` of `lorantk.theory.conditions` are found here too.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from lorantk.theory.conditions import nsd_probability as nsd_probability
from lorantk.theory.conditions import sharp_ratio as sharp_ratio
from lorantk.theory.conditions import sharp_value as sharp_value


def m_delta(A: Float[Array, "r n"], scale: float = 1.0) -> Float[Array, "n n"]:
    """Return ``M_Δ = s² Aᵀ A - I`` (equation 11 of the paper, where ``s = 1``).

    Parameters
    ----------
    A : array (r, n)
        First factor of an adapter.
    scale : float
        ``s``.

    Returns
    -------
    array (n, n)
        Symmetric.

    Examples
    --------
    >>> from lorantk.theory import delta
    >>> delta.m_delta(jnp.array([[1.0, 1.0]])).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return scale**2 * A.T @ A - jnp.eye(A.shape[1], dtype=A.dtype)


def m_delta_eigenvalues(A: Float[Array, "r n"], scale: float = 1.0) -> Float[Array, " n"]:
    """Return the eigenvalues of ``M_Δ`` in ascending order.

    ``n - r`` of them are exactly -1; the others are ``s² λ_i(A Aᵀ) - 1``, from the r × r Gram matrix of the rows of A.

    Parameters
    ----------
    A : array (r, n)
        First factor of an adapter.
    scale : float
        ``s``.

    Returns
    -------
    array (n,)
        The eigenvalues.

    Examples
    --------
    >>> from lorantk.theory import delta
    >>> delta.m_delta_eigenvalues(jnp.array([[1.0, 1.0, 0.0]]), scale=0.5).tolist()
    [-1.0, -1.0, -0.5]
    """
    r, n = A.shape
    top = scale**2 * jnp.linalg.eigvalsh(A @ A.T) - 1 if r <= n else jnp.linalg.eigvalsh(m_delta(A, scale))
    return jnp.concatenate([-jnp.ones(max(n - r, 0), A.dtype), top])


def mean_square_norm(rank: int, features: int, *, mean_factor: float = 1.0, kurtosis: float = 0.0) -> float:
    """Return ``E ‖M_Δ‖_F² = n ((c - 1)² + c² (n + 1 + κ)/r)`` for independent entries of A of mean 0.

    ``n + 1`` for Gaussian entries, ``r = n`` and ``c = 1``: against the paper's corollary on the ideal case, ``M_Δ`` does
    not tend to 0 as a matrix.

    Parameters
    ----------
    rank, features : int
        ``r`` and ``n``.
    mean_factor : float
        ``c = s² r σ_a²``.
    kurtosis : float
        ``κ ≥ -2``, the excess kurtosis of the entries: 0 for Gaussian ones, -6/5 for uniform ones, -2 for signs.

    Returns
    -------
    float
        The mean of the squared Frobenius norm.

    Raises
    ------
    ValueError
        A kurtosis below -2, which no law has.

    Examples
    --------
    >>> from lorantk.theory import delta
    >>> delta.mean_square_norm(64, 64)
    65.0
    """
    if kurtosis < -2:
        msg = f"kurtosis must be at least -2; got {kurtosis}"
        raise ValueError(msg)
    return features * ((mean_factor - 1) ** 2 + mean_factor**2 * (features + 1 + kurtosis) / rank)


def restricted_top(A: Float[Array, "r n"], features: Float[Array, "N n"], scale: float = 1.0) -> Float[Array, ""]:
    """Return the largest eigenvalue of ``s² A P Aᵀ``, P the orthogonal projection onto the row space of ``Φ``.

    ``Φ M_Δ Φᵀ ⪯ 0`` iff this is at most 1: a direction that no feature reaches cannot matter.

    Parameters
    ----------
    A : array (r, n)
        First factor of an adapter.
    features : array (N, n)
        ``Φ``, the layer's inputs on the data, one per row.
    scale : float
        ``s``.

    Returns
    -------
    array ()
        The eigenvalue.

    Examples
    --------
    ``M_Δ`` has a positive eigenvalue, but not on inputs along the first axis:

    >>> from lorantk.theory import delta
    >>> A, features = jnp.array([[0.5, 2.0]]), jnp.array([[1.0, 0.0], [3.0, 0.0]])
    >>> tops = delta.m_delta_eigenvalues(A)[-1], delta.restricted_top(A, features)
    >>> [round(float(top), 5) for top in tops]
    [3.25, 0.25]
    """
    _, singular, rows = jnp.linalg.svd(features, full_matrices=False)
    tolerance = singular[0] * max(features.shape) * jnp.finfo(features.dtype).eps
    V = jnp.where((singular > tolerance)[:, None], rows, 0.0)
    return scale**2 * jnp.linalg.norm(A @ V.T, ord=2) ** 2
