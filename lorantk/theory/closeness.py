"""How far a linearised LoRA run is from full fine-tuning at the matched rate, with explicit constants and no limit.

LoRA's kernel with c divided out is ``K̂ = K_0 + Σ_l G_l (I ⊗ Ŵ_l) G_lᵀ``, ``Ŵ_l = A_lᵀA_l/(r σ_a²)`` of mean I, where row p of
G_l is ``δ_p ⊗ h_p``, see `lorantk.theory.gradient_rows.gradient_rows`. A is Gaussian, and independent between layers. LoRA at a
rate η/c for a time t, or at η for t/c, has the flow of ``K̂`` for the time t; full fine-tuning has that of K.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Rows = tuple[np.ndarray, np.ndarray]


def _products(left: Rows, right: Rows):
    """Gram matrices of the backward and of the forward vectors."""
    return left[0] @ right[0].T, left[1] @ right[1].T


def kernel_spread(layers: Sequence[Rows], new: Sequence[Rows] | None = None) -> float | np.ndarray:
    """Return ``r E‖K̂ - K‖_F²``, or for new rows ``r E|k̂ - k|²`` of each: exact for Gaussian A.

    An entry of layer l is ``⟨δ_p, δ_q⟩ h_pᵀŴh_q`` of variance ``⟨δ_p, δ_q⟩² (|h_p|²|h_q|² + ⟨h_p, h_q⟩²)/r``. For independent
    entries of A of negative excess kurtosis, such as signs or PEFT's uniform law, it is an upper bound.

    Parameters
    ----------
    layers : sequence of pairs of arrays (M, m_l) and (M, n_l)
        Rows of the adapted layers on the training inputs.
    new : sequence of pairs of arrays (T, m_l) and (T, n_l), optional
        The same on new inputs.

    Returns
    -------
    float or array (T,)
        ``v``, or ``v_x`` of each new row.

    Examples
    --------
    One row of length ``|h|² = 4``: ``h Ŵ h`` has the variance ``2 · 4²/r``.

    >>> from lorantk.theory import closeness
    >>> closeness.kernel_spread([(np.ones((1, 1)), np.array([[2.0, 0.0]]))])
    32.0
    """
    total = 0.0
    for one, other in zip(layers, layers if new is None else new, strict=True):
        backward, forward = _products(other, one)
        lengths = (other[1] ** 2).sum(axis=1)[:, None] * (one[1] ** 2).sum(axis=1)[None, :]
        total = total + (backward**2 * (lengths + forward**2)).sum(axis=1)
    return float(total.sum()) if new is None else total


class FlowBound(NamedTuple):
    """Bounds on LoRA's flow minus full fine-tuning's, from `flow_bound`.

    Attributes
    ----------
    root_mean_square : array (T,)
        Bound on ``√E|f̂ - f|²``, of order ``r^(-1/2)``.
    mean : array (T,)
        Bound on ``|E f̂ - f|``, of order ``1/r``.
    """

    root_mean_square: np.ndarray
    mean: np.ndarray


def flow_bound(
    layers: Sequence[Rows],
    new: Sequence[Rows],
    k: Float[np.ndarray, "T M"],
    y: Float[np.ndarray, " M"],
    *,
    time: float,
    rank: int,
) -> FlowBound:
    """Bound the distance of LoRA's prediction from full fine-tuning's after gradient flow for a time t at the matched rate.

    ``√E|f̂ - f|² ≤ t|y| r^(-1/2) (√v_x + (t/2)|k|√v)`` and ``|E f̂ - f| ≤ |y| r⁻¹ ((t²/2)√(v_x v) + (t³/6)|k|v)``, with v and v_x
    of `kernel_spread`. With ``y' - y`` for y it bounds the difference of the effects of poisoned labels.

    Parameters
    ----------
    layers, new : sequences of pairs of arrays
        Rows of the adapted layers on the training inputs and on the new ones.
    k : array (T, M)
        Full fine-tuning's kernel of the new rows with the training rows, all layers that train.
    y : array (M,)
        Labels, counted from the starting outputs.
    time : float
        ``t ≥ 0``.
    rank : int
        ``r``.

    Returns
    -------
    FlowBound
        Both bounds, for each new row.

    Examples
    --------
    >>> from lorantk.theory import closeness
    >>> row, k, y = (np.ones((1, 1)), np.ones((1, 1))), np.ones((1, 1)), np.ones(1)
    >>> bound = closeness.flow_bound([row], [row], k, y, time=1.0, rank=18)
    >>> [round(float(value[0]), 4) for value in bound]
    [0.5, 0.0741]
    """
    v, v_x = kernel_spread(layers), kernel_spread(layers, new)
    size, length = np.linalg.norm(y), np.linalg.norm(k, axis=1)
    first = time * size * (np.sqrt(v_x) + time / 2 * length * np.sqrt(v)) / np.sqrt(rank)
    second = size * (time**2 / 2 * np.sqrt(v_x * v) + time**3 / 6 * length * v) / rank
    return FlowBound(first, second)


class RidgeSpread(NamedTuple):
    """What decides how close LoRA and full fine-tuning are at a ridge, from `ridge_spread`.

    Attributes
    ----------
    kernel : float
        ``r E‖SΔS‖_F²``, exactly; ``S = (K + λ)^(-1/2)``, ``Δ = K̂ - K``.
    prediction : array (T,)
        ``r E|ζ|²``, exactly; ``ζ = S G(W - I) g⊥`` with ``g⊥ = g - Gᵀ(K + λ)⁻¹Gg``.
    kernel_bound : float
        ``Σ_l ‖T_l‖_F² + df₂ ≥ r E‖SΔS‖_F²``.
    prediction_bound : array (T,)
        ``2 Σ_l tr(Q_lQ_lᵀT_l) ≥ r E|ζ|²``, ``Q_l`` layer l's part of ``g⊥`` as a matrix.
    """

    kernel: float
    prediction: np.ndarray
    kernel_bound: float
    prediction_bound: np.ndarray


def ridge_spread(
    layers: Sequence[Rows],
    new: Sequence[Rows],
    K: Float[np.ndarray, "M M"],
    k: Float[np.ndarray, "T M"],
    *,
    ridge: float,
) -> RidgeSpread:
    """Return the second moments that bound ``f̂ - f`` at a ridge, at every time scale: without growth in 1/λ through t.

    Where ``‖SΔS‖ ≤ ½``, ``|f̂ - f| ≤ 2 |ζ| |Sy|``. By Markov's inequality that fails with a probability of at most
    ``4 E‖SΔS‖_F²``. ``T_l = D_lᵀ(R ∘ Φ_lΦ_lᵀ)D_l`` with ``R = (K + λ)⁻¹``.

    Parameters
    ----------
    layers, new : sequences of pairs of arrays
        Rows of the adapted layers on the training inputs and on the new ones.
    K : array (M, M)
        Full fine-tuning's kernel of the training rows, all layers that train.
    k : array (T, M)
        The same of the new rows with the training rows.
    ridge : float
        ``λ > 0``.

    Returns
    -------
    RidgeSpread
        Both moments times r, and their bounds.

    Examples
    --------
    One training row ``(1, 0)``, a new row ``(1, 1)``, ``λ = 1``: moments ½ and ¾, bounds ½ and 5/4.

    >>> from lorantk.theory import closeness
    >>> one = np.ones((1, 1))
    >>> train, new = (one, np.array([[1.0, 0.0]])), (one, np.array([[1.0, 1.0]]))
    >>> found = closeness.ridge_spread([train], [new], one, one, ridge=1.0)
    >>> found.kernel, found.prediction.tolist(), found.kernel_bound, found.prediction_bound.tolist()
    (0.5, [0.75], 0.5, [1.25])
    """
    R = np.linalg.inv(K + ridge * np.eye(len(K)))
    weights = k @ R
    moment, bound = 0.0, 0.0
    prediction, prediction_bound = np.zeros(len(k)), np.zeros(len(k))
    for (D, Phi), (d, h) in zip(layers, new, strict=True):
        backward, forward = _products((D, Phi), (D, Phi))
        T = D.T @ (R * forward) @ D
        # Σ M_{ai,bj} M_{bi,aj} with M = GᵀRG, whose (mn)² entries are never formed
        crossed = 0.0
        for p in range(len(D)):
            inner = (backward * R[p]) @ forward
            crossed += np.sum(forward[p][:, None] * R * backward[p] * inner)
        moment += (T**2).sum() + crossed
        bound += (T**2).sum()
        for t in range(len(k)):
            Q = np.outer(d[t], h[t]) - (D * weights[t][:, None]).T @ Phi
            first = np.sum((Q @ Q.T) * T)
            turned = D @ Q @ Phi.T
            prediction[t] += first + np.sum(R * turned * turned.T)
            prediction_bound[t] += 2 * first
    shrunk = np.linalg.eigvalsh(K).clip(0)
    bound += ((shrunk / (shrunk + ridge)) ** 2).sum()
    return RidgeSpread(float(moment), prediction, float(bound), prediction_bound)
