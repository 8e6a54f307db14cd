"""Results that are kept as tables in the repository, because making them takes minutes or hours.

A *study* is a module of `lorantk.experiments` with ``COLUMNS``; ``parts()``, the arguments of its parts; and ``rows_of(*part)``,
which returns rows as dictionaries. Its table lies beside the module, by the same name.

    python -m lorantk.experiments.common.kept disputes.lifespan

makes the table of `lorantk.experiments.disputes.lifespan` again, part by part, and goes on where it was interrupted. A chapter
makes a slice of the table again and holds it to what is kept (`distances`).
"""

import argparse
import csv
import hashlib
import importlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from lorantk.disk import in_words, project_root, write_whole
from lorantk.experiments.common.results import ResultError
from lorantk.fingerprint import code_hash

ROOMS = "lorantk.experiments"


def study(name: str) -> ModuleType:
    """Return the module of a study such as ``"disputes.lifespan"``.

    Raises
    ------
    ValueError
        There is no such module, or it is not a study.
    """
    try:
        module = importlib.import_module(f"{ROOMS}.{name}")
    except ModuleNotFoundError:
        module = None
    if not all(hasattr(module, part) for part in ("COLUMNS", "parts", "rows_of")):
        msg = f"expected a module of {ROOMS} with COLUMNS, parts and rows_of, such as disputes.lifespan; got {name}"
        raise ValueError(msg)
    return module


def path(name: str) -> Path:
    """Return the file of a study's table."""
    return Path(study(name).__file__).with_suffix(".csv")


def text(value: float | str) -> str:
    """Return an entry of a table as text, numbers to six significant digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def write(where: Path, columns: Sequence[str], rows: Iterable[dict]) -> int:
    """Write rows as a table, whole or not at all; return how many."""
    stream = io.StringIO()
    table = csv.DictWriter(stream, columns, lineterminator="\n")
    table.writeheader()
    count = 0
    for row in rows:
        table.writerow({name: text(value) for name, value in row.items()})
        count += 1
    write_whole(where, stream.getvalue().encode())
    return count


def read(name: str, where: Path | None = None):
    """Read a study's table.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        The table lacks columns or rows, or an entry is missing.
    """
    import pandas as pd  # not at the top: the build graph, which only asks what is kept, starts faster without

    columns, where = study(name).COLUMNS, path(name) if where is None else where
    command = f"`python -m lorantk.experiments.common.kept {name}` makes it"
    try:
        table = pd.read_csv(where)
    except (OSError, ValueError) as error:
        msg = f"{where}: expected a table, got {str(error).strip()}; {command}"
        raise ValueError(msg) from error
    if tuple(table.columns) != columns or not len(table):
        expected, got = (", ".join(names)[:200] for names in (columns, table.columns))
        msg = f"{where}: expected rows of {expected}; got {len(table)} of {got}; {command}"
        raise ValueError(msg)
    if len(missing := table.index[table.isna().any(axis=1)]):
        msg = f"{where}, line {missing[0] + 2}: expected an entry for every column; {command}"
        raise ValueError(msg)
    return table


def part_path(name: str, part: tuple, root: Path | None = None) -> Path:
    """Return where a finished part is put, by a hash of its configuration and of the computing code."""
    root = project_root() if root is None else root
    file = hashlib.sha256(f"{part} {code_hash(f'{ROOMS}.{name}')}".encode()).hexdigest()[:16]
    return root / "_build/kept" / name / f"{file}.json"


def make(name: str, root: Path | None = None) -> Iterator[dict]:
    """Yield all rows of a study; parts that were finished before are not computed again."""
    module = study(name)
    for part in module.parts():
        where = part_path(name, part, root)
        if not where.is_file():
            write_whole(where, json.dumps(module.rows_of(*part)).encode())
        yield from json.loads(where.read_bytes())


def distances(again, kept, keys: Sequence[str]):
    """Return how far every number of a slice that was made again lies from the one that is kept.

    Parameters
    ----------
    again : DataFrame
        Rows of the slice, with all or some of the columns that are kept.
    kept : DataFrame
        The table that `read` returns.
    keys
        Columns that name a row. Every other column of `again` is compared.

    Returns
    -------
    DataFrame

    Raises
    ------
    ValueError
        A row of the slice is not kept, or is kept more than once.
    """
    found, known = (table.assign(**{k: [text(v) for v in table[k]] for k in keys}).set_index([*keys]) for table in (again, kept))
    for row in found.index:
        if (count := (known.index == row).sum()) != 1:
            msg = f"expected {' / '.join(row)} to be kept once; got it {count} times"
            raise ValueError(msg)
    return (found - known.loc[found.index, found.columns]).abs()


@in_words("lorantk.experiments.common.kept")
def main(arguments: list[str] | None = None) -> int:
    """Make the tables of the named studies again; return 0, or 1 if what they read is missing."""
    parser = argparse.ArgumentParser(prog="lorantk.experiments.common.kept", description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", metavar="STUDY", help="a module of lorantk.experiments, such as disputes.lifespan")
    for name in parser.parse_args(arguments).studies:
        try:
            count = write(path(name), study(name).COLUMNS, make(name))
        except (ResultError, ValueError) as error:
            sys.stderr.write(f"lorantk.experiments.common.kept: {error}\n")
            return 1
        sys.stdout.write(f"{name}: {count} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
