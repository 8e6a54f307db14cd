"""Executed notebooks in plain Markdown: directives are written out, roles are replaced, the rest stays."""

import json

import nbformat
import pytest
from tiny_book import CERTIFICATE, NSD, judge_nsd, write_notebook

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.json_files import RECORD
from lorantk.publishing.site.notebooks import plain, readable, resolved, roles

RECORDED = {"claims": [], "checks": []}


def written(text, record=RECORDED):
    """Return a text with its directives replaced by Markdown."""
    return plain(text, record)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "````{prf:theorem} Sharp {x}\n:label: nsd-sharp\n\nLet $A$.\n\n```python\nx\n```\n````",
            "**{prf:ref}`nsd-sharp` (Sharp {x}).**\n\nLet $A$.\n\n```python\nx\n```",
        ),
        ("```{prf:lemma}\n:label: one\nLet.\n```", "**{prf:ref}`one`.**\n\nLet."),
        ("```{prf:remark} Aside\n:label: r\n:nonumber:\nLet.\n```", "**Remark (Aside).**\n\nLet."),
        ("```{prf:proof}\nBy {prf:ref}`one`.\n```", "**Proof.** By {prf:ref}`one`."),
        (
            "Before.\n```{dropdown} Solution\nIt is so.\n```\nAfter.",
            "Before.\n\n<details>\n<summary>Solution</summary>\n\nIt is so.\n\n</details>\n\nAfter.",
        ),
        (
            "1. Why?\n\n   ```{dropdown} Solution\n   So.\n   ```\n",
            "1. Why?\n\n   <details>\n   <summary>Solution</summary>\n\n   So.\n\n   </details>",
        ),
        ("```{evidence-figure} nsd-line\n:title: T\n:alt: A\n\nThe line.\n```", "**{numref}`fig-nsd-line`.** The line."),
        ("```{note}\nMind.\n\nMore.\n```", "> **Note.** Mind.\n>\n> More."),
        (":::{admonition} Careful\nMind.\n:::", "> **Careful.** Mind."),
        (":::{container} wide\n```{note}\nMind.\n```\n:::", "> **Note.** Mind."),
        ("```{math}\n:label: one\nx = 1\n```", "$$\nx = 1\n\\tag{{equation-number}`one`}\n$$"),
        ("$$\nx = 1\n$$ (one)\n\nSo.", "$$\nx = 1\n\\tag{{equation-number}`one`}\n$$\n\nSo."),
        ("$$ x = 1 $$ (one)", "$$ x = 1\n\\tag{{equation-number}`one`}\n$$"),
        ("$$\nx = 1\n$$\n\n$$\ny = 2\n$$ (two)", "$$\nx = 1\n$$\n\n$$\ny = 2\n\\tag{{equation-number}`two`}\n$$"),
        ("(a-part)=\n## A part\n% a comment\n+++\nText.", "## A part\nText."),
        ("```python\n(x)=\n% {doc}\n```", "```python\n(x)=\n% {doc}\n```"),
        ("Text $x$, `code`, [a link](https://example.org) and **more**.\n\n| a | b |\n|---|---|\n| 1 | 2 |",) * 2,
    ],
)
def test_directives_are_written_as_markdown(text, expected):
    assert written(text) == expected


def test_directives_without_a_markdown_form_stop_the_build():
    with pytest.raises(PublishingError, match=r"expected a directive that Markdown can stand for, got \{tab-set\}"):
        written("```{tab-set}\n```")
    with pytest.raises(PublishingError, match="expected one of nsd, got 'gauge'"):
        written("```{verdict} gauge\n```", {"claims": [{"id": "nsd"}]})


def test_roles_are_listed_once_as_sphinx_knows_them():
    text = "{numref}`fig-a`, {doc}`/b`, {numref}`fig-a`, $$x \\tag{{equation-number}`one`}$$, {cite:p}`x,y` and ``{not} a role``"
    assert roles(text) == ["{numref}`fig-a`", "{doc}`/b`", "{eq}`one`", "{cite:p}`x,y`"]


def test_roles_are_replaced_by_what_sphinx_says():
    words = {"{numref}`fig-a`": "Fig. 3", "{doc}`/b`": "The title", "{doc}`that <b>`": "that", "{eq}`one`": "Eq. (11)"}
    text = r"See {numref}`fig-a` of {doc}`/b`, {doc}`that <b>`, {eq}`one`: $$x \tag{{equation-number}`one`}$$"
    assert resolved(text, words) == r"See Fig. 3 of *The title*, that, Eq. (11): $$x \tag{11}$$"


@pytest.fixture
def chapter(tmp_path):
    """An executed notebook with its record."""
    write_notebook(tmp_path, "10_nsd", ("nsd",), judge_nsd, NSD, "# The sign\n\nAt {glue:text}`largest`, {numref}`fig-nsd-line`.")
    executed, record = tmp_path / "executed/10_nsd.ipynb", tmp_path / "executed/records/10_nsd" / RECORD
    return json.loads(executed.read_bytes()), json.loads(record.read_bytes())


def test_a_notebook_keeps_its_code_and_its_figures_and_says_the_rest_in_markdown(chapter):
    made = readable(*chapter, lambda asked: dict.fromkeys(asked, "Fig. 7"))
    nbformat.validate(nbformat.from_dict(made))
    code = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
    assert code == [cell for cell in chapter[0]["cells"] if cell["cell_type"] == "code"]
    assert any("image/png" in output["data"] for cell in code for output in cell["outputs"])
    title, text = (cell["source"] for cell in made["cells"] if cell["cell_type"] == "markdown")
    assert title == "# The sign\n\nAt 0.44, Fig. 7."
    assert text.startswith("**Fig. 7.** The line $y = x^2$.\n\n**Certificate:** A matrix $A$ of")
    assert "```text\nA = [[6/5, 0]]\nn = 2\n```" in text
    assert f"**So:** {CERTIFICATE['conclusion']}" in text
    assert "**The matrix between the kernels is negative semi-definite: fails as printed.**\n\nWhat holds: $M_Δ" in text
    assert text.endswith("1 of 2 checks holds; this one fails:\n\n- largest eigenvalue of $M_Δ$")


def test_checks_are_said_in_a_line():
    piece = {"name": "steps", "passed": True}
    assert written("```{checks}\nsteps\n: steps\n```", {"checks": [piece, piece]}) == "All 2 checks hold."
