"""The planted faults, and the reasons why mutants may survive, match the current code."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from lorantk.publishing.checks.trust import read_result

ROOT = Path(__file__).parents[2]
FAULTS = tomllib.loads((ROOT / "tests/faults/faults.toml").read_text())["fault"]
PARTS = {"name", "what", "file", "old", "new", "tests", "chapter"}


def functions(file):
    return {node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["name"])
def test_a_fault_fits_the_code_its_tests_and_its_chapter(fault):
    assert fault.keys() == PARTS
    text = (ROOT / fault["file"]).read_text()
    assert text.count(fault["old"]) == 1
    assert fault["new"] != fault["old"]
    ast.parse(text.replace(fault["old"], fault["new"]))
    assert fault["tests"]
    for test in fault["tests"]:
        file, _, name = test.partition("::")
        assert name in functions(file)
    assert (ROOT / f"notebooks/{fault['chapter']}.ipynb").is_file()


def test_every_reason_for_a_surviving_mutant_fits_the_code():
    entries = tomllib.loads((ROOT / "lorantk/publishing/checks/survivors.toml").read_text())["mutant"]
    for entry in entries:
        assert any(line.strip() == entry["old"] for line in (ROOT / entry["file"]).read_text().splitlines()), entry
        assert entry["new"] != entry["old"]
        assert re.search(r"\w{4}", entry["reason"])


def test_builds_after_kills_are_recorded_as_equal():
    path = ROOT / "book/trust/kills.json"
    if path.is_file():  # until then its page says that there is no result
        result = read_result(path)
        assert sum(count for _, *counts in result["rows"] for count in counts) >= 50
        assert "byte for byte; none stopped" in result["summary"]
