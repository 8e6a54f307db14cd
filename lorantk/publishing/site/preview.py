"""One executed notebook as a page, for a reader who ran it with other parameters.

    python -m lorantk.publishing.site.preview nsd

reads what `make notebook` wrote to `_build/interactive`, and writes `_build/interactive/pages/NN_nsd/`, with figures,
evidence and verdict as in the book, and at its end the results of the new run beside those of the book, if there is a build of
it. Links to other chapters are plain text.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path

import yaml

from lorantk.disk import in_words, write_whole
from lorantk.fingerprint import files
from lorantk.publishing.errors import PublishingError, RecordError
from lorantk.publishing.graph.records import claim_list, read_durations, read_record, write_figures
from lorantk.publishing.json_files import CLAIMS_FILE, RECORD, json_bytes
from lorantk.publishing.notebook.execute import find_notebook
from lorantk.publishing.notebook.parameters import ParameterError
from lorantk.publishing.site.finish import finish
from lorantk.publishing.site.sphinx_ext.beside import BOOK
from lorantk.publishing.site.sphinx_ext.works import CITATION
from lorantk.publishing.site.stage import mathjax_plan, page_source, write_stage

REFERENCES = Path("book/references.md")  # where citations lead
COMPARISON = "(beside-the-book)=\n## This run beside the book\n\n```{beside}\n```"
POINTER = "*This page shows a run of yours.* {ref}`At its end <beside-the-book>` the results stand beside those of the book."


def configuration(root):
    """The book's configuration for a single page: without links that lead out of it."""
    content = yaml.safe_load((root / "_config.yml").read_text())
    content["sphinx"]["config"] |= {"lorantk_sources": "", "lorantk_repository": "", "suppress_warnings": ["ref", "myst"]}
    return content


def write_build(executed, records, folder, book):
    """Make `folder` the build of a single executed notebook, which may have run at a profile that is not published.

    The book's records of this chapter are in the folder `book`, if there are any.
    """
    shutil.rmtree(folder / BOOK, ignore_errors=True)
    if (book / RECORD).is_file():
        shutil.copytree(book, folder / BOOK)
    write_whole(folder / "executed" / executed.name, executed.read_bytes())
    write_whole(folder / "executed/records" / executed.stem / RECORD, (records / RECORD).read_bytes())
    judgements, figures = read_record(executed, records, published=False)
    sources = {f"notebooks/{executed.name}": records / "figures"}
    write_figures(figures, sources, read_durations([records]), folder / "figures")
    write_whole(folder / CLAIMS_FILE, json_bytes(claim_list(judgements)))


def compared(source):
    """The source of a page that ends with its results beside the book's, and says so at the end of its first cell."""
    notebook = json.loads(source)
    notebook["cells"][0]["source"] += f"\n\n{POINTER}"
    end = {"cell_type": "markdown", "id": "beside-the-book", "metadata": {}, "source": COMPARISON}
    return json_bytes(notebook | {"cells": [*notebook["cells"], end]})


def build_page(executed, records, folder, root, book):
    """Build the page of one executed notebook below `folder` and return its path.

    Parameters
    ----------
    executed, records : Path
        The notebook and the folder of its records.
    folder, root : Path
        Where everything goes, and the checkout.
    book : Path
        The folder of the book's records, one folder for each chapter; it need not exist.

    Raises
    ------
    RecordError
        If the notebook was not executed, or only in part.
    PublishingError
        If Jupyter Book fails.
    """
    if not executed.is_file():
        raise RecordError(f"expected {executed}, which `make notebook` writes, got no such file")
    write_build(executed, records, folder, book / executed.stem)
    plan = {Path("notebooks") / executed.name: compared(page_source(executed))}
    plan |= {path.relative_to(root): path for path in files(root / "book") if path.suffix != ".md"}
    plan |= {REFERENCES: root / REFERENCES, Path(CITATION): root / CITATION} | mathjax_plan()
    stage, log = folder / "stage", folder / "page.log"
    write_stage(plan, stage)
    (stage / "_config.yml").write_text(yaml.safe_dump(configuration(root), allow_unicode=True))
    chapters = [{"file": REFERENCES.with_suffix("").as_posix()}]
    toc = {"format": "jb-book", "root": f"notebooks/{executed.stem}", "chapters": chapters}
    (stage / "_toc.yml").write_text(yaml.safe_dump(toc))
    command = [Path(sys.executable).with_name("jupyter-book"), "build", stage, "--path-output", folder, "--keep-going"]
    with log.open("w") as messages:
        done = subprocess.run(command, stdout=messages, stderr=subprocess.STDOUT, check=False)
    html = folder / "_build/html"
    page = html / "notebooks" / f"{executed.stem}.html"
    if done.returncode or not page.is_file():
        raise PublishingError(f"expected Jupyter Book to write {page}, got an error, see {log}")
    finish(html)
    return page


@in_words("lorantk.publishing.site.preview")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if there is nothing to show, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.site.preview", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", help="path, stem (10_nsd) or topic (nsd) of the notebook")
    parser.add_argument("--build", type=Path, default=Path("_build"), help="folder for everything generated")
    options = parser.parse_args(arguments)
    interactive = options.build / "interactive"
    try:
        name = find_notebook(options.notebook).name
        stem = Path(name).stem
        book = options.build / "executed/records"
        page = build_page(interactive / name, interactive / "records" / stem, interactive / "pages" / stem, Path("."), book)
    except ParameterError as error:
        print(f"lorantk.publishing.site.preview: {error}", file=sys.stderr)
        return 2
    except PublishingError as error:
        print(f"lorantk.publishing.site.preview: {error}", file=sys.stderr)
        return 1
    address = page.resolve().as_uri()
    if sys.stdout.isatty() and (sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ):
        webbrowser.open(address)
    print(f"page: {address}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
