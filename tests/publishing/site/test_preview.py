"""One executed notebook as a single page."""

import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from tiny_book import NSD, judge_nsd, write_notebook

from lorantk.publishing.errors import RecordError
from lorantk.publishing.site import preview

ROOT = Path(__file__).parents[3]


def test_a_page_has_figure_verdict_and_no_link_out_of_it(tmp_path):
    markdown = "# The sign\n\nAs in {doc}`/notebooks/99_other` {cite:p}`liang2025`: {glue:text}`largest`."
    write_notebook(tmp_path, "10_nsd", ("nsd",), judge_nsd, NSD, markdown, profile="smoke")
    executed = tmp_path / "executed"
    page = preview.build_page(executed / "10_nsd.ipynb", executed / "records/10_nsd", tmp_path / "page", ROOT, tmp_path / "book")
    article = BeautifulSoup(page.read_text(), "html.parser").select_one("article")
    assert article.select_one("figure#fig-nsd-line img")["alt"]
    assert article.select_one("figure .caption-number").text.strip() == "Fig. 10.1"  # as in the book
    assert article.select_one("#verdict-nsd .lorantk-badge").text == "✗ fails as printed"
    assert article.p.text.endswith(": 0.44.")
    assert "This checkout has no run at the book’s own parameters" in article.select_one("#this-run-beside-the-book").text
    assert "make book" in article.select_one("#this-run-beside-the-book code").text
    assert article.select_one("a[href^='../book/references.html#']").text == "Liang et al., 2025"
    folder = page.parents[1]
    for image in article.select("img"):
        assert (page.parent / image["src"]).resolve().is_relative_to(folder.resolve())
        assert (page.parent / image["src"]).is_file()
    assert (folder / "vendor/mathjax/tex-chtml.js").is_file()


def test_a_chapter_that_only_checks_has_its_table(tmp_path):
    words = "```{checks}\nsteps\n: steps that were taken\n```\n"
    write_notebook(tmp_path, "50_audit", (), lambda chapter: chapter.check("steps", 3, "==", 3), words)
    executed = tmp_path / "executed"
    page = preview.build_page(
        executed / "50_audit.ipynb", executed / "records/50_audit", tmp_path / "page", ROOT, tmp_path / "book"
    )
    article = BeautifulSoup(page.read_text(), "html.parser").select_one("article")
    assert "The only check holds." in article.text
    assert article.select_one("[aria-label=Checks] tbody td").text.strip() == "steps that were taken"
    assert page.with_suffix(".ipynb").is_file()


def test_a_run_stands_beside_that_of_the_book(tmp_path):
    def judge_other(chapter):
        judge_nsd(chapter)
        chapter.glue(largest=0.55)

    markdown = (
        "# The sign\n\nAt most {glue:text}`largest` of $|x|$.\n\n- Always 1.\n\n```{note}\nNot {glue:text}`largest`.\n```\n"
    )
    for build, judge in (("_build", judge_nsd), ("run", judge_other)):
        write_notebook(tmp_path / build, "10_nsd", ("nsd",), judge, NSD, markdown)
    run = tmp_path / "run/executed"
    book = tmp_path / "_build/executed/records"
    page = preview.build_page(run / "10_nsd.ipynb", run / "records/10_nsd", tmp_path / "page", ROOT, book)
    article = BeautifulSoup(page.read_text(), "html.parser").select_one("article")
    assert article.p.text == r"At most 0.55 of \(|x|\)."
    assert article.select_one("a[href='#beside-the-book']").text == "At its end"
    part = article.select_one("#this-run-beside-the-book")
    assert "This run has the book’s own parameters" in part.text
    rows = {region["aria-label"]: region.select("tbody tr") for region in part.select(".lorantk-scroll")}
    cells = {name: [[cell.text.strip() for cell in row.select("td")] for row in found] for name, found in rows.items()}
    assert cells["Verdicts"] == [["nsd", "✗ fails as printed", "✗ fails as printed"]]
    assert cells["Evidence"][0] == [r"largest eigenvalue of \(M_Δ\)", "0.44", "0.44", "≤\u00a00", "✗"]
    assert cells["Numbers in the text"] == [[r"At most 0.44 of \(|x|\).", r"At most 0.55 of \(|x|\)."]]
    images = [image["src"] for image in rows["Figures"][1].select("img")]
    assert len(set(images)) == 2
    assert all((page.parent / image).is_file() for image in images)


def test_a_notebook_that_did_not_run_has_no_page(tmp_path):
    with pytest.raises(RecordError, match=r"10_nsd\.ipynb, which `make notebook` writes, got no such file"):
        preview.build_page(tmp_path / "10_nsd.ipynb", tmp_path, tmp_path / "page", ROOT, tmp_path / "book")


def test_wrong_usage_is_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    shutil.copyfile(ROOT / "notebooks/01_notation.ipynb", tmp_path / "notebooks/01_notation.ipynb")
    monkeypatch.chdir(tmp_path)
    assert preview.main(["nothing"]) == 2
    assert preview.main(["notation"]) == 1
    usage, missing = capsys.readouterr().err.splitlines()
    assert usage == "lorantk.publishing.site.preview: expected a notebook (01_notation), got 'nothing'"
    assert missing.startswith("lorantk.publishing.site.preview: expected _build/interactive/01_notation.ipynb, which")
