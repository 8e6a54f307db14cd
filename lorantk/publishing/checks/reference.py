"""Compare the data behind every figure with a reference in the repository, on any machine and with any number of threads.

    python -m lorantk.publishing.checks.reference check     # does the build in _build agree?
    python -m lorantk.publishing.checks.reference renew     # take its data as the reference where they do not

The reference is the folder `expected/`: `figures/<id>.csv` holds the data with nine digits, and `tolerances.toml` says for each
figure how far a number may lie from it. A number agrees if ``|value - reference| <= absolute + relative * |reference|``.
Everything else, including NaN, infinities and words, must be equal, unless the absolute tolerance is `inf`.
"""

import argparse
import csv
import math
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from lorantk.disk import in_words, write_whole
from lorantk.publishing.errors import PublishingError, RecordError
from lorantk.publishing.json_files import FIGURES_FILE, read_list
from lorantk.publishing.notebook.figures import csv_bytes

FOLDER = Path("expected")
DIGITS = 9
KEYS = {"relative", "absolute", "reason"}


class Tolerance(NamedTuple):
    """How far a number may lie from its reference."""

    relative: float
    absolute: float


class Agreement(NamedTuple):
    """How many numbers of a figure were compared, and the column, size and place of the largest share of a tolerance."""

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
    """A table with its numbers rounded to `DIGITS` digits; whole numbers and words are unchanged."""

    def short(cell):
        value = number(cell)
        return cell if value is None or cell.lstrip("-").isdigit() else f"{value:.{DIGITS}g}"

    return {name: [short(cell) for cell in column] for name, column in table.items()}


class Tolerances:
    """The tolerance of each column of each figure, from a file such as `expected/tolerances.toml`.

    Raises
    ------
    RecordError
        If an entry lacks a reason or has an unknown key.
    """

    def __init__(self, path):
        content = tomllib.loads(path.read_text())
        self.default, self.figures = content["default"], content.get("figures", {})
        for name, entry in self.entries():
            numbers = [value for key, value in entry.items() if key != "reason"]
            if not (numbers and set(entry) <= KEYS and str(entry.get("reason", "")).strip() and all(x >= 0 for x in numbers)):
                raise RecordError(f"expected relative or absolute, and a reason, for {name} in {path}, got {entry}")

    def entries(self):
        """Name and settings of each tolerance: the default, then each figure and its columns."""
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
        """Tolerances for figures or columns that the reference does not have, in words."""
        for name, entry in self.figures.items():
            if name not in tables:
                yield f"{name}: a tolerance, and no such figure"
                continue
            for column in entry.get("columns", {}):
                if column not in tables[name]:
                    yield f"{name}: a tolerance for column {column!r}, and no such column"


def share(value, reference, tolerance):
    """The share of the tolerance that a difference uses: at most 1 if the cells agree."""
    one, other = number(value), number(reference)
    if one is None or other is None or not (math.isfinite(one) and math.isfinite(other)):
        return 0.0 if value == reference or tolerance.absolute == math.inf else math.inf
    difference, allowed = abs(one - other), tolerance.absolute + tolerance.relative * abs(other)
    return 0.0 if difference == 0 else difference / allowed if allowed else math.inf


def agreement(name, table, reference, tolerances):
    """Compare the data of one figure with its reference.

    Returns
    -------
    Agreement
        Its `share` is at most 1 if all numbers agree.

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
    """The data of the figures of every executed notebook, published or not: a dict from id to path."""
    return {path.stem: path for path in sorted((build / "executed/records").glob("*/figures/*.csv"))}


def check(data, folder=FOLDER, whole=True):
    """Compare the data of figures with the reference.

    Parameters
    ----------
    data : dict of str to Path
        CSV files by id.
    folder : Path
        The reference.
    whole : bool
        Whether these are all figures of the book, in which case each reference must have its figure.

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


def changes(before, after):
    """What is different between two dicts.

    Returns
    -------
    dict of str to list of str
        Names under `"new"`, `"changed"` and `"removed"`, sorted.
    """
    return {
        "new": sorted(after.keys() - before.keys()),
        "changed": sorted(name for name in after.keys() & before.keys() if before[name] != after[name]),
        "removed": sorted(before.keys() - after.keys()),
    }


def renew(build, folder=FOLDER):
    """Take the data of a build as the reference of each figure that does not agree with its reference.

    A figure that agrees keeps its reference, so that another processor changes nothing. Returns the names of new, changed and
    removed figures.
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
    return changes(old, new)


@in_words("lorantk.publishing.checks.reference")
def main(arguments=None):
    """Run from the command line; 0 if the data agree, 1 if they do not, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.checks.reference", description=__doc__.splitlines()[0])
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
        print(f"lorantk.publishing.checks.reference: {error}", file=sys.stderr)
        return 1
    for fault in faults:
        print(f"DIFFERS {fault}")
    numbers = sum(one.numbers for one in found.values())
    print(f"{len(found)} figures with {numbers} entries compared with {options.reference}, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
