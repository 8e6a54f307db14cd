"""Read the shapes of a model's matrices from the headers of its safetensors files; no weights are read."""

import math
from pathlib import Path

from lorantk.auditing.configuration import EMBEDDINGS
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.judge import Shape
from lorantk.auditing.safe_files import read_object, refuse_pickle
from lorantk.auditing.tensors import Tensor, read_header

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
SHARDS_LIMIT = 10_000


def _headers(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a model: one file, an index with its shards beside it, or a folder that contains either."""
    refuse_pickle(path)
    if path.is_dir():
        path = path / (INDEX if (path / INDEX).exists() else SINGLE)
    if path.suffix != ".json":
        return read_header(path)
    places = read_object(path).get("weight_map")
    if not (isinstance(places, dict) and all(isinstance(file, str) for file in places.values())):
        raise AuditError(f"{path}: expected a weight_map from tensors to files, got {quoted(places)}")
    files = sorted(set(places.values()))
    if len(files) > SHARDS_LIMIT or any("/" in file or "\\" in file or not file.endswith(".safetensors") for file in files):
        raise AuditError(f"{path}: expected at most {SHARDS_LIMIT} .safetensors files beside the index, got {quoted(files)}")
    shards = {file: read_header(path.parent / file) for file in files}
    for name, file in places.items():
        if name not in shards[file]:
            raise AuditError(f"{path}: expected tensor {quoted(name)} in {file}, got none")
    return {name: shards[file][name] for name, file in places.items()}


def model_shapes(path: Path, fan_in_fan_out: bool) -> list[Shape]:
    """Return every module of a model with a matrix called ``weight``.

    Parameters
    ----------
    path
        A safetensors file, an index of several, or a folder with ``model.safetensors`` or ``model.safetensors.index.json``.
    fan_in_fan_out
        Whether matrices are stored as inputs by outputs, as in GPT-2.

    Raises
    ------
    AuditError
        A file that cannot be read or contains no matrix.
    """
    shapes = []
    for name, tensor in _headers(path).items():
        module, _, part = name.rpartition(".")
        if part != "weight" or not module or len(tensor.shape) < 2 or min(tensor.shape) < 1:
            continue
        m, n = tensor.shape[0], math.prod(tensor.shape[1:])
        if module.rpartition(".")[2] in EMBEDDINGS and len(tensor.shape) == 2:
            shapes.append(Shape(module, "embedding", m, n))  # stored tokens by dimension
        elif len(tensor.shape) == 2:
            shapes.append(Shape(module, "linear", *((m, n) if fan_in_fan_out else (n, m))))
        else:
            shapes.append(Shape(module, "convolution", n, m))
    if not shapes:
        raise AuditError(f"{path}: expected matrices called MODULE.weight, got none")
    return shapes
