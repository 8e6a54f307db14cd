"""The order after training: what ``A`` and ``B`` of a checkpoint say about LoRA's kernel, whatever the data.

A gradient step on (A, B) moves ``W = W₀ + s B A`` by the linear map ``G ↦ s²(G AᵀA + B Bᵀ G)`` of the gradient G with respect
to W, where full fine-tuning moves it by G. Written on ``vec G``, rows stacked, the map is
``s²(I ⊗ AᵀA + B Bᵀ ⊗ I)``, with the eigenvalues ``s²(α_i + β_j)``, α_i those of ``AᵀA`` and β_j those of ``B Bᵀ``.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def _check_pair(A, B):
    if A.ndim != 2 or B.ndim != 2 or A.shape[0] != B.shape[1]:
        msg = f"expected A of shape (r, n) and B of shape (m, r); got {A.shape} and {B.shape}"
        raise ValueError(msg)


def weight_gram(A: Float[Array, "r n"], B: Float[Array, "m r"], scale: float = 1.0) -> Float[Array, "mn mn"]:
    """Return ``s²(I ⊗ AᵀA + B Bᵀ ⊗ I)``, the matrix of ``G ↦ s²(G AᵀA + B Bᵀ G)`` on G's rows stacked; small sizes only.

    Parameters
    ----------
    A, B : array (r, n) and array (m, r)
        Factors of an adapter.
    scale : float
        ``s``.

    Returns
    -------
    array (m n, m n)
        Symmetric.

    Raises
    ------
    ValueError
        Shapes that are not those of a pair of adapter factors.

    Examples
    --------
    >>> from lorantk.theory import trained_order
    >>> A, B = jnp.array([[1.0, 2.0]]), jnp.array([[3.0]])
    >>> trained_order.weight_gram(A, B).tolist()
    [[10.0, 2.0], [2.0, 13.0]]
    """
    _check_pair(A, B)
    m, n = B.shape[0], A.shape[1]
    return scale**2 * (jnp.kron(jnp.eye(m, dtype=A.dtype), A.T @ A) + jnp.kron(B @ B.T, jnp.eye(n, dtype=A.dtype)))


def weight_gram_eigenvalues(A: Float[Array, "r n"], B: Float[Array, "m r"], scale: float = 1.0) -> Float[Array, "m n"]:
    """Return the eigenvalues ``s²(α_i + β_j)`` of `weight_gram`.

    Parameters
    ----------
    A, B : array (r, n) and array (m, r)
        Factors of an adapter.
    scale : float
        ``s``.

    Returns
    -------
    array (m, n)
        Entry ``[j, i]``, both ascending.

    Raises
    ------
    ValueError
        Shapes that are not those of a pair of adapter factors.

    Examples
    --------
    ``α = (0, 5)`` and ``β = 9``:

    >>> from lorantk.theory import trained_order
    >>> A, B = jnp.array([[1.0, 2.0]]), jnp.array([[3.0]])
    >>> values = trained_order.weight_gram_eigenvalues(A, B)
    >>> np.asarray(values).round(5).tolist()
    [[9.0, 14.0]]
    """
    _check_pair(A, B)
    alpha, beta = (jnp.linalg.svd(M, compute_uv=False)[::-1] ** 2 for M in (A, B))
    alpha = jnp.concatenate([jnp.zeros(A.shape[1] - alpha.size, A.dtype), alpha])
    beta = jnp.concatenate([jnp.zeros(B.shape[0] - beta.size, B.dtype), beta])
    return scale**2 * (beta[:, None] + alpha[None, :])


def trained_value(A: Float[Array, "r n"], B: Float[Array, "m r"], scale: float = 1.0) -> Float[Array, ""]:
    """Return ``s²(‖A‖² + ‖B‖²)``, with spectral norms.

    The layer's LoRA kernel lies below that of full fine-tuning for all gradients iff this is at most 1.

    Parameters
    ----------
    A, B : array (r, n) and array (m, r)
        Factors of an adapter.
    scale : float
        ``s``.

    Returns
    -------
    array ()
        The value.

    Raises
    ------
    ValueError
        Shapes that are not those of a pair of adapter factors.

    Examples
    --------
    >>> from lorantk.theory import trained_order
    >>> A, B = jnp.array([[0.6, 0.0]]), jnp.array([[0.0], [0.8]])
    >>> values = [trained_order.trained_value(A, B, scale) for scale in (1.0, 2.0)]
    >>> [round(float(value), 5) for value in values]
    [1.0, 4.0]
    """
    _check_pair(A, B)
    return scale**2 * (jnp.linalg.norm(A, ord=2) ** 2 + jnp.linalg.norm(B, ord=2) ** 2)


def _core(A, B):
    """QR factors of B and Aᵀ and the r × r core between them: ``B A = Q_B core Q_Aᵀ``."""
    Q_B, R_B = jnp.linalg.qr(B)
    Q_A, R_A = jnp.linalg.qr(A.T)
    return Q_B, R_B @ R_A.T, Q_A


def balanced_value(A: Float[Array, "r n"], B: Float[Array, "m r"], scale: float = 1.0) -> Float[Array, ""]:
    """Return ``2 s² ‖B A‖``, the infimum of `trained_value` over all ``(M A, B M⁻¹)``, which represent the same weights.

    Parameters
    ----------
    A, B : array (r, n) and array (m, r)
        Factors of an adapter.
    scale : float
        ``s``.

    Returns
    -------
    array ()
        The infimum.

    Raises
    ------
    ValueError
        Shapes that are not those of a pair of adapter factors.

    Examples
    --------
    >>> from lorantk.theory import trained_order
    >>> A, B = jnp.array([[4.0, 0.0]]), jnp.array([[0.0], [1.0]])
    >>> values = trained_order.trained_value(A, B), trained_order.balanced_value(A, B)
    >>> [round(float(value), 5) for value in values]
    [17.0, 8.0]
    """
    _check_pair(A, B)
    return 2 * scale**2 * jnp.linalg.norm(_core(A, B)[1], ord=2)


def balance(A: Float[Array, "r n"], B: Float[Array, "m r"]) -> tuple[Float[Array, "r n"], Float[Array, "m r"]]:
    """Return factors of the same product with ``A Aᵀ = Bᵀ B``, at which `trained_value` is `balanced_value`.

    Parameters
    ----------
    A, B : array (r, n) and array (m, r)
        Factors of an adapter; ``r ≤ m, n``.

    Returns
    -------
    pair of arrays (r, n), (m, r)
        The balanced factors.

    Raises
    ------
    ValueError
        Shapes that are not those of a pair of adapter factors.

    Examples
    --------
    >>> from lorantk.theory import trained_order
    >>> A, B = jnp.array([[4.0, 0.0]]), jnp.array([[0.0], [1.0]])
    >>> A, B = trained_order.balance(A, B)
    >>> [round(float(value), 5) for value in ((B @ A)[1, 0], (A @ A.T)[0, 0])]
    [4.0, 4.0]
    """
    _check_pair(A, B)
    Q_B, core, Q_A = _core(A, B)
    U, singular, Vt = jnp.linalg.svd(core)
    root = jnp.sqrt(singular)
    return (root[:, None] * Vt) @ Q_A.T, (Q_B @ U) * root[None, :]
