"""Build a commit in fresh clones and compare: two equal builds byte by byte, or one under other conditions number by number.

    python -m lorantk.publishing.checks.reproduce bytes                # two clean builds give equal files
    python -m lorantk.publishing.checks.reproduce threads --threads 2  # other threads and instructions give the same data

Both take `--only "nsd gauge"` to build a few notebooks. Each clone has its own folder below `_build/reproduce/` and its own
environment, made by `make book`; its results stay, so that you can look at what differs. With `--keep` the result is stored
in `book/trust/`, and the book shows it.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from lorantk.publishing.checks import compare, reference
from lorantk.publishing.checks.trust import write_result
from lorantk.publishing.errors import PublishingError
from lorantk.publishing.locks import locked
from lorantk.publishing.notebook.provenance import git

PLACE = Path("_build/reproduce")
CLONES = ("first", "second-build")  # of different lengths, so that a path in a result would show
ENVIRONMENTS = (".venv", ".venv-peft")
RESULTS = {"bytes": "reproduce", "threads": "threads"}
# Settings that imitate another machine: another order of summation and no fused multiply-add, in JAX and in OpenBLAS.
ELSEWHERE = {"XLA_FLAGS": "--xla_cpu_max_isa=AVX", "OPENBLAS_CORETYPE": "Sandybridge"}
WORST = 12  # number of figures in the table on threads


def elsewhere():
    """Environment variables that make a process compute as another machine would; none except on x86."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    return ELSEWHERE | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {ELSEWHERE['XLA_FLAGS']}".strip()}


def clean_build(name, commit, environment=None, **options):
    """Build `commit` in a fresh clone and return the clone's folder.

    Parameters
    ----------
    name, commit : str
        Name of the clone's folder; the commit to build.
    environment : dict of str to str, optional
        Variables for this build only.
    **options
        Variables passed to `make book`.

    Raises
    ------
    PublishingError
        If the build fails.
    """
    clone = PLACE / name
    shutil.rmtree(clone, ignore_errors=True)
    git("clone", "--quiet", "--no-checkout", ".", str(clone))
    git("-C", str(clone), "checkout", "--quiet", "--detach", commit)
    settings = [f"{key}={value}" for key, value in options.items()]
    command = ["make", "--directory", str(clone), "--no-print-directory", "book", *settings]
    own = os.environ | (environment or {})
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(f"{name}: {line}", end="", flush=True)
    if process.returncode:
        raise PublishingError(f"expected {commit} to build in {clone}, got exit status {process.returncode}")
    return clone


def n(only):
    """The choice of notebooks as an argument of `make`."""
    return f' N="{only}"' if only else ""


def scope(only):
    """What was built, in words."""
    return f"the notebooks {only.replace(' ', ', ')} alone" if only else "the whole book"


def same_bytes(commit, cores, only):
    """Build twice and compare the bytes; return whether they agree, and the result for `write_result`.

    Raises
    ------
    PublishingError
        If a build fails or leaves nothing to compare.
    """
    first, second = (clean_build(name, commit, CORES=cores, N=only) / "_build" for name in CLONES)
    found = compare.compare(first, second)
    compare.report(found)
    total, wrong = sum(found.counts.values()), len(found.differing)
    if total == 0:
        raise PublishingError(f"expected results in {first} and {second}, got none")
    names = ", ".join(f"`{name}`" for name in list(found.differing)[:WORST])
    verdict = f"other bytes in {wrong} of them: {names}" if wrong else "the same bytes in each"
    left_out = "; ".join(f"`{name}` ({why})" for name, why in compare.LEFT_OUT.items())
    summary = f"Two clean builds of {scope(only)}, in folders of different names, gave {total} files, and {verdict}. "
    summary += f"Not compared, because they differ in every run: {left_out}; the output of cells that show a measured time."
    return not wrong, {
        "title": "Two builds of one commit",
        "command": f"make reproduce{n(only)}",
        "summary": summary,
        "columns": ["Files", "Compared", "Different"],
        "rows": compare.rows(found),
    }


def same_data(commit, cores, threads, only):
    """Build with other threads and instructions, and compare the data with the reference; returns as `same_bytes` does.

    Raises
    ------
    PublishingError
        If the build fails or the tolerances of the reference are malformed.
    """
    clone = clean_build(CLONES[0], commit, elsewhere(), CORES=max(cores, threads), THREADS=threads, N=only)
    data = reference.executed(clone / "_build") if only else reference.published(clone / "_build")
    found, faults = reference.check(data, clone / reference.FOLDER, whole=not only)
    for fault in faults:
        print(f"DIFFERS {fault}")
    ranked = sorted(found.items(), key=lambda item: -item[1].share)
    numbers = sum(one.numbers for one in found.values())
    outside = ", ".join(f"`{fault.partition(':')[0]}`" for fault in faults) or "none"
    older = ", and with the instructions of an older processor (AVX, without fused multiply-add)" if elsewhere() else ""
    summary = f"A clean build of {scope(only)} with {threads} threads for each notebook and each training run, while the "
    summary += f"reference was made with one{older}. "
    summary += f"{numbers} entries of the data behind {len(found)} figures were compared. Outside their tolerance: {outside}. "
    summary += "The table lists the figures that come closest to their tolerance, with the share of it that their largest "
    summary += "difference uses."
    return not faults, {
        "title": "The data behind the figures, computed under other conditions",
        "command": f"make reproduce-threads{n(only)} THREADS={threads}",
        "summary": summary,
        "columns": ["Figure", "Column", "Share of the tolerance"],
        "rows": [[f"`{name}`", f"`{one.column}`", one.share] for name, one in ranked[:WORST]],
    }


def main(arguments=None):
    """Run from the command line; 0 if the builds agree, 1 if they do not, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.checks.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=tuple(RESULTS))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", default="", help='build only these notebooks, as "nsd gauge"')
    parser.add_argument("--threads", type=int, default=2, help="threads of each notebook and training")
    parser.add_argument("--keep", action="store_true", help="keep the result in book/trust")
    options = parser.parse_args(arguments)
    commit = git("rev-parse", "HEAD")
    if git("status", "--porcelain"):
        print(f"uncommitted changes are not built: this is about {commit}")
    try:
        with locked(PLACE / ".lock", "these builds are already running in this checkout; waiting for them to end"):
            if options.what == "bytes":
                good, result = same_bytes(commit, options.cores, options.only)
            else:
                good, result = same_data(commit, options.cores, options.threads, options.only)
            if options.keep:
                write_result(Path("book/trust") / f"{RESULTS[options.what]}.json", commit=commit, **result)
            for path in (PLACE / clone / name for clone in CLONES for name in ENVIRONMENTS):
                shutil.rmtree(path, ignore_errors=True)
    except (PublishingError, FileNotFoundError) as error:
        print(f"lorantk.publishing.checks.reproduce: {error}", file=sys.stderr)
        return 1
    print("the builds agree" if good else f"the builds DIFFER; they are kept in {PLACE}")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
