"""Certificates in exact rational arithmetic: signs of eigenvalues without a rounding error.

The characteristic polynomial of a symmetric matrix has real roots only, so Descartes' rule of signs counts its positive
roots exactly: they are the sign changes in the sequence of its coefficients.
"""

from collections.abc import Sequence
from fractions import Fraction

from flint import fmpq, fmpq_mat

Rational = Fraction | int | str


def rational_matrix(rows: Sequence[Sequence[Rational]]) -> fmpq_mat:
    """Build an exact matrix from rows of integers, fractions or strings such as ``"4/5"``.

    Raises
    ------
    ValueError
        Rows of unequal length or none, or an entry that is no rational number (a float is refused: it hides a rounding).
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


def inertia(matrix: fmpq_mat) -> tuple[int, int, int]:
    """Return the exact numbers of negative, zero and positive eigenvalues of a symmetric rational matrix.

    Raises
    ------
    ValueError
        A matrix that is not symmetric.
    """
    if matrix.nrows() != matrix.ncols() or matrix != matrix.transpose():
        msg = f"the matrix must be symmetric; got a {matrix.nrows()} × {matrix.ncols()} matrix that is not"
        raise ValueError(msg)
    coefficients = [c for c in matrix.charpoly().coeffs() if c != 0]
    zero = next(i for i, c in enumerate(matrix.charpoly().coeffs()) if c != 0)
    positive = sum((a > 0) != (b > 0) for a, b in zip(coefficients, coefficients[1:], strict=False))
    return matrix.nrows() - zero - positive, zero, positive


def is_nsd(matrix: fmpq_mat) -> bool:
    """Return whether a symmetric rational matrix is negative semi-definite, exactly."""
    return inertia(matrix)[2] == 0


def pseudo_determinant(matrix: fmpq_mat) -> Fraction:
    """Return the product of the non-zero eigenvalues of a symmetric rational matrix, exactly; 1 for a zero matrix.

    It is, up to sign, the last non-zero coefficient of the characteristic polynomial.

    Raises
    ------
    ValueError
        A matrix that is not symmetric.
    """
    zero = inertia(matrix)[1]
    value = matrix.charpoly().coeffs()[zero]
    return (-1) ** (matrix.nrows() - zero) * Fraction(int(value.p), int(value.q))


def m_delta_exact(A: fmpq_mat, scale: Rational = 1) -> fmpq_mat:
    """Return ``s² Aᵀ A - I`` exactly."""
    n, s = A.ncols(), Fraction(scale)
    identity = fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
    return A.transpose() * A * fmpq(s.numerator, s.denominator) ** 2 - identity


def as_strings(matrix: fmpq_mat) -> list[list[str]]:
    """Return the rows of an exact matrix as strings, for a JSON record."""
    return [[str(matrix[i, j]) for j in range(matrix.ncols())] for i in range(matrix.nrows())]
