"""Which point of a stored trajectory counts: the plan's five protocols, applied to results without retraining.

A run *diverged* at a checkpoint if a loss is not finite there or at an earlier one. It then counts as a network that guesses
between the classes: shares and accuracies are one over the number of classes and losses infinite, so that it is never chosen by
validation loss and no mean becomes NaN.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lorantk.choices import one_of
from lorantk.experiments.common.results import Result

PROTOCOLS = {
    "i": "same rate",
    "ii": "tenfold rate",
    "iii": "tuned rate",
    "iv": "equal progress",
    "v": "tuned rate and step",
}
LOSSES = ("train_loss", "poison_loss", "validation_loss")


class Point(NamedTuple):
    """One point of each seed's trajectory.

    Attributes
    ----------
    records
        The records there, each of shape ``(seeds,)``.
    rate, step
        Its learning rate and step, shape ``(seeds,)``; steps between checkpoints are interpolated.
    diverged
        Which runs had diverged by then.
    """

    records: dict[str, np.ndarray]
    rate: np.ndarray
    step: np.ndarray
    diverged: np.ndarray


def diverged(result: Result) -> np.ndarray:
    """Return which runs have diverged, shape ``(seeds, rates, checkpoints)``."""
    bad = ~np.isfinite([result.records[name] for name in LOSSES]).all(axis=0)
    return np.logical_or.accumulate(bad, axis=-1)


def usable(result: Result) -> dict[str, np.ndarray]:
    """Return the records in float64, with those of diverged runs replaced by guesses."""
    bad = diverged(result)
    guess = {name: np.inf if name in LOSSES else 1 / result.cell.classes for name in result.records}
    return {name: np.where(bad, guess[name], array.astype(float)) for name, array in result.records.items()}


def _pick(result, rate, step):
    """Return the point of each seed at the given indices of rate and checkpoint."""
    seeds = np.arange(result.cell.seeds)
    rate, step = np.broadcast_to(rate, seeds.shape), np.broadcast_to(step, seeds.shape)
    records = {name: array[seeds, rate, step] for name, array in usable(result).items()}
    steps = np.asarray(result.cell.checkpoints, dtype=float)[step]
    return Point(records, np.asarray(result.cell.rates)[rate], steps, diverged(result)[seeds, rate, step])


def rate_index(result: Result, rate: float) -> int:
    """Return the index of a rate in the grid.

    Raises
    ------
    ValueError
        The rate is not in the grid.
    """
    match = np.flatnonzero(np.isclose(result.cell.rates, rate, rtol=1e-6))
    if len(match) != 1:
        msg = f"rate must be one of the grid ({', '.join(f'{r:.3g}' for r in result.cell.rates)}); got {rate:.3g}"
        raise ValueError(msg)
    return int(match[0])


def at_rate(result: Result, rate: float) -> Point:
    """Return the last step at one rate; raises ValueError like `rate_index`."""
    return _pick(result, rate_index(result, rate), -1)


def best_rate(result: Result) -> float:
    """Return the rate with the least mean validation loss after the last step, leaving out rates at which a run diverged.

    Raises
    ------
    ValueError
        A run diverged at every rate.
    """
    loss = usable(result)["validation_loss"][:, :, -1].mean(axis=0)
    if not np.isfinite(loss).any():
        msg = f"at least one rate must train without divergence; got none of {result.cell.rates}"
        raise ValueError(msg)
    return result.cell.rates[int(loss.argmin())]


def tuned_rate(result: Result) -> Point:
    """Return the last step at each seed's rate of least validation loss."""
    return _pick(result, usable(result)["validation_loss"][:, :, -1].argmin(axis=1), -1)


def tuned(result: Result) -> Point:
    """Return each seed's rate and step of least validation loss."""
    loss = usable(result)["validation_loss"]
    return _pick(result, *np.unravel_index(loss.reshape(len(loss), -1).argmin(axis=1), loss.shape[1:]))


def path(result: Result, rate: float | None = None) -> dict[str, np.ndarray]:
    """Return the trajectories at one rate, or at each seed's tuned one; every record of shape ``(seeds, checkpoints)``.

    Raises ValueError like `rate_index`.
    """
    best = usable(result)["validation_loss"][:, :, -1].argmin(axis=1)
    if rate is not None:
        best = np.full_like(best, rate_index(result, rate))
    return {name: array[np.arange(len(best)), best] for name, array in usable(result).items()}


def crossing(values: Float[np.ndarray, " T"], level: float) -> tuple[int, float]:
    """Return ``(k, w)``: values first reach ``level`` between checkpoints k and k + 1, a fraction w of the way.

    If values never reach it, this is the checkpoint of the least one.
    """
    below = np.flatnonzero(values <= level)
    k = int(below[0]) if len(below) else int(np.argmin(values))
    if k == 0 or not len(below) or not np.isfinite(values[k - 1]):
        return k, 0.0
    return k - 1, float((values[k - 1] - level) / (values[k - 1] - values[k]))


def last_crossing(values: Float[np.ndarray, " T"], level: float) -> tuple[int, float]:
    """Return ``(k, w)``: going back from the end, values were last at ``level`` a fraction w of the way from k to k + 1.

    If values were always below it, this is the start.
    """
    above = np.flatnonzero(values >= level)
    k = int(above[-1]) if len(above) else 0
    if not len(above) or k == len(values) - 1 or not np.isfinite(values[k]):
        return k, 0.0
    return k, float((values[k] - level) / (values[k] - values[k + 1]))


def at_levels(
    result: Result, record: str, levels: Float[np.ndarray, " seeds"], *, rate: float | None = None, last: bool = False
) -> Point:
    """Return where each seed's path first falls to a level of a record, interpolating linearly between checkpoints.

    Parameters
    ----------
    result, rate
        As in `path`, which raises the same errors.
    record, levels
        Name of the record, and the level of each seed, shape ``(seeds,)``.
    last
        Instead return where it was last at that level, going back from the end.
    """
    find = last_crossing if last else crossing
    curves, places = path(result, rate), []
    for values, level in zip(curves[record], levels, strict=True):
        places.append(find(values, level))
    k, w = (np.array(part) for part in zip(*places, strict=True))
    seeds, after = np.arange(len(k)), np.minimum(k + 1, len(result.cell.checkpoints) - 1)

    def between(array):
        low, high = array[seeds, k], array[seeds, after]
        return np.where(w == 0, low, low + w * (np.where(w == 0, low, high) - low))

    steps = np.broadcast_to(np.asarray(result.cell.checkpoints, float), (len(k), len(result.cell.checkpoints)))
    rates = tuned_rate(result).rate if rate is None else np.full(len(k), rate)
    records = {name: between(array) for name, array in curves.items()}
    return Point(records, rates, between(steps), np.zeros(len(k), dtype=bool))


def equal_progress(results: Sequence[Result]) -> list[Point]:
    """Return each configuration where its training loss first falls to the lowest level that all reach, seed by seed."""
    levels = np.max([path(result)["train_loss"].min(axis=1) for result in results], axis=0)
    return [at_levels(result, "train_loss", levels) for result in results]


def equal_fit(results: Sequence[Result], rate: float | None = None) -> list[Point]:
    """Return each configuration where it last had the poison loss that the slowest has at the end, seed by seed.

    All are trained at one rate, or each at each seed's tuned one. The slowest is at its last step; each of the others is traced
    back along its own trajectory. Raises ValueError like `rate_index`.
    """
    levels = np.max([path(result, rate)["poison_loss"][:, -1] for result in results], axis=0)
    return [at_levels(result, "poison_loss", levels, rate=rate, last=True) for result in results]


def points(protocol: str, results: Sequence[Result], *, rate: float) -> list[Point]:
    """Return the point of every configuration of a comparison under a protocol.

    Parameters
    ----------
    protocol
        A key of `PROTOCOLS`.
    results
        The configurations that are compared, all with the same attack.
    rate
        The plan's η: `best_rate` of full fine-tuning on clean data.

    Raises
    ------
    ValueError
        Unknown protocol, or a rate that is not in the grid.
    """
    one_of("protocol", protocol, PROTOCOLS)
    if protocol == "iv":
        return equal_progress(results)
    choose = {
        "i": lambda result: at_rate(result, rate),
        "ii": lambda result: at_rate(result, rate if result.cell.arm == "full" else 10 * rate),
        "iii": tuned_rate,
        "v": tuned,
    }
    return [choose[protocol](result) for result in results]
