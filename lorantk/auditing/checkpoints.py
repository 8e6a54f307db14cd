"""Read a model's checkpoint: the tensors of one or several files, the `config.json` beside them, and what was packed."""

import math
from pathlib import Path

from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.safe_files import parse_object, read_object, refuse_pickle
from lorantk.auditing.tensors import Tensor, read_header

SINGLE, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"
SHARDS_LIMIT = 10_000
QUANT_STATE_LIMIT = 2**16  # bytes; bitsandbytes writes a few hundred


def located(path: Path) -> Path:
    """Return the file of a model: itself, or in a folder the index or the only safetensors file."""
    refuse_pickle(path)
    if not path.is_dir():
        return path
    if (path / INDEX).exists():
        return path / INDEX
    found = sorted(path.glob("*.safetensors"))
    return found[0] if len(found) == 1 else path / SINGLE


def headers(path: Path) -> dict[str, tuple[Tensor, Path]]:
    """Return the tensors of a model and the file of each: of one file, or of an index with its shards beside it."""
    if path.suffix != ".json":
        return {name: (tensor, path) for name, tensor in read_header(path).items()}
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
    return {name: (shards[file][name], path.parent / file) for name, file in places.items()}


def configuration_beside(path: Path) -> dict:
    """Return the content of the `config.json` beside a checkpoint, an empty one if there is none."""
    place = path.parent / CONFIG
    return read_object(place) if place.exists() or place.is_symlink() else {}


def unpacked_shape(name: str, tensors: dict[str, tuple[Tensor, Path]]) -> tuple[int, ...] | str | None:
    """Return the shape of a quantised weight as it was, why it is not known, or None if the weight is not packed."""
    weight = tensors.get(f"{name}.weight")
    if weight is not None and weight[0].dtype != "U8":
        return None
    if weight is not None:
        prefix = f"{name}.weight.quant_state.bitsandbytes__"
        states = [entry for key, entry in tensors.items() if key.startswith(prefix)]
        if len(states) == 1 and math.prod(states[0][0].shape) <= QUANT_STATE_LIMIT:
            tensor, path = states[0]
            try:
                with path.open("rb") as stream:
                    stream.seek(tensor.start)
                    shape = parse_object(stream.read(math.prod(tensor.shape)), f"{path}: {tensor.name}").get("shape")
            except (OSError, AuditError):
                shape = None
            if isinstance(shape, list) and len(shape) == 2 and all(type(n) is int and 1 <= n < 2**31 for n in shape):
                return tuple(shape)
        return "its matrix is packed into bytes, and no quant_state gives its shape"
    if f"{name}.qweight" not in tensors:
        packed = [part for part in ("weight_packed", "W_q") if f"{name}.{part}" in tensors]
        return f"its matrix is packed as {packed[0]}, which does not give its shape" if packed else None
    words, scales, groups = (tensors.get(f"{name}.{part}") for part in ("qweight", "scales", "g_idx"))
    if scales is None or len(scales[0].shape) != 2 or len(words[0].shape) != 2:
        return "its matrix is packed as qweight, without the scales that give its outputs"
    m = scales[0].shape[1]
    if words[0].shape[1] < m:  # AWQ packs along the outputs
        return m, words[0].shape[0]
    if groups is not None and len(groups[0].shape) == 1:
        return m, groups[0].shape[0]
    return f"its matrix is packed as qweight of m = {m} outputs, and no g_idx gives its inputs"
