"""Results of checks of the book itself: written with commit, machine and versions, and refused if malformed."""

import json
from pathlib import Path

import pytest

from lorantk.publishing.checks.trust import (
    chance_result,
    coverage_result,
    read_coverage,
    read_result,
    write_result,
)
from lorantk.publishing.errors import RecordError

KEPT = Path(__file__).parents[3] / "book/trust"
RESULT = {
    "title": "A check",
    "command": "make check",
    "commit": "0" * 40,
    "summary": "All is well.",
    "columns": ["What", "How many"],
    "rows": [["one", 1], ["two", 0.5]],
}


def test_a_result_is_written_with_machine_and_versions(tmp_path):
    write_result(tmp_path / "check.json", **RESULT)
    result = read_result(tmp_path / "check.json")
    assert {key: result[key] for key in RESULT} == RESULT
    assert result["device"]["cores"] >= 1
    assert result["versions"]["python"].startswith("3.")


@pytest.mark.parametrize("change", [{"rows": [["one"]]}, {"commit": "main"}, {"summary": ""}, {"more": 1}, {"date": "today"}])
def test_a_malformed_result_is_refused(tmp_path, change):
    path = tmp_path / "check.json"
    write_result(path, **RESULT)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RecordError, match=r"check\.json"):
        read_result(path)


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected the result of a check in .*gone.json, got no such file"):
        read_result(tmp_path / "gone.json")


@pytest.mark.parametrize("path", sorted(set(KEPT.glob("*.json")) - {KEPT / "calibration.json"}), ids=lambda path: path.stem)
def test_every_kept_result_is_well_formed(path):
    read_result(path)


RECORD = {"name": "mean", "setting": "20 draws", "chapters": ["30", "02"], "nominal": 0.95, "replicates": 100}
RECORD |= {"measured": 0.93, "low": 0.9, "high": 0.96}


def test_coverage_is_shown_with_the_stated_one():
    result = coverage_result([RECORD])
    assert result["rows"] == [["mean: 20 draws", "02, 30", "95.0%", "93.0% (90.0% to 96.0%)", 100]]
    assert result["summary"].startswith("Of 1 kinds of intervals, 1 cover as often as they say")


def test_an_interval_that_covers_too_rarely_is_named():
    summary = coverage_result([RECORD, RECORD | {"name": "slope", "high": 0.94}])["summary"]
    assert "Of 2 kinds of intervals, 1 cover" in summary
    assert summary.endswith("The others: slope (93.0% instead of 95.0%).")


def test_checks_are_counted_and_their_chances_added():
    pieces = [
        {"name": name, "chance": chance} for name, chance in zip("abcde", (0.0, 2e-6, 3e-6, 0, "nobody knows"), strict=True)
    ]
    result = chance_result(pieces)
    assert [number for _, number, _ in result["rows"]] == [2, 2, 1, ""]
    assert result["rows"][-1][0] == "– e: nobody knows"
    assert result["rows"][1][2] == pytest.approx(5e-6)
    assert result["summary"].startswith("Of 5 checks 2 are random ")
    assert "at most about 5 × 10⁻⁶ of all" in result["summary"]


def test_the_kept_coverage_can_be_shown():
    result = read_coverage(KEPT / "calibration.json")
    assert {len(row) for row in result["rows"]} == {len(result["columns"])}


@pytest.mark.parametrize("content", ["{", '[{"name": 1}]', "[1]"])
def test_what_is_not_a_coverage_is_refused(tmp_path, content):
    path = tmp_path / "calibration.json"
    for _ in range(2):  # once without the file
        with pytest.raises(RecordError, match="expected the records of `make calibrate` in "):
            read_coverage(path)
        path.write_text(content)
