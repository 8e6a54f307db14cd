"""Kill builds at random moments by ``kill -9`` and show that what is built after them equals an undisturbed build.

The builds are of a checkout in small: the real build graph, package and configuration, with two chapters that take seconds, one
of which reads a sweep of eighteen training runs. Kills take turns: the whole tree of processes, as a power cut would, and the
build's own process group alone, which leaves the kernels of notebooks to themselves. Whenever a build comes to its end before
its kill it is compared, and the next begins from nothing. The table for readers is ``book/trust/kills.json``.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
from tqdm import tqdm

from lorantk.publishing.checks import copies
from lorantk.publishing.checks.compare import compare, report

sys.path.insert(0, str(copies.ROOT / "tests"))
import tiny_sweep

PLACE = copies.ROOT / "_build" / "kills"
HOW = ("all of its processes", "its process group alone")
KINDS = {"site": "the site", tiny_sweep.SWEEP: "a sweep"}
TRACES = ("_build", ".snakemake", "notebooks/.ipynb_checkpoints")


class KillsError(RuntimeError):
    """A build that should have come to its end."""


def start(tree: Path, log: Path) -> subprocess.Popen:
    """Start a build of the tree, in a process group of its own."""
    command = [sys.executable, "-m", "lorantk.publishing.graph.build", "book"]
    with log.open("w") as stream:
        return subprocess.Popen(
            command, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, stdout=stream, stderr=stream, start_new_session=True
        )


def kill(process: subprocess.Popen, everything: bool) -> None:
    """Kill a build: with all that it started, or its process group."""
    descendants = psutil.Process(process.pid).children(recursive=True) if everything else []
    os.killpg(process.pid, signal.SIGKILL)
    for one in descendants:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


def stage(log: Path) -> str:
    """Return what was running when the build was killed, from what it had printed."""
    running = []
    for line in log.read_text().splitlines():
        if found := re.search(r"\] (running|done) (\S+)", line):
            word, name = found[1], Path(found[2]).stem
            running = [*running, name] if word == "running" else [other for other in running if other != name]
    if not running:
        return "between jobs, or the lists of statements and figures"
    return " and ".join(sorted({KINDS.get(name.split("-")[0], "a chapter") for name in running}))


def whole(tree: Path, log: Path) -> float:
    """Build the tree to the end and return the seconds that it took."""
    began = time.monotonic()
    if status := start(tree, log).wait():
        raise KillsError(f"expected a build that ends well in {tree}, got status {status}:\n{log.read_text()}")
    return time.monotonic() - began


def forget(tree: Path) -> None:
    """Remove all that builds left."""
    for name in TRACES:
        shutil.rmtree(tree / name, ignore_errors=True)


def disturb(tree: Path, undisturbed: Path, longest: float, kills: int, seed: int) -> tuple[list[tuple[str, str]], int]:
    """Kill builds of the tree; return what was running at each kill and how it was killed, and how many builds were compared."""
    moments, landed, compared, log = random.Random(seed), [], 0, PLACE / "killed.log"
    with tqdm(total=kills, desc="kills", file=sys.stdout) as bar:
        while len(landed) < kills:
            process = start(tree, log)
            try:
                status = process.wait(moments.uniform(0, longest))
            except subprocess.TimeoutExpired:
                how = len(landed) % len(HOW)
                kill(process, everything=how == 0)
                landed.append((stage(log), HOW[how]))
                bar.update()
                continue
            if status:
                raise KillsError(f"expected a build that ends well after a kill, got status {status}:\n{log.read_text()}")
            compared += agree(undisturbed, tree)
            forget(tree)
    whole(tree, log)
    return landed, compared + agree(undisturbed, tree)


def agree(undisturbed: Path, tree: Path) -> int:
    """Return 1 where a build equals the undisturbed one; raise where it does not."""
    found = compare(undisturbed / "_build", tree / "_build")
    if found.differing:
        report(found)
        raise KillsError(f"expected the results of {undisturbed} in {tree}, got others in {', '.join(found.differing)}")
    return 1


def main() -> int:
    """Run from the command line; 1 where a build after a kill stops or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.kills < 1:
        sys.exit(f"the number of kills must be positive; got {options.kills}")
    shutil.rmtree(PLACE, ignore_errors=True)
    undisturbed, killed = PLACE / "undisturbed", PLACE / "killed"
    for tree in (undisturbed, killed):
        tree.mkdir(parents=True)
        tiny_sweep.grow(tree)
    print("building undisturbed", flush=True)
    try:
        seconds = whole(undisturbed, PLACE / "undisturbed.log")
        landed, compared = disturb(killed, undisturbed, seconds, options.kills, options.seed)
    except KillsError as error:
        sys.exit(f"lorantk.publishing.checks.kills: {error}")
    files = sum(compare(undisturbed / "_build", killed / "_build").counts.values())
    summary = (
        f"{len(landed)} builds of a checkout in small were killed by `kill -9` at moments drawn evenly over the {seconds:.0f} s "
        f"that one takes (seed {options.seed}). Each was followed by the next build in the same folder. The {compared} builds "
        f"that came to their end, after one kill or several, gave the {files} files of an undisturbed build, byte for byte; none "
        f"stopped. In turn {HOW[0]} were killed, and {HOW[1]}."
    )
    stages = sorted({where for where, _ in landed})
    rows = [[where, *(landed.count((where, how)) for how in HOW)] for where in stages]
    columns = ["What was running", *(f"Kills of {how}" for how in HOW)]
    title = "Builds killed at random moments"
    copies.keep("kills", title=title, command="make kills", summary=summary, columns=columns, rows=rows)
    print(summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
