"""Lay the sources of the site out in one folder that mirrors the repository.

The pages of `book/` and the executed notebooks go where the repository has them; the front page alone goes
to the top, so that the site opens at its root. Files are written only where their bytes differ, which lets
Sphinx read again only what changed.
"""

import argparse
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

from lorantk.files import in_words
from lorantk.fingerprint import files
from lorantk.publishing.errors import PublishingError, RecordError

FRONT_PAGE = Path("book/index.md")
CONFIGURATION = ("_config.yml", "_toc.yml")
# What pages with TeX input and HTML output load of MathJax: 3 MB of the wheel's 24 MB.
MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


def mathjax_plan():
    """What pages load of the MathJax that the wheel sphinx-mathjax-offline carries, as in `layout`."""
    [entry] = [path for path in distribution("sphinx-mathjax-offline").files if path.name == "tex-chtml.js"]
    folder = Path(entry.locate()).parent
    found = [path for part in MATHJAX for path in files(folder / part)]
    return {Path("_extra/vendor/mathjax") / path.relative_to(folder): path for path in found}


def layout(root, build):
    """What the stage holds: a dict from relative path to the file that it is a copy of.

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
        plan[source.relative_to(root)] = executed
    return plan | mathjax_plan()


def write_stage(plan, stage):
    """Make `stage` hold exactly the files of `plan`, touching only what differs.

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
        if not (target.is_file() and target.read_bytes() == source.read_bytes()):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            written += 1
    return written, len(stale)


@in_words("lorantk.publishing.stage")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if a notebook has not been executed."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.stage", description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("_build"), help="folder for everything generated")
    options = parser.parse_args(arguments)
    try:
        written, removed = write_stage(layout(Path("."), options.build), options.build / "stage")
    except PublishingError as error:
        print(f"lorantk.publishing.stage: {error}", file=sys.stderr)
        return 1
    print(f"staged: {written} files written, {removed} removed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
