"""Results of checks of the book itself: written with commit, machine and versions, and refused where malformed."""

import json
from pathlib import Path

import pytest

from lorantk.publishing.errors import RecordError
from lorantk.publishing.trust import read_result, write_result

KEPT = Path(__file__).parents[2] / "book/trust"
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


@pytest.mark.parametrize("path", sorted(KEPT.glob("*.json")), ids=lambda path: path.stem)
def test_every_kept_result_is_well_formed(path):
    read_result(path)
