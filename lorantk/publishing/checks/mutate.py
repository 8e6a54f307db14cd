"""Change one operator or number of the code at a time and see whether the tests of its module notice.

The mutants are a random sample of all that cosmic-ray knows to make. Its session, ``_build/trust/mutation.sqlite``, keeps the
outcome of each, so that a run that was interrupted goes on where it stopped; the table for readers is
``book/trust/mutation.json``. Reasons why a mutant may survive stand in ``survivors.toml``, by the line that it changes.

A mutant whose tests reach the limit of processor time is not a kill: its tests run once more with three times the limit.
"""

import argparse
import ast
import hashlib
import queue
import signal
import sys
import tomllib
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkItem, WorkResult
from scipy.stats import binomtest
from tqdm import tqdm

from lorantk.publishing.checks import copies

SESSION = copies.ROOT / "_build/trust/mutation.sqlite"
THEORY = copies.ROOT / "lorantk/theory"
TARGETS = [f"lorantk/theory/{path.name}" for path in sorted(THEORY.glob("*.py")) if path.stem != "__init__"]
TARGETS += ["lorantk/experiments/common/statistics.py"]
# Where the tests of a module are not in the file of its name alone.
TESTS = {
    "lorantk/theory/conditions.py": ["theory/test_delta.py", "theory/test_adapters.py", "theory/test_order.py"],
    "lorantk/experiments/common/statistics.py": ["experiments/test_statistics.py"],
}
# A bit by bit operation instead of another one is a type error, which every test notices.
BITWISE = ("BitOr", "BitAnd", "BitXor", "LShift", "RShift")
REASONS = {
    (entry["file"], entry["old"], entry["new"]): entry["reason"]
    for entry in tomllib.loads(Path(__file__).with_name("survivors.toml").read_text())["mutant"]
}


def tests_of(file: str) -> list[str]:
    """Return the tests that run for a module."""
    return [f"tests/{name}" for name in TESTS.get(file, [f"theory/test_{Path(file).stem}.py"])]


def annotations(source: str) -> set[int]:
    """Return the lines that lie in an annotation: Python does not compute with them."""
    parts = [getattr(node, name, None) for node in ast.walk(ast.parse(source)) for name in ("annotation", "returns")]
    return {line for part in parts if part is not None for line in range(part.lineno, part.end_lineno + 1)}


def mutants(file: str) -> list[MutationSpec]:
    """Return the mutants of a file; none on lines with annotations, none of operations bit by bit."""
    source = (copies.ROOT / file).read_text()
    tree, skipped, found = get_ast(source), annotations(source), []
    for name in operator_names():
        if get_operator(name).arguments() or (name.endswith(BITWISE) and "Binary" in name):
            continue
        places = [place for node in ast_nodes(tree) for place in get_operator(name)().mutation_positions(node)]
        found += [
            MutationSpec(file, name, occurrence, start, end)
            for occurrence, (start, end) in enumerate(places)
            if start[0] not in skipped
        ]
    return found


def identity(mutant: MutationSpec) -> str:
    """Return the name of a mutant: file, operator, occurrence, and a hash of the file and of the tests that judge it."""
    digest = hashlib.sha256()
    for path in (str(mutant.module_path), *tests_of(str(mutant.module_path))):
        digest.update((copies.ROOT / path).read_bytes())
    name = f"{mutant.module_path} {mutant.operator_name} {mutant.occurrence} {digest.hexdigest()}"
    return uuid.uuid5(uuid.NAMESPACE_URL, name).hex


def sample(number: int, seed: int) -> tuple[int, list[MutationSpec]]:
    """Return how many mutants there are, and some drawn at random: those of the smallest hashes.

    So a change of one file leaves those of the others in the sample.
    """
    every = [mutant for file in TARGETS for mutant in mutants(file)]

    def place(mutant):
        return hashlib.sha256(f"{seed} {mutant.module_path} {mutant.operator_name} {mutant.occurrence}".encode()).digest()

    return len(every), sorted(every, key=place)[:number]


def lines(mutant: MutationSpec) -> tuple[str, str, str]:
    """Return the mutated source, and the line that the mutation changes before and after."""
    source = (copies.ROOT / mutant.module_path).read_text()
    text = mutate_code(source, get_operator(mutant.operator_name)(), mutant.occurrence)
    pairs = [(a, b) for a, b in zip(source.splitlines(), text.splitlines(), strict=False) if a != b]
    old, new = (part.strip() for part in (pairs or [("", "")])[0])
    return text, old, new


@cache
def baseline(copy: Path, file: str) -> float:
    """Return the processor time that a module's tests take without a mutation; stop if they fail."""
    status, output, seconds = copies.run_tests(copy, tests_of(file))
    if status:
        sys.exit(f"{file}: expected its tests to pass without a mutation, got status {status}:\n{output}")
    return seconds


def judge(copy: Path, mutant: MutationSpec) -> WorkResult:
    """Run the tests of a mutant's module in a copy that has the mutation."""
    file = str(mutant.module_path)
    text, old, new = lines(mutant)
    diff = f"{old}\n{new}"
    try:
        compile(text, file, "exec")
    except SyntaxError:
        return WorkResult(WorkerOutcome.SKIPPED, "no program", TestOutcome.INCOMPETENT, diff)
    seconds = baseline(copy, file)
    with copies.changed(copy / file, text):
        for limit in (60 + 10 * seconds, 180 + 30 * seconds):
            status, _, _ = copies.run_tests(copy, tests_of(file), cpu_seconds=limit)
            if status not in (-signal.SIGXCPU, -signal.SIGKILL):
                outcome = TestOutcome.SURVIVED if status == 0 else TestOutcome.KILLED
                return WorkResult(WorkerOutcome.NORMAL, "", outcome, diff)
    return WorkResult(WorkerOutcome.ABNORMAL, "timeout", TestOutcome.INCOMPETENT, diff)


def report(seed: int, population: int, judged: list[tuple[MutationSpec, WorkResult]]) -> list[MutationSpec]:
    """Write the table for readers; return the mutants that survived without a reason."""
    kinds = {"killed": [], "survived": [], "timeout": [], "no program": []}
    for mutant, result in judged:
        word = result.test_outcome.value if result.worker_outcome == WorkerOutcome.NORMAL else result.output
        kinds[word].append((mutant, *result.diff.split("\n")))
    killed, tried = len(kinds["killed"]), sum(len(kinds[word]) for word in ("killed", "survived", "timeout"))
    interval = binomtest(killed, tried).proportion_ci(method="wilson")
    where = "`lorantk.theory` and the statistics of the sweeps"
    summary = (
        f"Of {population} changes of one operator or number in {where}, {len(judged)} were drawn at random; "
        f"{len(kinds['no program'])} of them are not valid Python. The tests of the module noticed {killed}, did not notice "
        f"{len(kinds['survived'])}, and did not end for {len(kinds['timeout'])}: {killed / tried:.1%} noticed, "
        f"95% interval {interval.low:.1%} to {interval.high:.1%} (Wilson)."
    )
    rows, unexplained = [], []
    for word in ("survived", "timeout"):
        for mutant, old, new in kinds[word]:
            file = str(mutant.module_path)
            reason = REASONS.get((file, old, new), "")
            unexplained += [mutant] if word == "survived" and not reason else []
            place = f"{copies.code(file.removeprefix('lorantk/'))}, line {mutant.start_pos[0]}"
            rows.append([place, f"{copies.code(old)} → {copies.code(new)}", f"{word}: {reason}" if reason else word])
    copies.keep(
        "mutation",
        title="Mutants that the tests did not notice",
        command=f"make mutate SAMPLE={len(judged)} SEED={seed}",
        summary=summary,
        columns=["Place", "Code and mutant", "Outcome"],
        rows=rows,
    )
    print(summary)
    return unexplained


def main() -> int:
    """Run from the command line; 1 if a mutant survives without a reason."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=800, help="how many mutants (default: 800)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--cores", type=int, default=2, help="how many are judged at a time (default: 2)")
    options = parser.parse_args()
    population, chosen = sample(options.sample, options.seed)
    names = {identity(mutant): mutant for mutant in chosen}
    SESSION.parent.mkdir(parents=True, exist_ok=True)
    free = queue.SimpleQueue()
    for number in range(options.cores):
        free.put(copies.make(f"mutants-{number}"))

    def attempt(name):
        copy = free.get()
        try:
            return judge(copy, names[name])
        finally:
            free.put(copy)

    with use_db(SESSION, WorkDB.Mode.create) as session:
        known = dict(session.results)
        listed = {item.job_id for item in session.work_items}
        session.add_work_items(WorkItem.single(name, names[name]) for name in names if name not in listed)
        pool = ThreadPoolExecutor(options.cores)
        futures = {pool.submit(attempt, name): name for name in names if name not in known}
        try:
            for future in tqdm(as_completed(futures), total=len(futures), file=sys.stdout):
                session.set_result(futures[future], future.result())
        finally:
            pool.shutdown(cancel_futures=True)
        known = dict(session.results)
    unexplained = report(options.seed, population, [(mutant, known[name]) for name, mutant in names.items()])
    for mutant in unexplained:
        _, old, new = lines(mutant)
        print(f"survived without a reason: {mutant.module_path}:{mutant.start_pos[0]}\n  {old}\n  {new}")
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
