"""Train one cell of a sweep (`lorantk.experiments.digits.cell.Cell`): its data, its networks, its runs.

A seed fixes the split, variants, poison, initial head and adapters, and batches, so that cells with the same seeds can be
compared in pairs. Both arms train a fresh head in full. The hidden layers train in full (``"full"``), through adapters
(``"lora"``) or through adapters with A frozen (``"lora-fa"``).
"""

import math
from dataclasses import replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from lorantk.experiments.common.poison import flip_labels
from lorantk.experiments.digits.cell import BATCH, CLASSES, PER_CLASS, PROBE, TARGET, Cell, padded_rank
from lorantk.experiments.digits.data import augment, split
from lorantk.experiments.digits.finetune import Task, Trajectory, fine_tune
from lorantk.experiments.digits.poison import plant_backdoor, plant_clean_label, stamp_patch
from lorantk.experiments.digits.transfer import fresh_head, normalise, pretrained, transfer_digits
from lorantk.theory.adapters import adapt, adapter
from lorantk.theory.networks import Network


def training_rows(cell: Cell, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict]:
    """Return one seed's training rows with their poison, and the clean parts of the split.

    Returns
    -------
    x, y, poisoned
        Raw grey values, shape ``(rows, 64)``, labels ``0 … 4`` and which rows are poisoned, each of shape ``(rows,)``.
    held
        Raw grey values and labels of ``"validation"`` and of ``"test"``.

    Raises
    ------
    ValueError
        More rows to memorise than there are training images.
    """
    pixels, labels = transfer_digits()[1]
    parts = split(labels, classes=CLASSES, seed=seed, **PER_CLASS)
    x, y = pixels[parts.train], labels[parts.train]
    if cell.regime == "one epoch":
        x, source = augment(x, cell.rows, seed=seed)
        y = y[source]
    elif len(x) < cell.rows:
        msg = f"rows must be at most the {len(x)} training images; got {cell.rows}"
        raise ValueError(msg)
    x, y = x[: cell.rows], y[: cell.rows]
    poisoned = np.zeros(len(y), dtype=bool)
    options = {"rate": cell.poison, "classes": CLASSES, "seed": seed + 10**6}
    if cell.attack == "flips":
        y, poisoned = flip_labels(y, **options)
    elif cell.attack != "clean":
        plant = plant_backdoor if cell.attack == "patch" else plant_clean_label
        x, y, poisoned = plant(x, y, target=TARGET, **options)
    held = {name: (pixels[rows], labels[rows]) for name, rows in parts._asdict().items() if name != "train"}
    return x, y, poisoned, held


@lru_cache(maxsize=256)
def _batches(rows, steps, seed):
    rng = np.random.default_rng(seed + 2 * 10**6)
    epochs = -(-steps * BATCH // rows)
    order = np.concatenate([rng.permutation(rows) for _ in range(epochs)])
    return order[: steps * BATCH].reshape(steps, BATCH)


def task(cell: Cell, seed: int) -> Task:
    """Return one seed's data, as `lorantk.experiments.digits.finetune.fine_tune` takes it."""
    x, y, poisoned, held = training_rows(cell, seed)
    chosen = np.flatnonzero(poisoned)[:PROBE]
    (x_val, y_val), (x_test, y_test) = held["validation"], held["test"]
    return Task(
        x=normalise(x), y=y, batches=_batches(len(y), cell.steps, seed),
        probe=np.arange(min(PROBE, len(y))), poison=np.resize(np.append(chosen, 0), PROBE // 2),
        poison_weight=(np.arange(PROBE // 2) < len(chosen)).astype(float),
        x_validation=normalise(x_val), y_validation=y_val, x_test=normalise(x_test), y_test=y_test,
        x_stamped=normalise(stamp_patch(x_test)), victim=y_test != TARGET, target=np.asarray(TARGET),
    )  # fmt: skip


def _as_type(value, dtype):
    return jnp.asarray(value, dtype) if np.issubdtype(value.dtype, np.floating) else jnp.asarray(value)


def tasks(cell: Cell) -> Task:
    """Return the data of every seed, stacked, in the default floating-point type."""
    every = [task(cell, seed) for seed in range(cell.seeds)]
    dtype = jnp.zeros(()).dtype
    return Task(*(_as_type(np.stack(field), dtype) for field in zip(*every, strict=True)))


@lru_cache(maxsize=128)
def _base(width, seed):
    return pretrained((width, width), seed=seed)


def _start(key, base, cell):
    """One seed's network: a fresh head, and adapters of variance ``variance/n`` padded with zero rows."""
    head, factors = jax.random.split(key)
    network = fresh_head(base, key=head)
    if cell.arm == "full":
        return network
    network = adapt(network, adapter(cell.rank, scale=cell.scale), roles=(cell.arm, cell.arm, "full"), key=factors)
    pad = padded_rank(cell.rank) - cell.rank
    layers = []
    for layer, c in zip(network.layers[:-1], cell.speeds, strict=True):
        A = jnp.pad(layer.A * math.sqrt(3 * cell.variance), ((0, pad), (0, 0)))  # the default variance is 1/(3n)
        scale = layer.scale / math.sqrt(c) if cell.match == "scale" else layer.scale
        layers.append(replace(layer, A=A, B=jnp.pad(layer.B, ((0, 0), (0, pad))), scale=scale))
    return replace(network, layers=(*layers, network.layers[-1]))


def networks(cell: Cell) -> Network:
    """Return every seed's network before fine-tuning, stacked along a first axis."""
    keys = jnp.stack([jax.random.key(seed) for seed in range(cell.seeds)])
    start = partial(_start, cell=cell)
    if cell.pretraining == "shared":
        return jax.vmap(start, in_axes=(0, None))(keys, _base(cell.width, 0))
    bases = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(_base(cell.width, seed) for seed in range(cell.seeds)))
    return jax.vmap(start)(keys, bases)


def multipliers(cell: Cell) -> dict[str, float]:
    """Return the factors on the learning rates of single matrices that the cell's ``match`` asks for."""
    if cell.match == "slowed":
        return {f"W{l}": c for l, c in enumerate(cell.speeds, 1)}
    if cell.match == "rate":
        factors = {f"{name}{l}": 1 / c for l, c in enumerate(cell.speeds, 1) for name in "AB"}
        return {name: factor for name, factor in factors.items() if name[0] == "B" or cell.arm == "lora"}
    return {}


def run(cell: Cell) -> Trajectory:
    """Train all runs of a cell and return their records, arrays of shape ``(seeds, rates, checkpoints)``."""
    return fine_tune(
        networks(cell), tasks(cell), np.asarray(cell.rates), optimiser=cell.optimiser, checkpoints=cell.checkpoints,
        multipliers=multipliers(cell), linearised=cell.model == "linearised",
    )  # fmt: skip
