"""Store results of sweeps as files: one for each cell, named by the hash of its configuration, data and computing code.

A file is written whole or not at all, and ends with a hash of everything before it, so that any damage is noticed. The name
depends on the code, so a result that other code computed is never mistaken for one of this code. Changing a plot, a comment or a
docstring leaves all names unchanged.
"""

import hashlib
import io
import json
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorantk.disk import project_root, write_whole
from lorantk.experiments.digits import sweeps
from lorantk.experiments.digits.cell import Cell
from lorantk.fingerprint import code_hash

ENTRY = "lorantk.experiments.digits.training"
DIGEST = hashlib.sha256().digest_size
LIBRARIES = ("jax", "jaxlib", "numpy", "optax", "scikit-learn")


class ResultError(RuntimeError):
    """A result that is missing or cannot be used."""


class Result(NamedTuple):
    """A cell, its records (arrays of shape ``(seeds, rates, checkpoints)``, by name) and how they were computed."""

    cell: Cell
    records: dict[str, np.ndarray]
    made: dict


def versions() -> dict[str, str]:
    """Return the versions of the numerical libraries."""
    return {name: metadata.version(name) for name in LIBRARIES}


@cache
def sources() -> dict[str, str]:
    """Return hashes of the computing code with its libraries, and of the data."""
    made = json.dumps(versions(), sort_keys=True)
    code = hashlib.sha256(f"{code_hash(ENTRY)} {made}".encode()).hexdigest()
    digits = Path(metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz"))
    return {"code": code, "data": hashlib.sha256(digits.read_bytes()).hexdigest()}


def cell_name(cell: Cell) -> str:
    """Return the name of a cell's result."""
    text = json.dumps({"config": cell.config()} | sources(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def folder(name: str, profile: str, root: Path | None = None) -> Path:
    """Return the folder with a sweep's results; those of the smoke profile have their own."""
    build = (project_root() if root is None else root) / "_build"
    return (build / "smoke" / "sweeps" if profile == "smoke" else build / "sweeps") / name


def store(path: Path, cell: Cell, records: dict[str, np.ndarray], seconds: float) -> None:
    """Write a cell's result, the records in single precision."""
    made = {"config": cell.config(), "seconds": round(seconds, 3), "seeds": list(range(cell.seeds)), "versions": versions()}
    made |= sources()
    with np.errstate(over="ignore"):  # in a run that diverged
        stored = {key: np.asarray(array).astype(np.float32) for key, array in records.items()}
    stream = io.BytesIO()
    np.savez_compressed(stream, made=np.array(json.dumps(made)), **stored)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = bytes(DIGEST)  # space for the hash: the comment comes last in an archive
    content = stream.getvalue()[:-DIGEST]
    write_whole(path, content + hashlib.sha256(content).digest())


def read(path: Path, cell: Cell) -> Result:
    """Read a cell's result.

    Raises
    ------
    ResultError
        The file is missing, truncated or corrupt, or is the result of another cell or of other code; the message says which.
    """
    if not path.is_file():
        raise ResultError(f"{path}: missing")
    content = path.read_bytes()
    if hashlib.sha256(content[:-DIGEST]).digest() != content[-DIGEST:]:
        raise ResultError(f"{path}: truncated or corrupt (its hash does not match its content)")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        made = json.loads(str(archive["made"]))
        records = {key: archive[key] for key in archive.files if key != "made"}
    expected = {"config": cell.config()} | sources()
    if differs := [key for key, value in expected.items() if made.get(key) != value]:
        raise ResultError(f"{path}: the result of other {' and '.join(differs)}")
    shape = (cell.seeds, len(cell.rates), len(cell.checkpoints))
    if not records or {array.shape for array in records.values()} != {shape}:
        raise ResultError(f"{path}: expected arrays of shape {shape}, got {sorted({a.shape for a in records.values()})}")
    return Result(cell, records, made)


def fault(path: Path, cell: Cell) -> str | None:
    """Return why a cell's result cannot be used, or None if it can."""
    try:
        read(path, cell)
    except ResultError as error:
        return str(error)
    return None


def load(name: str, profile: str) -> list[Result]:
    """Read a whole sweep.

    Raises
    ------
    ResultError
        Some results cannot be used; the message names the first of them and the command that computes them.
    """
    where, found, faults = folder(name, profile), [], []
    for cell in sweeps.cells(name, profile):
        try:
            found.append(read(where / f"{cell_name(cell)}.npz", cell))
        except ResultError as error:
            faults.append(str(error))
    if faults:
        command = f"python -m lorantk.experiments.common.sweep {name} --profile {profile}"
        raise ResultError(f"{len(faults)} results cannot be used, the first {faults[0]}; `{command}` computes them")
    return found


class Batch(NamedTuple):
    """Cells that one process computes, and the file that marks them all as done."""

    cells: list[Cell]
    done: Path


def batches(name: str, profile: str, root: Path | None = None) -> list[Batch]:
    """Return a sweep's batches; the name of each file depends on everything that its results depend on."""
    where, found = folder(name, profile, root), []
    for group in sweeps.batches(name, profile):
        key = hashlib.sha256(" ".join(map(cell_name, group)).encode()).hexdigest()[:12]
        found.append(Batch(group, where / f"{key}.done"))
    return found


def cell_path(batch: Batch, cell: Cell) -> Path:
    """Return the path of a cell's result."""
    return batch.done.parent / f"{cell_name(cell)}.npz"


def reopen(batch: Batch) -> list[str]:
    """Mark a batch as not done if any of its results cannot be used; return the reasons."""
    if not batch.done.is_file():
        return []
    faults = [why for cell in batch.cells if (why := fault(cell_path(batch, cell), cell))]
    if faults:
        batch.done.unlink(missing_ok=True)
    return faults
