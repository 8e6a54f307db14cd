"""Merge the records of all chapters into the two lists that the site, the command line and others read.

    python -m lorantk.publishing.records _build

reads `_build/executed/NN_topic.ipynb` and `_build/executed/records/NN_topic/`, and writes

- `_build/claims.json`: one object per statement of the registry, in its order; a statement that no chapter
  judged yet has null for verdict and notebook;
- `_build/figures/index.json` with the files `<id>.<ext>` beside it, `thumbnails/<id>.thumb.png`, and apart from it, as no two
  runs give the same, `durations.json`: the seconds that each figure took, by id.

Nothing is written unless everything is right; each file appears whole, the lists after what they list.
"""

import argparse
import json
import sys
from dataclasses import asdict
from importlib.resources import files as resources
from pathlib import Path

from lorantk.files import in_words, write_whole
from lorantk.publishing.claims import CLAIMS, claim
from lorantk.publishing.errors import PublishingError, RecordError
from lorantk.publishing.figures import checksum
from lorantk.publishing.files import (
    CLAIMS_FILE,
    DURATIONS,
    DURATIONS_FILE,
    FIGURES_FILE,
    RECORD,
    json_bytes,
)


def schema(name):
    """The JSON schema of `"claims"` or `"figures"`."""
    return json.loads((resources("lorantk.publishing") / "schemas" / f"{name}.schema.json").read_bytes())


def validate(name, content):
    """Hold a list to its schema.

    Raises
    ------
    RecordError
        If it does not validate; the message says where.
    """
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema(name)).iter_errors(content))
    if error is not None:
        place = content[error.path[0]].get("id", error.path[0]) if error.path else "the list"
        raise RecordError(f"expected {name} that fit their schema, got at {place}: {error.message}")


def figure_cells(notebook):
    """Which cell of an executed notebook displayed which figure: a dict from figure id to cell id."""
    return {
        output["metadata"]["lorantk"]["figure"]: cell["id"]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "figure" in output.get("metadata", {}).get("lorantk", {})
    }


def read_chapter(executed, folder, published=True):
    """One chapter's judgements and figures, each with its notebook, figures also with their cell.

    Parameters
    ----------
    executed : Path
        The executed notebook.
    folder : Path
        Its records.
    published : bool
        Whether they are to be published, for which the profile `smoke` is too small.

    Returns
    -------
    tuple of list
        Judgements and figures.

    Raises
    ------
    RecordError
        If the notebook recorded nothing, ran at a profile that is not published, left a claim without verdict, or a
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


def read_durations(folders):
    """Seconds that each figure took, by id, from folders with the records of one notebook each."""
    found = {}
    for folder in folders:
        found |= json.loads((folder / DURATIONS).read_bytes())
    return found


def by_id(what, entries):
    """Entries of all chapters by id.

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
    """Make `folder` hold exactly these figures: their files, thumbnails and, written last, the list.

    Parameters
    ----------
    figures : list of dict
        The content of the list.
    sources : dict of str to Path
        By notebook, the folder that holds its figures.
    durations : dict of str to float
        Seconds that each figure took, by id.
    folder : Path
        Where they go; files of figures that are no more are removed.
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
        What claims.json and figures/index.json now hold.

    Raises
    ------
    PublishingError
        If the records do not make one whole; nothing has changed then.
    """
    executed = build / "executed"
    folders = {path: executed / "records" / path.stem for path in sorted(executed.glob("*.ipynb"))}
    chapters = [read_chapter(path, folder) for path, folder in folders.items()]
    claims = claim_list([judgement for judgements, _ in chapters for judgement in judgements])
    figures = list(by_id("figure", [figure for _, found in chapters for figure in found]).values())
    validate("claims", claims)
    validate("figures", figures)
    sources = {f"notebooks/{path.name}": folder / "figures" for path, folder in folders.items()}
    write_figures(figures, sources, read_durations(folders.values()), build / "figures")
    write_whole(build / CLAIMS_FILE, json_bytes(claims))
    return claims, figures


@in_words("lorantk.publishing.records")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if the records do not make one whole."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.records", description=__doc__.splitlines()[0])
    parser.add_argument("build", type=Path, nargs="?", default=Path("_build"), help="folder for everything generated")
    options = parser.parse_args(arguments)
    try:
        claims, figures = collect(options.build)
    except PublishingError as error:
        print(f"lorantk.publishing.records: {error}", file=sys.stderr)
        return 1
    judged = sum(entry["verdict"] is not None for entry in claims)
    print(f"records: {judged} of {len(claims)} statements judged, {len(figures)} figures", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
