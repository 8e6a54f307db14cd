"""Read adapters in GGUF, the format of llama.cpp: the header within bounds, then one tensor at a time.

The header is a list of named values and a list of tensors (ggml's docs/gguf.md). The package `gguf` reads it too, but follows
the lengths that a file claims without limit, so it serves only in the tests. By llama.cpp's convert_lora_to_gguf.py and
src/llama-adapter.cpp, ``TENSOR.lora_a`` is A and ``TENSOR.lora_b`` is B, except that A of ``token_embd`` is transposed; the
scale is ``α/r`` with r from the shapes, or 1 where α is 0 or missing (`get_scale` in src/llama-adapter.h, commit 215841f).
"""

import math
import re
import struct
from pathlib import Path

from lorantk.auditing.configuration import Settings, check_alpha
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.pairs import Factor, Pair, nothing
from lorantk.auditing.report import Refused, Scales
from lorantk.auditing.safe_files import regular
from lorantk.auditing.saved import Saved, collect, experts, finding, signs, unknown
from lorantk.auditing.tensors import NAME_LIMIT, Tensor, size

HEADER_LIMIT = 8 * 2**20  # bytes; an adapter of 10 000 modules needs 2 MB
SCALARS = {0: "B", 1: "b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
TYPES = {0: "F32", 1: "F16", 8: "Q8_0", 28: "F64", 30: "BF16"}  # the outputs of convert_lora_to_gguf.py, and F64
NAMES = re.compile(r"(?P<module>.+?)(\.weight)?\.lora_(?P<factor>[ab])")


class Cursor:
    """Reads numbers and strings from a file, at most `HEADER_LIMIT` bytes."""

    def __init__(self, path: Path, stream):
        self.path, self.stream, self.place = path, stream, 0

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if self.place + count > HEADER_LIMIT:
            raise AuditError(f"{self.path}: expected a header of at most {HEADER_LIMIT} bytes, got one that claims more")
        content = self.stream.read(count)
        if len(content) < count:
            raise AuditError(f"{self.path}: expected a GGUF header, got a file that ends before it does")
        self.place += count
        return content

    def number(self, code: str):
        """Return a number of a type of `struct`."""
        return struct.unpack(code, self.take(struct.calcsize(code)))[0]

    def text(self) -> str:
        """Return a string."""
        return self.take(self.number("<Q")).decode("utf-8", "replace")

    def value(self, kind: int):
        """Return a value of a type of GGUF; of an array, only its length."""
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            raise AuditError(f"{self.path}: expected a type of GGUF, got {kind}")
        inner, count = self.number("<I"), self.number("<Q")
        if inner in SCALARS:
            self.take(count * struct.calcsize(SCALARS[inner]))
        elif inner == STRING:
            for _ in range(count):
                self.take(self.number("<Q"))
        else:
            raise AuditError(f"{self.path}: expected an array of numbers or strings, got type {inner}")
        return count


def read_header(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Return the tensors of a GGUF file by name, and its named values.

    Raises
    ------
    AuditError
        A file that is truncated or malformed, or whose tensors lie outside of it.
    """
    try:
        length = regular(path).stat().st_size
        with path.open("rb") as stream:
            cursor = Cursor(path, stream)
            magic, version = cursor.take(4), cursor.number("<I")
            if magic != b"GGUF" or version not in (2, 3):
                raise AuditError(f"{path}: expected GGUF of version 2 or 3, little endian, got {magic!r} and {version}")
            tensors, count = cursor.number("<Q"), cursor.number("<Q")
            values = {}
            for _ in range(count):
                key = cursor.text()
                values[key] = cursor.value(cursor.number("<I"))
            entries = [_entry(cursor) for _ in range(tensors)]
            place = cursor.place
    except OSError as error:
        raise AuditError(f"{path}: expected a file that can be read, got: {error.strerror}") from error
    step = values.get("general.alignment", 32)
    if not isinstance(step, int) or isinstance(step, bool) or not 1 <= step <= 2**20:
        raise AuditError(f"{path}: expected a general.alignment of up to {2**20}, got {quoted(step)}")
    begin = -(-place // step) * step
    header = {}
    for name, kind, shape, offset in entries:
        if name in header:
            raise AuditError(f"{path}: tensor {quoted(name)}: expected one of this name, got two")
        if kind in TYPES and begin + offset + size(TYPES[kind], shape) > length:
            raise AuditError(f"{path}: tensor {quoted(name)}: expected its data inside the file, got a truncated file")
        if kind == 8 and shape[-1] % 32:
            raise AuditError(f"{path}: tensor {quoted(name)}: expected rows of blocks of 32, got shape {list(shape)}")
        header[name] = Tensor(name, TYPES.get(kind, f"type {kind} of ggml"), shape, begin + offset)
    return header, values


def _entry(cursor: Cursor) -> tuple[str, int, tuple[int, ...], int]:
    """Return name, type, shape and offset of a tensor."""
    name, dimensions = cursor.text(), cursor.number("<I")
    if not (0 < len(name) <= NAME_LIMIT and name.isprintable()):
        raise AuditError(f"{cursor.path}: expected printable tensor names of at most {NAME_LIMIT} characters, got {quoted(name)}")
    if not 1 <= dimensions <= 4:
        raise AuditError(f"{cursor.path}: tensor {quoted(name)}: expected 1 to 4 dimensions, got {dimensions}")
    shape = tuple(cursor.number("<Q") for _ in range(dimensions))[::-1]
    return name, cursor.number("<I"), shape, cursor.number("<Q")


def _factor(tensor: Tensor, path: Path) -> Factor:
    return Factor(tensor, path, transposed=tensor.name == "token_embd.weight.lora_a" and len(tensor.shape) == 2)


def read_gguf(path: Path) -> Saved:
    """Return the adapter in a GGUF file.

    Raises
    ------
    AuditError
        Any error of `read_header`; a model instead of an adapter; no factors; an α that is no number.
    """
    header, values = read_header(path)
    kind, method = values.get("general.type"), values.get("adapter.type")
    if kind != "adapter" or method != "lora":
        got = f"general.type {quoted(kind)} and adapter.type {quoted(method)}"
        raise AuditError(f"{path}: expected a GGUF file of a LoRA adapter, got {got}")
    alpha = check_alpha(values.get("adapter.lora.alpha", 0.0), f"{path}: 'adapter.lora.alpha'")
    found, others = collect(header, path, NAMES, {"a": "A", "b": "B"}, make=_factor)
    if not found:
        raise AuditError(f"{path}: expected tensors called NAME.lora_a and NAME.lora_b, got {nothing(header)}")
    found = [_embedding(pair) for pair in found]
    pairs = [one for pair in found for one in experts(pair)]
    given = {pair.name: _settings(pair, alpha) for pair in pairs if isinstance(pair, Pair)}
    findings = []
    if alpha == 0:
        text = "alpha is 0 or missing: llama.cpp applies B A with s = 1, not 0"
        findings.append(finding("alpha-not-declared", text, "write adapter.lora.alpha", (), "note"))
    text = "GGUF does not say whether the adapter was trained with rsLoRA or alpha_pattern, which conversion from PEFT loses"
    findings.append(finding("scale-may-be-lost", text, "audit the folder of PEFT that it was made from", (), "note"))
    findings += [*signs(given), *unknown(others)]
    remarks = ()
    if "adapter.alora.invocation_tokens" in values:
        remarks = ("aLoRA acts on tokens from the invocation onwards: the order holds for their gradients",)
    scales = {name: Scales(llama_cpp=own.scale) for name, own in given.items()}
    return Saved("GGUF", path, None, pairs, given, "unknown", others, findings, scales, remarks=remarks)


def _embedding(pair: Pair | Refused) -> Pair | Refused:
    return pair._replace(kind="embedding") if isinstance(pair, Pair) and pair.name == "token_embd" else pair


def _settings(pair: Pair, alpha: float) -> Settings:
    rank = max(pair.A.shape[0], 1) if pair.A.shape else 1
    scale = alpha / rank if alpha else 1.0
    return Settings(rank, math.copysign(abs(scale) * rank, scale), scale)
