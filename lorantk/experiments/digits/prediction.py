"""Numbers known before training that may predict what poison does: kernel metrics at the start, and their baselines."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
from scipy import stats

from lorantk.experiments.digits import training as cells
from lorantk.experiments.digits.cell import Cell
from lorantk.theory.information import information_bits, numerical_rank, regularised_information, renyi
from lorantk.theory.kernels import as_matrix, ntk

METRICS = {
    "trace": "trace of K",
    "regularised": "½ log det(I + K/τ)",
    "bits": "information bits",
    "count": "positive eigenvalues",
    "renyi": "Rényi entropy, order 2",
}
# Eigenvalues count as positive above this share of the largest: kernels here are in single precision.
TOLERANCE = 1e-6


def start_spectra(cell: Cell, *, seeds: int, inputs: int) -> np.ndarray:
    """Return the eigenvalues of each seed's kernel on its first training rows at the start, shape ``(seeds, inputs · C)``."""
    few = replace(cell, seeds=seeds)
    tasks, networks = cells.tasks(few), cells.networks(few)
    found = []
    for k in range(seeds):
        network, x = jax.tree.map(lambda leaf, k=k: leaf[k], (networks, tasks.x[:, :inputs]))
        found.append(np.linalg.eigvalsh(np.asarray(as_matrix(ntk(network, x, outputs="full")), dtype=float)))
    return np.clip(found, 0, None)


def start_metrics(spectra: np.ndarray, *, tau: float) -> dict[str, float]:
    """Return each of `METRICS`, averaged over the seeds of `start_spectra`; in nats, τ in the kernel's units.

    Raises ValueError like `lorantk.theory.information.regularised_information`.
    """
    values = {
        "trace": spectra.sum(axis=-1),
        "regularised": regularised_information(spectra, tau=tau, unit="nats"),
        "bits": information_bits(spectra, unit="nats", tolerance=TOLERANCE),
        "count": numerical_rank(spectra, tolerance=TOLERANCE),
        "renyi": renyi(spectra, order=2.0, unit="nats"),
    }
    return {name: float(np.mean(value)) for name, value in values.items()}


def _check_pairs(x, y):
    if len(x) != len(y) or len(x) < 4:
        msg = f"expected at least four pairs; got {len(x)} and {len(y)} numbers"
        raise ValueError(msg)


def _vary(x, y):
    """Whether both sides of the pairs vary, so that their orders can be compared."""
    _check_pairs(x, y)
    return np.ptp(x) != 0 and np.ptp(y) != 0


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return Spearman's ρ and its two-sided p value; 0 and 1 if either does not vary.

    Raises
    ------
    ValueError
        Fewer than four pairs.
    """
    if not _vary(x, y):
        return 0.0, 1.0
    found = stats.spearmanr(x, y)
    return float(found.statistic), float(found.pvalue)


def kendall(x: Sequence[float], y: Sequence[float]) -> float:
    """Return Kendall's τ (τ_b, with its correction for ties); 0 if either does not vary.

    Raises
    ------
    ValueError
        Fewer than four pairs.
    """
    if not _vary(x, y):
        return 0.0
    return float(stats.kendalltau(x, y).statistic)


def determination(measured: Sequence[float], predicted: Sequence[float]) -> float:
    """Return ``R² = 1 - Σ(measured - predicted)² / Σ(measured - mean)²``: negative if the mean predicts better.

    Raises
    ------
    ValueError
        Fewer than four pairs, or measured numbers that do not vary.
    """
    _check_pairs(measured, predicted)
    measured, predicted = np.asarray(measured, float), np.asarray(predicted, float)
    scatter = ((measured - measured.mean()) ** 2).sum()
    if scatter == 0:
        msg = f"expected measured numbers that vary; got {len(measured)} times {measured[0]}"
        raise ValueError(msg)
    return float(1 - ((measured - predicted) ** 2).sum() / scatter)
