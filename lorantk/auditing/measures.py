"""Measure the saved factors of one module, using only the r × r Gram matrices ``A Aᵀ`` and ``BᵀB``."""

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
        Singular values of ``B A``, ascending, shape ``(r,)``; those below 1e-8 of the largest are rounding errors.
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

    The singular values of ``B A`` are the roots of the eigenvalues of ``(AAᵀ)^{1/2} BᵀB (AAᵀ)^{1/2}``.

    Parameters
    ----------
    A, B
        Functions that return the factors, of shapes ``(r, n)`` and ``(m, r)``.
    blocks
        Numbers of diagonal blocks of A and of B, which are stored below each other; 1 for a whole matrix.
    """
    factor = A()
    gram_A, entries_A = _diagonal([block @ block.T for block in _parts(factor, blocks[0])]), factor.size
    del factor
    factor = B()
    gram_B, entries_B = _diagonal([block.T @ block for block in _parts(factor, blocks[1])]), factor.size
    rows = float(np.mean(factor.any(axis=1)))
    del factor
    alphas, vectors = np.linalg.eigh(gram_A)
    root = (vectors * np.sqrt(np.clip(alphas, 0, None))) @ vectors.T
    squares = np.linalg.eigvalsh(root @ gram_B @ root)
    return Measures(
        float(np.trace(gram_A)) / entries_A,
        float(np.trace(gram_B)) / entries_B,
        np.clip(alphas, 0, None),
        np.clip(np.linalg.eigvalsh(gram_B), 0, None),
        np.sqrt(np.clip(squares, 0, None)),
        rows,
    )


def _parts(factor: np.ndarray, blocks: int) -> list[np.ndarray]:
    return [factor] if blocks == 1 else np.split(factor, blocks)


def _diagonal(blocks: list[np.ndarray]) -> np.ndarray:
    """Return the matrix with these square blocks on its diagonal."""
    if len(blocks) == 1:
        return blocks[0]
    size = len(blocks[0])
    whole = np.zeros((size * len(blocks),) * 2)
    for i, block in enumerate(blocks):
        whole[i * size : (i + 1) * size, i * size : (i + 1) * size] = block
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
