"""Find an adapter's files, open them only if that is safe, and read JSON strictly and within bounds."""

import json
import stat
from pathlib import Path
from typing import NamedTuple

from lorantk.auditing.errors import AuditError, quoted

WEIGHTS = "adapter_model.safetensors"
CONFIGURATION = "adapter_config.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
JSON_LIMIT = 32 * 2**20  # bytes; an adapter of 10 000 modules needs 3 MB


class Found(NamedTuple):
    """The files of one adapter; `weights` is None where there is only a configuration."""

    configuration: Path
    weights: Path | None


def regular(path: Path, folder: Path | None = None) -> Path:
    """Return `path` if it is a regular file whose target lies in `folder` (its own by default).

    A link out of the folder is refused, so that an audited folder cannot make the audit read other files. The only
    exception is the cache of the Hugging Face hub, whose ``snapshots/REVISION/NAME`` link to ``blobs/HASH`` two levels up.

    Raises
    ------
    AuditError
        No such file, not a regular file, or a link out of the folder.
    """
    folder = (path.parent if folder is None else folder).resolve()
    try:
        kind = path.stat().st_mode
        target = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AuditError(f"{path}: expected a file that can be read, got: {reason}") from error
    if not stat.S_ISREG(kind):
        raise AuditError(f"{path}: expected a regular file, got another kind")
    hub = folder.parent.parent / "blobs" if folder.parent.name == "snapshots" else None
    if folder not in target.parents and target.parent != hub:
        raise AuditError(f"{path}: expected a file inside its folder, got a link out of it, to {target}")
    return path


def refuse_pickle(path: Path) -> None:
    """Raise AuditError for a file that only unpickling could read."""
    if path.suffix.lower() in PICKLES:
        reason = "reading a pickle can run any code that is in it; save the adapter with safe_serialization=True"
        raise AuditError(f"{path}: expected safetensors, got a {path.suffix} file ({reason})")


def find(path: Path) -> Found:
    """Return the files of the adapter at `path`: its folder, its weights or its configuration.

    Raises
    ------
    AuditError
        A pickle, a folder without a configuration, or a path that is none of the three.
    """
    try:
        return _find(path)
    except OSError as error:  # for example a folder that may not be entered
        raise AuditError(f"{path}: expected a file that can be read, got: {error.strerror}") from error


def _find(path: Path) -> Found:
    refuse_pickle(path)
    if path.is_dir():
        folder = path
        if not (path / WEIGHTS).exists():
            for pickle in sorted(path.glob("adapter_model.*")):
                refuse_pickle(pickle)
        weights = path / WEIGHTS if (path / WEIGHTS).exists() or (path / WEIGHTS).is_symlink() else None
    elif path.suffix == ".safetensors":
        folder, weights = path.parent, regular(path)
    elif path.suffix == ".json":
        return Found(regular(path), None)
    else:
        regular(path)
        raise AuditError(f"{path}: expected a folder, a .safetensors or a .json file, got another kind of file")
    configuration = regular(folder / CONFIGURATION, folder)
    return Found(configuration, None if weights is None else regular(weights, folder))


def _no_repeats(pairs):
    """Return a JSON object as a dict; a repeated key is an error."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _no_constant(name):
    """Refuse NaN and the infinities, which are not JSON."""
    raise ValueError(f"{name} is not a JSON number")


def parse_object(content: bytes, where: str) -> dict:
    """Return a JSON object.

    Raises
    ------
    AuditError
        Anything other than one JSON object in UTF-8 without repeated keys, NaN or infinities.
    """
    try:
        value = json.loads(content.decode("utf-8"), object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{where}: expected JSON, got: {quoted(str(error))}") from error
    if not isinstance(value, dict):
        raise AuditError(f"{where}: expected a JSON object, got {type(value).__name__}")
    return value


def read_object(path: Path) -> dict:
    """Return the JSON object in a file of at most `JSON_LIMIT` bytes.

    Raises
    ------
    AuditError
        Any error of `regular` and `parse_object`, or a larger file.
    """
    size = regular(path).stat().st_size
    if size > JSON_LIMIT:
        raise AuditError(f"{path}: expected JSON of at most {JSON_LIMIT} bytes, got {size}")
    try:
        return parse_object(path.read_bytes(), str(path))
    except OSError as error:
        raise AuditError(f"{path}: expected a file that can be read, got: {error.strerror}") from error
