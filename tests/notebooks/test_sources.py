"""How notebooks are stored: shown code carries the idea; stable ids, one title, one cell of parameters, no outputs."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from lorantk.publishing.notebook.parameters import declared_parameters

SOURCES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
SCREEN = 45  # lines of code on one screen of a page


@pytest.fixture(params=SOURCES, ids=lambda path: path.stem, scope="module")
def notebook(request):
    """A notebook of the book, as stored."""
    return nbformat.read(request.param, as_version=nbformat.NO_CONVERT)


def test_names_are_numbered_topics():
    assert [path.name for path in SOURCES if not re.fullmatch(r"\d\d_[a-z0-9_]+\.ipynb", path.name)] == []


def test_each_number_belongs_to_one_chapter():
    numbers = [path.name[:2] for path in SOURCES]
    assert {number for number in numbers if numbers.count(number) > 1} == set()


def test_the_menu_has_the_chapters_in_the_order_of_their_numbers():
    contents = yaml.safe_load((SOURCES[0].parents[1] / "_toc.yml").read_text())
    globs = [entry["glob"] for part in contents["parts"] for entry in part["chapters"] if "glob" in entry]
    listed = [path for pattern in globs for path in sorted(SOURCES[0].parents[1].glob(f"{pattern}.ipynb"))]
    assert listed == SOURCES


def test_the_reading_time_is_computed(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert text.count("About {glue:text}`reading_minutes` minutes") == 1
    assert re.findall(r"[Aa]bout \d+ minutes", text) == []


def test_the_first_cell_ends_with_what_the_chapter_needs(notebook):
    # The list of chapters repeats what it says.
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    sentence = r"About \{glue:text\}`reading_minutes` minutes(; needs (?:[^.]|\.(?=\w))+)?\."
    assert re.fullmatch(sentence, first.strip().rpartition("\n\n")[2])


def test_format_is_4_5(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"


def shown(notebook):
    """Return the code cells that the page shows."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell for cell in code if "remove-cell" not in cell.metadata.get("tags", [])]


def test_a_cell_is_shown_or_left_out_whole(notebook):
    known = {"parameters", "remove-cell", "measured"}
    assert {tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])} <= known


def test_a_shown_cell_fits_a_screen(notebook):
    lines = {cell.id: len(cell.source.splitlines()) for cell in shown(notebook)}
    assert {name: count for name, count in lines.items() if count > SCREEN} == {}


def test_shown_cells_record_and_draw_nothing(notebook):
    words = ("chapter.", "plt.", "[profile]", "profile ")
    assert {cell.id: word for cell in shown(notebook) for word in words if word in cell.source} == {}


def test_cell_ids_are_readable(notebook):
    assert [cell.id for cell in notebook.cells if not re.fullmatch(r"[a-z][a-z0-9-]*", cell.id)] == []


def test_no_outputs(notebook):
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if cell.outputs or cell.execution_count is not None] == []


def test_one_title(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    without_code = re.sub(r"^(```+|:::+).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    [title] = re.findall(r"^# \S.*$", without_code, flags=re.MULTILINE)
    assert "$" not in title  # it appears in the navigation of pages without mathematics, which do not load MathJax


def test_no_space_stands_before_a_per_cent_sign(notebook):
    words = {cell.id: re.findall(r".{0,20}[\d`] %(?!\w)", cell.source) for cell in notebook.cells if cell.cell_type == "markdown"}
    assert {name: found for name, found in words.items() if found} == {}


def test_names_of_evidence_have_their_indices_in_formulas(notebook):
    # A definition of a directive, without its formulas and code: neither K_ff nor Δ^(l), nor the sign of a norm.
    names = [
        name
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for name in re.findall(r"^: (.*)$", cell.source, re.MULTILINE)
    ]
    plain = [re.sub(r"\$[^$]*\$|`[^`]*`", "", name) for name in names]
    assert [name for name in plain if re.search(r"[^\W\d]²?_\w|‖|\w\^", name)] == []


def test_parameters_have_a_profile_that_is_default(notebook):
    assert declared_parameters(notebook)["profile"] == "default"
