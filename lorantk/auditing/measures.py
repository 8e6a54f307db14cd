"""Measure the saved factors of one module, from matrices no larger than r × r."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Measures(NamedTuple):
    """Numbers that describe one pair of factors, without the scale.

    Attributes
    ----------
    variance_A, variance_B
        Mean squares of the entries.
    alphas, betas
        Eigenvalues of ``A Aᵀ`` and of ``BᵀB``, ascending, shape ``(r,)``.
    singular
        Singular values of ``B A``, ascending, shape ``(r,)``; those below 1e-8 of the largest may be rounding errors.
    rows_B
        Share of the rows of B that are not zero.
    """

    variance_A: float
    variance_B: float
    alphas: Float[np.ndarray, " r"]
    betas: Float[np.ndarray, " r"]
    singular: Float[np.ndarray, " r"]
    rows_B: float


def measure(A: Callable[[], np.ndarray], B: Callable[[], np.ndarray], blocks: tuple[int, int] = (1, 1)) -> Measures:
    """Return the measures of a pair of factors, each of which a function reads, so that only one is in memory at a time.

    The singular values of ``B A`` are those of ``R_BᵀR_A`` for any matrices with ``R_A R_Aᵀ = A Aᵀ`` and ``R_B R_Bᵀ = BᵀB``:
    roots of these r × r matrices, or A and Bᵀ themselves where r exceeds their width.

    Parameters
    ----------
    A, B
        Functions that return the factors, of shapes ``(r, n)`` and ``(m, r)``.
    blocks
        Numbers of diagonal blocks of A and of B, which are stored below each other; 1 for a whole matrix.
    """
    factor = A()
    alphas, root_A = _spectrum(_parts(factor, blocks[0]))
    entries_A = factor.size
    del factor
    factor = B()
    betas, root_B = _spectrum([block.T for block in _parts(factor, blocks[1])])
    entries_B, rows = factor.size, float(np.mean(factor.any(axis=1)))
    del factor
    singular = np.linalg.svd(root_B.T @ root_A, compute_uv=False)[::-1]
    rank = len(alphas)
    return Measures(
        float(alphas.sum()) / entries_A,
        float(betas.sum()) / entries_B,
        alphas,
        betas,
        np.concatenate([np.zeros(rank - len(singular)), singular]),
        rows,
    )


def _spectrum(blocks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of ``X Xᵀ``, ascending, and R with ``R Rᵀ = X Xᵀ``, for X with these blocks on its diagonal."""
    rank, width = (sum(block.shape[side] for block in blocks) for side in (0, 1))
    if rank <= width:
        gram = _diagonal([block @ block.T for block in blocks])
        values, vectors = np.linalg.eigh(gram)
        values = np.clip(values, 0, None)
        return values, vectors * np.sqrt(values)
    whole = blocks[0] if len(blocks) == 1 else _diagonal(blocks)
    values = np.clip(np.linalg.eigvalsh(whole.T @ whole), 0, None)
    return np.concatenate([np.zeros(rank - width), values]), whole


def _parts(factor: np.ndarray, blocks: int) -> list[np.ndarray]:
    return [factor] if blocks == 1 else np.split(factor, blocks)


def _diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    """Return the matrix with these blocks, of one shape, on its diagonal."""
    if len(blocks) == 1:
        return blocks[0]
    rows, columns = blocks[0].shape
    whole = np.zeros((rows * len(blocks), columns * len(blocks)))
    for i, block in enumerate(blocks):
        whole[i * rows : (i + 1) * rows, i * columns : (i + 1) * columns] = block
    return whole


def stable_rank(singular: Float[np.ndarray, " r"]) -> float:
    """Return ``Σσ²/max σ²``, an effective dimension that small singular values hardly change; 0 for a zero matrix."""
    top = float(singular[-1])
    return float(np.sum((singular / top) ** 2)) if top > 0 else 0.0


def law_distance(alphas: Float[np.ndarray, " r"], variance: float, features: int) -> float:
    """Return the largest distance of the spectrum of ``A Aᵀ/(σ²n)``, r ≤ n, from the Marchenko-Pastur distribution function."""
    from lorantk.theory.random_matrices import marchenko_pastur_cdf

    r = len(alphas)
    law = marchenko_pastur_cdf(alphas / (variance * features), r / features)
    return float(max(np.abs(law - np.arange(r) / r).max(), np.abs(law - np.arange(1, r + 1) / r).max()))
