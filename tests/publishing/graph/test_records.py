"""Records of chapters become two lists that match their schemas, or nothing changes."""

import json

import jsonschema
import pytest
from tiny_book import CERTIFICATE, DATA, NSD, drawing, figure_words, judge_nsd, verdict_words, write_notebook

from lorantk.publishing.errors import PublishingError, RecordError
from lorantk.publishing.graph.records import collect, main, schema, validate
from lorantk.publishing.notebook import figures
from lorantk.publishing.notebook.claims import CLAIMS


@pytest.fixture(autouse=True)
def quick_drawings(monkeypatch):
    """Replace the drawings; the contents of the files do not matter here."""
    monkeypatch.setattr(figures, "drawing_bytes", lambda name, figure, extension, dpi=0: f"{name}{extension}".encode())
    monkeypatch.setattr(figures, "cut_off", lambda png: False)  # such a drawing is no image


@pytest.fixture
def build(tmp_path):
    """A build folder with one chapter."""
    write_notebook(tmp_path / "_build", "30_nsd", ("nsd",), judge_nsd, NSD)
    return tmp_path / "_build"


def hold(chapter):
    """Make a chapter whose statement holds."""
    chapter.evidence("x", 1, "<=", 2)
    chapter.conclude("holds exactly")


def one(claim):
    """Return the words of a chapter with one piece of evidence."""
    return verdict_words(claim, x="x")


def tree(folder):
    """Return the content of every file in a folder, by path."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_both_lists_fit_their_schemas_and_say_where_things_come_from(build):
    collect(build)
    claims = json.loads((build / "claims.json").read_text())
    index = json.loads((build / "figures" / "index.json").read_text())
    jsonschema.validate(claims, schema("claims"))
    jsonschema.validate(index, schema("figures"))
    assert [entry["id"] for entry in claims] == [entry.id for entry in CLAIMS]
    judged = {entry["id"]: entry for entry in claims if entry["verdict"]}
    assert list(judged) == ["nsd"]
    assert judged["nsd"]["notebook"] == "notebooks/30_nsd.ipynb"
    assert judged["nsd"]["certificate"] == CERTIFICATE
    assert [piece["passed"] for piece in judged["nsd"]["evidence"]] == [False, True]
    [figure] = index
    assert (figure["notebook"], figure["cell"]) == ("notebooks/30_nsd.ipynb", "cell-0")
    for extension, name in figure["files"].items():
        assert figures.checksum((build / "figures" / name).read_bytes()) == figure["sha256"][extension]


def test_how_long_figures_took_is_in_a_file_of_its_own(build):
    collect(build)
    took = json.loads((build / "figures" / "durations.json").read_text())
    assert set(took) == {"nsd-line"}
    assert 0 <= took["nsd-line"] < 60
    assert "seconds" not in (build / "figures" / "index.json").read_text()


def test_without_chapters_nothing_is_judged(tmp_path):
    claims, index = collect(tmp_path)
    assert all(entry["verdict"] is None and entry["notebook"] is None and entry["evidence"] == [] for entry in claims)
    assert index == []


def test_the_same_records_give_the_same_files(build):
    collect(build)
    before = tree(build)
    collect(build)
    assert tree(build) == before


def test_files_of_removed_figures_are_removed(build):
    collect(build)
    (build / "figures" / ".old.svg.tmp").write_text("left by an interrupted run")
    write_notebook(build, "30_nsd", ("nsd",), hold, one("nsd"))
    collect(build)
    assert set(map(str, tree(build / "figures"))) == {"index.json", "durations.json"}


def test_removed_notebooks_do_not_count(build):
    (build / "executed" / "30_nsd.ipynb").unlink()
    claims, index = collect(build)
    assert not index
    assert all(entry["verdict"] is None for entry in claims)


def test_a_chapter_that_only_checks_adds_its_figures_and_no_verdict(build):
    judged = [entry["id"] for entry in collect(build)[0] if entry["verdict"]]

    def use(chapter):
        chapter.check("x", 1, "<=", 2)
        chapter.figure(drawing(), "audit-values", data=DATA)

    write_notebook(build, "50_audit", (), use, "```{checks}\nx\n: x\n```\n" + figure_words("audit-values"))
    claims, figures = collect(build)
    assert [entry["id"] for entry in claims if entry["verdict"]] == judged
    assert figures[-1]["notebook"] == "notebooks/50_audit.ipynb"


def spoil_nothing_concluded(build):
    write_notebook(build, "40_gauge", ("gauge",), lambda chapter: chapter.evidence("x", 1, "<=", 2), one("gauge"))


def spoil_figure_twice(build):
    def draw(chapter):
        chapter.figure(drawing(), "nsd-line", data=DATA)
        hold(chapter)

    write_notebook(build, "40_gauge", ("gauge",), draw, one("gauge") + figure_words("nsd-line"))


def spoil_claim_twice(build):
    write_notebook(build, "40_again", ("nsd",), hold, one("nsd"))


def spoil_no_records(build):
    (build / "executed" / "40_gauge.ipynb").write_bytes((build / "executed" / "30_nsd.ipynb").read_bytes())


def spoil_missing_file(build):
    (build / "executed" / "records" / "30_nsd" / "figures" / "nsd-line.pdf").unlink()


def spoil_other_file(build):
    (build / "executed" / "records" / "30_nsd" / "figures" / "nsd-line.csv").write_text("x,y\n1,2\n")


def spoil_figure_not_displayed(build):
    path = build / "executed" / "30_nsd.ipynb"
    path.write_text(path.read_text().replace('"figure": "nsd-line"', '"figure": "other"'))


def spoil_smoke(build):
    write_notebook(build, "40_gauge", ("gauge",), hold, one("gauge"), profile="smoke")


def spoil_evidence(build):
    path = build / "executed" / "records" / "30_nsd" / "chapter.json"
    path.write_text(path.read_text().replace('"relation": "<="', '"relation": "about"', 1))


def spoil_claim_id(build):
    path = build / "executed" / "records" / "30_nsd" / "chapter.json"
    path.write_text(path.read_text().replace('"id": "nsd"', '"id": "nsb"'))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_nothing_concluded, "expected notebooks/40_gauge.ipynb to conclude on 'gauge', got no verdict"),
        (spoil_figure_twice, "expected figure 'nsd-line' in one notebook, got it in notebooks/30_nsd.ipynb and"),
        (spoil_claim_twice, "expected claim 'nsd' in one notebook, got it in notebooks/30_nsd.ipynb and"),
        (spoil_no_records, "expected notebooks/40_gauge.ipynb to make a Chapter, got no records"),
        (spoil_missing_file, "expected file nsd-line.pdf of notebooks/30_nsd.ipynb as recorded"),
        (spoil_other_file, "expected file nsd-line.csv of notebooks/30_nsd.ipynb as recorded"),
        (spoil_figure_not_displayed, "expected notebooks/30_nsd.ipynb to display figure 'nsd-line'"),
        (spoil_smoke, "expected notebooks/40_gauge.ipynb at a profile that is published, got 'smoke'"),
        (spoil_evidence, "expected claims that fit their schema, got at nsd: 'about' is not one of"),
        (spoil_claim_id, "expected a claim id of the registry .*, got 'nsb'"),
    ],
)
def test_inconsistent_records_change_nothing(build, spoil, message, capsys):
    collect(build)
    before = tree(build / "figures"), (build / "claims.json").read_bytes()
    spoil(build)
    with pytest.raises(PublishingError, match=message):
        collect(build)
    assert (tree(build / "figures"), (build / "claims.json").read_bytes()) == before
    assert main([str(build)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("lorantk.publishing.graph.records: expected ")


def test_the_command_says_how_far_the_book_is(build, capsys):
    assert main([str(build)]) == 0
    assert capsys.readouterr().out == f"records: 1 of {len(CLAIMS)} statements judged, 1 figures\n"


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "holds exactly", "kind": "finding"},
        {"verdict": "confirmed"},
        {"certificate": None},
        {"notebook": None},
        {"evidence": []},
        {"extra": 1},
        {"corrected": ""},
    ],
)
def test_the_schema_of_claims_refuses(build, change):
    claims, _ = collect(build)
    [judged] = [entry for entry in claims if entry["verdict"]]
    with pytest.raises(RecordError, match="got at nsd"):
        validate("claims", [judged | change])


@pytest.mark.parametrize(
    "change",
    [
        {"alt": " "},
        {"caption": ""},
        {"commit": "main"},
        {"sha256": {}},
        {"files": {"svg": "a.svg"}},
        {"notebook": "30_nsd.ipynb"},
        {"cell": None},
        {"seconds": 1},
    ],
)
def test_the_schema_of_figures_refuses(build, change):
    _, [figure] = collect(build)
    with pytest.raises(RecordError, match="got at nsd-line"):
        validate("figures", [figure | change])


def test_a_certificate_is_required_where_a_statement_fails(build):
    claims, _ = collect(build)
    [judged] = [entry for entry in claims if entry["verdict"]]
    del judged["certificate"]
    with pytest.raises(RecordError, match="'certificate' is a required property"):
        validate("claims", [judged])
