"""Training with A frozen beside its linearisation: what both do to drop and lift, as tables with one number per seed.

    python -m lorantk.experiments.common.sweep trade-off --profile kept
    python -m lorantk.experiments.common.sweep frozen-grid --profile kept
    python -m lorantk.experiments.digits.frozen

make the kept tables again. Every build runs a slice of both sweeps and holds it to what is kept.
"""

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from lorantk.disk import in_words, write_whole
from lorantk.experiments.common import kept, protocols, results
from lorantk.experiments.common.effects import LEAST_ACCURACY
from lorantk.experiments.common.findings import select
from lorantk.experiments.common.results import Result, ResultError
from lorantk.experiments.digits.cell import MODELS
from lorantk.experiments.digits.sweeps import OPTIMISERS

# What a configuration is, one learning rate of it.
PLACE = ("regime", "optimiser", "model", "arm", "match", "rank", "scale", "variance", "rate")
# What all seeds did, at the last step: runs that diverged, and the mean test accuracy of the clean runs.
WHOLE = ("diverged", "accuracy")
# In points; the final training loss on clean data in hundredths of a nat.
QUANTITIES = ("drop", "lift", "loss", "drop at equal fit")
CONFIGURATION = ("regime", "optimiser", "rank", "scale", "variance", "rate")
NAMES = (*PLACE, *WHOLE, "quantity")
SWEEPS = {"trade-off": "trade_off.csv", "frozen-grid": "frozen_grid.csv"}
# Arms, by `arm` and `match`: from full fine-tuning to LoRA, one change after the other.
STEPS = (("full", ""), ("full", "slowed"), ("lora-fa", ""), ("lora", ""))


def kept_path(sweep: str) -> Path:
    """Return the file with the kept table of a sweep."""
    return Path(__file__).with_name(SWEEPS[sweep])


def _row(cell, rate, whole, quantity, values):
    place = {name: getattr(cell, name) for name in PLACE[:-1]} | {"rate": rate}
    return place | dict(zip(WHOLE, whole, strict=True)) | {"quantity": quantity} | dict(enumerate(100 * np.asarray(values)))


def _whole(before, *others):
    """What all seeds did: `WHOLE`, from the points of the clean runs and of the others."""
    return sum(point.diverged.sum() for point in (before, *others)), before.records["test_accuracy"].mean()


def last_step(found: Sequence[Result]) -> pd.DataFrame:
    """Return drop, lift and loss after the last step of every configuration that has clean, flipped and patched results.

    Returns
    -------
    DataFrame
        The columns `PLACE`, `WHOLE`, ``quantity`` (one of `QUANTITIES`) and one for each seed, ``0 …``.
    """
    configurations, rows = {}, []
    for result in found:
        place = tuple(getattr(result.cell, name) for name in PLACE[:-1])
        configurations.setdefault(place, {})[result.cell.attack] = result
    for trained in configurations.values():
        if {"clean", "flips", "patch"} <= set(trained):
            for rate in trained["clean"].cell.rates:
                clean, flips, patch = (protocols.at_rate(trained[attack], rate) for attack in ("clean", "flips", "patch"))
                place = trained["clean"].cell, rate, _whole(clean, flips, patch)
                rows.append(_row(*place, "drop", clean.records["test_accuracy"] - flips.records["test_accuracy"]))
                rows.append(_row(*place, "lift", patch.records["success"] - clean.records["success"]))
                rows.append(_row(*place, "loss", clean.records["train_loss"]))
    return pd.DataFrame(rows, columns=None if rows else NAMES)


def equal_fit(found: Sequence[Result]) -> pd.DataFrame:
    """Return the accuracy that each of the arms `STEPS` has lost where it last had the poison loss of the slowest at its end.

    The arms are those at the usual rank and scale when data are memorised; each model is compared by itself, under each
    optimiser. Columns as in `last_step`.
    """
    rows = []
    for optimiser, model in product(OPTIMISERS, MODELS):
        usual = select(found, model=model, regime="memorising", optimiser=optimiser, rank=8, scale=2.0)
        arms = [{r.cell.attack: r for r in select(usual, arm=arm, match=match)} for arm, match in STEPS]
        arms = [arm for arm in arms if arm]
        for rate in arms[0]["flips"].cell.rates if arms else ():
            with np.errstate(invalid="ignore"):  # where a run diverged, which `WHOLE` counts
                fits = protocols.equal_fit([arm["flips"] for arm in arms], rate)
            for arm, fit in zip(arms, fits, strict=True):
                clean, end = (protocols.at_rate(arm[attack], rate) for attack in ("clean", "flips"))
                lost = clean.records["test_accuracy"] - fit.records["test_accuracy"]
                rows.append(_row(arm["flips"].cell, rate, _whole(clean, end), "drop at equal fit", lost))
    return pd.DataFrame(rows)


def table(sweep: str, found: Sequence[Result]) -> pd.DataFrame:
    """Return the table of a sweep: `last_step`, and for the trade-off `equal_fit` instead of the loss."""
    last = last_step(found)
    if sweep == "trade-off":
        return pd.concat([last[last["quantity"] != "loss"], equal_fit(found)], ignore_index=True)
    return last


def usable(found: pd.DataFrame, *, diverged: int = 0) -> pd.Series:
    """Return which rows count: at most so many diverged runs, and clean accuracy of at least `LEAST_ACCURACY`."""
    return (found["diverged"] <= diverged) & (found["accuracy"] >= LEAST_ACCURACY)


def values(found: pd.DataFrame, **place) -> np.ndarray:
    """Return the numbers of one row by seed, such as ``values(found, arm="full", rate=0.1, quantity="drop")``.

    Raises
    ------
    ValueError
        No row, or more than one, has these entries; rates count as equal to a millionth.
    """
    chosen = np.ones(len(found), dtype=bool)
    for name, entry in place.items():
        column = found[name]
        chosen &= np.isclose(column, entry, rtol=1e-6) if isinstance(entry, float) else (column == entry).to_numpy()
    if chosen.sum() != 1:
        msg = f"expected entries that one row has; got {chosen.sum()} rows with {place}"
        raise ValueError(msg)
    return found.loc[chosen, seeds(found)].to_numpy(float)[0]


def gap(found: pd.DataFrame, quantity: str, rank: int, rate: float, *, arm: str = "lora-fa", **where) -> np.ndarray:
    """Return LoRA at c = 1 minus full fine-tuning by seed, in points.

    Parameters
    ----------
    found
        The table of the trade-off, of one optimiser.
    quantity
        ``"drop"`` or ``"lift"``.
    rank, rate, arm
        LoRA's rank and arm, and the learning rate of both.
    where
        Other columns; the regime is ``"memorising"`` and the model ``"network"`` if they are not given.

    Raises ValueError like `values`.
    """
    place = {"regime": "memorising", "model": "network"} | where | {"quantity": quantity, "rate": rate}
    lora = values(found, arm=arm, match="scale", rank=rank, **place)
    return lora - values(found, arm="full", match="", **place)


def by_configuration(found: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return one quantity with a row for each `CONFIGURATION`, numbers to four digits, and a column for each seed.

    Raises
    ------
    ValueError
        Two rows of the quantity have the same configuration: choose a model and an arm first.
    """
    rows = found[found["quantity"] == quantity]
    places = [
        tuple(float(f"{e:.4g}") if isinstance(e, float) else e for e in row) for row in rows[list(CONFIGURATION)].to_numpy()
    ]
    table = rows[seeds(rows)].set_axis(pd.MultiIndex.from_tuples(places, names=CONFIGURATION))
    if not table.index.is_unique:
        msg = f"expected each configuration once; got {table.index[table.index.duplicated()][0]} again"
        raise ValueError(msg)
    return table


def seeds(found: pd.DataFrame) -> list[int]:
    """Return the columns of a table that are seeds."""
    return [name for name in found.columns if isinstance(name, int)]


def write(where: Path, found: pd.DataFrame) -> None:
    """Write a table: points to two digits, everything else to six."""
    text = found.copy()
    text[seeds(found)] = text[seeds(found)].round(2).astype(str)
    write_whole(where, text.to_csv(index=False, lineterminator="\n", float_format="%.6g").encode())


def read(sweep: str) -> pd.DataFrame:
    """Read a kept table.

    Raises
    ------
    ValueError
        The table lacks columns or numbers.
    """
    where = kept_path(sweep)
    found = pd.read_csv(where, keep_default_na=False)
    found = found.rename(columns={name: int(name) for name in found.columns if name.isdigit()})
    numbers = found[seeds(found)]
    whole = len(numbers) and all(map(pd.api.types.is_numeric_dtype, numbers.dtypes)) and numbers.notna().all(axis=None)
    if tuple(found.columns[: len(NAMES)]) != NAMES or not whole:
        msg = f"{where}: expected {', '.join(NAMES)} and numbers of seeds; `python -m lorantk.experiments.digits.frozen` makes it"
        raise ValueError(msg)
    return found


def distances(again: pd.DataFrame, held: pd.DataFrame) -> np.ndarray:
    """Return how far each number of a slice, which has the first seeds, lies from the one that is kept, in points.

    Raises ValueError like `lorantk.experiments.common.kept.distances`.
    """
    keys = [*PLACE, "quantity"]
    return kept.distances(again[keys + seeds(again)], held, keys).to_numpy(float)


@in_words("lorantk.experiments.digits.frozen")
def main(arguments: list[str] | None = None) -> int:
    """Write the tables from results that are there; return 0, or 1 if some are missing."""
    for sweep in SWEEPS:
        try:
            found = table(sweep, results.load(sweep, "kept"))
        except ResultError as error:
            sys.stderr.write(f"lorantk.experiments.digits.frozen: {error}\n")
            return 1
        write(kept_path(sweep), found)
        sys.stdout.write(f"{SWEEPS[sweep]}: {len(found)} rows of {len(seeds(found))} seeds\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
