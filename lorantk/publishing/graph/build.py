"""Run the build graph: one build at a time in a checkout, with readable progress."""

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from lorantk.disk import in_words, refusal, write_whole
from lorantk.fingerprint import content_hash, files
from lorantk.publishing.locks import locked
from lorantk.publishing.notebook.parameters import ParameterError, check_profile

BUILD = Path("_build")
FILES = ("Snakefile", "_config.yml", "_toc.yml", "CITATION.cff", "uv.lock")
SOURCES = (*FILES, "benchmarks/results", "book", "lorantk", "notebooks", "expected")
RESULTS = ("executed", "smoke", "sweeps", "figures", "claims.json", "site")
COLOUR = re.compile(r"\x1b\[[\d;]*m")  # of a traceback: for terminals only
# A killed run leaves Snakemake's own lock behind, which would block the next one; ours ends with the process.
SNAKEMAKE = ("--nolock", "--rerun-incomplete", "--keep-going", "--nocolor", "--scheduler", "greedy")


def sources_state(profile):
    """A hash of everything that the results depend on."""
    return f"{profile} {content_hash(files(*SOURCES))}"


def results_state():
    """A cheap fingerprint of the results: the size and the modification time of each file."""
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


def executed(names):
    """Paths of the executed forms of some notebooks, each given by path, stem or topic."""
    if names:  # loading the module takes a second
        from lorantk.publishing.notebook.execute import find_notebook
    return [BUILD / "executed" / find_notebook(name).name for name in names]


class Progress:
    """Prints what jobs say, with the time since the start and how many jobs are left."""

    def __init__(self):
        self.start, self.left = time.monotonic(), 0

    def show(self, line):
        """Print one line of a job's output, and count the jobs that have ended."""
        word = line.partition(" ")[0]
        self.left -= word in ("done", "FAILED")
        if word in ("running", "done", "FAILED"):
            line = f"[{time.monotonic() - self.start:4.0f} s] {line}"
            line += f" ({self.left} left)" if word == "done" and self.left > 0 else ""
        print(line if sys.stdout.isatty() else COLOUR.sub("", line), flush=True)


def read_log(stream, log, progress, refused):
    """Write Snakemake's own messages to `log`, and read from its table of jobs how many there will be.

    Results that the Snakefile says cannot be used are shown too. Errors of a full or read-only disk go to `refused`.
    """
    with log:
        for line in stream:
            with contextlib.suppress(OSError):  # if there is no room for messages, Snakemake still needs a reader
                log.write(line.encode())
            if error := refusal(line):
                refused.append(error)
            elif jobs := re.match(r"(?:sweep|execute|site) +(\d+)\s*$", line):
                progress.left += int(jobs[1])
            elif line.startswith("cannot be used: "):
                progress.show(line.rstrip("\n"))


def run(targets, cores, config, lock):
    """Bring `targets` up to date and return Snakemake's exit status; Snakemake inherits `lock` and holds it while it runs.

    Raises
    ------
    OSError
        If the disk is full or read-only; then no further job is started, and running jobs finish.
    """
    log = BUILD / "snakemake.log"
    command = [sys.executable, "-m", "snakemake", *targets, "--cores", str(cores), "--config", *config]
    progress, refused, messages = Progress(), [], log.open("wb", buffering=0)
    with subprocess.Popen(
        [*command, *SNAKEMAKE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=[lock.fileno()]
    ) as process:
        reader = threading.Thread(target=read_log, args=(process.stderr, messages, progress, refused))
        reader.start()
        try:
            for line in process.stdout:
                if error := refusal(line):
                    refused.append(error)
                    process.terminate()
                else:
                    progress.show(line.rstrip("\n"))
            process.wait()
        finally:
            reader.join()
    if process.returncode and refused:
        raise refused[0]
    if process.returncode:
        print(f"the build stopped; the build graph's own messages: {log}", file=sys.stderr)
    return process.returncode


@in_words("lorantk.publishing.graph.build")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if something failed, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.graph.build", description=__doc__.splitlines()[0])
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
    except ParameterError as error:
        print(f"lorantk.publishing.graph.build: {error}", file=sys.stderr)
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
