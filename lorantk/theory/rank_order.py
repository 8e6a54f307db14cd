"""The order in the rank, exactly: LoRA's mean response to its own labels over every matrix of signs, in rational numbers.

With ``Ŵ = AᵀA/r`` for A of independent random signs, so that ``E Ŵ = I``, and rows ``δ ⊗ h`` of gradients in each adapted
layer, ``K̂ = K_0 + Σ_l (D_l D_lᵀ) ∘ (Φ_l Ŵ_l Φ_lᵀ)`` takes finitely many values. Their average needs no sampling and no
rounding. The theorem says of it that ``E K̂(K̂ + λ)⁻¹`` rises with r, and stays below ``K(K + λ)⁻¹``; see `linearised`.
"""

import itertools
from collections.abc import Sequence
from fractions import Fraction

from flint import fmpq, fmpq_mat

from lorantk.theory.certificates import Rational, rational_matrix, schur_product

MOST = 2**16  # choices of signs that can be gone through in seconds


def _identity(size: int) -> fmpq_mat:
    return fmpq_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])


def _exact(value: Rational) -> fmpq:
    q = Fraction(value)
    return fmpq(q.numerator, q.denominator)


def _sign_grams(features: int, rank: int) -> list[fmpq_mat]:
    """All ``AᵀA/r``. The sign of a row does not matter, so its first entry is 1."""
    rows = [(1, *rest) for rest in itertools.product((1, -1), repeat=features - 1)]
    As = (rational_matrix(chosen) for chosen in itertools.product(rows, repeat=rank))
    return [A.transpose() * A / rank for A in As]


def sign_kernels(layers: Sequence[tuple[fmpq_mat, fmpq_mat]], rank: int, *, fixed: fmpq_mat | None = None) -> list[fmpq_mat]:
    """Return LoRA's kernel, c divided out, for every choice of signs in every adapted layer; all are equally likely.

    Parameters
    ----------
    layers : sequence of pairs of fmpq_mat (M, m_l) and (M, n_l)
        ``D_l`` and ``Φ_l`` of each adapted layer. An adapted head with one output has a column of ones as ``D``.
    rank : int
        ``r ≥ 1``, the same in all layers; the layers' signs are independent.
    fixed : fmpq_mat (M, M), optional
        ``K_0``, the kernel of what trains in full.

    Returns
    -------
    list of fmpq_mat (M, M)
        ``2^{r Σ_l (n_l - 1)}`` kernels.

    Raises
    ------
    ValueError
        No layer, a rank below 1, or more choices than can be gone through.

    Examples
    --------
    One input with two features: ``K̂ = (Σ_k (1 ± 1)²)/r``.

    >>> from lorantk.theory import certificates, rank_order
    >>> head = certificates.rational_matrix([[1]]), certificates.rational_matrix([[1, 1]])
    >>> [certificates.as_strings(K)[0][0] for K in rank_order.sign_kernels([head], 2)]
    ['4', '2', '2', '0']
    """
    exponent = rank * sum(Phi.ncols() - 1 for _, Phi in layers)
    if rank < 1 or not layers or 2**exponent > MOST:
        msg = f"expected a rank of at least 1, some layer and at most {MOST} choices; got r={rank} and 2^{exponent}"
        raise ValueError(msg)
    terms = []
    for D, Phi in layers:
        backward = D * D.transpose()
        grams = _sign_grams(Phi.ncols(), rank)
        terms.append([schur_product(Phi * W * Phi.transpose(), backward) for W in grams])
    size = layers[0][0].nrows()
    start = fmpq_mat(size, size) if fixed is None else fixed
    return [sum(chosen, start) for chosen in itertools.product(*terms)]


def ridge_response(K: fmpq_mat, ridge: Rational) -> fmpq_mat:
    """Return ``K(K + λ)⁻¹`` exactly.

    Parameters
    ----------
    K : fmpq_mat (M, M)
        Positive semi-definite.
    ridge : int, fractions.Fraction or str
        ``λ > 0``.

    Returns
    -------
    fmpq_mat (M, M)
        The response of the fit to the labels.

    Examples
    --------
    >>> from lorantk.theory import certificates, rank_order
    >>> K = certificates.rational_matrix([[1, 0], [0, 3]])
    >>> certificates.as_strings(rank_order.ridge_response(K, 1))
    [['1/2', '0'], ['0', '3/4']]
    """
    return K * (K + _identity(K.nrows()) * _exact(ridge)).inv()


def descent_response(K: fmpq_mat, rate: Rational, steps: int) -> fmpq_mat:
    """Return ``I - (I - ηK)ᵀ`` exactly: the response after T steps of gradient descent.

    Parameters
    ----------
    K : fmpq_mat (M, M)
        Symmetric.
    rate : int, fractions.Fraction or str
        ``η``.
    steps : int
        ``T ≥ 0``.

    Returns
    -------
    fmpq_mat (M, M)
        The response of the fit to the labels.

    Examples
    --------
    >>> from lorantk.theory import certificates, rank_order
    >>> certificates.as_strings(rank_order.descent_response(certificates.rational_matrix([["1/2"]]), 1, 2))
    [['3/4']]
    """
    identity = _identity(K.nrows())
    left = identity
    for _ in range(steps):
        left = left * (identity - K * _exact(rate))
    return identity - left
