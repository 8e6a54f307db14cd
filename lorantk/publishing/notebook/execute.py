"""Execute one notebook with papermill, completely or not at all.

The notebook runs in a private folder next to its destination. Its results are moved into place only
after the last cell has succeeded, so that an interrupted run never leaves a file that looks finished.
"""

import argparse
import json
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

from lorantk.disk import in_words, refusal, write_whole
from lorantk.publishing.json_files import RECORD, json_bytes
from lorantk.publishing.locks import locked
from lorantk.publishing.notebook import provenance
from lorantk.publishing.notebook.normalise import normalised
from lorantk.publishing.notebook.parameters import ParameterError, check_parameters, declared_parameters, parse_parameters
from lorantk.publishing.notebook.words import completed
from lorantk.threads import limit_threads


class NotebookError(RuntimeError):
    """A notebook that did not finish."""


def complaints(notebook):
    """What the code cells of an executed notebook wrote to standard error or raised: pairs of a cell id and the message.

    A page would show a warning as if it were a result; progress belongs on standard output.
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
    """Print which notebook failed, in which cell and with which error, and where the partial notebook is."""
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
    """How an execution went. This differs from run to run, so it is kept in a separate file.

    The kernel is the largest process that this one has waited for, so the peak memory of the children is the kernel's.
    """
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    threads = int(os.environ["NPROC"]) if "NPROC" in os.environ else None
    how = {"profile": profile, "seconds": round(seconds, 1), "peak_bytes": peak, "threads": threads}
    return how | {"device": provenance.device(), "versions": provenance.versions()}


def complete_record(folder, notebook):
    """Add the words of an executed notebook to what its code recorded in `folder`, if it made a chapter.

    Raises
    ------
    PublishingError
        If the two do not fit.
    """
    path = folder / RECORD
    if path.is_file():
        write_whole(path, json_bytes(completed(json.loads(path.read_bytes()), notebook)))


def runs_file(output):
    """The file with the record of the run that wrote `output`."""
    return output.parent / "runs" / f"{output.stem}.json"


def execute(source, output, records, failed, parameters=None):
    """Execute the notebook `source`; write it normalised to `output` and its records into `records`.

    A record of the run is written to `runs_file(output)`.

    Parameters
    ----------
    source, output : Path
        The notebook, and where its executed form goes; `output` appears last, and only if every cell ran.
    records : Path
        Folder for what the chapter records; it is replaced as a whole.
    failed : Path
        Folder for the partial notebook of a failed run.
    parameters : dict, optional
        Values for declared parameters.

    Raises
    ------
    ParameterError
        If the notebook or the parameters are not usable; then nothing has changed.
    NotebookError
        If a cell failed or wrote a warning, or the kernel died.
    OSError
        If the disk is full or read-only, for the notebook or in one of its cells; then nothing has changed.
    """
    declared = declared_parameters(nbformat.read(source, as_version=4))
    check_parameters(parameters or {}, declared)
    changed = {name: value for name, value in (parameters or {}).items() if value != declared[name]}
    print(f"running {source.stem}", flush=True)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # On a busy machine XLA reports slow compilations on standard error; its errors reach the notebook as exceptions.
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
                    progress_bar=sys.stderr.isatty(),  # only in a terminal
                    start_timeout=120,
                    config=Config(
                        # Files, not ports: another process may take a port before the kernel does, and the execution would hang.
                        KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"},
                        # A kernel is interrupted before it is stopped. If it has given its last answer and is not idle yet, it
                        # logs that as an error; real errors in a cell reach the notebook.
                        NotebookClient={"extra_arguments": ["--log-level=CRITICAL"]},
                    ),
                )
            executed = normalised(nbformat.read(running, as_version=4))
            nbformat.write(executed, running)
            if found := complaints(executed):
                words = "\n".join(f"  in the code cell of id {cell!r}: {text}" for cell, text in found)
                raise NotebookError(f"expected no warning and no error in an output, got\n{words}")
            complete_record(work / "records", executed)
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
    """The notebook called `name`: its path, its stem (`10_nsd`), its number (`10`) or its topic (`nsd`).

    Raises
    ------
    ParameterError
        If there is none.
    """
    if Path(name).suffix == ".ipynb" and Path(name).is_file():
        return Path(name)
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    known |= {part: path for stem, path in known.items() for part in stem.split("_", 1)}
    if name not in known:
        raise ParameterError(f"expected a notebook ({', '.join(p.stem for p in sorted(set(known.values())))}), got {name!r}")
    return known[name]


@in_words("lorantk.publishing.notebook.execute")
def main(arguments=None):
    """Run from the command line; 0 on success, 1 if a cell fails, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.notebook.execute", description=__doc__.splitlines()[0])
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
    except ParameterError as error:
        print(f"lorantk.publishing.notebook.execute: {options.notebook}: {error}", file=sys.stderr)
        return 2
    except NotebookError:
        return 1
    print(f"done {source.stem} in {time.monotonic() - start:.0f} s -> {output}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
