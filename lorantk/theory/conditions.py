"""The numbers that decide whether LoRA's kernel lies below that of full fine-tuning, from a few scalars alone.

``s`` is the scale, ``r × n`` the shape of A, ``σ_a²`` the variance of its entries, ``q = s² σ_a² n`` and
``c = s² r σ_a²``. The module does not import JAX: `lorantk.theory.delta`, `lorantk.theory.order` and
`lorantk.theory.adapters` build on it, and an audit of a configuration starts at once.
"""

import math

import numpy as np

from lorantk.choices import one_of


def default_variance(law: str, rank: int, features: int) -> float:
    """Return ``σ_a²``, the variance of A's entries that goes with a law when none is given.

    ``1/(3n)`` for ``"kaiming-uniform"`` (PEFT's default, Kaiming uniform with a = √5), ``1/r²`` for ``"gaussian"`` (PEFT's
    ``init_lora_weights="gaussian"``), ``1/n`` for ``"orthonormal"`` (orthonormal rows) and ``"rademacher"``.

    Parameters
    ----------
    law : str
        One of `lorantk.theory.laws.LAWS`.
    rank, features : int
        ``r`` and ``n``, the shape of A.

    Returns
    -------
    float
        ``σ_a²``.

    Raises
    ------
    ValueError
        An unknown law.

    Examples
    --------
    >>> from lorantk.theory import conditions
    >>> laws = ("kaiming-uniform", "gaussian")
    >>> [1 / conditions.default_variance(law, 8, 1024) for law in laws]
    [3072.0, 64.0]
    """
    variances = {"gaussian": 1 / rank**2, "kaiming-uniform": 1 / (3 * features), "rademacher": 1 / features}
    variances["orthonormal"] = 1 / features
    one_of("law", law, variances)
    return variances[law]


def sharp_value(q: float, ratio: float) -> float:
    """Return ``q (1 + √ratio)²``, the limit of the largest eigenvalue of ``s² A Aᵀ``.

    For independent entries with a finite fourth moment, ``q = s² σ_a² n`` and ``r/n → ratio`` (Geman 1980; Yin, Bai and
    Krishnaiah 1988). Below 1, ``M_Δ`` is negative semi-definite with probability tending to 1; above 1, tending to 0. This
    corrects the paper's condition ``σ_a² < 1/n``, that is ``q < 1`` at ``s = 1``.

    Parameters
    ----------
    q : float
        ``s² σ_a² n``.
    ratio : float
        ``r/n``.

    Returns
    -------
    float
        The limit.

    Examples
    --------
    With ``σ_a² = 0.9/n`` the paper's condition holds, but not ``M_Δ ⪯ 0`` once r is a sixteenth of n:

    >>> from lorantk.theory import conditions
    >>> round(float(conditions.sharp_value(0.9, 1 / 16)), 3)
    1.406
    """
    return q * (1 + np.sqrt(ratio)) ** 2


def sharp_ratio(q: float) -> float:
    """Return the ratio ``r/n`` at which `sharp_value` is 1: ``(1/√q - 1)²``, or 0 where ``q ≥ 1``.

    Parameters
    ----------
    q : float
        ``s² σ_a² n > 0``.

    Returns
    -------
    float
        The largest ``r/n`` at which ``M_Δ ⪯ 0`` in the limit.

    Examples
    --------
    PEFT's default has ``σ_a² = 1/(3n)``; with ``α = r`` the order holds up to about half the width:

    >>> from lorantk.theory import conditions
    >>> round(conditions.sharp_ratio(1 / 3), 3)
    0.536
    """
    return max(1 / math.sqrt(q) - 1, 0.0) ** 2


def nsd_probability(q: float, rank: int, features: int) -> float:
    """Approximate ``P(M_Δ ⪯ 0)`` for Gaussian A at finite size by the Tracy-Widom law.

    ``M_Δ ⪯ 0`` iff the largest eigenvalue of the white Wishart matrix ``A Aᵀ/σ_a²`` is at most ``n/q``. That eigenvalue
    is ``μ + σ T`` with T approximately of the Tracy-Widom law of order 1 (Johnstone 2001) and the centring and scale of Ma
    (2012), ``√μ = √(n-½) + √(r-½)``, ``σ = √μ (1/√(n-½) + 1/√(r-½))^{1/3}``, accurate to second order in the size.

    Parameters
    ----------
    q : float
        ``s² σ_a² n``.
    rank, features : int
        ``r`` and ``n``.

    Returns
    -------
    float
        The probability.

    Examples
    --------
    Around the sharp value, ``q = 1/1.5625`` at ``r/n = 1/16``, the probability falls from 1 to 0:

    >>> from lorantk.theory import conditions
    >>> qs = [value / 1.5625 for value in (0.9, 1.0, 1.1)]
    >>> [round(conditions.nsd_probability(q, 64, 1024), 2) for q in qs]
    [1.0, 0.86, 0.0]
    """
    from lorantk.theory.random_matrices import tracy_widom_cdf

    a, b = math.sqrt(features - 0.5), math.sqrt(rank - 0.5)
    return tracy_widom_cdf((features / q - (a + b) ** 2) / ((a + b) * (1 / a + 1 / b) ** (1 / 3)))


def excess(layers: int, failure: float | None) -> float:
    """Return ``t = √(2 log(L/δ))``: no norm of L layers exceeds its mean by more, except with probability δ.

    The norms are those of ``A P``, P an orthogonal projection, with standard Gaussian A, which are 1-Lipschitz functions of
    A (Davidson and Szarek 2001, Theorem II.13).

    Parameters
    ----------
    layers : int
        ``L ≥ 1``.
    failure : float or None
        ``δ`` in (0, 1); None gives 0.

    Returns
    -------
    float
        ``t``.

    Examples
    --------
    >>> from lorantk.theory import conditions
    >>> round(conditions.excess(12, 0.01), 3), conditions.excess(12, None)
    (3.766, 0.0)
    """
    return 0.0 if failure is None else math.sqrt(2 * math.log(layers / failure))


def restricted_value(per_row: float, rank: float, dimension: float, excess: float = 0.0) -> float:
    """Return ``s² σ_a² (√d + √r + t)²``: Gaussian A on d-dimensional inputs.

    At most 1 gives ``Φ M_Δ Φᵀ ⪯ 0``, see `lorantk.theory.order.gram_value`.

    Parameters
    ----------
    per_row : float
        ``s² σ_a²``.
    rank, dimension : float
        ``r`` and ``d``.
    excess : float
        ``t``, see `excess`.

    Returns
    -------
    float
        The value.

    Examples
    --------
    >>> from lorantk.theory import conditions
    >>> round(conditions.restricted_value(4 / 3072, 8, 100), 3)
    0.214
    """
    return per_row * (math.sqrt(dimension) + math.sqrt(rank) + excess) ** 2


def restricted_capacity(per_row: float, rank: float, excess: float = 0.0) -> float:
    """Return the largest d at which `restricted_value` is at most 1: ``(1/√(s² σ_a²) - √r - t)²``, or 0 where there is none.

    Parameters
    ----------
    per_row : float
        ``s² σ_a²``.
    rank : float
        ``r``.
    excess : float
        ``t``, see `excess`.

    Returns
    -------
    float
        The capacity, in dimensions of the layer's inputs.

    Examples
    --------
    PEFT's default with r = 8, α = 16 on 1024 features:

    >>> from lorantk.theory import conditions
    >>> round(conditions.restricted_capacity(4 / 3072, 8))
    619
    """
    return max(1 / math.sqrt(per_row) - math.sqrt(rank) - excess, 0.0) ** 2
