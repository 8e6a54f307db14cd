"""The runs of this room are kept as tables beside the code, because together they take minutes.

    python -m lorantk.experiments.disputes.kept lifespan

makes one of them again, part by part, and goes on where it was interrupted. The chapter runs a slice and holds it to the table.
"""

import argparse
import csv
import hashlib
import importlib
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from lorantk.disk import in_words, project_root, write_whole
from lorantk.fingerprint import code_hash

STUDIES = ("lifespan", "fingerprints", "variants", "memory")


def _module(study):
    return importlib.import_module(f"lorantk.experiments.disputes.{study}")


def path(study: str) -> Path:
    """Return the file of a study's table."""
    return Path(__file__).with_name(f"{study}.csv")


def write(where: Path, columns: tuple[str, ...], rows: Iterable[dict]) -> int:
    """Write rows as a table, whole or not at all, numbers to six digits; return how many."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(columns)
    count = 0
    for row in rows:
        table.writerow([f"{row[name]:.6g}" if isinstance(row[name], float) else row[name] for name in columns])
        count += 1
    write_whole(where, stream.getvalue().encode())
    return count


def read(study: str, where: Path | None = None) -> pd.DataFrame:
    """Read a study's table.

    Raises
    ------
    ValueError
        The table lacks columns or rows, or an entry is missing.
    """
    where = path(study) if where is None else where
    columns = _module(study).COLUMNS
    table = pd.read_csv(where)
    if tuple(table.columns) != columns or not len(table) or table.isna().to_numpy().any():
        msg = f"{where}: expected rows of {', '.join(columns)}; `python -m lorantk.experiments.disputes.kept {study}` makes them"
        raise ValueError(msg)
    return table


def part_path(study: str, part: tuple, root: Path | None = None) -> Path:
    """Return where a finished part is put, by a hash of its configuration and of the computing code."""
    root = project_root() if root is None else root
    name = hashlib.sha256(f"{part} {code_hash(f'lorantk.experiments.disputes.{study}')}".encode()).hexdigest()[:16]
    return root / "_build/disputes" / study / f"{name}.json"


def make(study: str, root: Path | None = None) -> Iterator[dict]:
    """Yield all rows of a study; parts that were finished before are not computed again."""
    module = _module(study)
    for part in module.parts():
        where = part_path(study, part, root)
        if not where.is_file():
            write_whole(where, json.dumps(module.rows_of(*part)).encode())
        yield from json.loads(where.read_bytes())


@in_words("lorantk.experiments.disputes.kept")
def main(arguments: list[str] | None = None) -> int:
    """Make the tables of the named studies again; return 0."""
    parser = argparse.ArgumentParser(prog="lorantk.experiments.disputes.kept", description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", choices=STUDIES)
    for study in parser.parse_args(arguments).studies:
        module = _module(study)
        sys.stdout.write(f"{study}: {write(path(study), module.COLUMNS, make(study))} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
