"""Measure the saved factors of one module, using only the r × r Gram matrices ``A Aᵀ`` and ``BᵀB``."""

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
    """

    variance_A: float
    variance_B: float
    alphas: Float[np.ndarray, " r"]
    betas: Float[np.ndarray, " r"]
    singular: Float[np.ndarray, " r"]


def measure(gram_A: Float[np.ndarray, "r r"], gram_B: Float[np.ndarray, "r r"], entries_A: int, entries_B: int) -> Measures:
    """Return the measures of a pair of factors from ``A Aᵀ``, ``BᵀB`` and the numbers of entries of A and B.

    The singular values of ``B A`` are the roots of the eigenvalues of ``(AAᵀ)^{1/2} BᵀB (AAᵀ)^{1/2}``. The factors
    themselves are not needed here, so they can be read one at a time.
    """
    alphas, vectors = np.linalg.eigh(gram_A)
    root = (vectors * np.sqrt(np.clip(alphas, 0, None))) @ vectors.T
    squares = np.linalg.eigvalsh(root @ gram_B @ root)
    return Measures(
        float(np.trace(gram_A)) / entries_A,
        float(np.trace(gram_B)) / entries_B,
        np.clip(alphas, 0, None),
        np.clip(np.linalg.eigvalsh(gram_B), 0, None),
        np.sqrt(np.clip(squares, 0, None)),
    )


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
