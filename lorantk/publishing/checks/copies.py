"""A copy of the checkout in which code may be broken, and commands that run there and see the copy's code alone."""

import os
import resource
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from lorantk.publishing.checks.trust import write_result
from lorantk.publishing.notebook.provenance import git

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv" / "bin" / "python"
# Programs that JAX compiled before, by what they compute: broken code never gets an old one.
CACHE = ROOT / "_build" / "trust" / "jax"


def make(name: str) -> Path:
    """Copy what git knows, or does not ignore, to ``_build/trust/<name>``; sweeps and fetched packages are shared."""
    into = ROOT / "_build" / "trust" / name
    shutil.rmtree(into, ignore_errors=True)
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for file in subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if (ROOT / file).is_file():
            (into / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, into / file)
    for shared in (Path("_build/sweeps"), Path("_build/smoke/sweeps"), Path(".language")):
        (ROOT / shared).mkdir(parents=True, exist_ok=True)
        (into / shared).parent.mkdir(parents=True, exist_ok=True)
        (into / shared).symlink_to(ROOT / shared)
    return into


@contextmanager
def changed(path: Path, text: str):
    """Give a file of a copy another text for a while."""
    before = path.read_text()
    try:
        _write(path, text)
        yield
    finally:
        _write(path, before)


def _write(path, text):
    path.write_text(text)
    # Python takes a file of the same size and second for the one that it compiled.
    shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)


def run(copy: Path, arguments: list[str], *, cpu_seconds: float | None = None) -> tuple[int, str, float]:
    """Run Python in a copy.

    Returns
    -------
    status
        Exit status; that of `signal.SIGXCPU`, negative, where the limit of processor time was reached.
    output
        What it wrote.
    seconds
        Processor time that it took, with all processes that it waited for.
    """

    def limit():
        if cpu_seconds is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (int(cpu_seconds), int(cpu_seconds) + 5))

    settings = {
        "PYTHONPATH": str(copy), "COLUMNS": "400", "JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": str(CACHE),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }  # fmt: skip
    process = subprocess.Popen(
        [PYTHON, *arguments], cwd=copy, env=os.environ | settings, text=True, preexec_fn=limit, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    # A process that waits for ever takes no processor time.
    patience = threading.Timer(3600, os.killpg, (process.pid, signal.SIGXCPU))
    try:
        if cpu_seconds is not None:
            patience.start()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        patience.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, output, usage.ru_utime + usage.ru_stime


def run_tests(copy: Path, tests: list[str], **limits) -> tuple[int, str, float]:
    """Run tests in a copy up to the first that fails; see `run`."""
    options = ["--quiet", "--exitfirst", "--no-header", "--tb=line", "-rfE", "-p", "no:cacheprovider"]
    return run(copy, ["-m", "pytest", *options, *tests], **limits)


def keep(name: str, **parts) -> None:
    """Write what readers see of a result on this commit, ``book/trust/<name>.json``."""
    write_result(ROOT / "book" / "trust" / f"{name}.json", commit=git("rev-parse", "HEAD"), **parts)


def code(text: str) -> str:
    """Return text as code in Markdown, on one line."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"
