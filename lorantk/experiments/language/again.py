"""A slice of the study on the language model that every build runs again, and how far it lies from what is kept.

Two runs, each up to its first checkpoint. There other machines agree most closely: with two threads instead of one, and with the
instructions of processors without AVX, losses of whole runs moved by at most 3e-4 of their value, and no sentence changed class.
"""

from dataclasses import replace

import numpy as np

from lorantk.experiments.language.cell import Cell
from lorantk.experiments.language.kept import RECORDS, Place
from lorantk.experiments.language.study import arms

SLICE = {("one epoch", "token", "full"): 1e-4, ("memorising", "flips", "lora"): 1e-3}  # rates
# That a repeat must meet: of losses relative, of shares absolute, which are five of a thousand test sentences.
TOLERANCE = {"loss": 1e-3, "share": 0.005}


def cells() -> list[Cell]:
    """Return the cells of the slice, each with one seed at one rate."""
    whole = {(cell.regime, cell.attack, cell.arm): cell for cell in arms()}
    return [replace(whole[where], seeds=1, rates=(rate,)) for where, rate in SLICE.items()]


def distances(cell: Cell, records: dict[str, float], place: Place) -> dict[str, float]:
    """Return how far the records of a cell's only run at its first checkpoint lie from those that are kept.

    Parameters
    ----------
    cell
        One of `cells`.
    records
        The first of what `lorantk.experiments.language.training.train` returns.
    place
        Where the table is.

    Returns
    -------
    dict
        ``"loss"``, the largest difference of a loss, relative to the kept one; ``"share"``, the largest difference of the other
        records, which are shares of sentences. A record that only one side has is infinitely far.

    Raises
    ------
    LanguageError
        The table lacks the run.
    """
    [kept] = place.load([cell])
    found = {"loss": 0.0, "share": 0.0}
    for name in RECORDS:
        before, now = float(kept.records[name][0, 0, 0]), records.get(name, np.nan)
        if np.isnan([before, now]).all():
            continue
        kind = "loss" if name.endswith("loss") else "share"
        gap = abs(now - before) / (before if kind == "loss" else 1)
        found[kind] = max(found[kind], np.inf if np.isnan(gap) else gap)
    return found
