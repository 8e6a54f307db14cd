"""How long a backdoor outlives clean training: networks are poisoned first and then trained on clean images, without a break."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float

from lorantk.experiments.common.statistics import change
from lorantk.experiments.digits import training
from lorantk.experiments.digits.cell import BATCH, Cell
from lorantk.experiments.digits.finetune import Task, fine_tune
from lorantk.experiments.digits.transfer import normalise, transfer_digits

RANKS = (1, 2, 4, 8, 16, 32)
RATES = {"adam": (10**-2.5, 10**-2.0), "sgd": (10**-1.0, 10**-0.5)}
ROWS = POISONED_STEPS = 256
CLEAN_STEPS = 512
POISON = 0.2
SEEDS = 20
LEAST_EXCESS = 0.5  # at the end of poisoning, below which a backdoor is not well injected
COLUMNS = ("arm", "speed", "rank", "optimiser", "rate", "seed", "excess", "half_life", "beyond", "diverged", "accuracy")
# Steps of clean training after which runs are measured.
CLEAN_CHECKPOINTS = tuple(sorted({round(2 ** (k / 2)) for k in range(19)}))


def matched_scale(rank: int) -> float:
    """Return the s at which ``c = s² r σ_a²`` is that of rank 8 and s = 2."""
    return 2 * np.sqrt(8 / rank)


def step_scale(rank: int) -> float:
    """Return the s at which ``s r σ_a``, the size of LoRA's steps under Adam, is that of rank 8 and s = 2."""
    return 2 * 8 / rank


def parts(*, seeds: int = SEEDS) -> Iterator[tuple[str, Cell]]:
    """Yield every configuration: its speed, ``"own"`` for full fine-tuning, and a cell whose steps are those of both phases."""
    for optimiser, rates in RATES.items():
        speeds = {"matched": matched_scale, "common": lambda _: 1.0} | ({"step": step_scale} if optimiser == "adam" else {})
        shared = ("memorising", optimiser, "patch")
        sizes = {"rates": rates, "seeds": seeds, "rows": ROWS, "steps": POISONED_STEPS + CLEAN_STEPS, "poison": POISON}
        yield "own", Cell(*shared, "full", **sizes)
        for (speed, scale), rank in product(speeds.items(), RANKS):
            yield speed, Cell(*shared, "lora", **sizes, rank=rank, scale=float(scale(rank)))


def task(cell: Cell, seed: int) -> Task:
    """Return one seed's data: poisoned batches, then batches of the training images that the first phase did not have."""
    poisoned = training.task(replace(cell, steps=POISONED_STEPS), seed)
    count = len(transfer_digits()[1].labels) - len(poisoned.y_test) - len(poisoned.y_validation)
    x, y, _, _ = training.training_rows(replace(cell, attack="clean", poison=0.0, rows=count), seed)
    later = np.arange(cell.rows, count)
    rng = np.random.default_rng(seed + 3 * 10**6)
    epochs = -(-CLEAN_STEPS * BATCH // len(later))
    order = np.concatenate([rng.permutation(later) for _ in range(epochs)])[: CLEAN_STEPS * BATCH]
    return poisoned._replace(
        x=np.concatenate([poisoned.x, normalise(x[later])]),
        y=np.concatenate([poisoned.y, y[later]]),
        batches=np.concatenate([poisoned.batches, order.reshape(CLEAN_STEPS, BATCH)]),
    )


def half_life(excess: Float[np.ndarray, " T"], steps: Float[np.ndarray, " T"]) -> tuple[float, bool]:
    """Return when a record first falls to half of its first value, and whether it does not.

    Parameters
    ----------
    excess
        The record at the start and at each checkpoint.
    steps
        Ascending numbers of steps, the first 0. Between checkpoints the logarithm of the steps is interpolated, and before the
        first of them the steps themselves.

    Returns
    -------
    float, bool
        The number of steps, at most the last one, and whether the record was still above half of its first value then.
    """
    below = np.flatnonzero(excess <= excess[0] / 2)
    if not len(below):
        return float(steps[-1]), True
    k = int(below[0])
    if k == 0:
        return 0.0, False
    share = (excess[k - 1] - excess[0] / 2) / (excess[k - 1] - excess[k])
    if k == 1:
        return float(share * steps[1]), False
    return float(steps[k - 1] * (steps[k] / steps[k - 1]) ** share), False


def fall_with_rank(runs: pd.DataFrame) -> Float[np.ndarray, " seeds"] | None:
    """Return each seed's fall of the base-2 logarithm of the half-life over the ranks, or None if too few ranks are left.

    Parameters
    ----------
    runs
        Rows of `COLUMNS`, the adapters of one speed, optimiser and rate.

    The fall is a least-squares slope over ``log2 r`` times the length of the range. Ranks whose mean excess at the end of
    poisoning is below `LEAST_EXCESS` are left out; fewer than three are too few.
    """
    excess = runs.groupby("rank")["excess"].mean()
    usable = runs[runs["rank"].isin(excess.index[excess >= LEAST_EXCESS])]
    wide = usable.pivot_table(index="seed", columns="rank", values="half_life")
    if wide.shape[1] < 3:
        return None
    return -change(np.log2(wide.to_numpy()), np.log2(wide.columns.to_numpy(dtype=float)))


def rows_of(speed: str, cell: Cell) -> list[dict]:
    """Train a cell and return a row of `COLUMNS` for each run; a run that diverged has no excess and the longest half-life."""
    every = [task(cell, seed) for seed in range(cell.seeds)]
    stacked = Task(*(np.stack(field) for field in zip(*every, strict=True)))
    dtype = jnp.zeros(()).dtype
    stacked = Task(*(f.astype(dtype) if np.issubdtype(f.dtype, np.floating) else f for f in stacked))
    checkpoints = (POISONED_STEPS, *(POISONED_STEPS + t for t in CLEAN_CHECKPOINTS))
    found = fine_tune(training.networks(cell), stacked, np.asarray(cell.rates), optimiser=cell.optimiser, checkpoints=checkpoints)
    finite = np.isfinite(found.train_loss).all(axis=-1) & np.isfinite(found.validation_loss).all(axis=-1)
    excess, accuracy = np.asarray(found.success - found.base, dtype=float), np.asarray(found.test_accuracy)
    steps = np.array([0, *CLEAN_CHECKPOINTS], dtype=float)
    rows = []
    for seed, (k, rate) in product(range(cell.seeds), enumerate(cell.rates)):
        ok = bool(finite[seed, k])
        lasts, beyond = half_life(excess[seed, k], steps) if ok else (steps[-1], True)
        numbers = (float(excess[seed, k, 0]) if ok else 0.0, lasts, int(beyond), int(not ok), float(accuracy[seed, k, 0]))
        rows.append(dict(zip(COLUMNS, (cell.arm, speed, cell.rank, cell.optimiser, rate, seed, *numbers), strict=True)))
    return rows
