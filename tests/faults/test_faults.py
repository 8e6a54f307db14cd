"""Plant mistakes that a mathematician might make in a copy, one at a time: a test and a chapter must both notice.

`make faults` runs this (half an hour; `make faults N=NAME` for one fault). After a run with all faults it writes the table for
readers, ``book/trust/faults.json``.
"""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from lorantk.publishing.checks import copies

FAULTS = tomllib.loads(Path(__file__).with_name("faults.toml").read_text())["fault"]
PROFILE = "smoke"


@pytest.fixture(scope="session")
def copy():
    """The copy in which faults are planted."""
    return copies.make("faults")


@pytest.fixture(scope="session")
def rows():
    """Rows of the table for readers, which is written once all faults have been planted."""
    found = []
    yield found
    if len(found) == len(FAULTS):
        copies.keep(
            "faults",
            title="Planted faults and what caught them",
            command="make faults",
            summary=f"Each of {len(found)} faults, planted alone, made both the named test and the named chapter fail. "
            f"Without a fault all of these tests and chapters pass (profile `{PROFILE}`).",
            columns=["Fault", "Test that fails", "Chapter that fails"],
            rows=found,
        )


def failing_test(copy, tests):
    """Return the first of some tests that fails, or None."""
    status, output, _ = copies.run_tests(copy, tests)
    found = re.search(r"^(?:FAILED|ERROR) (\S+?::.+?)(?: - .*)?$", output, re.MULTILINE)
    assert status == 0 or (status == 1 and found), output
    return found[1] if status else None


def failing_cell(copy, chapter):
    """Return the cell of a chapter that fails and its message, or None if the whole chapter runs."""
    for sweep in json.loads((copy / "notebooks" / f"{chapter}.ipynb").read_text())["metadata"].get("sweeps", []):
        command = ["-m", "lorantk.experiments.common.sweep", sweep, "--profile", PROFILE]
        status, output, _ = copies.run(copy, command)
        assert status == 0, output
    options = ["--into", "trust", "--threads", "1", "--parameters", f"profile={PROFILE}"]
    status, output, _ = copies.run(copy, ["-m", "lorantk.publishing.notebook.execute", chapter, *options])
    cell = re.search(r"in code cell \d+, id '([\w-]+)':$", output, re.MULTILINE)
    errors = re.findall(r"^\w+(?:Error|Exception)\b.*$", output, re.MULTILINE)
    assert status == 0 or (status == 1 and cell and errors), output
    return (cell[1], errors[-1]) if status else None


@cache
def passes(copy, chapter, tests):
    """Say whether tests and chapter pass without a fault; checked once for each."""
    return failing_test(copy, list(tests)) is None and failing_cell(copy, chapter) is None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["name"])
def test_a_test_and_a_chapter_notice(fault, copy, rows):
    assert passes(copy, fault["chapter"], tuple(fault["tests"])), "expected tests and chapter to pass without the fault"
    path = copy / fault["file"]
    with copies.changed(path, path.read_text().replace(fault["old"], fault["new"])):
        test, chapter = failing_test(copy, fault["tests"]), failing_cell(copy, fault["chapter"])
    assert test, "no test noticed"
    assert chapter, "the chapter did not notice"
    cell, message = chapter
    rows.append(
        [
            f"{fault['what']} ({copies.code(fault['file'].removeprefix('lorantk/'))})",
            copies.code(test.rpartition("::")[2]),
            f"{copies.code(fault['chapter'])}, cell {copies.code(cell)}: {copies.code(message.partition(': ')[2] or message)}",
        ]
    )
