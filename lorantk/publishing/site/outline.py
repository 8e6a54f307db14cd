"""What a notebook says about itself: its title, what it needs, its parameters; and how long it takes to read."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from lorantk.publishing.notebook.parameters import declared_parameters

# A careful reader: 180 words of technical prose a minute; a displayed formula counts as 20 words, a line of code as 4.
WORDS_A_MINUTE, FORMULA, CODE_LINE = 180, 20, 4
NEEDS = re.compile(r"needs\s+(.+?)\s*\.?\s*$", re.DOTALL)
FENCED = re.compile(r"^[ \t]*(`{3,}|:{3,})\{?[^\n]*$", re.MULTILINE)
DISPLAYED = re.compile(r"\$\$.+?\$\$", re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """What a reader wants to know about a chapter before reading it."""

    topic: str
    title: str
    needs: str | None
    minutes: int
    parameters: dict


def read_outline(path):
    """What the notebook at `path` says about itself.

    `needs` is the Markdown after the word *needs* at the end of the first cell, or None; `minutes` is computed from the
    number of words, displayed formulas and lines of code.
    """
    notebook = nbformat.read(path, as_version=4)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    first = prose[0]
    needs = NEEDS.search(first.strip().rpartition("\n\n")[2])
    text = FENCED.sub("", "\n".join(prose))
    formulas = len(DISPLAYED.findall(text))
    words = len(DISPLAYED.sub("", text).split())
    lines = sum(len(source.splitlines()) for source in code)
    return Reading(
        topic=Path(path).stem.partition("_")[2],
        title=re.match(r"#\s*(.*)", first)[1],
        needs=needs[1] if needs else None,
        minutes=math.ceil((words + FORMULA * formulas + CODE_LINE * lines) / WORDS_A_MINUTE),
        parameters=declared_parameters(notebook),
    )
