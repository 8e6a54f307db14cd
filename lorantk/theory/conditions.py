r"""The numbers that decide whether LoRA's kernel lies below that of full fine-tuning, from a few scalars alone.

``s`` is the scale, ``r × n`` the shape of A, ``σ_a²`` the variance of its entries, ``q = s²σ_a²n`` and ``c = s² r σ_a²``. The
module imports no JAX: `lorantk.theory.delta`, `order` and `adapters` build on it, and an audit of a configuration starts at once.
"""

import math

import numpy as np


def start_variance(law: str, rank: int, features: int) -> float:
    """Return the variance that a law of A has when none is given, as `lorantk.theory.adapters.default_variance`; unchecked."""
    return {"kaiming-uniform": 1 / (3 * features), "gaussian": 1 / rank**2}.get(law, 1 / features)


def sharp_value(q: float, ratio: float) -> float:
    """Return ``q (1 + √ratio)²``, the limit of the largest eigenvalue of ``s² A Aᵀ``.

    For independent entries with a finite fourth moment, ``q = s² σ_a² n`` and ``r/n → ratio`` (Geman 1980; Yin, Bai and
    Krishnaiah 1988). Below 1, ``M_Δ`` is negative semi-definite with probability tending to 1; above 1, tending to 0.
    """
    return q * (1 + np.sqrt(ratio)) ** 2


def sharp_ratio(q: float) -> float:
    """Return the ratio ``r/n`` at which `sharp_value` is 1: ``(1/√q - 1)²``, or 0 where ``q ≥ 1``."""
    return max(1 / math.sqrt(q) - 1, 0.0) ** 2


def nsd_probability(q: float, rank: int, features: int) -> float:
    r"""Approximate ``P(M_Δ ⪯ 0)`` for Gaussian A at finite size by the Tracy-Widom law.

    ``M_Δ ⪯ 0`` iff the largest eigenvalue of the white Wishart matrix ``A Aᵀ/σ_a²`` is at most ``n/q``. That eigenvalue
    is ``μ + σ T`` with T approximately of the Tracy-Widom law of order 1 and the centring and scale of Ma (2012),
    ``√μ = √(n-½) + √(r-½)``, ``σ = √μ (1/√(n-½) + 1/√(r-½))^{1/3}``, accurate to second order in the size.

    Parameters
    ----------
    q
        ``s² σ_a² n``.
    rank, features
        ``r`` and ``n``.
    """
    from lorantk.theory.random_matrices import tracy_widom_cdf

    a, b = math.sqrt(features - 0.5), math.sqrt(rank - 0.5)
    return tracy_widom_cdf((features / q - (a + b) ** 2) / ((a + b) * (1 / a + 1 / b) ** (1 / 3)))


def excess(layers: int, failure: float | None) -> float:
    """Return ``t = √(2 log(L/δ))``, by which a norm exceeds its mean in none of L layers but with probability δ; 0 for None."""
    return 0.0 if failure is None else math.sqrt(2 * math.log(layers / failure))


def restricted_value(per_row: float, rank: float, dimension: float, excess: float = 0.0) -> float:
    """Return ``s²σ_a²(√d + √r + t)²``: Gaussian A on d-dimensional inputs, see `lorantk.theory.order.gram_value`.

    Parameters
    ----------
    per_row
        ``s²σ_a²``.
    rank, dimension
        ``r`` and ``d``.
    excess
        ``t``, see `excess`.
    """
    return per_row * (math.sqrt(dimension) + math.sqrt(rank) + excess) ** 2


def restricted_capacity(per_row: float, rank: float, excess: float = 0.0) -> float:
    """Return the largest d at which `restricted_value` is at most 1, or 0 where there is none."""
    return max(1 / math.sqrt(per_row) - math.sqrt(rank) - excess, 0.0) ** 2
