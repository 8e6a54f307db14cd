"""Compare two builds of one commit: which files differ, and where each does first.

    python -m lorantk.publishing.checks.compare FIRST/_build SECOND/_build

Everything that a reader or a tool gets is compared byte by byte. What a machine measures about itself, such as a time,
differs in every run: it is kept in separate files and cells, which `LEFT_OUT` and the tag `normalise.MEASURED` name.
"""

import argparse
import io
import json
import re
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup

from lorantk.fingerprint import files
from lorantk.publishing.json_files import json_bytes
from lorantk.publishing.notebook.normalise import MEASURED, without_measured

# Kinds of results, by path below the build folder; the first match counts.
KINDS = {
    "statements with their evidence": "claims.json",
    "list of figures": "figures/index.json",
    "figures as SVG": "figures/*.svg",
    "figures as PDF": "figures/*.pdf",
    "figures as PNG": "figures/*.png",
    "data of figures": "figures/*.csv",
    "executed notebooks": "executed/*.ipynb",
    "records of chapters": "executed/records/*",
    "results of training runs": "sweeps/*",
    "pages": "site/*.html",
    "other files of the site": "site/*",
}
LEFT_OUT = {
    "executed/runs/*": "time and memory of each execution",
    "executed/records/*/durations.json": "seconds that each figure took",
    "figures/durations.json": "seconds that each figure took",
    "site/book/runs.html": "the page that shows these times",
    "site/lorantk-book.*": "made from all pages, including that one",
}
ID = re.compile(rb'^ +"id": "([^"]+)"', re.MULTILINE)  # of a cell, a statement or a figure, before what else it holds
AROUND = 40  # characters of a line shown before and after the place where it differs


class Comparison(NamedTuple):
    """How many files of each kind were compared, where each file differs, and what was left out and why."""

    counts: dict[str, int]
    differing: dict[str, str]
    left_out: dict[str, str]


def results(build):
    """Every file of a build that a reader or a tool uses: a dict from its path below `build` to the file."""
    found = {path.relative_to(build).as_posix(): path for path in files(build)}
    hidden = {name for name in found if any(part.startswith(".") for part in Path(name).parts)}
    return {name: path for name, path in found.items() if name not in hidden and (kind(name) or reason(name))}


def kind(name):
    """The kind of a result, or None for an intermediate file."""
    return next((word for word, pattern in KINDS.items() if fnmatch(name, pattern)), None)


def reason(name):
    """Why a file is left out of the comparison, or None."""
    return next((why for pattern, why in LEFT_OUT.items() if fnmatch(name, pattern)), None)


def without_measured_cells(page):
    """The text of a page without the cells that show what the machine measured."""
    soup = BeautifulSoup(page, "html.parser")
    for cell in soup.select(f"div.cell.tag_{MEASURED}"):
        cell.decompose()
    return str(soup)


def arrays(content):
    """The arrays of an .npz file as text, with how they were computed except for the time it took."""
    import numpy as np

    lines = []
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        for name in sorted(archive.files):
            if name == "made":
                made = json.loads(str(archive[name]))
                lines.append(json.dumps(made | {"seconds": None}, sort_keys=True))
            else:
                array = archive[name]
                lines.append(f"{name} {array.dtype} {array.shape} {array.tobytes().hex()}")
    return "\n".join(lines).encode()


def comparable(name, content):
    """The content of a file as it is compared."""
    if name.endswith(".ipynb"):
        return json_bytes(without_measured(json.loads(content)))
    if name.endswith(".html"):
        return without_measured_cells(content.decode()).encode()
    if name.endswith(".npz"):
        return arrays(content)
    return content


def first_difference(one, other):
    """Where two unequal contents differ first, in words."""
    place = next((i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
    try:
        texts = one.decode(), other.decode()
    except UnicodeDecodeError:
        return f"byte {place} of {len(one)} and {len(other)}"
    line = one.count(b"\n", 0, place)
    shown = [text.split("\n")[line] if text.count("\n") >= line else "" for text in texts]
    column = next((i for i, pair in enumerate(zip(*shown, strict=False)) if pair[0] != pair[1]), min(map(len, shown)))
    parts = [repr(text[max(0, column - AROUND) : column + AROUND]) for text in shown]
    inside = ID.findall(one[:place])
    return f"line {line + 1}{f', in {inside[-1].decode()}' if inside else ''}: {parts[0]} and {parts[1]}"


def compare(first, second):
    """Compare the results in two build folders."""
    ours, theirs = results(first), results(second)
    counts, differing, left_out = dict.fromkeys(KINDS, 0), {}, {}
    for name in sorted(ours.keys() | theirs.keys()):
        if why := reason(name):
            left_out[name] = why
            continue
        counts[kind(name)] += 1
        if name not in ours or name not in theirs:
            differing[name] = f"only in the {'first' if name in ours else 'second'} build"
            continue
        one, other = ours[name].read_bytes(), theirs[name].read_bytes()
        if one != other:
            one, other = comparable(name, one), comparable(name, other)
        if one != other:
            differing[name] = first_difference(one, other)
    return Comparison({word: count for word, count in counts.items() if count}, differing, left_out)


def rows(comparison):
    """A table of the comparison: kind of file, how many were compared, how many differ."""
    wrong = [kind(name) for name in comparison.differing]
    return [[word, count, wrong.count(word)] for word, count in comparison.counts.items()]


def report(comparison):
    """Print the comparison."""
    for word, count, wrong in rows(comparison):
        print(f"  {word:32}{count:6} compared {wrong:6} different")
    for why in dict.fromkeys(comparison.left_out.values()):
        print(f"  left out: {why} ({', '.join(name for name, other in LEFT_OUT.items() if other == why)})")
    for name, where in comparison.differing.items():
        print(f"DIFFERS {name}\n  {where}")


def main(arguments=None):
    """Run from the command line; 0 where the builds agree, 1 where they do not, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.checks.compare", description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    options = parser.parse_args(arguments)
    for folder in (options.first, options.second):
        if not results(folder):
            parser.error(f"expected a folder that `make book` wrote, got {folder}")
    found = compare(options.first, options.second)
    report(found)
    return int(bool(found.differing))


if __name__ == "__main__":
    sys.exit(main())
