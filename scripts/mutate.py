"""Change one operator or number of the code at a time and see whether the tests of its module notice.

The mutants are a random sample of all that cosmic-ray knows to make. The result is ``scripts/mutants.json``, written anew after
each mutant, so that a run that was interrupted goes on where it stopped; its table for readers is ``book/trust/mutation.json``.
Of a mutant that survives, the result keeps the reason that was written there by hand. A mutant that a test was added for is
judged again; the outcome of its first judgement stays beside the last one, as it says more of mutants that were not drawn.

A mutant whose tests reach the limit of processor time is no kill: its tests run once more with three times the limit.
"""

import argparse
import ast
import hashlib
import json
import math
import queue
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import copies
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from scipy.stats import binomtest
from tqdm import tqdm

from lorantk.files import write_whole
from lorantk.publishing.files import json_bytes

RESULT = copies.ROOT / "scripts" / "mutants.json"
THEORY = copies.ROOT / "lorantk" / "theory"
TARGETS = [f"lorantk/theory/{path.name}" for path in sorted(THEORY.glob("*.py")) if path.stem != "__init__"]
TARGETS += ["lorantk/experiments/statistics.py"]
# Where the tests of a module are not in the file of its name alone.
TESTS = {
    "lorantk/theory/conditions.py": ["theory/test_delta.py", "theory/test_adapters.py", "theory/test_order.py"],
    "lorantk/experiments/statistics.py": ["experiments/test_statistics.py"],
}
# A bit by bit operation in the place of another one is a type error, which every test notices.
BITWISE = ("BitOr", "BitAnd", "BitXor", "LShift", "RShift")


def tests_of(file: str) -> list[str]:
    """Return the tests that run for a module."""
    return [f"tests/{name}" for name in TESTS.get(file, [f"theory/test_{Path(file).stem}.py"])]


def annotations(source: str) -> set[int]:
    """Return the places, as pairs of line and column, that lie in an annotation: Python does not compute with them."""
    places = set()
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            if (part := getattr(node, name, None)) is not None:
                lines = source.splitlines()
                for line in range(part.lineno, part.end_lineno + 1):
                    start = part.col_offset if line == part.lineno else 0
                    stop = part.end_col_offset if line == part.end_lineno else len(lines[line - 1].encode())
                    text = lines[line - 1].encode()
                    places |= {(line, len(text[:column].decode(errors="ignore"))) for column in range(start, stop)}
    return places


def mutants(file: str) -> list[dict]:
    """Return the mutants of a file: the operator, its occurrence and where it is; none of annotations, none bit by bit."""
    source = (copies.ROOT / file).read_text()
    tree, skipped, found = get_ast(source), annotations(source), []
    for name in operator_names():
        if get_operator(name).arguments() or (name.endswith(BITWISE) and "Binary" in name):
            continue
        positions = (place for node in ast_nodes(tree) for place in get_operator(name)().mutation_positions(node))
        for occurrence, (start, _) in enumerate(positions):
            if start not in skipped:
                found.append({"file": file, "line": start[0], "operator": name, "occurrence": occurrence})
    return found


def mutated(mutant: dict, source: str) -> str:
    """Return the source with the mutation, and note what it changes."""
    text = mutate_code(source, get_operator(mutant["operator"])(), mutant["occurrence"])
    pairs = [(a, b) for a, b in zip(source.splitlines(), text.splitlines(), strict=False) if a != b]
    mutant["old"], mutant["new"] = (pairs[0][k].strip() for k in (0, 1)) if pairs else ("", "")
    return text


def sources(*files: str) -> str:
    """Return a hash of files: results of others do not count."""
    digest = hashlib.sha256()
    for path in files:
        digest.update((copies.ROOT / path).read_bytes())
    return digest.hexdigest()[:16]


def version(file: str) -> str:
    """Return a hash of a module and its tests."""
    return sources(file, *tests_of(file))


def baseline(copy: Path, file: str) -> float:
    """Return the processor time that a module's tests take without a mutation; stop if they fail."""
    code = [str(path.relative_to(copies.ROOT)) for path in sorted((copies.ROOT / "lorantk").rglob("*.py"))]
    state = sources(*code, *tests_of(file), "tests/reference.py", "tests/conftest.py")
    kept = copies.ROOT / "_build" / "trust" / "passed" / state
    if not kept.exists():
        status, output, seconds = copies.run_tests(copy, tests_of(file))
        if status:
            sys.exit(f"{file}: expected its tests to pass without a mutation, got status {status}:\n{output}")
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(str(seconds))
    return float(kept.read_text())


def sample(every: list[dict], number: int, seed: int) -> list[dict]:
    """Return mutants drawn at random: those of the smallest hashes, so that a change of one file leaves the others in."""
    return sorted(every, key=lambda mutant: hashlib.sha256(f"{seed} {_identity(mutant)}".encode()).digest())[:number]


def judge(copy: Path, mutant: dict, seconds: float) -> str:
    """Return "killed", "survived", "timeout" or "no program"."""
    path = copy / mutant["file"]
    text = mutated(mutant, path.read_text())
    try:
        compile(text, mutant["file"], "exec")
    except SyntaxError:
        return "no program"
    with copies.changed(path, text):
        for limit in (60 + 10 * seconds, 180 + 30 * seconds):
            status, _, _ = copies.run_tests(copy, tests_of(mutant["file"]), cpu_seconds=limit)
            if status not in (-signal.SIGXCPU, -signal.SIGKILL):
                return "survived" if status == 0 else "killed"
    return "timeout"


def summary(seed: int, population: int, results: list[dict]) -> dict:
    """Return the result as it is kept: what was done, how many were killed, and each mutant."""
    count = {name: sum(r["outcome"] == name for r in results) for name in ("killed", "survived", "timeout", "no program")}
    judged = count["killed"] + count["survived"] + count["timeout"]
    low, high = binomtest(count["killed"], judged).proportion_ci(method="wilson") if judged else (0.0, 1.0)
    head = {"tool": "cosmic-ray 8.7.0", "seed": seed, "population": population, "sample": len(results)}
    head |= {"killed": count["killed"], "survived": count["survived"], "timeouts": count["timeout"]}
    head |= {"no_program": count["no program"], "score": round(count["killed"] / max(judged, 1), 4)}
    head |= {"low": round(low, 4), "high": round(high, 4)}
    head |= {"killed_at_first": sum(r["first"] == "killed" for r in results)}
    others = [r for r in results if r["outcome"] != "killed"]
    return head | {"survivors": others, "kills": [r for r in results if r["outcome"] == "killed"]}


def write(result: dict) -> None:
    """Write the result and its table: the mutants that were not killed."""
    write_whole(RESULT, json_bytes(result))
    shown = [mutant for mutant in result["survivors"] if mutant["outcome"] != "no program"]
    summary = (
        f"Of {result['population']} changes of one operator or number in `lorantk.theory` and in the statistics of the sweeps "
        "(none in annotations, and none to operations bit by bit, which floats do not have), "
        f"{result['sample']} were drawn at random; {result['no_program']} of them are no Python. The tests of the module noticed "
        f"{result['killed']}, did not notice {result['survived']}, and did not end for {result['timeouts']}: "
        f"{result['score']:.1%} killed, 95% interval {result['low']:.1%} to {result['high']:.1%} (Wilson). Before tests were "
        f"added for mutants that this sample showed, they noticed {result['killed_at_first']}."
    )
    columns = ["Place", "Code and mutant", "Outcome"]
    title, rows = "Mutants that the tests did not kill", [row(mutant) for mutant in shown]
    command = f"make mutate SAMPLE={result['sample']} SEED={result['seed']}"
    copies.keep("mutation", title=title, command=command, summary=summary, columns=columns, rows=rows)


def row(mutant: dict) -> list[str]:
    """Return a row of the table."""
    place = f"{copies.code(mutant['file'].removeprefix('lorantk/'))}, line {mutant['line']}"
    outcome = f"{mutant['outcome']}: {mutant['reason']}" if mutant["reason"] else mutant["outcome"]
    return [place, f"{copies.code(mutant['old'])} → {copies.code(mutant['new'])}", outcome]


def main() -> int:
    """Run from the command line; 1 if a mutant survives without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=800, help="how many mutants (default: 800)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--cores", type=int, default=2, help="how many are judged at a time (default: 2)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this time; a later run goes on")
    options = parser.parse_args()
    stop = time.monotonic() + options.seconds
    every = [mutant for file in TARGETS for mutant in mutants(file)]
    chosen = sample(every, options.sample, options.seed)
    old = json.loads(RESULT.read_text()) if RESULT.exists() else {"survivors": [], "kills": []}
    old = {_identity(mutant): mutant for mutant in old["survivors"] + old["kills"]}
    known = {key: old[key] for key in map(_identity, chosen) if key in old and old[key]["sources"] == version(old[key]["file"])}
    waiting = [mutant for mutant in chosen if _identity(mutant) not in known]
    free = queue.SimpleQueue()
    for number in range(options.cores):
        free.put(copies.make(f"mutants-{number}"))

    def attempt(mutant):
        copy = free.get()
        try:
            return None if time.monotonic() > stop else judge(copy, mutant, baseline(copy, mutant["file"]))
        finally:
            free.put(copy)

    pool = ThreadPoolExecutor(options.cores)
    futures = {pool.submit(attempt, mutant): mutant for mutant in waiting}
    try:
        for future in tqdm(as_completed(futures), total=len(futures), file=sys.stdout):
            mutant, outcome = futures[future], future.result()
            if outcome is None:
                continue
            before = old.get(_identity(mutant), {})
            if any(before.get(name) != mutant[name] for name in ("old", "new")):  # the same number, but of other code
                before = {}
            mutant |= {"outcome": outcome, "first": before.get("first", outcome), "sources": version(mutant["file"])}
            if outcome != "killed":
                told = f"{outcome}: {mutant['file']}:{mutant['line']}\n  {mutant['old']}\n  {mutant['new']}"
                tqdm.write(told, file=sys.stdout)
                mutant["reason"] = before.get("reason", "")
            known[_identity(mutant)] = mutant
            write(summary(options.seed, len(every), list(known.values())))
    finally:
        pool.shutdown(cancel_futures=True)
    write(summary(options.seed, len(every), list(known.values())))
    return int(any(mutant["outcome"] == "survived" and not mutant["reason"] for mutant in known.values()))


def _identity(mutant: dict) -> tuple:
    return mutant["file"], mutant["operator"], mutant["occurrence"]


if __name__ == "__main__":
    sys.exit(main())
