"""What a notebook can and cannot record."""

import base64
import json

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from tiny_book import DATA, OBJECTS, drawing

from lorantk.publishing import Chapter
from lorantk.publishing.errors import (
    ClaimError,
    EvidenceError,
    FigureError,
    PublishingError,
    VerdictError,
)
from lorantk.publishing.notebook import display
from lorantk.publishing.notebook.chapter import records_folder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the test, to which all chapters in this file write their records."""
    monkeypatch.setenv("LORANTK_RECORDS", str(tmp_path / "records"))
    return tmp_path / "records"


@pytest.fixture
def shown(monkeypatch):
    """A list of what chapters display."""
    outputs = []
    monkeypatch.setattr(display, "_show", lambda data, metadata: outputs.append((data, metadata)))
    return outputs


def record(folder):
    """Return the record on disk."""
    return json.loads((folder / "chapter.json").read_text())


def test_a_chapter_is_on_disk_after_every_step(folder):
    chapter = Chapter("nsd", parameters={"seed": 3})
    assert record(folder)["claims"] == [{"id": "nsd", "verdict": None, "evidence": []}]
    chapter.evidence("x", 1, "<=", 2)
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
    for add in (lambda: chapter.evidence("y", 1, "<=", 2), lambda: chapter.certificate(OBJECTS)):
        with pytest.raises(VerdictError, match="expected everything on 'nsd' before its verdict"):
            add()


def test_a_chapter_without_claims_records_checks(folder):
    chapter = Chapter(parameters={"seed": 3})
    chapter.check("audit-svd", 1e-16, "<=", 1e-12, unit="bit", case="r = 8", chance=0.5)
    assert record(folder)["claims"] == []
    [piece] = record(folder)["checks"]
    expected = {"key": "audit-svd", "unit": "bit", "case": "r = 8", "chance": 0.5, "about": "control", "passed": True}
    assert expected.items() <= piece.items()


def test_a_key_is_used_once_unless_cases_differ(folder):
    chapter = Chapter("nsd")
    for add in (chapter.evidence, chapter.check):
        add("x", 1, "<=", 2)
        add("x", 1, "<=", 2, case="r = 8")
        add("x", 1, "<=", 2, case="r = 4")
        with pytest.raises(EvidenceError, match=r"expected a key, or a case, that was not used yet, got 'x \(r = 8\)' again"):
            add("x", 3, "<=", 4, case="r = 8")
        with pytest.raises(EvidenceError, match="got 'x' again"):
            add("x", 1, "<=", 2)
    [judgement] = record(folder)["claims"]
    assert [piece.get("case") for piece in judgement["evidence"]] == [None, "r = 8", "r = 4"]
    assert len(record(folder)["checks"]) == 3


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


@pytest.mark.parametrize("objects", [{}, None, [1], {"A": {1, 2}}, {"A": float("nan")}])
def test_a_certificate_without_objects_that_json_can_hold_is_refused(objects):
    with pytest.raises(PublishingError, match="expected"):
        Chapter("nsd").certificate(objects)


def test_a_figure_is_saved_with_its_data_and_what_it_was_made_with(folder, shown):
    chapter = Chapter("nsd", parameters={"seed": 3})
    drawn = drawing()
    chapter.figure(drawn, "nsd-line", data=pd.DataFrame(DATA))
    [figure] = record(folder)["figures"]
    assert set(figure["files"]) == set(figure["sha256"]) == {"svg", "pdf", "png", "csv"}
    assert all((folder / "figures" / name).stat().st_size for name in figure["files"].values())
    assert figure["parameters"] == {"profile": "default", "seed": 3}
    assert json.loads((folder / "durations.json").read_text())["nsd-line"] >= 0
    assert "seconds" not in figure
    assert figure["versions"]["python"]
    assert not plt.fignum_exists(drawn.number)
    [(data, metadata)] = shown
    assert metadata == {"lorantk": {"figure": "nsd-line"}, "image/png": {"width": 650}}
    assert base64.b64decode(data["image/png"]) == (folder / "figures/nsd-line.png").read_bytes()


def test_a_figure_id_is_used_once():
    chapter = Chapter("nsd")
    chapter.figure(drawing(), "nsd-line", data=DATA)
    with pytest.raises(FigureError, match="expected a figure id that this chapter has not used, got 'nsd-line' again"):
        chapter.figure(drawing(), "nsd-line", data=DATA)


@pytest.mark.parametrize(("name", "data"), [("nsd-line", None), ("NSD line", DATA)])
def test_a_refused_figure_leaves_nothing(folder, name, data):
    with pytest.raises(FigureError):
        Chapter("nsd").figure(drawing(), name, data=data)
    assert not (folder / "figures").exists()
    assert record(folder)["figures"] == []


def test_a_new_chapter_forgets_the_figures_of_the_run_before(folder):
    Chapter("nsd").figure(drawing(), "nsd-line", data=DATA)
    Chapter("nsd")
    assert not (folder / "figures").exists()


def test_the_verdict_is_displayed_with_how_much_holds(shown):
    chapter = Chapter("nsd")
    chapter.evidence("x", 2, "<=", 1)
    chapter.evidence("y", 1, "<=", 1, about="control")
    chapter.certificate(OBJECTS)
    chapter.conclude("fails as printed")
    [(data, metadata)] = shown
    assert metadata == {"lorantk": {"verdict": "nsd"}}
    assert data["text/plain"] == "nsd: fails as printed (1 of 2 pieces of evidence hold)"


def test_glued_numbers_are_recorded_raw(folder):
    chapter = Chapter("nsd")
    chapter.glue(count=np.int64(3), share=jnp.float32(0.5), word="PEFT's default")
    chapter.glue(count=4)
    assert record(folder)["numbers"] == {"count": 4, "share": 0.5, "word": "PEFT's default"}
    with pytest.raises(PublishingError, match="expected number drift that JSON can hold, got .*nan"):
        chapter.glue(drift=float("nan"))


@pytest.mark.parametrize(("profile", "features"), [("smoke", 256), ("default", 2048), ("paper", 4096)])
def test_sizes_are_those_of_the_profile(profile, features):
    size = Chapter("nsd", profile=profile).sizes(features=(256, 2048, 4096), counts=((1, 2), (3,), (4,)))
    assert size.features == features
    assert size.counts == {"smoke": (1, 2), "default": (3,), "paper": (4,)}[profile]


@pytest.mark.parametrize("values", [(1, 2), 3, [1, 2, 3]])
def test_sizes_need_a_value_for_each_profile(values):
    with pytest.raises(PublishingError, match=r"expected features=\(smoke, default, paper\), got "):
        Chapter("nsd").sizes(features=values)


def test_without_the_variable_records_go_below_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("LORANTK_RECORDS")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert records_folder() == tmp_path / "_build" / "interactive" / "records" / "scratch"
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/30_nsd.ipynb")
    assert records_folder().name == "30_nsd"
