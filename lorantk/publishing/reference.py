"""The data behind every figure, held to a committed reference that other machines and thread counts must meet.

    python -m lorantk.publishing.reference check     # does the build in _build agree?
    python -m lorantk.publishing.reference renew     # take its data as the reference of the figures that do not agree

The reference is the folder `expected/`: `figures/<id>.csv`, the data with nine digits, and `tolerances.toml`, which says for
each figure how far a number may lie from it. A number agrees where ``|value - reference| <= absolute + relative * |reference|``;
everything else, NaN, infinities and words included, must be the same, but where the absolute tolerance is `inf`.
"""

import argparse
import csv
import math
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from lorantk.files import in_words, write_whole
from lorantk.publishing.errors import PublishingError, RecordError
from lorantk.publishing.figures import csv_bytes
from lorantk.publishing.files import FIGURES_FILE, read_list
from lorantk.publishing.release import DATA, changes

FOLDER = DATA.parent
DIGITS = 9
KEYS = {"relative", "absolute", "reason"}


class Tolerance(NamedTuple):
    """How far a number may lie from its reference."""

    relative: float
    absolute: float


class Agreement(NamedTuple):
    """How many numbers of a figure were compared; the column that uses most of its tolerance, how much of it, and where."""

    numbers: int
    column: str
    share: float
    place: str


def read_table(path):
    """A CSV file as a dict from column name to a list of strings."""
    with path.open(newline="") as stream:
        head, *rows = csv.reader(stream)
    return {name: [row[i] for row in rows] for i, name in enumerate(head)}


def number(cell):
    """The number that a cell of a CSV file holds, or None."""
    try:
        return float(cell)
    except ValueError:
        return None


def rounded(table):
    """A table with its numbers in `DIGITS` digits; whole numbers and words stay as they are."""

    def short(cell):
        value = number(cell)
        return cell if value is None or cell.lstrip("-").isdigit() else f"{value:.{DIGITS}g}"

    return {name: [short(cell) for cell in column] for name, column in table.items()}


class Tolerances:
    """The tolerance of each column of each figure, from a file such as `expected/tolerances.toml`.

    Raises
    ------
    RecordError
        If an entry lacks a reason, or has a key that means nothing.
    """

    def __init__(self, path):
        content = tomllib.loads(path.read_text())
        self.default, self.figures = content["default"], content.get("figures", {})
        for name, entry in self.entries():
            numbers = [value for key, value in entry.items() if key != "reason"]
            if not (numbers and set(entry) <= KEYS and str(entry.get("reason", "")).strip() and all(x >= 0 for x in numbers)):
                raise RecordError(f"expected relative or absolute, and a reason, for {name} in {path}, got {entry}")

    def entries(self):
        """Name and settings of each tolerance: the default, those of figures, those of their columns."""
        yield "default", self.default
        for name, entry in self.figures.items():
            columns = entry.get("columns", {})
            own = {key: value for key, value in entry.items() if key != "columns"}
            if own or not columns:
                yield name, own
            yield from ((f"{name}, column {column!r}", settings) for column, settings in columns.items())

    def of(self, figure, column):
        """The tolerance of one column: its own, or else its figure's, or else the default."""
        own = self.figures.get(figure, {})
        settings = self.default | own | own.get("columns", {}).get(column, {})
        return Tolerance(settings["relative"], settings["absolute"])

    def unknown(self, tables):
        """Names that no figure or column of the reference has."""
        for name, entry in self.figures.items():
            if name not in tables:
                yield f"{name}: a tolerance, and no such figure"
                continue
            for column in entry.get("columns", {}):
                if column not in tables[name]:
                    yield f"{name}: a tolerance for column {column!r}, and no such column"


def share(value, reference, tolerance):
    """How much of the tolerance a difference uses: at most 1 where the cells agree."""
    one, other = number(value), number(reference)
    if one is None or other is None or not (math.isfinite(one) and math.isfinite(other)):
        return 0.0 if value == reference or tolerance.absolute == math.inf else math.inf
    difference, allowed = abs(one - other), tolerance.absolute + tolerance.relative * abs(other)
    return 0.0 if difference == 0 else difference / allowed if allowed else math.inf


def agreement(name, table, reference, tolerances):
    """Hold the data of one figure to its reference.

    Returns
    -------
    Agreement
        Its `share` is at most 1 where all numbers agree.

    Raises
    ------
    RecordError
        If columns or their lengths differ.
    """
    shape, expected = ({key: len(column) for key, column in t.items()} for t in (table, reference))
    if shape != expected:
        raise RecordError(f"expected columns and lengths {expected}, got {shape}")
    worst = Agreement(0, "", -1.0, "")
    for key, column in table.items():
        tolerance = tolerances.of(name, key)
        for row, (value, wanted) in enumerate(zip(column, reference[key], strict=True), 1):
            used = share(value, wanted, tolerance)
            if used > worst.share:
                worst = Agreement(0, key, used, f"row {row}: {value}, reference {wanted}")
    return worst._replace(numbers=sum(expected.values()))


def published(build):
    """The data of the figures that a build publishes: a dict from id to path."""
    return {figure["id"]: build / "figures" / f"{figure['id']}.csv" for figure in read_list(build / FIGURES_FILE)}


def executed(build):
    """The data of the figures of all notebooks that were executed, published or not: a dict from id to path."""
    return {path.stem: path for path in sorted((build / "executed/records").glob("*/figures/*.csv"))}


def check(data, folder=FOLDER, whole=True):
    """Hold the data of figures to the reference.

    Parameters
    ----------
    data : dict of str to Path
        CSV files by id.
    folder : Path
        The reference.
    whole : bool
        Whether these are all figures of the book, so that each reference must have its figure.

    Returns
    -------
    tuple of dict and list
        `Agreement` by figure, and what is wrong, in words.
    """
    tolerances = Tolerances(folder / "tolerances.toml")
    references = {path.stem: read_table(path) for path in sorted((folder / "figures").glob("*.csv"))}
    found, faults = {}, list(tolerances.unknown(references))
    faults += [f"{name}: a reference, and no such figure" for name in references if whole and name not in data]
    for name, path in data.items():
        if name not in references:
            faults.append(f"{name}: a figure without reference")
            continue
        try:
            found[name] = agreement(name, read_table(path), references[name], tolerances)
        except RecordError as error:
            faults.append(f"{name}: {error}")
            continue
        if found[name].share > 1:
            one = found[name]
            tolerance = tolerances.of(name, one.column)
            faults.append(
                f"{name}, column {one.column!r}, {one.place}: {one.share:.3g} times the tolerance "
                f"(relative {tolerance.relative:g}, absolute {tolerance.absolute:g})"
            )
    return found, faults


def renew(build, folder=FOLDER):
    """Take the data of a build as the reference of each figure that does not agree with its own.

    One that agrees keeps its reference, so that another processor changes none. Returns the names of new, changed and removed
    figures.
    """
    data = published(build)
    found, _ = check(data, folder)
    old = {path.stem: path.read_bytes() for path in (folder / "figures").glob("*.csv")}
    kept = {name for name, one in found.items() if one.share <= 1}
    new = {name: old[name] if name in kept else csv_bytes(rounded(read_table(path))) for name, path in data.items()}
    for name in new.keys() - kept:
        write_whole(folder / "figures" / f"{name}.csv", new[name])
    for name in old.keys() - new.keys():
        (folder / "figures" / f"{name}.csv").unlink()
    return {word: sorted(names) for word, names in changes(old, new).items()}


@in_words("lorantk.publishing.reference")
def main(arguments=None):
    """Run from the command line; 0 where the data agree, 1 where they do not, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.reference", description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("check", "renew"))
    parser.add_argument("--build", type=Path, default=Path("_build"), help="folder that `make book` wrote")
    parser.add_argument("--reference", type=Path, default=FOLDER, help="folder with the reference")
    options = parser.parse_args(arguments)
    try:
        if options.action == "renew":
            for word, names in renew(options.build, options.reference).items():
                print(f"{word}: {', '.join(names) or 'none'}")
            return 0
        found, faults = check(published(options.build), options.reference)
    except (PublishingError, FileNotFoundError) as error:
        print(f"lorantk.publishing.reference: {error}", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"DIFFERS {fault}")
    numbers = sum(one.numbers for one in found.values())
    print(f"{len(found)} figures with {numbers} entries compared with {options.reference}, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
