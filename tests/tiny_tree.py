"""A small checkout: the real build graph and configuration, with notebooks that take a second."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
TOC = """format: jb-book
root: index
chapters:
  - file: notebooks/01_one
  - file: notebooks/02_two
"""
CHAPTER = """from lorantk.publishing import Chapter
chapter = Chapter({claim!r}, profile=profile, parameters={{"seed": seed}})
chapter.evidence("one", 1, "<=", 2)
chapter.conclude("holds exactly")"""
WORDS = "```{{verdict}} {claim}\none\n: one\n```"


def notebook(*sources, parameters='profile = "default"\nseed = 0\ndelay = 0'):
    """Return a notebook with a title, a cell of parameters and the given code cells, `code-1`, `code-2`, ..."""
    cells = [nbformat.v4.new_markdown_cell("# A title\n\n$x^2$\n\n## A section", id="title")]
    cells.append(nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}))
    cells += [nbformat.v4.new_code_cell(source, id=f"code-{n}") for n, source in enumerate(sources, 1)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=kernel)


def chapter(claim, *sources):
    """Return a notebook that judges one claim."""
    made = notebook(*sources, CHAPTER.format(claim=claim))
    made.cells.append(nbformat.v4.new_markdown_cell(WORDS.format(claim=claim), id="words"))
    return made


def grow(tree):
    """Make `tree` a checkout with two chapters and a front page."""
    for name in ("lorantk", "book/_templates", "book/assets", "book/img"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "_config.yml", "CITATION.cff", "uv.lock", "pyproject.toml", "book/references.bib"):
        shutil.copyfile(ROOT / name, tree / name)
    (tree / "_toc.yml").write_text(TOC)
    (tree / "book/index.md").write_text("# Front\n\n[One](/notebooks/01_one.ipynb)\n\n## A section\n")
    (tree / "notebooks").mkdir()
    write(tree, "01_one", chapter("def-lora"))
    write(tree, "02_two", chapter("def-ntk"))
    return tree


def write(tree, stem, content):
    """Put a notebook into the tree."""
    nbformat.write(content, tree / "notebooks" / f"{stem}.ipynb")


def start(tree, module, *arguments, surroundings=None, through=(), **options):
    """Start a command of the package, such as `publishing.graph.build`, in the tree, with the tree's own code.

    Variables in `surroundings` that are None are unset; `through` is a command that runs other commands.
    """
    places = os.pathsep.join(filter(None, [str(tree), os.environ.get("PYTHONPATH")]))
    # Without compiled files, each of the many processes of a build would compile the package again.
    environment = os.environ | {"PYTHONPATH": places, "PYTHONDONTWRITEBYTECODE": None} | (surroundings or {})
    environment = {name: value for name, value in environment.items() if value is not None}
    command = [*through, sys.executable, "-m", f"lorantk.{module}", *arguments]
    return subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(tree, module, *arguments, **options):
    """Run such a command to its end; return exit status, standard output and standard error."""
    process = start(tree, module, *arguments, **options)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err
