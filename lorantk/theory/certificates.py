"""Certificates in exact rational arithmetic: signs of eigenvalues without a rounding error.

The characteristic polynomial of a symmetric matrix has real roots only, so Descartes' rule of signs counts its positive
roots exactly: they are the sign changes in the sequence of its coefficients.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from flint import fmpq, fmpq_mat

Rational = Fraction | int | str


def rational_matrix(rows: Sequence[Sequence[Rational]]) -> fmpq_mat:
    """Build an exact matrix from rows of integers, fractions or strings such as ``"4/5"``.

    Parameters
    ----------
    rows : sequence of m sequences of n numbers
        Entries of type int, `fractions.Fraction` or str.

    Returns
    -------
    flint.fmpq_mat (m, n)
        The matrix.

    Raises
    ------
    ValueError
        No rows, rows of unequal length, or an entry that is not a rational number (a float is refused: it hides a rounding).

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> matrix = certificates.rational_matrix([[1, "1/3"], ["1/3", "1/9"]])
    >>> matrix.det()
    0
    """
    if not rows or len({len(row) for row in rows}) != 1 or not rows[0]:
        msg = f"rows must be non-empty and of equal length; got lengths {[len(row) for row in rows]}"
        raise ValueError(msg)
    entries = []
    for value in (value for row in rows for value in row):
        if not isinstance(value, (Fraction, int, str)):
            msg = f"entries must be integers, fractions or strings; got {value!r} of type {type(value).__name__}"
            raise ValueError(msg)
        q = Fraction(value)
        entries.append(fmpq(q.numerator, q.denominator))
    return fmpq_mat(len(rows), len(rows[0]), entries)


def random_rational(rng: np.random.Generator, rows: int, columns: int) -> fmpq_mat:
    """Draw an exact matrix with entries uniform on ``-5/6, -4/6, …, 5/6``.

    Parameters
    ----------
    rng : numpy.random.Generator
        Where the numbers come from.
    rows, columns : int
        Shape of the matrix.

    Returns
    -------
    fmpq_mat (rows, columns)
        The matrix.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> certificates.as_strings(certificates.random_rational(np.random.default_rng(0), 2, 2))
    [['2/3', '1/3'], ['0', '-1/2']]
    """
    return rational_matrix([[Fraction(int(v), 6) for v in row] for row in rng.integers(-5, 6, size=(rows, columns))])


def trace(matrix: fmpq_mat) -> Fraction:
    """Return the sum of the diagonal entries, exactly.

    Parameters
    ----------
    matrix : fmpq_mat (n, n)
        Any square matrix.

    Returns
    -------
    Fraction
        ``Σ_i M_ii``.

    Raises
    ------
    ValueError
        A matrix that is not square.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> print(certificates.trace(certificates.rational_matrix([["1/2", 7], [0, "1/3"]])))
    5/6
    """
    if matrix.nrows() != matrix.ncols():
        msg = f"the matrix must be square; got {matrix.nrows()} × {matrix.ncols()}"
        raise ValueError(msg)
    entries = [matrix[i, i] for i in range(matrix.nrows())]
    return sum((Fraction(int(q.p), int(q.q)) for q in entries), Fraction(0))


def mean(matrices: Sequence[fmpq_mat]) -> fmpq_mat:
    """Return the average of matrices of one shape, exactly.

    Parameters
    ----------
    matrices : sequence of fmpq_mat (m, n)
        At least one.

    Returns
    -------
    fmpq_mat (m, n)
        ``(1/S) Σ_s M_s``.

    Raises
    ------
    ValueError
        No matrices.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> pair = [certificates.rational_matrix([[value]]) for value in (1, "1/2")]
    >>> certificates.as_strings(certificates.mean(pair))
    [['3/4']]
    """
    if not matrices:
        msg = "expected at least one matrix to average; got none"
        raise ValueError(msg)
    first, *rest = matrices
    return sum(rest, first) / len(matrices)


def schur_product(matrix: fmpq_mat, blocks: fmpq_mat) -> fmpq_mat:
    """Return the entrywise product with ``blocks ⊗ 1 1ᵀ``: each entry of `blocks` multiplies a block of ``C × C`` entries.

    By Schur's product theorem it is positive semi-definite where both matrices are. With ``C = 1`` it is the entrywise product of
    two matrices of one size.

    Parameters
    ----------
    matrix : fmpq_mat (N C, N C)
        Any square matrix.
    blocks : fmpq_mat (N, N)
        One factor for each block.

    Returns
    -------
    fmpq_mat (N C, N C)
        The product.

    Raises
    ------
    ValueError
        Matrices that are not square, or a size that is not a multiple of the other.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> M = certificates.rational_matrix([[1, 2], [3, 4]])
    >>> certificates.as_strings(certificates.schur_product(M, certificates.rational_matrix([["1/2", 0], [1, 2]])))
    [['1/2', '0'], ['3', '8']]
    """
    size, inner = matrix.nrows(), blocks.nrows()
    if (matrix.ncols(), blocks.ncols()) != (size, inner) or size % inner:
        shapes = f"{size} × {matrix.ncols()} and {inner} × {blocks.ncols()}"
        msg = f"expected square matrices, the size of the first a multiple of the second's; got {shapes}"
        raise ValueError(msg)
    C = size // inner
    return fmpq_mat(size, size, [matrix[i, j] * blocks[i // C, j // C] for i in range(size) for j in range(size)])


def inertia(matrix: fmpq_mat) -> tuple[int, int, int]:
    """Return the exact numbers of negative, zero and positive eigenvalues of a symmetric rational matrix.

    Parameters
    ----------
    matrix : flint.fmpq_mat (n, n)
        Symmetric.

    Returns
    -------
    tuple of int
        ``(negative, zero, positive)``, of sum n.

    Raises
    ------
    ValueError
        A matrix that is not symmetric.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> matrix = certificates.rational_matrix([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    >>> certificates.inertia(matrix)
    (1, 1, 1)
    """
    if matrix.nrows() != matrix.ncols() or matrix != matrix.transpose():
        msg = f"the matrix must be symmetric; got a {matrix.nrows()} × {matrix.ncols()} matrix that is not"
        raise ValueError(msg)
    coefficients = [c for c in matrix.charpoly().coeffs() if c != 0]
    zero = next(i for i, c in enumerate(matrix.charpoly().coeffs()) if c != 0)
    positive = sum((a > 0) != (b > 0) for a, b in zip(coefficients, coefficients[1:], strict=False))
    return matrix.nrows() - zero - positive, zero, positive


def is_nsd(matrix: fmpq_mat) -> bool:
    """Return whether a symmetric rational matrix is negative semi-definite, exactly.

    Parameters
    ----------
    matrix : flint.fmpq_mat (n, n)
        Symmetric.

    Returns
    -------
    bool
        True iff no eigenvalue is positive.

    Raises
    ------
    ValueError
        A matrix that is not symmetric.

    Examples
    --------
    The mean square of the entries of ``A`` is ``8/25 < 1/n``, yet ``M_Δ = AᵀA - I`` has a positive eigenvalue:

    >>> from lorantk.theory import certificates
    >>> A = certificates.rational_matrix([["4/5", 0], ["4/5", 0]])
    >>> certificates.is_nsd(certificates.m_delta_exact(A))
    False
    """
    return inertia(matrix)[2] == 0


def pseudo_determinant(matrix: fmpq_mat) -> Fraction:
    """Return the product of the non-zero eigenvalues of a symmetric rational matrix, exactly; 1 for a zero matrix.

    It is, up to sign, the last non-zero coefficient of the characteristic polynomial.

    Parameters
    ----------
    matrix : flint.fmpq_mat (n, n)
        Symmetric.

    Returns
    -------
    fractions.Fraction
        The product.

    Raises
    ------
    ValueError
        A matrix that is not symmetric.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> matrix = certificates.rational_matrix([[1, 1, 0], [1, 1, 0], [0, 0, "1/2"]])
    >>> certificates.pseudo_determinant(matrix)
    Fraction(1, 1)
    """
    zero = inertia(matrix)[1]
    value = matrix.charpoly().coeffs()[zero]
    return (-1) ** (matrix.nrows() - zero) * Fraction(int(value.p), int(value.q))


def m_delta_exact(A: fmpq_mat, scale: Rational = 1) -> fmpq_mat:
    """Return ``M_Δ = s² Aᵀ A - I`` exactly (equation 11 of the paper, where ``s = 1``).

    Parameters
    ----------
    A : flint.fmpq_mat (r, n)
        First factor of an adapter.
    scale : int, fractions.Fraction or str
        ``s``.

    Returns
    -------
    flint.fmpq_mat (n, n)
        Symmetric.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> A = certificates.rational_matrix([[1, "1/2"]])
    >>> certificates.as_strings(certificates.m_delta_exact(A))
    [['0', '1/2'], ['1/2', '-3/4']]
    """
    n, s = A.ncols(), Fraction(scale)
    identity = fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
    return A.transpose() * A * fmpq(s.numerator, s.denominator) ** 2 - identity


def random_gram(size: int, rank: int, *, rng: np.random.Generator) -> fmpq_mat:
    """Draw an exact positive semi-definite matrix ``R Rᵀ``, with R of small random fractions.

    Parameters
    ----------
    size : int
        Rows of R, and of the matrix.
    rank : int
        Columns of R, so that the rank of the matrix is at most this.
    rng : numpy.random.Generator
        Source of the randomness.

    Returns
    -------
    fmpq_mat
        Shape ``(size, size)``.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> certificates.inertia(certificates.random_gram(4, 2, rng=np.random.default_rng(0)))
    (0, 2, 2)
    """
    rows = []
    for _ in range(size):
        above, below = rng.integers(-9, 10, rank), rng.integers(1, 8, rank)
        rows.append([Fraction(int(a), int(b)) for a, b in zip(above, below, strict=True)])
    R = rational_matrix(rows)
    return R * R.transpose()


def as_strings(matrix: fmpq_mat) -> list[list[str]]:
    """Return the rows of an exact matrix as strings, for a JSON record.

    Parameters
    ----------
    matrix : flint.fmpq_mat (m, n)
        Any exact matrix.

    Returns
    -------
    list of m lists of n strings
        Entries such as ``"-3/4"``.

    Examples
    --------
    >>> from lorantk.theory import certificates
    >>> certificates.as_strings(certificates.rational_matrix([["2/4", 3]]))
    [['1/2', '3']]
    """
    return [[str(matrix[i, j]) for j in range(matrix.ncols())] for i in range(matrix.nrows())]
