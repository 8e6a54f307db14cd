"""Execute one notebook with papermill, completely or not at all.

The notebook runs in a private folder beside its destination; what it produced is moved into place only
after its last cell succeeded, so that an interrupted run never leaves a file that looks finished.
"""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from lorantk.files import in_words, refusal, write_whole
from lorantk.publishing import provenance
from lorantk.publishing.files import json_bytes
from lorantk.publishing.locks import locked
from lorantk.publishing.normalise import normalised
from lorantk.publishing.parameters import UsageError, check_parameters, declared_parameters, parse_parameters
from lorantk.threads import limit_threads


class NotebookError(RuntimeError):
    """A notebook that did not run to its end."""


def complaints(notebook):
    """What code cells of an executed notebook wrote to standard error or raised: pairs of a cell's id and the words.

    A page would show a warning as a result; progress goes to standard output.
    """
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                found.append((cell.id, f"{output.ename}: {output.evalue}"))
            elif output.output_type == "stream" and output.name == "stderr":
                found.append((cell.id, output.text.rstrip("\n")))
    return found


def report_failure(source, error, kept):
    """Print which notebook failed, at which cell, with which error, and where the partial notebook is."""
    print(f"FAILED {source}")
    if isinstance(error, PapermillExecutionError):
        cells = nbformat.read(kept, as_version=4).cells
        name = next(cell.id for cell in cells if cell.source == error.source)
        print(f"  in code cell {error.exec_count}, id {name!r}:")
        print("\n".join(f"    {line}" for line in error.source.splitlines()))
        print("\n".join(error.traceback))
        print(f"{error.ename}: {error.evalue}")
    else:
        print(f"  {type(error).__name__}: {error}")
    print(f"partial notebook: {kept}", flush=True)


def run_record(seconds, profile):
    """How an execution went: the one record that differs from run to run, so kept in a file of its own.

    The kernel is the largest process that this one has waited for: its peak of resident memory is theirs.
    """
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    threads = int(os.environ["NPROC"]) if "NPROC" in os.environ else None
    how = {"profile": profile, "seconds": round(seconds, 1), "peak_bytes": peak, "threads": threads}
    return how | {"device": provenance.device(), "versions": provenance.versions()}


def runs_file(output):
    """Where the record of the run that wrote `output` lies."""
    return output.parent / "runs" / f"{output.stem}.json"


def execute(source, output, records, failed, parameters=None):
    """Execute the notebook `source`; write it normalised to `output` and its records into `records`.

    How the run went is written to `runs_file(output)`.

    Parameters
    ----------
    source, output : Path
        The notebook and where its executed form goes; `output` appears last, and only if every cell ran.
    records : Path
        Folder for what the chapter records; replaced as a whole.
    failed : Path
        Folder that keeps the partial notebook of a failed run.
    parameters : dict, optional
        Values for declared parameters.

    Raises
    ------
    UsageError
        If the notebook or the parameters are not usable; nothing has changed then.
    NotebookError
        If a cell failed or wrote a warning, or the kernel died.
    OSError
        If the disk is full or read-only, for the notebook or in one of its cells; nothing has changed then.
    """
    declared = declared_parameters(nbformat.read(source, as_version=4))
    check_parameters(parameters or {}, declared)
    changed = {name: value for name, value in (parameters or {}).items() if value != declared[name]}
    print(f"running {source.stem}", flush=True)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # On a busy machine XLA complains of a slow compilation, with the time; its errors reach the notebook as exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    work = output.parent / f".{source.stem}"
    kept = failed / source.name
    with locked(output.parent / f".{source.stem}.lock"):
        start = time.monotonic()
        shutil.rmtree(work, ignore_errors=True)
        (work / "records").mkdir(parents=True)
        os.environ["LORANTK_RECORDS"] = str((work / "records").resolve())
        running = work / source.name
        try:
            with tempfile.TemporaryDirectory(prefix="lorantk-") as sockets:
                papermill.execute_notebook(
                    source,
                    running,
                    changed,
                    cwd=source.parent,
                    progress_bar=sys.stderr.isatty(),  # cells done and time left, where a person looks on
                    start_timeout=120,
                    config=Config(
                        # Files, as another process may take a port before the kernel has it: then the execution would never end.
                        KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"},
                        # A kernel is interrupted before it is stopped. One that has answered for the last time, but is not idle
                        # yet, logs that as an error; what goes wrong in a cell reaches the notebook.
                        NotebookClient={"extra_arguments": ["--log-level=CRITICAL"]},
                    ),
                )
            executed = normalised(nbformat.read(running, as_version=4))
            nbformat.write(executed, running)
            if found := complaints(executed):
                words = "\n".join(f"  in the code cell of id {cell!r}: {text}" for cell, text in found)
                raise NotebookError(f"expected no warning and no error in an output, got\n{words}")
        except Exception as error:
            if refused := refusal(str(error)):
                raise refused from error
            failed.mkdir(parents=True, exist_ok=True)
            if running.exists():
                os.replace(running, kept)
            report_failure(source, error, kept)
            raise NotebookError(source.name) from error
        else:
            how = run_record(time.monotonic() - start, (declared | changed)["profile"])
            write_whole(runs_file(output), json_bytes(how))
            records.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(records, ignore_errors=True)
            os.replace(work / "records", records)
            os.replace(running, output)
            kept.unlink(missing_ok=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def find_notebook(name, folder=Path("notebooks")):
    """The notebook called `name`: its path, its stem (`02_nsd`) or its topic (`nsd`).

    Raises
    ------
    UsageError
        If there is none.
    """
    if Path(name).suffix == ".ipynb" and Path(name).is_file():
        return Path(name)
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    known |= {stem.partition("_")[2]: path for stem, path in known.items()}
    if name not in known:
        raise UsageError(f"expected a notebook ({', '.join(p.stem for p in sorted(set(known.values())))}), got {name!r}")
    return known[name]


@in_words("lorantk.publishing.execute")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if a cell fails, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.execute", description=__doc__.splitlines()[0])
    parser.add_argument("notebook", help="path, stem (02_nsd) or topic (nsd) of the notebook")
    parser.add_argument("-p", "--parameters", default="", help='for example "seed=7 profile=smoke"')
    parser.add_argument("--build", type=Path, default=Path("_build"), help="folder for everything generated")
    parser.add_argument("--into", default="interactive", help="folder below it for the executed notebook")
    parser.add_argument("--threads", type=int, help="threads for linear algebra (default: all cores)")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        source = find_notebook(options.notebook)
        output = options.build / options.into / source.name
        records = options.build / options.into / "records" / source.stem
        if options.threads:
            limit_threads(options.threads)
        execute(source, output, records, options.build / "failed", parse_parameters(options.parameters))
    except UsageError as error:
        print(f"lorantk.publishing.execute: {options.notebook}: {error}", file=sys.stderr)
        return 2
    except NotebookError:
        return 1
    print(f"done {source.stem} in {time.monotonic() - start:.0f} s -> {output}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
