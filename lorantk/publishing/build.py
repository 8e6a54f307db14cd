"""Run the build graph: one build at a time in a checkout, with progress that a person can read."""

import argparse
import contextlib
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from tqdm import tqdm

from lorantk.files import in_words, refusal, write_whole
from lorantk.fingerprint import content_hash, files
from lorantk.publishing.locks import locked
from lorantk.publishing.parameters import UsageError, check_profile

BUILD = Path("_build")
SOURCES = ("Snakefile", "_config.yml", "_toc.yml", "benchmarks/results", "book", "lorantk", "notebooks", "scripts", "uv.lock")
RESULTS = ("adapters", "executed", "smoke", "sweeps", "figures", "claims.json", "site")
# A killed run leaves Snakemake's own lock behind, which would block the next one; ours ends with the process.
SNAKEMAKE = ("--nolock", "--rerun-incomplete", "--keep-going", "--nocolor")


def sources_state(profile):
    """A hash of all that the results depend on."""
    return f"{profile} {content_hash(files(*SOURCES))}"


def results_state():
    """A cheap name for the results as they lie there: each file's size and time of change."""
    found = files(*(BUILD / name for name in RESULTS))
    return "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in found)


def forget_removed_notebooks():
    """Delete what is left of notebooks that are no longer in `notebooks/`."""
    for kind in ("executed", "smoke"):
        for path in (BUILD / kind).glob("*.ipynb"):
            if not (Path("notebooks") / path.name).exists():
                path.unlink()
                (BUILD / kind / "runs" / f"{path.stem}.json").unlink(missing_ok=True)
                shutil.rmtree(BUILD / kind / "records" / path.stem, ignore_errors=True)


def usual_seconds(folder):
    """How long each notebook took the last time, by name, from the records of runs in `folder`."""
    return {path.stem: json.loads(path.read_bytes())["seconds"] for path in sorted(folder.glob("*.json"))}


def executed(names):
    """The executed forms of some notebooks, each given by path, stem or topic."""
    if names:  # what can find them takes a second to load
        from lorantk.publishing.execute import find_notebook
    return [BUILD / "executed" / find_notebook(name).name for name in names]


def words_left(count: int, seconds: float | None) -> str:
    """Say what is left of a long piece of work, such as "3 left, about 35 s"; without the time where it is None."""
    if seconds is None:
        return f"{count} left"
    return f"{count} left, about {seconds:.0f} s" if seconds < 100 else f"{count} left, about {seconds / 60:.0f} min"


class Progress:
    """What runs, how many jobs and about how much time are left: a bar on a terminal, plain lines elsewhere.

    Parameters
    ----------
    usual : dict of str to float
        Seconds that notebooks took the last time; those of this run take their place.
    cores : int
        How many jobs run at once.
    """

    def __init__(self, usual=None, cores=1):
        self.start, self.left, self.running = time.monotonic(), 0, []
        self.usual, self.cores, self.since = dict(usual or {}), cores, {}
        interactive = sys.stdout.isatty()
        self.bar = tqdm(file=sys.stdout, bar_format="{desc} [{elapsed}]", leave=False) if interactive else None

    def show(self, line):
        """Take one line of a job's output: note where a job starts and ends, and print it."""
        word, _, rest = line.partition(" ")
        if word == "running":
            self.running.append(rest)
            self.since[rest] = time.monotonic()
        elif word in ("done", "FAILED"):
            name = Path(rest.split()[0]).stem
            self.running = [other for other in self.running if other != name]
            self.left -= 1
            if name in self.since:
                self.usual[name] = time.monotonic() - self.since[name]
        if word in ("running", "done", "FAILED"):
            line = f"[{time.monotonic() - self.start:4.0f} s] {line}"
            line += f" ({self.words_left()})" if word == "done" and self.left > 0 else ""
        if self.bar is None:
            print(re.sub(r"\x1b\[[\d;]*m", "", line), flush=True)  # colours are for terminals
        elif word != "running":
            self.bar.write(line, file=sys.stdout)
        self.draw()

    def seconds_left(self):
        """About how long the rest takes: what runs, by its own usual time, the others by the mean; None where unknown."""
        if not self.usual:
            return None
        mean, now = sum(self.usual.values()) / len(self.usual), time.monotonic()
        started = [max(self.usual.get(name, mean) - now + self.since[name], 0) for name in self.running]
        waiting = max(self.left - len(self.running), 0) * mean
        return max([*started, (sum(started) + waiting) / self.cores])

    def words_left(self):
        """What is left, in words."""
        return words_left(self.left, self.seconds_left())

    def draw(self):
        """Draw the bar anew."""
        if self.bar is not None:
            what = ", ".join(self.running) or "looking at what changed"
            self.bar.set_description_str(f"running: {what}; {self.words_left()}")


def read_log(stream, log, progress, refused):
    """Keep Snakemake's own messages in `log`; its table of jobs says how many there will be.

    What the Snakefile says about a result that cannot be used is shown too. Errors of a full or read-only disk go to `refused`.
    """
    with log:
        for line in stream:
            with contextlib.suppress(OSError):  # where there is no room for messages, Snakemake still needs a reader
                log.write(line.encode())
            if error := refusal(line):
                refused.append(error)
            elif jobs := re.match(r"(?:sweep|execute|site) +(\d+)\s*$", line):
                progress.left += int(jobs[1])
            elif line.startswith("cannot be used: "):
                progress.show(line.rstrip("\n"))


def run(targets, cores, config, lock):
    """Bring `targets` up to date and return Snakemake's exit status; Snakemake holds `lock` too while it lives.

    Raises
    ------
    OSError
        If the disk is full or read-only; no other job is started then, and those that run come to their end.
    """
    log = BUILD / "snakemake.log"
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--config", *config]
    kind = "smoke" if targets == ["smoke"] else "executed"
    progress, ended = Progress(usual_seconds(BUILD / kind / "runs"), cores), threading.Event()
    refused, messages = [], log.open("wb", buffering=0)

    def tick():
        while not ended.wait(1):
            progress.draw()

    with subprocess.Popen(
        [*command, *SNAKEMAKE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[lock.fileno()]
    ) as process:
        reader = threading.Thread(target=read_log, args=(process.stderr, messages, progress, refused))
        clock = threading.Thread(target=tick)
        reader.start()
        clock.start()
        try:
            for line in process.stdout:
                if error := refusal(line):
                    refused.append(error)
                    process.terminate()
                else:
                    progress.show(line.rstrip("\n"))
            process.wait()
        finally:
            ended.set()
            clock.join()
            reader.join()
            if progress.bar is not None:
                progress.bar.close()
    if process.returncode and refused:
        raise refused[0]
    if process.returncode:
        print(f"the build stopped; the build graph's own messages: {log}", file=sys.stderr)
    return process.returncode


@in_words("lorantk.publishing.build")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if something failed, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.build", description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=("book", "smoke"))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--profile", default="default")
    parser.add_argument("--threads", type=int, help="threads of each notebook and training (default: 1 with many notebooks)")
    parser.add_argument("--only", default="", help='execute only these notebooks, as "nsd gauge", and build no site')
    options = parser.parse_args(arguments)
    config = [f"profile={options.profile}", *([f"threads={options.threads}"] if options.threads else [])]
    try:
        check_profile(options.profile)
        only = executed(options.only.split())
    except UsageError as error:
        print(f"lorantk.publishing.build: {error}", file=sys.stderr)
        return 2
    marker = BUILD / f".{options.target}-state"
    with locked(BUILD / ".lock", "another build runs in this checkout; waiting for it to end") as lock:
        state = sources_state(options.profile)
        if not only and marker.is_file() and marker.read_text() == f"{state}\n{results_state()}":
            print(f"nothing changed since the last {options.target} build")
            return 0
        forget_removed_notebooks()
        try:
            status = run(list(map(str, only)) or [options.target], options.cores, config, lock)
        except KeyboardInterrupt:
            print("\ninterrupted; finished notebooks are kept", file=sys.stderr)
            return 130
        if status:
            return 1
        if not only:
            write_whole(marker, f"{state}\n{results_state()}".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
