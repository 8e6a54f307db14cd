"""What a notebook can and cannot record."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tiny_book import CERTIFICATE, DATA, TEXTS, drawing, judge_nsd

from lorantk.publishing import Chapter, display
from lorantk.publishing.chapter import records_folder
from lorantk.publishing.errors import (
    ClaimError,
    EvidenceError,
    FigureError,
    PublishingError,
    VerdictError,
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Records of every chapter of this file go to a folder of the test."""
    monkeypatch.setenv("LORANTK_RECORDS", str(tmp_path / "records"))
    return tmp_path / "records"


@pytest.fixture
def shown(monkeypatch):
    """What chapters display."""
    outputs = []
    monkeypatch.setattr(display, "_show", lambda data, metadata: outputs.append((data, metadata)))
    return outputs


def record(folder):
    """The record on disk."""
    return json.loads((folder / "chapter.json").read_text())


def test_a_chapter_is_on_disk_after_every_step(folder):
    chapter = Chapter("nsd", parameters={"seed": 3})
    assert record(folder)["claims"] == [{"id": "nsd", "verdict": None, "corrected": None, "evidence": []}]
    assert chapter.evidence("x", 1, "<=", 2) is True
    assert [piece["passed"] for piece in record(folder)["claims"][0]["evidence"]] == [True]
    chapter.conclude("holds exactly")
    assert record(folder)["claims"][0]["verdict"] == "holds exactly"
    assert record(folder)["parameters"] == {"profile": "default", "seed": 3}


def test_a_chapter_judges_several_claims_each_by_name(folder):
    chapter = Chapter("def-lora", "def-ntk")
    with pytest.raises(ClaimError, match=r"expected claim= as one of this chapter's \(def-lora, def-ntk\), got None"):
        chapter.evidence("x", 1, "<=", 2)
    with pytest.raises(ClaimError, match="got 'nsd'"):
        chapter.evidence("x", 1, "<=", 2, claim="nsd")
    chapter.evidence("x", 1, "<=", 2, claim="def-ntk")
    chapter.conclude("holds exactly", claim="def-ntk")
    assert [judgement["verdict"] for judgement in record(folder)["claims"]] == [None, "holds exactly"]


@pytest.mark.parametrize("names", [("nsd", "nsd"), ("nsb",)])
def test_unknown_or_repeated_claims_change_nothing(names, folder):
    with pytest.raises(ClaimError, match="expected .*, got"):
        Chapter(*names)
    assert not folder.exists()


def test_an_unknown_profile_changes_nothing(folder):
    with pytest.raises(PublishingError, match="expected a profile out of .*, got 'fast'"):
        Chapter("nsd", profile="fast")
    with pytest.raises(PublishingError, match="expected parameters that JSON can hold"):
        Chapter("nsd", parameters={"rank": np.zeros(2)})
    assert not folder.exists()


def test_evidence_with_nan_is_not_recorded(folder):
    chapter = Chapter("nsd")
    with pytest.raises(EvidenceError, match="evidence 'drift', got nan"):
        chapter.evidence("drift", float("nan"), "<=", 1)
    assert record(folder)["claims"][0]["evidence"] == []


def test_a_wrong_verdict_is_not_recorded(folder):
    chapter = Chapter("nsd")
    chapter.evidence("x", 1, "<=", 2)
    with pytest.raises(VerdictError):
        chapter.conclude("fails as printed")
    assert record(folder)["claims"][0]["verdict"] is None


def test_nothing_is_added_after_the_verdict():
    chapter = Chapter("nsd")
    chapter.evidence("x", 1, "<=", 2)
    chapter.conclude("holds exactly")
    for add in (lambda: chapter.evidence("y", 1, "<=", 2), lambda: chapter.certificate(CERTIFICATE)):
        with pytest.raises(VerdictError, match="expected everything on 'nsd' before its verdict"):
            add()


def test_a_chapter_without_claims_records_checks(folder, shown):
    chapter = Chapter(parameters={"seed": 3})
    chapter.check("the audit against SVD", 1e-16, "<=", 1e-12)
    assert record(folder)["claims"] == []
    assert [(piece["name"], piece["passed"]) for piece in record(folder)["checks"]] == [("the audit against SVD", True)]
    chapter.show_checks()
    data, metadata = shown[-1]
    assert metadata == {"lorantk": {"checks": 1}}
    assert data["text/markdown"].splitlines()[2] == "| the audit against SVD | 1 × 10⁻¹⁶ | <= 1 × 10⁻¹² |"


def test_a_check_that_fails_stops_the_build_and_is_not_recorded(folder):
    chapter = Chapter()
    with pytest.raises(EvidenceError, match="expected <= 1 of check 'x', got 2"):
        chapter.check("x", 2, "<=", 1)
    with pytest.raises(EvidenceError, match="got nan"):
        chapter.check("x", float("nan"), "<=", 1)
    assert record(folder)["checks"] == []


def test_a_chapter_without_claims_has_no_evidence_and_no_verdict(folder):
    for judge in (lambda: Chapter().evidence("x", 1, "<=", 2), lambda: Chapter().conclude("holds exactly")):
        with pytest.raises(ClaimError, match="it judges none: use check"):
            judge()


@pytest.mark.parametrize(
    "change", [{"objects": "A"}, {"statement": None}, {"more": "text"}, {"objects": {"A": {1, 2}}}]
)
def test_a_malformed_certificate_is_refused(change):
    with pytest.raises(PublishingError, match="expected"):
        Chapter("nsd").certificate(CERTIFICATE | change)


def test_a_figure_is_saved_with_its_data_and_what_it_was_made_with(folder, shown):
    chapter = Chapter("nsd", parameters={"seed": 3})
    drawn = drawing()
    chapter.figure(drawn, "nsd-line", **TEXTS, data=pd.DataFrame(DATA))
    [figure] = record(folder)["figures"]
    assert set(figure["files"]) == set(figure["sha256"]) == {"svg", "pdf", "png", "csv"}
    assert all((folder / "figures" / name).stat().st_size for name in figure["files"].values())
    assert figure["parameters"] == {"profile": "default", "seed": 3}
    assert json.loads((folder / "durations.json").read_text())["nsd-line"] >= 0
    assert "seconds" not in figure
    assert figure["versions"]["python"]
    assert not plt.fignum_exists(drawn.number)
    [(data, metadata)] = shown
    assert metadata == {"lorantk": {"figure": "nsd-line"}}
    assert data["text/markdown"] == "```{evidence-figure} nsd-line\n```"
    assert 'alt="A curve' in data["text/html"]


def test_a_figure_id_is_used_once():
    chapter = Chapter("nsd")
    chapter.figure(drawing(), "nsd-line", **TEXTS, data=DATA)
    with pytest.raises(FigureError, match="expected a figure id that this chapter has not used, got 'nsd-line' again"):
        chapter.figure(drawing(), "nsd-line", **TEXTS, data=DATA)


def test_a_refused_figure_leaves_nothing(folder):
    with pytest.raises(FigureError):
        Chapter("nsd").figure(drawing(), "nsd-line", **TEXTS, data=None)
    assert not (folder / "figures").exists()
    assert record(folder)["figures"] == []


def test_a_new_chapter_forgets_the_figures_of_the_run_before(folder):
    Chapter("nsd").figure(drawing(), "nsd-line", **TEXTS, data=DATA)
    Chapter("nsd")
    assert not (folder / "figures").exists()


def test_the_verdict_is_displayed_as_its_directive(shown):
    judge_nsd(Chapter("nsd"))
    data, metadata = shown[-1]
    assert metadata == {"lorantk": {"verdict": "nsd"}}
    assert data["text/markdown"] == "```{verdict} nsd\n```"


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (1.2e-9, ".1e", "1.2 × 10⁻⁹"),
        (0.44, ".2f", "0.44"),
        (3.0e12, ".3g", "3 × 10¹²"),
        (17, "", "17"),
        (np.float64(0.5), "", "0.5"),
        ("PEFT's default", "", "PEFT's default"),
        (0.125, ".0%", "12%"),
    ],
)
def test_glued_numbers_read_well(value, spec, text, shown):
    Chapter("nsd").glue("key", value, spec)
    [(data, metadata)] = shown
    assert data == {"application/papermill.record/text/plain": text}
    assert metadata["scrapbook"]["name"] == "key"


def test_without_the_variable_records_go_below_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("LORANTK_RECORDS")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert records_folder() == tmp_path / "_build" / "interactive" / "records" / "scratch"
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/30_nsd.ipynb")
    assert records_folder().name == "30_nsd"
