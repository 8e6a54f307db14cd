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
    page = preview.build_page(executed / "10_nsd.ipynb", executed / "records/10_nsd", tmp_path / "page", ROOT)
    article = BeautifulSoup(page.read_text(), "html.parser").select_one("article")
    assert article.select_one("figure#fig-nsd-line img")["alt"]
    assert article.select_one("#verdict-nsd .lorantk-badge").text == "✗ fails as printed"
    assert article.p.text.endswith(": 0.44.")
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
    page = preview.build_page(executed / "50_audit.ipynb", executed / "records/50_audit", tmp_path / "page", ROOT)
    article = BeautifulSoup(page.read_text(), "html.parser").select_one("article")
    assert "The only check holds." in article.text
    assert article.select_one("[aria-label=Checks] tbody td").text.strip() == "steps that were taken"
    assert page.with_suffix(".ipynb").is_file()


def test_a_notebook_that_did_not_run_has_no_page(tmp_path):
    with pytest.raises(RecordError, match=r"10_nsd\.ipynb, which `make notebook` writes, got no such file"):
        preview.build_page(tmp_path / "10_nsd.ipynb", tmp_path, tmp_path / "page", ROOT)


def test_wrong_usage_is_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    shutil.copyfile(ROOT / "notebooks/01_notation.ipynb", tmp_path / "notebooks/01_notation.ipynb")
    monkeypatch.chdir(tmp_path)
    assert preview.main(["nothing"]) == 2
    assert preview.main(["notation"]) == 1
    usage, missing = capsys.readouterr().err.splitlines()
    assert usage == "lorantk.publishing.site.preview: expected a notebook (01_notation), got 'nothing'"
    assert missing.startswith("lorantk.publishing.site.preview: expected _build/interactive/01_notation.ipynb, which")
