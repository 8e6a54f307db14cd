"""The planted faults and the mutants that the book reports: they fit the code as it is, and none is passed over in silence."""

import ast
import json
import math
import re
import tomllib
from pathlib import Path

import pytest

from lorantk.publishing.trust import read_result

ROOT = Path(__file__).parents[2]
FAULTS = tomllib.loads((ROOT / "scripts/faults.toml").read_text())["fault"]
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


def test_every_fault_is_recorded_as_caught_by_a_test_and_by_a_chapter():
    result = json.loads((ROOT / "scripts/faults.json").read_text())
    found = {record["name"]: record for record in result["faults"]}
    assert list(found) == [fault["name"] for fault in FAULTS]
    assert result["planted"] == result["caught"] == len(FAULTS) >= 20
    for fault in FAULTS:
        record = found[fault["name"]]
        assert fault.items() <= record.items(), "the list has changed: `make faults` plants it again"
        assert record["by_test"]["failed"].startswith(tuple(fault["tests"]))
        notebook = json.loads((ROOT / f"notebooks/{fault['chapter']}.ipynb").read_text())
        assert record["by_chapter"]["cell"] in {cell["id"] for cell in notebook["cells"]}
        assert record["by_chapter"]["message"]


def test_every_mutant_that_was_not_killed_is_listed_with_a_reason():
    result = json.loads((ROOT / "scripts/mutants.json").read_text())
    survivors = [mutant for mutant in result["survivors"] if mutant["outcome"] == "survived"]
    assert len(survivors) == result["survived"]
    assert len(result["kills"]) == result["killed"]
    assert len(result["kills"]) + len(result["survivors"]) == result["sample"]
    for mutant in result["survivors"]:
        assert (ROOT / mutant["file"]).is_file()
        assert mutant["outcome"] == "no program" or re.search(r"\w{4}", mutant["reason"]), mutant
    n, p, z = result["killed"] + result["survived"] + result["timeouts"], result["score"], 1.959964
    assert p == pytest.approx(result["killed"] / n, abs=1e-4)
    # Wilson's interval: the two shares from which p lies z standard deviations away.
    for share in (result["low"], result["high"]):
        assert abs(p - share) == pytest.approx(z * math.sqrt(share * (1 - share) / n), abs=2e-3)


def test_builds_after_kills_are_recorded_as_equal():
    path = ROOT / "book/trust/kills.json"
    if path.is_file():  # until then its page says that no result is kept
        result = read_result(path)
        assert sum(count for _, *counts in result["rows"] for count in counts) >= 50
        assert "byte for byte; none stopped" in result["summary"]
