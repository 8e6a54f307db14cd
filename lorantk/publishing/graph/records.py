"""Merge the records of all chapters into the two lists that the site, the command line and others read.

    python -m lorantk.publishing.graph.records _build

reads `_build/executed/NN_topic.ipynb` and `_build/executed/records/NN_topic/`, and writes

- `_build/claims.json`: one object for each statement of the registry, in the same order; verdict and notebook are null until a
  chapter has judged the statement;
- `_build/figures/index.json`, and in the same folder the files `<id>.<ext>`, `thumbnails/<id>.thumb.png` and `durations.json`,
  which has the seconds that each figure took, by id; it is separate because no two runs give the same.

Nothing is written unless everything is right. Each file appears whole, and each list after the files that it names.
"""

import argparse
import json
import sys
from dataclasses import asdict
from importlib.resources import files as resources
from pathlib import Path

from lorantk.disk import in_words, write_whole
from lorantk.publishing.errors import PublishingError, RecordError
from lorantk.publishing.json_files import (
    CLAIMS_FILE,
    DURATIONS,
    DURATIONS_FILE,
    FIGURES_FILE,
    RECORD,
    all_pieces,
    json_bytes,
)
from lorantk.publishing.notebook.claims import CLAIMS, claim
from lorantk.publishing.notebook.figures import checksum

LIMIT = 1e-4  # of all choices of seeds, the share at which some check of a build may come out the other way


def total_chance(pieces):
    """Over the choice of seeds, a bound for how likely some of these checks comes out the other way: the sum of their chances.

    Parameters
    ----------
    pieces : iterable of dict
        Evidence and checks as chapters record them; those whose `chance` is a reason in words are left out.
    """
    return sum(piece["chance"] for piece in pieces if not isinstance(piece["chance"], str))


def schema(name):
    """The JSON schema of `"claims"` or `"figures"`."""
    return json.loads((resources("lorantk.publishing") / "schemas" / f"{name}.schema.json").read_bytes())


def validate(name, content):
    """Check a list against its schema.

    Raises
    ------
    RecordError
        If it does not fit; the message says where.
    """
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema(name)).iter_errors(content))
    if error is not None:
        place = content[error.path[0]].get("id", error.path[0]) if error.path else "the list"
        raise RecordError(f"expected {name} that fit their schema, got at {place}: {error.message}")


def figure_cells(notebook):
    """The cell of an executed notebook that displayed each figure: a dict from figure id to cell id."""
    return {
        output["metadata"]["lorantk"]["figure"]: cell["id"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "figure" in output.get("metadata", {}).get("lorantk", {})
    }


def read_record(executed, folder, published=True):
    """One chapter's judgements and figures, each with its notebook, and each figure with its cell.

    Parameters
    ----------
    executed : Path
        The executed notebook.
    folder : Path
        Its records.
    published : bool
        Whether they will be published; the profile `smoke` is too small for that.

    Returns
    -------
    tuple of list
        Judgements and figures.

    Raises
    ------
    RecordError
        If the notebook recorded nothing, ran at a profile that is not published or left a claim without a verdict, or if a
        figure was not displayed or lacks a file.
    """
    notebook = f"notebooks/{executed.name}"
    if not (folder / RECORD).is_file():
        raise RecordError(f"expected {notebook} to make a Chapter, got no records in {folder}")
    record = json.loads((folder / RECORD).read_bytes())
    if published and record["parameters"]["profile"] == "smoke":
        raise RecordError(f"expected {notebook} at a profile that is published, got 'smoke'")
    for judgement in record["claims"]:
        if judgement["verdict"] is None:
            raise RecordError(f"expected {notebook} to conclude on {judgement['id']!r}, got no verdict")
    cells = figure_cells(json.loads(executed.read_bytes()))
    for figure in record["figures"]:
        if figure["id"] not in cells:
            raise RecordError(f"expected {notebook} to display figure {figure['id']!r}, got no cell that does")
        for extension, file in figure["files"].items():
            path = folder / "figures" / file
            if not path.is_file() or checksum(path.read_bytes()) != figure["sha256"][extension]:
                raise RecordError(f"expected file {file} of {notebook} as recorded, got none or another one")
    place = {"notebook": notebook}
    figures = [figure | place | {"cell": cells[figure["id"]]} for figure in record["figures"]]
    return [judgement | place for judgement in record["claims"]], figures


def check_chance(records):
    """Refuse a book whose checks, together, could too easily have come out the other way at other seeds.

    Parameters
    ----------
    records : dict of str to dict
        What each notebook recorded, by its name.

    Raises
    ------
    RecordError
        The sum, and the notebook that adds the most to it.
    """
    chances = {name: total_chance(all_pieces(record)) for name, record in records.items()}
    total = sum(chances.values())
    if total > LIMIT:
        worst = max(chances, key=chances.get)
        raise RecordError(
            f"expected checks that come out the other way at less than {LIMIT:g} of all choices of seeds, got {total:.2g}, "
            f"most of it in {worst} ({chances[worst]:.2g})"
        )


def read_durations(folders):
    """Seconds that each figure took, by id, from the records folders of several notebooks."""
    found = {}
    for folder in folders:
        found |= json.loads((folder / DURATIONS).read_bytes())
    return found


def by_id(what, entries):
    """The entries of all chapters by id.

    Raises
    ------
    RecordError
        If two have the same id.
    """
    found = {}
    for entry in entries:
        other = found.setdefault(entry["id"], entry)
        if other is not entry:
            places = f"{other['notebook']} and {entry['notebook']}"
            raise RecordError(f"expected {what} {entry['id']!r} in one notebook, got it in {places}")
    return found


def claim_list(judgements):
    """The content of claims.json from the judgements of all chapters.

    Raises
    ------
    ClaimError
        If a judgement is on a claim that the registry does not list.
    RecordError
        If two notebooks judge one claim.
    """
    found = by_id("claim", judgements)
    for name in found:
        claim(name)
    pending = {"verdict": None, "corrected": None, "notebook": None, "evidence": []}
    return [asdict(entry) | pending | found.get(entry.id, {}) for entry in CLAIMS]


def write_figures(figures, sources, durations, folder):
    """Make `folder` contain exactly these figures: their files, their thumbnails and, written last, the list.

    Parameters
    ----------
    figures : list of dict
        The content of the list.
    sources : dict of str to Path
        By notebook, the folder that holds its figures.
    durations : dict of str to float
        Seconds that each figure took, by id.
    folder : Path
        Where they go; files of figures that no longer exist are removed.
    """
    names = {figure["id"]: [*figure["files"].values(), f"thumbnails/{figure['id']}.thumb.png"] for figure in figures}
    for figure in figures:
        for name in names[figure["id"]]:
            content = (sources[figure["notebook"]] / name).read_bytes()
            target = folder / name
            if not (target.is_file() and target.read_bytes() == content):
                write_whole(target, content)
    list_path = folder.parent / FIGURES_FILE
    write_whole(folder.parent / DURATIONS_FILE, json_bytes(durations))
    write_whole(list_path, json_bytes(figures))
    keep = {list_path, folder.parent / DURATIONS_FILE} | {folder / name for group in names.values() for name in group}
    for path in folder.rglob("*"):
        if path.is_file() and path not in keep:
            path.unlink()


def collect(build):
    """Merge the records below `build` into its two lists.

    Returns
    -------
    tuple of list
        The new contents of claims.json and figures/index.json.

    Raises
    ------
    PublishingError
        If the records do not fit together; then nothing has changed.
    """
    executed = build / "executed"
    folders = {path: executed / "records" / path.stem for path in sorted(executed.glob("*.ipynb"))}
    chapters = [read_record(path, folder) for path, folder in folders.items()]
    check_chance({path.stem: json.loads((folder / RECORD).read_bytes()) for path, folder in folders.items()})
    claims = claim_list([judgement for judgements, _ in chapters for judgement in judgements])
    figures = list(by_id("figure", [figure for _, found in chapters for figure in found]).values())
    validate("claims", claims)
    validate("figures", figures)
    sources = {f"notebooks/{path.name}": folder / "figures" for path, folder in folders.items()}
    write_figures(figures, sources, read_durations(folders.values()), build / "figures")
    write_whole(build / CLAIMS_FILE, json_bytes(claims))
    return claims, figures


@in_words("lorantk.publishing.graph.records")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if the records do not fit together."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.graph.records", description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, nargs="?", default=Path("_build"), help="folder for everything generated")
    options = parser.parse_args(arguments)
    try:
        claims, figures = collect(options.build)
    except PublishingError as error:
        print(f"lorantk.publishing.graph.records: {error}", file=sys.stderr)
        return 1
    judged = sum(entry["verdict"] is not None for entry in claims)
    print(f"records: {judged} of {len(claims)} statements judged, {len(figures)} figures", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
