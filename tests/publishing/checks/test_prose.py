"""Hand-typed numbers: which are found, which are allowed, and that the book has none."""

from pathlib import Path

import nbformat
import pytest

from lorantk.publishing.checks import prose

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "line",
    [
        "It takes 12 s on a laptop.",
        "The share is 44 % of all.",
        r"The share is $44\%$ of all.",
        "The gap is ≈ 0.3 here.",
        r"The gap is $\gamma \approx 0.3$ here.",
        "LoRA is 3.2 times slower.",
        "It loses 4.5 bits, and 1.2 × 10³ nats.",
        "Up to 2 GB are needed.",
        "It lies 3 standard deviations away.",
    ],
)
def test_a_typed_result_is_found_with_its_line(line):
    found = list(prose.typed_numbers(f"# Title\n\n{line}\n"))
    assert found
    assert {number for number, _ in found} == {3}


@pytest.mark.parametrize(
    "text",
    [
        "It takes {glue:text}`seconds` s and {glue:text}`share` %.",
        "Equation 11 has 2 terms in $\\mathbb{R}^{2 \\times n}$ and $2s$.",
        "```{prf:theorem} As printed\nThe gain is 5 %.\n```\nand so on",
        "````{prf:proof}\nIt is 5 %.\n```{note}\n```\n````",
        "$$\nx \\approx 0.3\n$$",
        "Run `sleep 5 s`.\n\n```\nabout 5 %\n```",
    ],
)
def test_statements_settings_and_computed_numbers_are_allowed(text):
    assert list(prose.typed_numbers(text)) == []


def test_an_accepted_phrase_is_allowed_and_nothing_else():
    line = "The 95 % interval covers 93 % of them; the 95 % interval again."
    assert [words for _, words in prose.typed_numbers(line, ["95 % interval"])] == ["93 %"]


def test_a_notebook_fails_with_file_cell_and_line(tmp_path, capsys):
    cells = [nbformat.v4.new_markdown_cell("# T\n\nIt is 5 % more.", id="result")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "10_x.ipynb")
    accepted = tmp_path / "accepted.txt"
    assert prose.main([str(tmp_path / "10_x.ipynb"), "--accepted", str(accepted)]) == 1
    place = f"{tmp_path}/10_x.ipynb:result:3"
    assert capsys.readouterr().out == f"{place}: expected a computed number (chapter.glue), got typed '5 %'\n"
    accepted.write_text("# why\n10_x: 5 % more\n")
    assert prose.main([str(tmp_path / "10_x.ipynb"), "--accepted", str(accepted)]) == 0
    accepted.write_text("10_x\n")
    with pytest.raises(ValueError, match=r"accepted\.txt:1: expected 'stem: phrase', got '10_x'"):
        prose.read_accepted(accepted)


def test_every_accepted_phrase_is_still_there():
    for stem, phrases in prose.read_accepted(ROOT / prose.ACCEPTED).items():
        [source] = [*(ROOT / "notebooks").glob(f"{stem}.ipynb"), *(ROOT / "book").glob(f"{stem}.md")]
        text = "\n".join(text for _, text in prose.pieces(source))
        assert [phrase for phrase in phrases if phrase not in text] == [], stem


def test_the_book_has_no_typed_result():
    accepted = prose.read_accepted(ROOT / prose.ACCEPTED)
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "book").glob("*.md")]:
        found = {place: list(prose.typed_numbers(text, accepted.get(path.stem, ()))) for place, text in prose.pieces(path)}
        assert {place: words for place, words in found.items() if words} == {}
