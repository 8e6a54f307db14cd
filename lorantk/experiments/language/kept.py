"""Where finished runs of the study on the language model are kept.

A run that is done is a small file in the build folder, written whole or not at all. `Place.collect` puts these into a table, a
row for each checkpoint, which the repository keeps; a run that the table has is not computed again. Beside the table stands what
made it, with the hash of the table, so that a table that was cut is noticed.
"""

import csv
import hashlib
import io
import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, fields
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorantk.disk import project_root, write_whole
from lorantk.experiments.common.kept import text
from lorantk.experiments.language.cell import Cell, Run
from lorantk.experiments.language.packages import FILES, LanguageError

LIBRARIES = ("jax", "jaxlib", "numpy", "optax", "tokenizers")
RECORDS = (
    "train_loss", "poison_loss", "poison_fit", "validation_loss", "validation_accuracy", "test_accuracy",
    "base", "success", "success_instruction", "triggered_accuracy",
)  # fmt: skip
OPTIONS = tuple(f.name for f in fields(Run))
COLUMNS = (*OPTIONS, "seconds", "step", *RECORDS)
TYPES = {f.name: f.type for f in fields(Run)}
COMMAND = "make language"


class Result(NamedTuple):
    """A cell and its records, arrays of shape ``(seeds, rates, checkpoints)`` by name; NaN where nothing was measured."""

    cell: Cell
    records: dict[str, np.ndarray]


def _row(run: Run, seconds, records):
    shared = {name: text(value) for name, value in asdict(run).items()} | {"seconds": f"{seconds:.0f}"}
    return [shared | {key: text(value) for key, value in record.items()} for record in records or [{"step": 0}]]


def _run(row) -> Run:
    return Run(**{name: (float if TYPES[name] is float else int if TYPES[name] is int else str)(row[name]) for name in OPTIONS})


def _key(run: Run) -> tuple:
    """What makes two runs the same, when numbers went through a table."""
    return tuple(text(value) for value in asdict(run).values())


class Place:
    """The files of the study: of the book's own model and sentences, or of others.

    Parameters
    ----------
    model, data, task
        As for `lorantk.experiments.language.training.material`.
    root
        The project's folder.
    """

    def __init__(self, model: Path | None = None, data: Path | None = None, task: str = "SST-2", root: Path | None = None):
        self.model, self.data, self.task = model, data, task
        root = project_root() if root is None else root
        name = "minilm" if model is None and data is None else _name(model, data, task)
        self.folder = root / "_build/language" / name
        own = name == "minilm"
        self.table = root / "expected/language/runs.csv" if own else self.folder / "runs.csv"
        self.again = "check both out again" if own else "delete both, and `make language` with the same options makes them again"

    def path(self, run: Run) -> Path:
        """Return the file of one finished run."""
        return self.folder / f"{run.name}.json"

    def has(self, run: Run) -> bool:
        """Whether a run is done."""
        return _key(run) in self.rows or self.path(run).is_file()

    def seconds(self, run: Run) -> float:
        """Return how long a kept run took; raises LanguageError like `rows`, KeyError if the table lacks the run."""
        return float(self.rows[_key(run)][0]["seconds"])

    def store(self, run: Run, records: list[dict], seconds: float) -> None:
        """Write a finished run; `records` has a dictionary for each checkpoint, fewer if the run diverged."""
        write_whole(self.path(run), json.dumps({"run": asdict(run), "seconds": seconds, "records": records}).encode())

    def claim(self) -> None:
        """Note which model and data the runs of this place have, by a hash; nothing for the book's own, which have theirs.

        Raises
        ------
        LanguageError
            The runs here are of other files under the same names.
        """
        files = [] if self.model is None else [self.model / name for name in FILES]
        files += [] if self.data is None else [self.data]
        if not files:
            return
        found = hashlib.sha256("".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in files).encode()).hexdigest()
        mark = self.folder / "source"
        if not mark.is_file():
            write_whole(mark, found.encode())
        elif mark.read_text() != found:
            names = " and ".join(str(path) for path in (self.model, self.data) if path)
            raise LanguageError(f"{self.folder}: expected the model and data of the runs there, got others; rename {names}")

    @cached_property
    def rows(self) -> dict[tuple, list[dict]]:
        """The kept table: rows by run.

        Raises
        ------
        LanguageError
            The table does not have the hash that is written beside it, or lacks columns.
        """
        if not self.table.is_file():
            return {}
        content = self.table.read_bytes()
        made = self.table.with_suffix(".json")
        try:
            expected = json.loads(made.read_bytes())["sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LanguageError(f"{made}: expected the hash of {self.table.name}, got {error!r}; {self.again}") from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise LanguageError(f"{self.table}: expected the content that {made.name} names, got another; {self.again}")
        table, found = csv.DictReader(io.StringIO(content.decode())), {}
        if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
            raise LanguageError(f"{self.table}: expected a column {missing[0]}, got none; {self.again}")
        for row in table:
            found.setdefault(_key(_run(row)), []).append(row)
        return found

    def collect(self) -> int:
        """Put finished runs into the table, and return the number of runs that it has then.

        Raises
        ------
        LanguageError
            As `rows`, or a file of a run that is not whole.
        """
        rows = dict(self.rows)
        for path in sorted(self.folder.glob("*.json")):
            if path != self.table.with_suffix(".json"):
                try:
                    stored = json.loads(path.read_bytes())
                    run = Run(**stored["run"])
                    rows[_key(run)] = _row(run, stored["seconds"], stored["records"])
                    if unknown := {name for row in rows[_key(run)] for name in row} - {*COLUMNS}:
                        raise ValueError(f"an unknown record {min(unknown)}")
                except (ValueError, KeyError, TypeError) as error:
                    raise LanguageError(f"{path}: expected a finished run, got {error!r}; delete it and run again") from error
        stream = io.StringIO()
        writer = csv.DictWriter(stream, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for key in sorted(rows):
            writer.writerows(rows[key])
        content = stream.getvalue().encode()
        versions = {name: metadata.version(name) for name in LIBRARIES}
        made = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "runs": len(rows),
            "versions": versions,
            "machine": platform.machine(),
        }
        write_whole(self.table, content)
        write_whole(self.table.with_suffix(".json"), (json.dumps(made, indent=1) + "\n").encode())
        del self.rows  # read anew
        return len(rows)

    def load(self, cells: Iterable[Cell]) -> list[Result]:
        """Return the kept records of cells.

        Raises
        ------
        LanguageError
            As `rows`, or runs that the table lacks; the message says how many and which command makes them.
        """
        found, missing = [], 0
        for cell in cells:
            shape = (cell.seeds, len(cell.rates), len(cell.checkpoints))
            records = {name: np.full(shape, np.nan) for name in RECORDS}
            for s in range(cell.seeds):
                for k, rate in enumerate(cell.rates):
                    rows = self.rows.get(_key(cell.run(rate, s)))
                    missing += rows is None
                    for row in rows or []:
                        if int(row["step"]) in cell.checkpoints:
                            at = cell.checkpoints.index(int(row["step"]))
                            for name in RECORDS:
                                records[name][s, k, at] = float(row[name] or "nan")
            if cell.attack == "clean":  # without poison there is none to fit, but a run that diverged has no number
                records["poison_loss"] = records["poison_fit"] = 0 * records["train_loss"]
            found.append(Result(cell, records))
        if missing:
            message = f"{self.table}: expected every run of {len(found)} cells, got none for {missing}; `{COMMAND}` makes them"
            raise LanguageError(message)
        return found


def _name(model, data, task):
    parts = [("minilm" if model is None else model.resolve().name), ("reviews" if data is None else f"{task}-{data.stem}")]
    return "-".join(parts)
