"""What a notebook says about itself."""

import nbformat

from lorantk.publishing.site.outline import read_outline


def write(path, *cells):
    """Write a notebook with the given Markdown cells and parameters."""
    parameters = nbformat.v4.new_code_cell("seed = 0", id="parameters", metadata={"tags": ["parameters"]})
    cells = [nbformat.v4.new_markdown_cell(text, id=f"text-{place}") for place, text in enumerate(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=[*cells, parameters]), path)
    return read_outline(path)


def test_title_needs_and_parameters(tmp_path):
    text = "# A title\n\nIt needs care.\n\nAbout 5 minutes; needs {doc}`/notebooks/x` and\nnerve."
    found = write(tmp_path / "10_a_b.ipynb", text)
    assert (found.number, found.topic, found.title, found.parameters) == (10, "a_b", "A title", {"seed": 0})
    assert found.needs == "{doc}`/notebooks/x` and\nnerve"
    assert write(tmp_path / "10_c.ipynb", "# A title\n\nNothing.").needs is None
