"""The ledger of chance holds every check of every chapter; the rated ones together fail by bad luck below 1e-4 a build."""

import ast
import json
from pathlib import Path

import nbformat
import numpy as np
import pytest

from lorantk.experiments.chance import false_alarm
from lorantk.publishing.trust import KINDS, WITHOUT_RATE

ROOT = Path(__file__).parents[2]
LEDGER = json.loads((ROOT / "book/trust/ledgers/chance.json").read_text())
SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))
ENTRIES = [entry for cells in LEDGER.values() for names in cells.values() for entry in names.values()]


def checks(source):
    """Names of the evidence, checks and assertions of a code cell, as they stand in its source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            yield "assert " + ast.unparse(node.test)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("chapter.evidence", "chapter.check"):
            name = node.args[0]
            yield name.value if isinstance(name, ast.Constant) else ast.unparse(name)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_check_of_a_chapter_is_in_the_ledger(path):
    cells = nbformat.read(path, as_version=nbformat.NO_CONVERT).cells
    found = {cell.id: set(checks(cell.source)) for cell in cells if cell.cell_type == "code"}
    assert {cell: names for cell, names in found.items() if names} == {c: set(n) for c, n in LEDGER.get(path.stem, {}).items()}


def test_rates_are_those_of_their_laws():
    for entry in ENTRIES:
        if isinstance(entry, dict):
            law = {key: value for key, value in entry.items() if key != "rate"}
            np.testing.assert_allclose(entry["rate"], false_alarm(law), rtol=0.06)  # two digits are stored
        else:
            assert entry in KINDS or len(entry) > len(WITHOUT_RATE) + 20  # a reason in words


def test_all_rated_checks_together_fail_by_bad_luck_below_one_in_ten_thousand_builds():
    assert sum(entry["rate"] for entry in ENTRIES if isinstance(entry, dict)) < 1e-4


def test_checks_without_a_rate_do_not_become_more():
    without = [entry for entry in ENTRIES if isinstance(entry, str) and entry not in KINDS]
    assert all(entry.startswith(WITHOUT_RATE) for entry in without)
    assert len(without) <= 1


def test_a_check_is_found_whatever_its_form():
    source = 'chapter.evidence("a", x, "<=", 1)\nfor k in y:\n    chapter.check(f"b {k}", x, "<", 2)\nassert x < 3\nz.check("c")'
    assert set(checks(source)) == {"a", "f'b {k}'", "assert x < 3"}
