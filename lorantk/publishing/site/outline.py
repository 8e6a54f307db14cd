"""What a notebook says about itself: its title, what it needs, its parameters; and how long it takes to read."""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from lorantk.publishing.notebook.parameters import declared_parameters
from lorantk.publishing.notebook.reading import reading_minutes

NEEDS = re.compile(r"needs\s+(.+?)\s*\.?\s*$", re.DOTALL)


def chapter_number(path):
    """The number of a chapter: that of its notebook's file."""
    return int(Path(path).name.partition("_")[0])


def chapter_topic(path):
    """The topic of a chapter, which is its id: what follows the number in the name of its notebook's file or page."""
    return Path(path).stem.partition("_")[2]


@dataclass(frozen=True)
class Reading:
    """What a reader wants to know about a chapter before reading it."""

    number: int
    topic: str
    title: str
    needs: str | None
    minutes: int
    parameters: dict


def read_outline(path):
    """What the notebook at `path` says about itself.

    `needs` is the Markdown after the word *needs* at the end of the first cell, or None.
    """
    notebook = nbformat.read(path, as_version=4)
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    needs = NEEDS.search(first.strip().rpartition("\n\n")[2])
    return Reading(
        number=chapter_number(path),
        topic=chapter_topic(path),
        title=re.match(r"#\s*(.*)", first)[1],
        needs=needs[1] if needs else None,
        minutes=reading_minutes(notebook),
        parameters=declared_parameters(notebook),
    )
