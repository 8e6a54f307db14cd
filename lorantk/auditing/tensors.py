"""Read safetensors files: the header within bounds, then one tensor at a time.

A file consists of 8 bytes with the length of the header, the header (a JSON object that maps names to type, shape and
position), and the data, without holes. This is simple enough to read here, and the audit needs three things that the format's
own package does not offer: errors that name file and tensor, memory bounded by the largest tensor (a mapped file counts as used
memory), and bfloat16 and float8 as NumPy arrays. Types that NumPy lacks come from ml_dtypes, a dependency of JAX.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.safe_files import JSON_LIMIT, parse_object, refuse_pointer, regular

# Types that an adapter can have, and the number of bits of every type in the format.
FLOATS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
# Of GGUF files: 32 integers of 8 bits that share a factor in float16.
Q8_0 = np.dtype([("scale", "<f2"), ("entries", "i1", 32)])
BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E4M3": 8, "F8_E5M2": 8}
BITS |= {"BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32}
BITS |= {"U64": 64, "I64": 64, "F64": 64, "C64": 64}
ENTRIES_LIMIT = 2**26  # of one matrix: 512 MB in float64, an adapter of rank 256 on 260 000 inputs
NAME_LIMIT = 1000
MAGNITUDE_LIMIT = 1e40  # beyond float32; fourth powers of larger weights would overflow


class Tensor(NamedTuple):
    """One tensor in a file: its name, type, shape, and first byte."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int


def size(dtype: str, shape: tuple[int, ...]) -> int:
    """Return the number of bytes of a tensor; 0 for a type that is not read."""
    count = math.prod(shape)
    return count // 32 * Q8_0.itemsize if dtype == "Q8_0" else count * BITS.get(dtype, 0) // 8


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _entry(name: str, entry, where: str) -> tuple[str, tuple[int, ...], int, int]:
    """Return type, shape, begin and end of one entry of the header, after checking their JSON types."""
    if not (0 < len(name) <= NAME_LIMIT and name.isprintable()):
        raise AuditError(f"{where}: expected printable tensor names of at most {NAME_LIMIT} characters, got {quoted(name)}")
    at = f"{where}: tensor {quoted(name)}"
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise AuditError(f"{at}: expected dtype, shape and data_offsets, got {quoted(entry)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and dtype in BITS):
        raise AuditError(f"{at}: expected a dtype of the format, got {quoted(dtype)}")
    if not (isinstance(shape, list) and len(shape) <= 8 and all(map(_whole, shape))):
        raise AuditError(f"{at}: expected a shape of at most 8 whole numbers, got {quoted(shape)}")
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(map(_whole, offsets))):
        raise AuditError(f"{at}: expected data_offsets [begin, end], got {quoted(offsets)}")
    begin, end = offsets
    if (end - begin) * 8 != math.prod(shape) * BITS[dtype]:
        raise AuditError(f"{at}: expected the bytes of shape {quoted(shape)} in {dtype}, got {quoted(end - begin)} bytes")
    return dtype, tuple(shape), begin, end


def read_header(path: Path, folder: Path | None = None) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name, without reading their data; as `read_file`."""
    return read_file(path, folder)[0]


def read_file(path: Path, folder: Path | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a safetensors file by name, without reading their data, and the texts of its header.

    Parameters
    ----------
    path
        The file; links out of its folder, or out of `folder`, are refused.

    Raises
    ------
    AuditError
        A file that is truncated, whose header is malformed, or whose tensors do not fill its data exactly once.
    """
    try:
        length_all = regular(path, folder).stat().st_size
        with path.open("rb") as stream:
            prefix = stream.read(8)
            refuse_pointer(prefix, path)
            length = int.from_bytes(prefix, "little")
            if len(prefix) < 8 or length > length_all - 8:
                raise AuditError(
                    f"{path}: expected a safetensors header, got a file that ends before it does, after {length_all} bytes"
                )
            if length > JSON_LIMIT:
                raise AuditError(f"{path}: expected a header of at most {JSON_LIMIT} bytes, got one that claims {length}")
            header = parse_object(stream.read(length), f"{path}: header")
    except OSError as error:
        raise AuditError(f"{path}: expected a file that can be read, got: {error.strerror}") from error
    texts = header.pop("__metadata__", None) or {}
    if not (isinstance(texts, dict) and all(isinstance(text, str) for text in texts.values())):
        raise AuditError(f"{path}: expected texts as '__metadata__' of the header, got {quoted(texts)}")
    entries = {name: _entry(name, entry, str(path)) for name, entry in header.items()}
    place = 0
    for name, (_, _, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != place:
            raise AuditError(f"{path}: tensor {quoted(name)}: expected its data at {place}, got {begin}: a hole or an overlap")
        place = end
    if place != length_all - 8 - length:
        raise AuditError(
            f"{path}: expected {place} bytes of data, got {length_all - 8 - length}: truncated, or from another file"
        )
    start = 8 + length
    return {name: Tensor(name, dtype, shape, start + begin) for name, (dtype, shape, begin, _) in entries.items()}, texts


def read_tensor(path: Path, tensor: Tensor) -> np.ndarray:
    """Return one tensor in float64.

    Raises
    ------
    AuditError
        A type that cannot hold real weights, more than `ENTRIES_LIMIT` entries, data that ends early, NaN or infinity.
    """
    at = f"{path}: tensor {quoted(tensor.name)}"
    if tensor.dtype not in FLOATS and tensor.dtype != "Q8_0":
        raise AuditError(f"{at}: expected one of {', '.join(FLOATS)}, got {tensor.dtype}")
    count = math.prod(tensor.shape)
    if count > ENTRIES_LIMIT:
        raise AuditError(f"{at}: expected at most {ENTRIES_LIMIT} entries, got {count}")
    quantised = tensor.dtype == "Q8_0"
    if quantised:
        kind, count = Q8_0, count // 32
    else:
        if tensor.dtype not in ("F64", "F32", "F16"):
            import ml_dtypes  # noqa: F401  registers the names of its types with NumPy
        kind = np.dtype(FLOATS[tensor.dtype]).newbyteorder("<")
    raw = np.empty(count, kind)
    try:
        with path.open("rb", buffering=0) as stream:
            stream.seek(tensor.start)
            got = stream.readinto(raw.view(np.uint8)) if count else 0
    except OSError as error:
        raise AuditError(f"{at}: expected data that can be read, got: {error.strerror}") from error
    if got < raw.nbytes:
        raise AuditError(f"{at}: expected {raw.nbytes} bytes, got {got}: the file was truncated while it was read")
    with np.errstate(invalid="ignore"):  # a signalling NaN; it is refused below
        values = raw["scale"][:, None] * raw["entries"].astype(np.float64) if quantised else raw.astype(np.float64)
    del raw
    largest = max(values.max(initial=0.0), -values.min(initial=0.0))
    if not largest <= MAGNITUDE_LIMIT:
        bad = "NaN" if np.isnan(largest) else "infinity" if np.isinf(largest) else f"{largest:.3g}"
        raise AuditError(f"{at}: expected finite weights of at most {MAGNITUDE_LIMIT:g}, got {bad}")
    return values.reshape(tensor.shape)
