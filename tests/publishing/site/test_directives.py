"""What the directives put on the pages of a tiny book that is really built."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from linked_data import complaints, objects
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from tiny_book import CERTIFICATE, DATA, NSD, TEXTS, drawing, figure_words, judge_nsd, verdict_words, write_notebook

from lorantk.disk import write_whole
from lorantk.publishing.checks.compare import without_measured_cells
from lorantk.publishing.errors import PublishingError
from lorantk.publishing.graph.records import collect
from lorantk.publishing.json_files import json_bytes
from lorantk.publishing.notebook.claims import CLAIMS, OTHER, OWN
from lorantk.publishing.notebook.figures import checksum
from lorantk.publishing.notebook.verdicts import VERDICTS
from lorantk.publishing.site import sphinx_ext
from lorantk.publishing.site.sphinx_ext.pieces import BADGES, NOT_YET, comparison
from lorantk.publishing.site.sphinx_ext.repository import launch_links
from lorantk.publishing.site.stage import page_source

CONFIG = """
title: A tiny book
only_build_toc_files: true
execute: {execute_notebooks: "off"}
parse: {myst_enable_extensions: [amsmath, dollarmath]}
sphinx:
  config:
    extensions: [sphinx_copybutton, myst_nb, jupyter_book, sphinx_comments, sphinx_external_toc,
      sphinx_design, sphinx_book_theme, sphinx_proof, lorantk.publishing.site.sphinx_ext]
    lorantk_sources: ../../notebooks
    lorantk_repository: https://github.com/someone/book
    lorantk_reference: v0.1.0
    lorantk_preview: gauge-line
    numfig: true
    math_eqref_format: "Eq. ({number})"
    html_context: {default_mode: auto}
    mathjax_path: absent.js
"""
CITATION = """
title: A tiny book
version: 0.1.0
authors: [{family-names: Rényi, given-names: Alfréd}, {name: The others}]
date-released: "2027-01-31"
doi: 10.1000/tiny
url: https://example.org/tiny
references: [{title: Examined, authors: [{family-names: B, given-names: Ada}], year: 2025}]
"""
CHAPTERS = ("notebooks/30_nsd", "notebooks/40_gauge", "book/figures", "book/errata", "book/lists", "book/notation")
CHAPTERS += ("book/argument", "book/runs")
PRINTED = [claim.id for claim in CLAIMS if claim.source != OWN and not claim.source.startswith(OTHER)]
LINKS = "\n".join(f"{name}: says {name}" for name in PRINTED).replace("says nsd", "says M_Δ ⪯ 0 | gauge, nsd")
ARGUMENT = f"# Argument\n\nAt most {{computed}}`nsd largest:.1f`.\n\n```{{argument}}\nOne part\n{LINKS}\n```\n"
COVERAGE = [{"name": "mean", "setting": "20 draws", "chapters": ["30"], "nominal": 0.95, "replicates": 100}]
COVERAGE[0] |= {"measured": 0.93, "low": 0.9, "high": 0.94}
PAGES = {
    "_config.yml": CONFIG,
    "CITATION.cff": CITATION,
    "_toc.yml": yaml.safe_dump({"format": "jb-book", "root": "index", "chapters": [{"file": name} for name in CHAPTERS]}),
    "index.md": "# Front\n\nSee {numref}`fig-nsd-line`.\n\n```{tally}\n```\n\n"
    "```{scoreboard}\n```\n\n```{evidence-figure} nsd-line\n```\n",
    "book/figures.md": "# Figures\n\nOne is {judged}`nsd`, one {judged}`bridge`.\n\n```{figure-index}\n```\n",
    "book/errata.md": "# Errata\n\n```{errata}\nE2 nsd\n: $\\lambda = 0$\n: $\\lambda =\n  -1$\n\n"
    "E1 bridge\n: one thing\n: another\n: take $x = 1$\n```\n",
    "book/lists.md": "# Lists\n\n```{chapter-list}\n```\n\n"
    "## Trust\n\n```{trust} trust/twice.json\n```\n\n```{trust} trust/never.json\n```\n\n"
    "## Luck\n\nSeen: {coverage}`mean`.\n\n```{coverage-table} trust/calibration.json\n```\n",
    "book/argument.md": ARGUMENT,
    "book/runs.md": "# Runs\n\n```{clone}\n```\n\n```{runs}\n```\n\n```{cite-book}\n```\n",
    "book/notation.md": "# Notation\n\n```{container} lorantk-symbols\n\n"
    "| symbol | meaning |\n|---|---|\n| $A$, $A'$ | a factor |\n```\n",
    "book/trust/calibration.json": json.dumps(COVERAGE),
}
TRUST = {
    "title": "Two builds",
    "command": "make reproduce",
    "commit": "0123456789" * 4,
    "date": "2026-01-31",
    "device": {"platform": "cpu", "processor": "A processor", "cores": 8},
    "versions": {"python": "3.11.7"},
    "summary": "Two builds gave `one` file.",
    "columns": ["Files", "Different", "Share"],
    "rows": [["`pages`", 0, 1.5e-9]],
}
RUN = {
    "profile": "default",
    "seconds": 42.0,
    "peak_bytes": 1_500_000_000,
    "threads": 2,
    "device": {"platform": "cpu", "processor": "A processor", "cores": 8},
    "versions": {"python": "3.11.7", "jax": "0.10.2"},
}
SPEAKS_OF = ("too small to matter", "for the finding", "against the finding")
PART = "A long part with a name that takes quite some room on a page"


def judge_more(chapter):
    """Make a chapter on several claims, one of them a finding, with a second figure and a check."""
    chapter.evidence("trajectories", 3e-16, "<=", 1e-12, unit="rad", claim="gauge")
    chapter.conclude("holds exactly", claim="gauge")
    for part, low, high in ((PART, 0.3, 0.5), ("lift", -0.1, 0.2)):
        which = {"claim": "finding-rank", "part": part, "case": part}
        chapter.evidence("too-small", max(-low, high), "<", 0.05, about="no effect of interest", **which)
        chapter.evidence("above-zero", low, ">", 0, about="confirmed", **which)
        chapter.evidence("below-zero", high, "<", 0, about="contradicted", **which)
    chapter.conclude("undecided at this power", claim="finding-rank")
    chapter.check("steps", 3, "==", 3)
    chapter.figure(drawing(), "gauge-line", data=DATA)


MORE = "\n".join(
    [
        verdict_words("gauge", trajectories="trajectories, largest difference"),
        verdict_words("finding-rank", too_small=r"gap in $\mathrm{IB}$", above_zero="lower end", below_zero="upper end"),
        "```{checks}\nsteps\n: steps that were taken\n```\n",
        figure_words("gauge-line"),
    ]
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the merged records of two chapters."""
    folder = tmp_path_factory.mktemp("tiny-book")
    markdown = "# The sign\n\nLargest: {glue:text}`largest`, see {numref}`fig-nsd-line` and {numref}`fig-gauge-line`."
    markdown += " By {prf:ref}`signs`, as in {eq}`one` and {doc}`/notebooks/40_gauge` ({judged}`finding-rank`, "
    markdown += "{coverage}`mean`): with $A'$ and $A$.\n\n````{prf:theorem} Signs\n:label: signs\n\nOne of two.\n\n"
    markdown += "$$\nx = 1\n$$ (one)\n````\n\nAbout 5 minutes; needs {doc}`/notebooks/40_gauge`."
    write_notebook(folder / "_build", "30_nsd", ("nsd",), judge_nsd, NSD, markdown)
    write_notebook(folder / "_build", "40_gauge", ("gauge", "finding-rank"), judge_more, MORE, "# The gauge")
    collect(folder / "_build")
    (folder / "notebooks").mkdir()
    shutil.copyfile(folder / "_build/executed/30_nsd.ipynb", folder / "notebooks/30_nsd.ipynb")
    write_whole(folder / "_build/executed/runs/30_nsd.json", json_bytes(RUN))
    return folder


@pytest.fixture(scope="module")
def site(root):
    """The folder of the built site; warnings, including those about references, are errors."""
    stage = root / "_build" / "stage"
    for executed in (root / "_build/executed").glob("*.ipynb"):
        write_whole(stage / "notebooks" / executed.name, page_source(executed))
    for name, content in (PAGES | {"book/trust/twice.json": json.dumps(TRUST)}).items():
        (stage / name).parent.mkdir(exist_ok=True, parents=True)
        (stage / name).write_text(content)
    jupyter_book = Path(sys.executable).with_name("jupyter-book")
    command = [jupyter_book, "build", stage, "--path-output", root / "out", "-W", "-n", "--keep-going"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    return root / "out" / "_build" / "html"


@pytest.fixture(scope="module")
def page(site):
    """A function that returns the article of a page."""
    return lambda name: BeautifulSoup((site / f"{name}.html").read_text(), "html.parser").select_one("article")


def test_a_figure_is_numbered_captioned_and_described(page):
    article = page("notebooks/30_nsd")
    figure = article.select_one("figure#fig-nsd-line")
    assert figure.img["alt"] == TEXTS["alt"]
    assert figure.img["src"].endswith("nsd-line.svg")
    assert figure.select_one(".caption-number").text.strip() == "Fig. 30.1"
    assert figure.select_one(".caption-text .math").text == r"\(y = x^2\)"
    assert [link.text for link in article.select("p .std-numref")] == ["Fig. 30.1", "Fig. 40.1"]
    assert "Largest: 0.44, see" in article.p.text
    assert len(article.select("img")) == 1  # the cell that drew it is removed


def test_a_chapter_has_its_number_in_title_menu_list_and_name(site, page):
    title = page("notebooks/40_gauge").h1
    assert (title.select_one(".section-number").text, title.text.removesuffix("#").strip()) == ("40. ", "40. The gauge")
    assert page("notebooks/40_gauge").select("h2 .section-number") == []
    assert page("book/lists").select("tr > td:first-child a[href='../notebooks/40_gauge.html']")[0].text.startswith("40. ")
    whole = BeautifulSoup((site / "index.html").read_text(), "html.parser")
    assert whole.select_one("nav.bd-links a[href='notebooks/40_gauge.html']").text.strip() == "40. The gauge"
    chapter = BeautifulSoup((site / "notebooks/40_gauge.html").read_text(), "html.parser")
    assert chapter.title.text.startswith("40. The gauge")
    assert chapter.select_one(".prev-next-area .left-prev, .left-prev").text.split()[-3:] == ["30.", "The", "sign"]


def test_below_a_figure_is_how_it_was_made(page):
    panel = page("notebooks/30_nsd").select_one(".lorantk-figure > details")
    assert not panel.has_attr("open")
    assert panel.summary.text == "How this was made, download, cite"
    for expected in (
        "nsd-line",
        "notebooks/30_nsd.ipynb",
        "cell-0",
        "profile = default, seed = 0",
        "python 3.",
        "@misc{",
    ):
        assert expected in panel.text


def test_downloads_are_the_files_of_the_index(site, root):
    every = ["SVG", "PDF", "PNG", "CSV"]
    for name, texts in (("notebooks/30_nsd", every), ("index", every), ("book/figures", ["data"])):
        page = BeautifulSoup((site / f"{name}.html").read_text(), "html.parser")
        links = page.select('a[download][href*="nsd-line"]')
        assert [link.text for link in links] == texts
        for link in links:
            served = (site / f"{name}.html").parent / link["href"]
            source = root / "_build" / "figures" / Path(link["href"]).name
            assert checksum(served.read_bytes()) == checksum(source.read_bytes())


def test_a_figure_shown_again_elsewhere_keeps_its_label_on_its_own_page(page):
    assert page("index").select_one(".lorantk-figure img")["alt"] == TEXTS["alt"]
    assert page("index").select_one("#fig-nsd-line") is None
    assert page("index").select_one(".lorantk-figure .std-numref").text == "Fig. 30.1"


def test_the_scoreboard_lists_every_statement(page):
    article = page("index")
    rows = [row for row in article.select(".lorantk-table tbody tr") if not row.select(".lorantk-group")]
    titles = [claim.title.replace("'", "’") for claim in CLAIMS]
    assert [row.td.text[: len(title)] for row, title in zip(rows, titles, strict=True)] == titles
    badges = [row.select_one(".lorantk-badge").text for row in rows]
    assert badges.count(f"○ {NOT_YET}") == len(CLAIMS) - 3
    judged = {claim.id: row for row, claim in zip(rows, CLAIMS, strict=True)}
    assert judged["nsd"].select_one(".lorantk-badge").text == "✗ fails as printed"
    assert r"\(M_Δ ⪯ 0\)" in judged["nsd"].text
    assert "1 of 2 passed" in judged["nsd"].text
    assert [link["href"] for link in judged["nsd"].select("a")] == [
        "notebooks/30_nsd.html",
        "notebooks/30_nsd.html#verdict-nsd",
        "notebooks/30_nsd.html#certificate-nsd",
    ]
    assert judged["gauge"].select_one("a")["href"] == "notebooks/40_gauge.html"
    assert "undecided at this power" in judged["finding-rank"].text
    assert "6 comparisons" in judged["finding-rank"].text


def test_the_tally_counts_each_verdict(page):
    words = page("index").select_one(".lorantk-tally").text.split("  ")
    counts = ["✓ holds exactly 1", "? undecided at this power 1", "✗ fails as printed 1", f"○ {NOT_YET} {len(CLAIMS) - 3}"]
    assert sorted(filter(None, words)) == sorted(counts)


def test_a_badge_in_a_line_leads_to_the_verdict(page):
    line = page("book/figures").select_one("section > p")
    assert "✗ fails as printed" in line.text
    assert NOT_YET in line.text
    assert [link["href"] for link in line.select("a")] == ["../notebooks/30_nsd.html#verdict-nsd"]


def test_a_verdict_says_how_much_holds_and_what_fails(page):
    verdict = page("notebooks/30_nsd").select_one("#verdict-nsd")
    first, holds, summary, failing, certificate, erratum = verdict.select(":scope > :is(p, ul)")
    assert first.text == "The matrix between the kernels is negative semi-definite: ✗ fails as printed"
    assert holds.text.startswith(r"What holds: \(M_Δ ⪯ 0\) if")
    assert summary.text == "1 of 2 checks holds; this one fails:"
    assert [item.text.strip() for item in failing.select("li")] == [r"largest eigenvalue of \(M_Δ\)"]
    assert certificate.a["href"] == "#certificate-nsd"
    assert erratum.text.startswith("Printed words beside what holds: E2")
    more = page("notebooks/40_gauge")
    assert more.select_one("#verdict-gauge").select("p")[1].text == "The only check holds."


def test_all_evidence_is_below_a_verdict_to_open(page):
    part = page("notebooks/30_nsd").select_one("#verdict-nsd details")
    assert not part.has_attr("open")
    rows = [[cell.text.strip() for cell in row.select("td")] for row in part.select("tbody tr")]
    assert rows == [
        [r"largest eigenvalue of \(M_Δ\)", "as printed", "0.44", "≤\u00a00", "✗ no"],
        [r"the same, where \(s^2\|A\|^2 \le 1\)", "corrected statement", "−1 × 10⁻¹⁶", "≤\u00a01 × 10⁻¹²", "✓ yes"],
    ]
    more = page("notebooks/40_gauge")
    assert "3 × 10⁻¹⁶ rad" in more.select_one("#verdict-gauge").text
    finding = more.select_one("#verdict-finding-rank")
    assert "Each part is decided by the first of its comparisons that holds, and undecided if none does." in finding.text
    rows = [[cell.text.strip() for cell in row.select("td")] for row in finding.select("tbody tr")]
    assert [row[1] for row in rows[:3]] == [f"{words}: {PART}" for words in SPEAKS_OF]
    assert [row[-1] for row in rows] == ["✗ no", "✓ yes", "✗ no", "✗ no", "✗ no", "✗ no"]


def test_a_certificate_stands_where_the_text_has_it(page):
    certificate = page("notebooks/30_nsd").select_one("#certificate-nsd")
    assert certificate.find_parent(id="verdict-nsd") is None
    assert certificate.pre.text.strip() == "A = [[6/5, 0]]\nn = 2"
    for role in ("statement", "check", "conclusion"):
        words = re.sub(r"\$(.+?)\$", r"\\(\1\\)", CERTIFICATE[role])
        assert words in certificate.text


def test_checks_outside_statements_are_shown(page):
    article = page("notebooks/40_gauge")
    row = article.select_one("[aria-label=Checks] tbody tr")
    assert [cell.text.strip() for cell in row.select("td")] == ["steps that were taken", "control", "3", "=\u00a03", "✓ yes"]


def test_an_erratum_sets_what_is_printed_beside_what_holds(page):
    nsd, bridge = page("book/errata").select("section.lorantk-erratum")
    assert nsd["id"] == "erratum-nsd"
    assert nsd.select_one("h2").text.startswith("E2 · The matrix between the kernels")
    assert nsd.p.text == "Theorem after equation 11 ✗ fails as printed"
    assert nsd.p.a["href"] == "../notebooks/30_nsd.html#verdict-nsd"
    sides = [side.text.split("\n") for side in nsd.select(".lorantk-sides > div")]
    assert [[line for line in side if line] for side in sides] == [
        ["Printed", r"\(\lambda = 0\)"],
        ["What holds", r"\(\lambda = -1\)"],
    ]
    assert nsd.pre.text.strip() == "A = [[6/5, 0]]\nn = 2"
    assert nsd.select_one('a[href="../notebooks/30_nsd.html#certificate-nsd"]').text == "certificate"
    assert r"\(M_Δ ⪯ 0\) if" in nsd.details.text
    assert NOT_YET in bridge.p.text
    assert bridge.select("p")[-1].text == r"Counterexample: take \(x = 1\)"
    assert bridge.details is None


def test_a_verdict_leads_to_its_erratum(page):
    verdict = page("notebooks/30_nsd").select_one("#verdict-nsd")
    [link] = verdict.select('a[href="../book/errata.html#erratum-nsd"]')
    assert link.text == "E2 · The matrix between the kernels is negative semi-definite"
    assert "errata" not in str(page("notebooks/40_gauge").select_one("#verdict-gauge"))


@pytest.mark.parametrize(
    ("errata", "fault"),
    [
        ("E1 bridge\n: a\n: b", "expected an erratum for each corrected statement of the paper, got none for nsd"),
        ("E1 nsd\n: a\n: b\n\nE2 bridge\n: a\n: b", "expected a counterexample for each .* certificate, got none for bridge"),
        ("E1 nsd\n: a\n: b\n\nE1 bridge\n: a\n: b", "expected each number of an erratum once, got E1 again"),
        ("E1 nsd\n: a\n: b\n\nE2 nsd\n: a\n: b", "expected each statement of an erratum once, got nsd again"),
        ("E1 nsd\n: a\n: b\n\nE2 nsb\n: a\n: b", r"expected errata of ids in claims\.json, got nsb"),
        ("E1 nsd\n: only this", "expected an erratum as .*, got 'E1 nsd"),
        ("1 nsd\n: a\n: b", "expected an erratum as .*, got '1 nsd"),
    ],
)
def test_a_faulty_erratum_is_an_error_at_its_line(root, tmp_path, errata, fault):
    markdown = f"# Page\n\n```{{errata}}\n{errata}\n```\n"
    warnings = build_plainly(tmp_path, markdown, lorantk_build=str(root / "_build"))
    assert re.search(rf"index\.md:3: .*{fault}", warnings)


def test_the_figure_index_shows_every_figure_small(page, site):
    items = page("book/figures").select(".lorantk-gallery > li")
    assert [item.select_one(".std-numref").text for item in items] == ["Fig. 30.1", "Fig. 40.1"]
    for item in items:
        assert item.img["loading"] == "lazy"
        assert (site / "book" / item.img["src"]).stat().st_size < 30_000


def test_the_list_of_chapters_says_what_each_needs(page):
    tables = page("book/lists").select("table")
    rows = [list(row.select("td")) for row in tables[0].select("tbody tr")]
    assert [row[0].a["href"] for row in rows] == ["../notebooks/30_nsd.html", "../notebooks/40_gauge.html"]
    assert rows[0][1].select_one("a")["href"] == "../notebooks/30_nsd.html#verdict-nsd"
    assert "lorantk-fails" in rows[0][1].select_one(".lorantk-badge")["class"]
    assert [link["href"] for link in rows[0][2].select("a")] == ["../notebooks/40_gauge.html"]
    assert rows[1][2].text.strip() == "nothing more"
    assert re.fullmatch(r"\d+\smin", rows[0][3].text.strip())


def test_runs_are_listed_with_time_memory_and_device(page):
    table, figures = page("book/runs").select("table")
    rows = [[cell.text.strip() for cell in row.select("td")] for row in table.select("tbody tr")]
    assert rows[0][1:] == ["42 s", "1.5 GB", "default", "cpu, 2 threads, A processor"]
    assert rows[1][1] == "not recorded"
    assert rows[2][:3] == ["All", "42 s", "at most 1.5 GB"]
    assert "python 3.11.7, jax 0.10.2" in page("book/runs").text
    took = [[cell.text.strip() for cell in row.select("td")] for row in figures.select("tbody tr")]
    assert [name for name, _ in took] == [TEXTS["title"]] * 2
    assert all(re.fullmatch(r"\d+\.\d s", time) for _, time in took)


def test_the_result_of_a_check_of_the_book_is_shown(page):
    part = page("book/lists").select_one("#trust")
    assert part.p.text == "Two builds gave one file."
    assert part.select("p")[-1].text == "No result of this check is kept yet."
    assert [cell.text.strip() for cell in part.select("tbody td")] == ["pages", "0", "1.5 × 10⁻⁹"]
    for expected in ("make reproduce", TRUST["commit"], "on 2026-01-31", "cpu, 8 cores, A processor", "python 3.11.7"):
        assert expected in part.select_one(".lorantk-facts").text


def test_a_ledger_is_shown_and_quoted(page):
    part = page("book/lists").select_one("#luck")
    assert part.p.text == "Seen: 93.0% (95.0% stated)."
    assert "The others: mean (93.0% instead of 95.0%)." in part.select("p")[1].text
    row = ["mean: 20 draws", "30", "95.0%", "93.0% (90.0% to 94.0%)", "100"]
    assert [cell.text.strip() for cell in part.select("tbody td")] == row


def test_a_chapter_ends_with_how_to_run_it(page, site, root):
    part = page("notebooks/30_nsd").select_one("#run-again")
    assert part.select_one(".lorantk-code").text.strip() == 'make notebook N=nsd P="seed=7"'
    assert part.select_one("code").text == "profile = 'default', seed = 0"
    assert part.select_one('a[href="../book/runs.html"]').text == "how this site was computed"
    assert "42 s" not in part.text  # the page on times may differ between builds, this one may not
    executed, stored = (site / "notebooks" / link["href"] for link in part.select("a[download]"))
    assert executed == site / "notebooks/30_nsd.ipynb"
    assert executed.is_file()
    assert stored.read_bytes() == (root / "notebooks/30_nsd.ipynb").read_bytes()
    assert [link["href"] for link in part.select("a.external")] == [
        "https://mybinder.org/v2/gh/someone/book/v0.1.0?urlpath=lab/tree/notebooks/30_nsd.ipynb",
        "https://colab.research.google.com/github/someone/book/blob/v0.1.0/notebooks/30_nsd.ipynb",
    ]
    assert "git clone --quiet --branch v0.1.0 https://github.com/someone/book " in part.text
    assert page("notebooks/40_gauge").select_one("#run-again") is None  # no stored source, nothing to run


def test_beside_a_chapters_page_is_its_notebook_with_everything_filled_in(site, root):
    made = nbformat.read(site / "notebooks/30_nsd.ipynb", as_version=4)
    title, *_ = text = [cell.source for cell in made.cells if cell.cell_type == "markdown"]
    assert title.splitlines()[2].startswith(
        "Largest: 0.44, see Fig. 30.1 and Fig. 40.1. By Theorem 30.1, as in Eq. (30.1) and *The gauge* "
    )
    assert title.splitlines()[2].endswith("(? undecided at this power, 93.0% (95.0% stated)): with $A'$ and $A$.")
    assert "**Theorem 30.1 (Signs).**\n\nOne of two.\n\n$$\nx = 1\n\\tag{30.1}\n$$" in title
    assert "**Fig. 30.1.** The line $y = x^2$." in text[-1]
    assert not re.search(r"\{[\w:-]+\}`|[`:]{3}\{|^:\w+:|\$\$ *\(", "\n".join(text), re.MULTILINE)
    shown = [output for cell in made.cells for output in cell.get("outputs", []) if "image/png" in output.data]
    assert len(shown) == 1
    assert not (site / "_sources/notebooks/30_nsd.ipynb").exists()
    page = BeautifulSoup((site / "notebooks/30_nsd.html").read_text(), "html.parser")
    assert page.select_one(".btn-download-source-button")["href"] == "30_nsd.ipynb"


@pytest.mark.parametrize("address", ["x", "https://example.org/someone/book", "https://github.com/someone"])
def test_services_need_a_repository_that_they_reach(address):
    with pytest.raises(PublishingError, match=f"expected lorantk_repository as https://github.com/OWNER/NAME, got '{address}'"):
        launch_links(address, "main", "notebooks/x.ipynb")


def test_every_page_leads_to_its_source_and_one_to_the_clone_command(site, page):
    for name, path in (
        ("notebooks/30_nsd", "notebooks/30_nsd.ipynb"),
        ("book/lists", "book/lists.md"),
        ("index", "book/index.md"),
    ):
        whole = BeautifulSoup((site / f"{name}.html").read_text(), "html.parser")
        [link] = whole.select(".article-header-buttons a.btn-source-button")
        assert link["href"] == f"https://github.com/someone/book/blob/v0.1.0/{path}"
    assert page("book/runs").pre.text == "git clone --branch v0.1.0 https://github.com/someone/book\ncd book\n"


def test_without_an_address_the_page_says_so_in_words(tmp_path):
    assert build_plainly(tmp_path, "# Page\n\n```{clone}\n```\n", lorantk_build="build") == ""
    built = (tmp_path / "out/index.html").read_text()
    assert "The repository has no public address yet: the commands below need a copy of its files." in built
    assert "github.com" not in built
    assert launch_links("", "main", "notebooks/x.ipynb") is None


def test_citations_have_the_printed_number_and_what_the_book_says_of_itself(site, page):
    works = {work["id"]: work for work in json.loads((site / "citations.json").read_bytes())}
    assert list(works) == ["lorantk", "nsd", "gauge", "nsd-line", "gauge-line"]
    assert works["gauge-line"]["number"] == "40.1"
    assert works["nsd-line"]["url"] == "https://example.org/tiny/notebooks/30_nsd.html#fig-nsd-line"
    line = "Rényi, A., & The others. (2027). A parabola [Figure 30.1 of Chapter 30, The sign]. In A tiny book (version 0.1.0"
    assert line in page("notebooks/30_nsd").select_one(".lorantk-figure > details").text
    assert "@misc{lorantk-nsd," in page("notebooks/30_nsd").select_one("#run-again details").text
    book = page("book/runs").select("pre")[-1].text
    assert book.startswith("@misc{lorantk,")
    assert "doi = {10.1000/tiny}," in book
    assert "no address yet" not in page("book/runs").text


def test_every_head_describes_its_page(site):
    for name in ("index", *CHAPTERS):
        head = BeautifulSoup((site / f"{name}.html").read_text(), "html.parser").head
        tags = {tag["property"]: tag["content"] for tag in head.select("meta[property]")}
        [about] = head.select("meta[name=description]")
        assert about["content"] == tags["og:description"]
        assert tags["og:url"] == f"https://example.org/tiny/{name}.html"
        assert (site / tags["og:image"].removeprefix("https://example.org/tiny/")).read_bytes()[:4] == b"\x89PNG"
    head = BeautifulSoup((site / "notebooks/30_nsd.html").read_text(), "html.parser").head
    description = head.select_one("meta[name=description]")["content"]
    assert description.startswith("Largest: 0.44, see Fig. 30.1 and Fig. 40.1. By Theorem 30.1, as in Eq. (30.1)")
    assert head.select_one("meta[property='og:image']")["content"].endswith("/nsd-line.png")


def test_a_description_is_plain_text(tmp_path):
    markdown = (
        "# Page\n\n```{note}\nNot this.\n```\n\nIf $q\\,(1+\\sqrt{r/n})^2 \\le 1$ and $M_\\Delta\\preceq 0$, " + "words " * 60
    )
    (tmp_path / "CITATION.cff").write_text(CITATION)
    collect(tmp_path / "build")
    options = {"lorantk_build": "build", "myst_enable_extensions": ["dollarmath"]}
    assert build_plainly(tmp_path, markdown, **options) == ""
    head = BeautifulSoup((tmp_path / "out/index.html").read_text(), "html.parser").head
    description = head.select_one("meta[name=description]")["content"]
    assert description.startswith("If q(1+√(r/n))² ≤ 1 and MΔ⪯ 0, words")
    assert len(description) <= 300


def test_linked_data_is_in_the_vocabulary_of_schema_org(site):
    found = {}
    for name in ("index", *CHAPTERS):
        described = objects(BeautifulSoup((site / f"{name}.html").read_text(), "html.parser"))
        assert list(complaints(described, name)) == []
        found[name] = {entry["@type"]: entry for entry in described}
    assert {name: sorted(kinds) for name, kinds in found.items() if len(kinds) > 1} == {
        "index": ["Dataset", "ScholarlyArticle"],
        "notebooks/30_nsd": ["ClaimReview", "Dataset", "ScholarlyArticle"],
        "notebooks/40_gauge": ["ClaimReview", "Dataset", "ScholarlyArticle"],
        "book/figures": ["Dataset", "WebPage"],
    }
    review = found["notebooks/30_nsd"]["ClaimReview"]
    assert review["reviewRating"]["alternateName"] == "fails as printed"
    assert review["itemReviewed"]["author"] == [{"@type": "Person", "name": "Ada B", "givenName": "Ada", "familyName": "B"}]
    assert review["url"] == "https://example.org/tiny/notebooks/30_nsd.html#verdict-nsd"
    [data] = found["notebooks/30_nsd"]["Dataset"]["distribution"]
    assert (site / data["contentUrl"].removeprefix("https://example.org/tiny/")).read_text().startswith("x,y\n")


def test_what_schema_org_does_not_know_is_found():
    wrong = {"@type": "Claim", "nme": "x", "appearance": {"@type": "Person"}, "name": True}
    assert len(list(complaints(wrong))) == 3
    assert list(complaints([{"@type": "Clam"}])) == ["page: no type 'Clam'"]


def test_the_argument_is_a_chain_of_all_statements_of_the_paper(page):
    article = page("book/argument")
    assert article.p.text == "At most 0.4."
    chain = article.select_one("svg.lorantk-chain")
    assert len(chain.select("tspan[x]")) == len(PRINTED)
    assert "1 broken" in chain["aria-label"]
    assert [link["href"] for link in chain.select("a")] == [
        "../notebooks/30_nsd.html#verdict-nsd",
        "../notebooks/40_gauge.html",
        "../notebooks/30_nsd.html",
        "../notebooks/40_gauge.html#verdict-finding-rank",
    ]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("nsd: says", "expected the title of a part before its first link, got 'nsd: says'"),
        ("Part\nnsb: says", r"expected an id of claims\.json, got 'nsb'"),
        ("Part\nnsd: says | nowhere", "expected the topic of a chapter, got 'nowhere'"),
        (f"Part\n{LINKS.split(' |')[0]}", "expected each statement of the paper as one link, got it otherwise for .*renyi"),
        ("Part\ngauge: says", "expected each statement of the paper as one link, got it otherwise for .*gauge"),
    ],
)
def test_a_faulty_argument_is_an_error_at_its_line(root, tmp_path, body, fault):
    warnings = build_plainly(tmp_path, f"# Page\n\n```{{argument}}\n{body}\n```\n", lorantk_build=str(root / "_build"))
    assert re.search(rf"index\.md:3: .*{fault}", warnings), warnings


@pytest.mark.parametrize("content", ["nsd", "nsb largest", "nsd smallest", "nsd largest:d"])
def test_a_number_that_no_chapter_computed_is_an_error_at_its_line(root, tmp_path, content):
    warnings = build_plainly(tmp_path, f"# Page\n\nIt is {{computed}}`{content}`.\n", lorantk_build=str(root / "_build"))
    assert re.search(r"index\.md:3: .*expected ", warnings), warnings


def test_the_first_use_of_a_symbol_leads_to_its_row(page):
    links = page("notebooks/30_nsd").select("a.lorantk-symbol")
    assert [link.text for link in links] == [r"\(A'\)"]  # the row once, by the name that comes first
    anchor = links[0]["href"].removeprefix("../book/notation.html#")
    assert page("book/notation").select_one(f"tr#{anchor}").text.split() == [r"\(A\),", r"\(A'\)", "a", "factor"]


def test_no_page_needs_scripts_of_ours(page):
    for name in ("index", *CHAPTERS):
        article = page(name)
        assert not article.select("script, [onclick], [onload], style")
        assert all(region["tabindex"] == "0" and region["aria-label"] for region in article.select(".lorantk-scroll"))


def build_plainly(root, markdown, **configuration):
    """Return the warnings of plain Sphinx about one page."""
    (root / "index.md").write_text(markdown)
    warnings = root / "warnings.txt"
    with warnings.open("w") as stream, docutils_namespace():
        options = {"extensions": ["myst_parser", "lorantk.publishing.site.sphinx_ext"], **configuration}
        Sphinx(root, None, root / "out", root / "trees", "html", options, status=None, warning=stream).build()
    return warnings.read_text()


@pytest.mark.parametrize(
    ("markdown", "message"),
    [
        ("![](a.png)", "expected alternative text for the image a.png, got none"),
        ("![A](https://example.org/a.png)", "expected an image of this site, got one from outside: https://example.org/a.png"),
        ("```{image} a.png\n:alt: A\n:width: 1200px\n```", "expected an image of at most the column's 720 px, got 1200px"),
        ("```{figure} a.png\n:alt: A\n```", "expected a caption for the figure, got none"),
        ('<script src="https://example.org/a.js"></script>', "expected nothing from outside, got <script> from https://ex"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "expected nothing from outside, got <link> from //example.org"),
        ('<img src="a.png">', "expected alternative text in <img src=.*>, got none"),
        ("See {ref}`nowhere`.", "undefined label: 'nowhere'"),
        ("See {numref}`fig-nowhere`.", "undefined label: 'fig-nowhere'"),
        ("See [there](#nowhere).", "cross-reference target not found"),
        ("{cite:p}`nobody2020`", 'could not find bibtex key "nobody2020"'),
    ],
)
def test_forbidden_content_is_a_warning_at_its_line(tmp_path, markdown, message):
    drawing().savefig(tmp_path / "a.png", dpi=20)
    (tmp_path / "empty.bib").write_text("")
    options = {"extensions": ["myst_parser", "sphinxcontrib.bibtex", "lorantk.publishing.site.sphinx_ext"], "numfig": True}
    text = f"# Page\n\nA line.\n\n{markdown}\n"
    warnings = build_plainly(tmp_path, text, bibtex_bibfiles=["empty.bib"], lorantk_build="build", **options)
    lines = [line for line in warnings.splitlines() if re.search(message, line)]
    assert lines, warnings
    assert re.search(r"index\.md(:[35])?: ", re.sub("\x1b\\[[0-9;]*m", "", lines[0])), lines


def test_allowed_content_gives_no_warning(tmp_path):
    drawing().savefig(tmp_path / "a.png", dpi=20)
    text = "# Page\n\n![A curve](a.png)\n\n```{figure} a.png\n:alt: A\n:width: 100%\n\nCaption\n```\n"
    text += '\n<a href="https://example.org/a.js">a link</a>\n'
    assert build_plainly(tmp_path, text, lorantk_build="build") == ""


@pytest.mark.parametrize("directive", ["scoreboard", "errata", "figure-index", "verdict", "evidence-figure"])
def test_a_missing_build_is_an_error_at_its_line(tmp_path, directive):
    argument = " nsd" if directive in ("verdict", "evidence-figure") else ""
    warnings = build_plainly(tmp_path, f"# Page\n\n```{{{directive}}}{argument}\n```\n", lorantk_build="absent")
    assert re.search(r"index\.md:3: .*expected .*/absent/.*\.json, which `make book` writes, got no such file", warnings)


def test_a_measured_cell_is_shown_and_not_searched(tmp_path):
    cells = []
    for name, tags in (("timed", ["measured"]), ("plain", [])):
        output = nbformat.v4.new_output("display_data", {"text/html": f"<b>{name}word</b>", "text/plain": ""})
        cells.append(nbformat.v4.new_code_cell("pass", id=name, metadata={"tags": tags}, outputs=[output]))
    title = nbformat.v4.new_markdown_cell("# Page", id="title")
    nbformat.write(nbformat.v4.new_notebook(cells=[title, *cells]), tmp_path / "index.ipynb")
    options = {"extensions": ["myst_nb", "lorantk.publishing.site.sphinx_ext"], "nb_execution_mode": "off"}
    with docutils_namespace():
        Sphinx(tmp_path, None, tmp_path / "out", tmp_path / "trees", "html", options, status=None, warning=None).build()
    page, index = ((tmp_path / "out" / name).read_text() for name in ("index.html", "searchindex.js"))
    assert "<b>timedword</b>" in page
    assert "<b>plainword</b>" in page
    assert "timedword" not in index
    assert "plainword" in index
    assert "timedword" not in without_measured_cells(page)
    assert "plainword" in without_measured_cells(page)


@pytest.mark.parametrize("directive", ["verdict", "evidence-figure"])
def test_an_unknown_id_is_an_error_at_its_line(root, tmp_path, directive):
    markdown = f"# Page\n\n```{{{directive}}} nsb\n```\n"
    warnings = build_plainly(tmp_path, markdown, lorantk_build=str(root / "_build"))
    assert re.search(r"index\.md:3: .*expected an id of .*\.json, got 'nsb'", warnings)


def test_a_book_without_results_builds(tmp_path):
    collect(tmp_path / "build")
    markdown = "# Page\n\n```{scoreboard}\n```\n\n```{errata}\n```\n\n```{figure-index}\n```\n\n```{verdict} nsd\n```\n"
    assert build_plainly(tmp_path, markdown, lorantk_build="build") == ""
    page = (tmp_path / "out" / "index.html").read_text()
    assert "No chapter has recorded a correction yet." in page
    assert "No chapter has made a figure yet." in page


def test_numbers_keep_the_digits_that_tell_them_from_the_bound():
    near = {"value": 1.0000001, "relation": ">", "bound": 1.0}
    assert comparison(near) == ("1.0000001", ">\u00a01.0")
    assert comparison({"value": 12345.678, "relation": "!=", "bound": 7}) == ("1.235 × 10⁴", "≠\u00a07")


def test_every_verdict_has_a_badge_of_its_own_look():
    assert set(BADGES) == {NOT_YET}.union(*VERDICTS.values())
    for words in (*VERDICTS.values(), (NOT_YET,)):
        assert len({BADGES[word] for word in words}) == len(words)


@pytest.mark.parametrize("theme", [0, 1])
def test_badges_have_contrast_in_both_themes(theme):
    sheet = (Path(sphinx_ext.__file__).parent / "static" / "lorantk.css").read_text()
    block = re.findall(r"html[^{]*\{([^}]*)\}", sheet)[theme]
    colors = dict(re.findall(r"--lorantk-([a-z-]+): #([0-9a-f]{6});", block))
    pairs = [(colors[name], colors[f"{name}-ground"]) for name, _ in set(BADGES.values())]
    pairs += [(colors["quiet"], ground) for ground in (("ffffff", "f3f4f5") if theme == 0 else ("14181e", "29313d"))]
    assert all(contrast(*pair) >= 4.5 for pair in pairs)


def contrast(first, second):
    """Return the contrast of two colours, as the Web Content Accessibility Guidelines define it."""

    def luminance(color):
        channels = [int(color[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)
