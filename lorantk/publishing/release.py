"""Releases: which data each figure had, and what changed from one to the next.

    python -m lorantk.publishing.release 0.2.0

writes `book/releases/0.2.0.json`, a dict from the id of each figure to the SHA-256 of its data in the reference `expected/`,
which builds on every machine meet and whose last digits no processor changes. The list is committed with the release; the page
of releases compares each with the one before.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

from lorantk.files import write_whole
from lorantk.publishing.errors import RecordError
from lorantk.publishing.figures import checksum
from lorantk.publishing.files import json_bytes

DATA = Path("expected/figures")
VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def data_hashes(folder):
    """The hash of each figure's data: a dict from id to SHA-256, from a folder of CSV files.

    Raises
    ------
    FileNotFoundError
        If it holds none.
    """
    found = {path.stem: checksum(path.read_bytes()) for path in sorted(folder.glob("*.csv"))}
    if not found:
        raise FileNotFoundError(f"expected the data of figures in {folder}, got no CSV file")
    return found


def changes(before, after):
    """What is different between two dicts, such as those of `data_hashes`.

    Returns
    -------
    dict of str to list of str
        Names under `"new"`, `"changed"` and `"removed"`, in the order of the lists.
    """
    return {
        "new": [name for name in after if name not in before],
        "changed": [name for name, value in after.items() if before.get(name, value) != value],
        "removed": [name for name in before if name not in after],
    }


def releases(folder):
    """The releases listed in a folder, oldest first: (version, path) pairs.

    Raises
    ------
    RecordError
        If a file is not named as a version.
    """
    found = []
    for path in folder.glob("*.json"):
        version = VERSION.fullmatch(path.stem)
        if version is None:
            raise RecordError(f"expected {path} to be named as a version, such as 0.2.0.json")
        found.append((tuple(map(int, version.groups())), path))
    return [(path.stem, path) for _, path in sorted(found)]


def main(arguments=None):
    """Write the list of a release; 0 on success, 1 if there is no reference, 2 if it is not the version of this checkout."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.release", description=__doc__.splitlines()[0])
    parser.add_argument("version")
    options = parser.parse_args(arguments)
    current = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
    if options.version != current:
        message = f"expected {current}, the version of pyproject.toml, got {options.version}"
        print(f"lorantk.publishing.release: {message}", file=sys.stderr)
        return 2
    try:
        hashes = data_hashes(DATA)
    except FileNotFoundError as error:
        print(f"lorantk.publishing.release: {error}", file=sys.stderr)
        return 1
    path = Path("book/releases") / f"{current}.json"
    write_whole(path, json_bytes(hashes))
    print(f"{len(hashes)} figures -> {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
