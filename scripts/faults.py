"""Plant each fault of ``faults.toml`` in a copy of the checkout and show that tests and a chapter both fail by it.

Without the fault both must pass. The result is ``scripts/faults.json``, written anew after each fault, and its table for readers
``book/trust/faults.json``.
"""

import argparse
import json
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import copies
from tqdm import tqdm

from lorantk.files import write_whole
from lorantk.publishing.files import json_bytes

LIST = copies.ROOT / "scripts" / "faults.toml"
RESULT = copies.ROOT / "scripts" / "faults.json"
PROFILE = "smoke"


class FaultError(RuntimeError):
    """A test or a chapter that cannot be judged."""


def failing_test(copy: Path, tests: list[str]) -> dict | None:
    """Return the first test that fails and its message, or None if all pass."""
    status, output, _ = copies.run_tests(copy, tests)
    if status == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+?::.+?)(?: - (.*))?$", output, re.MULTILINE)
    if status != 1 or not found:
        raise FaultError(f"{' '.join(tests)}: expected tests that pass or fail, got status {status}:\n{output}")
    return {"failed": found[1], "message": found[2] or ""}


def make_sweeps(copy: Path, chapter: str) -> None:
    """Compute what is missing of the sweeps that a chapter reads."""
    for sweep in json.loads((copy / "notebooks" / f"{chapter}.ipynb").read_text())["metadata"].get("sweeps", []):
        status, output, _ = copies.run(copy, ["-m", "lorantk.experiments.sweep", sweep, "--profile", PROFILE])
        if status:
            raise FaultError(f"{chapter}: expected the sweep {sweep!r}, got status {status}:\n{output}")


def failing_cell(copy: Path, chapter: str) -> dict | None:
    """Execute a chapter; return the cell that fails and its message, or None if all of it runs."""
    options = ["--into", "trust", "--threads", "1", "--parameters", f"profile={PROFILE}"]
    status, output, _ = copies.run(copy, ["-m", "lorantk.publishing.execute", chapter, *options])
    if status == 0:
        return None
    cell = re.search(r"in code cell \d+, id '([\w-]+)':$", output, re.MULTILINE)
    errors = re.findall(r"^\w+(?:Error|Exception)\b.*$", output, re.MULTILINE)
    if status != 1 or not (cell and errors):
        raise FaultError(f"{chapter}: expected a chapter that runs or a cell that fails, got status {status}:\n{output}")
    return {"cell": cell[1], "message": errors[-1]}


@cache
def control(copy: Path, chapter: str, tests: tuple[str, ...]) -> None:
    """Hold tests, or a chapter, to passing without a fault; once each."""
    if chapter:
        make_sweeps(copy, chapter)
    if failed := failing_cell(copy, chapter) if chapter else failing_test(copy, list(tests)):
        raise FaultError(f"{chapter or tests}: expected to pass without a fault, got {failed}")


def show(copy: Path, fault: dict) -> dict:
    """Plant a fault and return who catches it."""
    control(copy, "", tuple(fault["tests"]))
    control(copy, fault["chapter"], ())
    path = copy / fault["file"]
    text = path.read_text()
    if text.count(fault["old"]) != 1:
        raise FaultError(f"{fault['name']}: expected its old text once in {fault['file']}, got {text.count(fault['old'])} times")
    with copies.changed(path, text.replace(fault["old"], fault["new"])):
        test, cell = failing_test(copy, fault["tests"]), failing_cell(copy, fault["chapter"])
    passed = "tests and chapter pass without the fault"
    return fault | {"profile": PROFILE, "control": passed, "by_test": test, "by_chapter": cell}


def write(found: list[dict]) -> None:
    """Write the result and its table."""
    result = {"planted": len(found), "caught": sum(map(caught, found)), "faults": found}
    write_whole(RESULT, json_bytes(result))
    summary = (
        f"Of {len(found)} faults, each planted alone, {result['caught']} made both the named test and the named chapter fail. "
        f"Without a fault all of these tests and chapters pass (profile `{PROFILE}`)."
    )
    columns = ["Fault", "Test that fails", "Chapter that fails"]
    title, rows = "Planted faults and what caught them", [row(fault) for fault in found]
    copies.keep("faults", title=title, command="make faults", summary=summary, columns=columns, rows=rows)


def row(fault: dict) -> list[str]:
    """Return a row of the table."""
    test, chapter = fault["by_test"] or {"failed": "none"}, fault["by_chapter"] or {"cell": "none", "message": "none"}
    message = chapter["message"].partition(": ")[2] or chapter["message"]
    return [
        f"{fault['what']} ({copies.code(fault['file'].removeprefix('lorantk/'))})",
        copies.code(test["failed"].rpartition("::")[2]),
        f"{copies.code(fault['chapter'])}, cell {copies.code(chapter['cell'])}: {copies.code(message)}",
    ]


def main() -> int:
    """Run from the command line; 1 if a fault is not caught by both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="faults to plant (default: all)")
    parser.add_argument("--missing", action="store_true", help="only those that the result does not hold as they are")
    options = parser.parse_args()
    faults = {fault["name"]: fault for fault in tomllib.loads(LIST.read_text())["fault"]}
    if unknown := set(options.names) - set(faults):
        sys.exit(f"names must be of {', '.join(faults)}; got {', '.join(sorted(unknown))}")
    known = {found["name"]: found for found in json.loads(RESULT.read_text())["faults"]} if RESULT.exists() else {}
    known = {name: found for name, found in known.items() if name in faults and faults[name].items() <= found.items()}
    chosen = [name for name in options.names or faults if not (options.missing and caught(known.get(name)))]
    copy = copies.make("faults")
    with tqdm(chosen, file=sys.stdout) as bar:
        for name in bar:
            bar.set_description(name)
            try:
                known[name] = show(copy, faults[name])
            except FaultError as error:
                bar.write(str(error), file=sys.stdout)
                continue
            bar.write(f"{name}: {known[name]['by_test']}, {known[name]['by_chapter']}", file=sys.stdout)
            write([known[name] for name in faults if name in known])
    return 0 if all(caught(known.get(name)) for name in faults) else 1


def caught(found: dict | None) -> bool:
    """Whether both a test and the chapter catch a fault."""
    return bool(found and found["by_test"] and found["by_chapter"])


if __name__ == "__main__":
    sys.exit(main())
