"""Lay out the sources of the site in a folder that mirrors the repository.

The pages of `book/` and the executed notebooks have the same places as in the repository, except that the front page
goes to the top, so that the site opens at its root. A file is written only if its bytes differ, so that Sphinx
reads only what changed.
"""

import argparse
import json
import sys
from importlib.metadata import distribution
from pathlib import Path

from lorantk.disk import in_words
from lorantk.fingerprint import files
from lorantk.publishing.errors import PublishingError, RecordError
from lorantk.publishing.json_files import RECORD, json_bytes
from lorantk.publishing.notebook.words import filled

FRONT_PAGE = Path("book/index.md")
CONFIGURATION = ("_config.yml", "_toc.yml", "CITATION.cff")
# The parts of MathJax that pages with TeX input and HTML output load: 3 MB of the wheel's 24 MB.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


def mathjax_plan():
    """The parts of MathJax, from the wheel sphinx-mathjax-offline, that pages load; in the form of `layout`."""
    [entry] = [path for path in distribution("sphinx-mathjax-offline").files if path.name == "tex-chtml.js"]
    folder = Path(entry.locate()).parent
    found = [path for part in MATHJAX for path in files(folder / part)]
    return {Path("_extra/vendor/mathjax") / path.relative_to(folder): path for path in found}


def layout(root, build):
    """The contents of the stage: a dict from relative path to the file to copy, or to the content.

    Raises
    ------
    RecordError
        If a notebook has not been executed.
    """
    plan = {Path(name): root / name for name in CONFIGURATION}
    plan |= {path.relative_to(root): path for path in files(root / "book")}
    plan[Path(FRONT_PAGE.name)] = plan.pop(FRONT_PAGE)
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        executed = build / "executed" / source.name
        if not executed.is_file():
            raise RecordError(f"expected {executed}, which `make book` writes, got no such file")
        plan[source.relative_to(root)] = page_source(executed)
    return plan | mathjax_plan()


def page_source(executed):
    """The source of a chapter's page: the executed notebook with its numbers filled in, as bytes.

    The page shows figures and verdicts where their directives are, so the outputs of the cells that made them are left out.

    Raises
    ------
    RecordError
        If the notebook did not make a chapter.
    WordsError
        If its text uses a number that was not glued.
    """
    record = executed.parent / "records" / executed.stem / RECORD
    if not record.is_file():
        raise RecordError(f"expected {executed} to make a Chapter, got no records in {record.parent}")
    notebook = json.loads(executed.read_bytes())
    for cell in notebook["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [output for output in cell["outputs"] if "lorantk" not in output.get("metadata", {})]
    return json_bytes(filled(notebook, json.loads(record.read_bytes())["numbers"]))


def write_stage(plan, stage):
    """Make `stage` contain exactly the files of `plan`, and touch only what differs.

    Returns
    -------
    tuple of int
        How many files were written and how many were removed.
    """
    stage.mkdir(parents=True, exist_ok=True)
    stale = [path for path in files(stage) if path.relative_to(stage) not in plan]
    for path in stale:
        path.unlink()
    written = 0
    for name, source in plan.items():
        target = stage / name
        content = source if isinstance(source, bytes) else source.read_bytes()
        if not (target.is_file() and target.read_bytes() == content):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            written += 1
    return written, len(stale)


@in_words("lorantk.publishing.site.stage")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if a notebook has not been executed."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.site.stage", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("_build"), help="folder for everything generated")
    options = parser.parse_args(arguments)
    try:
        written, removed = write_stage(layout(Path("."), options.build), options.build / "stage")
    except PublishingError as error:
        print(f"lorantk.publishing.site.stage: {error}", file=sys.stderr)
        return 1
    print(f"staged: {written} files written, {removed} removed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
