"""Find an adapter's files, open them only if that is safe, and read JSON strictly and within bounds."""

import codecs
import json
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from lorantk.auditing.errors import AuditError, quoted

WEIGHTS = "adapter_model.safetensors"
CONFIGURATION = "adapter_config.json"
INDEX = f"{WEIGHTS}.index.json"
# Under these names the weights lie in a folder: PEFT's, several files of them, MLX's, and those of diffusers.
NAMES = (WEIGHTS, INDEX, "adapters.safetensors", "pytorch_lora_weights.safetensors")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
JSON_LIMIT = 32 * 2**20  # bytes; an adapter of 10 000 modules needs 3 MB
KEY_LIMIT = 2**17  # characters in which an error looks for the key of a NaN
NEAR_LIMIT = 10_000  # entries of a folder that are looked at, to say what lies near


class Found(NamedTuple):
    """The files of one adapter; either is None if there is none."""

    configuration: Path | None
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


def refuse_pointer(content: bytes, path: Path) -> None:
    """Raise AuditError if a file begins like a pointer of Git LFS."""
    if content.startswith(b"version "):
        raise AuditError(f"{path}: expected the file itself, got a Git LFS pointer to it: fetch it with `git lfs pull`")


def find(path: Path) -> Found:
    """Return the files of the adapter at `path`: its folder, its weights or its configuration.

    Raises
    ------
    AuditError
        A pickle, or a path with no adapter; the message says what lies near it.
    """
    try:
        return _find(path)
    except OSError as error:  # for example a folder that may not be entered
        raise AuditError(f"{path}: expected a file that can be read, got: {error.strerror}") from error


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _find(path: Path) -> Found:
    refuse_pickle(path)
    if path.is_dir():
        folder, weights = path, next((path / name for name in NAMES if _there(path / name)), None)
        if weights is None:
            for pickle in sorted(path.glob("adapter_model.*")):
                refuse_pickle(pickle)
            if shards := sorted(entry.name for entry in path.glob("adapter_model-*-of-*.safetensors")):
                raise AuditError(f"{path}: expected {INDEX} beside {shards[0]}, which is one of several files, got none")
            if _there(path / "adapters.npz"):
                reason = "an early mlx-lm wrote it; save the adapter with a newer one"
                raise AuditError(f"{path}: expected adapters.safetensors, got adapters.npz ({reason})")
            if not _there(path / CONFIGURATION):
                raise AuditError(f"{path}: expected {WEIGHTS} and {CONFIGURATION}, got neither{near(path)}")
    elif path.suffix == ".safetensors":
        folder, weights = path.parent, path
    elif path.suffix == ".gguf":
        return Found(None, regular(path))
    elif path.suffix == ".json":
        return Found(regular(path), None)
    elif not _there(path) and not path.is_absolute() and len(path.parts) == 2 and not path.parent.exists():
        raise AuditError(f"{path}: expected a path, got none here; if it is a model of the hub, download it: hf download {path}")
    else:
        regular(path)
        raise AuditError(f"{path}: expected a folder, a .safetensors, .gguf or .json file, got another kind of file")
    weights = weights and regular(weights, folder)
    configuration = folder / CONFIGURATION if _there(folder / CONFIGURATION) else None
    if weights is not None and weights.name == WEIGHTS and configuration is None:
        raise AuditError(f"{folder}: expected {CONFIGURATION} beside {WEIGHTS}, got none: PEFT's rank and alpha are in it")
    return Found(configuration and regular(configuration, folder), weights)


def natural(name: str) -> list:
    """Return a key that sorts ``layers.2`` before ``layers.10``."""
    parts = re.split(r"(\d+)", name)
    return [(int(part[:30]), "") if part.isascii() and part.isdigit() else (-1, part) for part in parts]


def adapters_in(folder: Path) -> list[str]:
    """Return the names of the folders just below `folder` that hold an adapter."""
    found = []
    for count, entry in enumerate(os.scandir(folder)):
        if count >= NEAR_LIMIT:
            break
        if entry.is_dir(follow_symlinks=False) and any(_there(Path(entry) / name) for name in (CONFIGURATION, *NAMES)):
            found.append(entry.name)
    return sorted(found, key=natural)


def near(folder: Path) -> str:
    """Return what lies near a folder without an adapter and can be audited, as the end of a message."""
    snapshots = folder / "snapshots"
    found = adapters_in(folder)
    if snapshots.is_dir():
        found, what = [f"snapshots/{name}" for name in adapters_in(snapshots)], "it is the cache of a hub, with adapters in"
    elif all(name.startswith("checkpoint-") for name in found):
        what = "it is the output of a trainer, with checkpoints in"
    else:
        what = "adapters lie in"
    if not found:
        found, what = sorted(entry.name for entry in folder.glob("*") if entry.suffix in (".safetensors", ".gguf")), "it has"
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    return f"; {what} {', '.join(found[:5])}{more}" if found else ""


def _no_repeats(pairs):
    """Return a JSON object as a dict; a repeated key is an error."""
    found = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {quoted(key)} appears twice")
        found[key] = value
    return found


def _text(content: bytes) -> str:
    """Return the text of a JSON file, which is in UTF-8 without a byte order mark."""
    if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        kind = "UTF-8 with a byte order mark" if content.startswith(codecs.BOM_UTF8) else "UTF-16"
        raise ValueError(f"{kind} where UTF-8 without a mark is needed: save it anew")
    return content.decode("utf-8")


def _no_constants(text: str):
    """Return what refuses NaN and the infinities, which are not JSON, and names the key of the first of them."""

    def refuse(name):
        key = re.search(rf'("(?:[^"\\]|\\.){{0,200}}")\s{{0,99}}:\s{{0,99}}{name}\b', text[:KEY_LIMIT])
        raise ValueError(f"{name}{f' as {key[1]}' if key else ''}, which is no JSON number")

    return refuse


def parse_object(content: bytes, where: str) -> dict:
    """Return a JSON object.

    Raises
    ------
    AuditError
        Anything other than one JSON object in UTF-8 without repeated keys, NaN or infinities.
    """
    try:
        text = _text(content)
        value = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constants(text))
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{where}: expected JSON, got: {error}") from error
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
        content = path.read_bytes()
    except OSError as error:
        raise AuditError(f"{path}: expected a file that can be read, got: {error.strerror}") from error
    refuse_pointer(content, path)
    return parse_object(content, str(path))
