"""Spectral statistics of trained adapters, clean and poisoned, all of one rank, rate and length of training."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from lorantk.experiments.digits import training
from lorantk.experiments.digits.cell import Cell
from lorantk.experiments.digits.finetune import measure
from lorantk.experiments.digits.poison import stamp_patch
from lorantk.experiments.digits.transfer import normalise, one_hot
from lorantk.theory.dynamics import train

# What is done to the training rows: attack and rate. A harmless patch changes no label.
KINDS = {
    "clean": ("clean", 0.0),
    "patch": ("patch", 0.1),
    "weak patch": ("patch", 0.02),
    "flips": ("flips", 0.1),
    "harmless patch": ("patch", 0.1),
}
RATES = (10**-2.0, 10**-2.5)
SEEDS, ROWS, STEPS, RANK, SCALE = 60, 256, 100, 8, 2.0
STATISTICS = ("leading", "norm", "share", "entropy", "kurtosis")
SHAPE = ("share", "entropy", "kurtosis")  # those that do not change with the norm
MODULES = (1, 2)
COLUMNS = ("kind", "rate", "seed", *(f"{name}{l}" for l in MODULES for name in STATISTICS), "accuracy", "success")


def statistics(change: Float[np.ndarray, "m n"]) -> dict[str, float]:
    """Return the five spectral statistics of a module's change ``ΔW``, in float64.

    The leading singular value ``σ_1`` and the Frobenius norm; the share ``p_1`` of the leading one, with ``p_i = σ_i² / Σ σ²``;
    the entropy ``-Σ p_i log p_i`` in nats; and the excess kurtosis of the entries.

    Raises
    ------
    ValueError
        A change that is zero or not finite.
    """
    values = np.asarray(change, dtype=float)
    if not np.isfinite(values).all() or not values.any():
        msg = f"expected a finite change that is not zero; got norm {np.linalg.norm(values)}"
        raise ValueError(msg)
    sigma = np.linalg.svd(values, compute_uv=False)
    p = sigma**2 / (sigma**2).sum()
    deviation = values - values.mean()
    kurtosis = (deviation**4).mean() / (deviation**2).mean() ** 2 - 3
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    numbers = (sigma[0], np.sqrt((sigma**2).sum()), p[0], entropy, kurtosis)
    return dict(zip(STATISTICS, map(float, numbers), strict=True))


def training_set(kind: str, cell: Cell, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs and labels that one seed trains on."""
    x, y, poisoned, _ = training.training_rows(cell, seed)
    if kind == "harmless patch":
        clean = Cell(cell.regime, cell.optimiser, "clean", cell.arm, cell.rates, cell.seeds, cell.rows, cell.steps)
        images, y, _, _ = training.training_rows(clean, seed)
        x = np.where(poisoned[:, None], stamp_patch(images), images)
    return normalise(x), y


def rows_of(kind: str, rate: float, *, seeds: int = SEEDS) -> list[dict]:
    """Train adapters of one kind at one rate and return a row of `COLUMNS` for each seed."""
    attack, poison = KINDS[kind]
    cell = Cell("memorising", "adam", attack, "lora", (rate,), seeds, ROWS, STEPS, poison, rank=RANK, scale=SCALE)
    sets = [training_set(kind, cell, seed) for seed in range(seeds)]
    dtype = jnp.zeros(()).dtype
    x = jnp.asarray(np.stack([x for x, _ in sets]), dtype)
    y = jnp.asarray(np.stack([one_hot(y) for _, y in sets]), dtype)

    def end(network, x, y):
        return train(network, x, y, rates=rate, steps=STEPS, loss="cross-entropy", method="adam", eps=1e-8).network

    networks = jax.vmap(end)(training.networks(cell), x, y)
    measured = jax.vmap(measure)(networks, training.tasks(cell))
    rows = []
    for seed in range(seeds):
        row = {"kind": kind, "rate": rate, "seed": seed}
        for l in MODULES:
            layer = jax.tree.map(lambda leaf, seed=seed: np.asarray(leaf[seed], dtype=float), networks.layers[l - 1])
            row |= {f"{name}{l}": value for name, value in statistics(layer.scale * layer.B @ layer.A).items()}
        rows.append(row | {"accuracy": float(measured.test_accuracy[seed]), "success": float(measured.success[seed])})
    return rows


def parts() -> Iterator[tuple[str, float]]:
    """Yield kind and rate: every kind at the first rate, and clean and poisoned adapters at the second."""
    yield from ((kind, RATES[0]) for kind in KINDS)
    yield from ((kind, RATES[1]) for kind in ("clean", "patch"))
