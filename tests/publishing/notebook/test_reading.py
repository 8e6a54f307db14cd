"""The reading time of a chapter."""

import nbformat

from lorantk.publishing.notebook.reading import reading_minutes

LINE = "a = 1\n" * 225  # as long as 900 words: five minutes


def minutes(*texts, code="", tags=()):
    """Return the reading time of a notebook with the given Markdown cells and one cell of code."""
    cells = [nbformat.v4.new_markdown_cell(text) for text in texts]
    return reading_minutes(nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_code_cell(code, metadata={"tags": [*tags]})]))


def test_the_time_counts_words_formulas_and_shown_code():
    words = "word " * 1796  # with four of the title: ten minutes
    assert minutes("# A long title") == 5
    assert minutes("# A long title", words) == 10
    assert minutes("# A title", "$$\nx = y\n$$\n\n" * 90) == 10
    assert minutes("# A long title", words, code=LINE) == 15
    assert minutes("# A long title", words, code=LINE, tags=["remove-cell"]) == 10


def test_folded_evidence_solutions_and_exercises_are_not_counted():
    words = "word " * 1796
    folded = [f"```{{verdict}} nsd\n{words}\n```", f"## Exercises\n\n{words}", f":::{{dropdown}} Solution\n{words}\n:::"]
    assert minutes("# A title", *folded, "## Verdict") == 5
    assert minutes("# A title", f"## Exercises\n\n{words}", f"## What follows\n\n{words}") == 10
