"""How notebooks are stored: small cells, stable ids, one title, one cell of parameters, no outputs."""

import re
from pathlib import Path

import nbformat
import pytest

from lorantk.publishing.parameters import declared_parameters

SOURCES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
LINES = 20


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem)
def notebook(request):
    """A notebook of the book, as stored."""
    return nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


def test_names_are_numbered_topics():
    assert [path.name for path in SOURCES if not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name)] == []


def test_format_is_4_5(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"


def test_cells_are_short(notebook):
    long = {cell.id: len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code"}
    assert {name: lines for name, lines in long.items() if lines > LINES} == {}


def test_cell_ids_are_readable(notebook):
    assert [cell.id for cell in notebook.cells if not re.fullmatch(r"[a-z][a-z0-9-]*", cell.id)] == []


def test_no_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


def test_one_title(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    without_code = re.sub(r"^(```+|:::+).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    [title] = re.findall(r"^# \S.*$", without_code, flags=re.MULTILINE)
    assert "$" not in title  # it stands in the navigation of pages that have no mathematics and load no MathJax


def test_parameters_have_a_profile_that_is_default(notebook):
    assert declared_parameters(notebook)["profile"] == "default"
