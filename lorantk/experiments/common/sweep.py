"""Compute the missing results of a sweep.

Each result is saved as soon as its cell is done, so that an interrupted sweep resumes where it stopped.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from tqdm import tqdm

from lorantk.disk import in_words, write_whole
from lorantk.experiments.common import results
from lorantk.experiments.common.results import ResultError
from lorantk.experiments.digits import sweeps
from lorantk.threads import limit_threads

REPORT_EVERY = 10  # seconds, if there is no terminal to draw a bar on


def say(text: str) -> None:
    """Print a line in one piece, since several processes may write to the same stream."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _progress(label, todo):
    """Yield the cells, with a progress bar on a terminal and an occasional line elsewhere."""
    start = last = time.monotonic()
    terminal = sys.stdout.isatty()
    for k, item in enumerate(tqdm(todo, label, file=sys.stdout, disable=not terminal, unit="cell")):
        now = time.monotonic()
        if not terminal and k and now - last >= REPORT_EVERY:
            left = (now - start) / k * (len(todo) - k)
            say(f"{label}: {k} of {len(todo)} cells, about {left:.0f} s left")
            last = now
        yield item


def complete(batch: results.Batch, label: str) -> int:
    """Compute the missing results of a batch, name those that cannot be used, and mark it as done; return the number computed.

    Raises
    ------
    ResultError
        A cell cannot be trained as configured.
    """
    todo = []
    for cell in batch.cells:
        path = results.cell_path(batch, cell)
        if why := results.fault(path, cell):
            if path.exists():
                say(f"computed again: {why}")
            todo.append((cell, path))
    if todo:
        from jax import block_until_ready

        from lorantk.experiments.digits.training import run
    for cell, path in _progress(label, todo):
        start = time.monotonic()
        try:
            records = block_until_ready(run(cell)._asdict())
        except ValueError as error:
            raise ResultError(f"{label}: {cell.attack}, {cell.arm}, {cell.regime}: {error}") from error
        results.store(path, cell, records, time.monotonic() - start)
    write_whole(batch.done, "".join(f"{results.cell_name(cell)}\n" for cell in batch.cells).encode())
    return len(todo)


def copy(batch: results.Batch, target: Path) -> None:
    """Copy a batch's results to ``target/<sweep>/``, such as a volume that outlives the machine."""
    for cell in batch.cells:
        source = results.cell_path(batch, cell)
        write_whole(target / source.parent.name / source.name, source.read_bytes())


@in_words("lorantk.experiments.common.sweep")
def main(arguments=None):
    """Run the command line; return 0 on success, 1 if a cell cannot be computed, 2 on wrong usage."""
    parser = argparse.ArgumentParser(prog="lorantk.experiments.common.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=tuple(sweeps.SWEEPS))
    parser.add_argument("--profile", choices=tuple(sweeps.SIZES), default="default")
    parser.add_argument("--batch", help="compute only the batch of this name (the stem of its .done file)")
    parser.add_argument("--threads", type=int, help="threads for linear algebra (default: all cores)")
    parser.add_argument("--copy", type=Path, help="also copy the finished results to a folder of the sweep's name there")
    parser.add_argument("--check", action="store_true", help="compute nothing; say what is missing, with status 1 if anything is")
    options = parser.parse_args(arguments)
    found = results.batches(options.name, options.profile)
    names = [batch.done.stem for batch in found]
    if options.batch is not None and options.batch not in names:
        parser.error(f"expected a batch out of {', '.join(names)}; got {options.batch!r}")
    chosen = [(k, b) for k, b in enumerate(found, 1) if options.batch in (None, b.done.stem)]
    if options.check:
        faults = [why for _, b in chosen for cell in b.cells if (why := results.fault(results.cell_path(b, cell), cell))]
        print("\n".join(faults) if faults else f"{options.name}: complete")
        return int(bool(faults))
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if options.threads:
        limit_threads(options.threads)
    for k, batch in chosen:
        label = f"{options.name}-{k}of{len(found)}"
        say(f"running {label}")
        start = time.monotonic()
        try:
            count = complete(batch, label)
        except ResultError as error:
            say(f"FAILED {label}\n  {error}")
            return 1
        except KeyboardInterrupt:
            print(f"{label}: interrupted; finished cells are kept", file=sys.stderr)
            return 130
        if options.copy:
            copy(batch, options.copy)
        say(f"done {label} in {time.monotonic() - start:.0f} s, {count} of {len(batch.cells)} cells computed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
