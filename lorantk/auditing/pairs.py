"""Find the tensors of a file that are A and B of each module, by the names under which PEFT saves them."""

import math
import re
from pathlib import Path
from typing import NamedTuple

from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.tensors import Tensor

PREFIX = "base_model.model."
RANK_LIMIT = 4096  # spectra of r × r matrices: seconds and half a gigabyte for one module of this rank
# PEFT drops the adapter's name when it saves; files written by other means may keep it: lora_A.default.weight.
LINEAR = re.compile(r"(?P<module>.+)\.lora_(?P<factor>[AB])(\.[^.]+)?\.weight")
EMBEDDING = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<factor>[AB])(\.[^.]+)?")
BESIDE = re.compile(r".+\.(lora_B(\.[^.]+)?\.bias|lora_magnitude_vector(\.[^.]+)?(\.weight)?|lora_diag(\.[^.]+)?)")


class Pair(NamedTuple):
    """One adapted module and its factors as stored in the file.

    Attributes
    ----------
    name
        The module's name, without PEFT's prefix.
    kind
        ``"linear"``, ``"convolution"`` or ``"embedding"``.
    A, B
        Tensors of shapes ``(r, n)`` and ``(m, r)``; of a convolution ``(r, channels, …)`` and ``(m, r, 1, …)``.
    """

    name: str
    kind: str
    A: Tensor
    B: Tensor


def _natural(name: str) -> list:
    """Return a key that sorts ``layers.2`` before ``layers.10``."""
    return [(int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def pair_tensors(header: dict[str, Tensor], path: Path) -> tuple[list[Pair], list[str]]:
    """Return the pairs of a file in the order of the model, and the names of tensors that do not belong to an adapter.

    Raises
    ------
    AuditError
        A factor that lacks its partner, appears twice or belongs to another kind of adapter; or a file without factors.
    """
    found, others = {}, []
    for key, tensor in header.items():
        embedding = EMBEDDING.fullmatch(key)
        match = embedding or LINEAR.fullmatch(key)
        if match:
            factors = found.setdefault(match["module"].removeprefix(PREFIX), {})
            name = ("embedding " if embedding else "") + match["factor"]
            if name in factors:
                other = quoted(factors[name].name)
                raise AuditError(f"{path}: tensor {quoted(key)}: expected one {name} for a module, got {other} too")
            factors[name] = tensor
        elif re.search(r"lora[_.]", key.rpartition("modules_to_save")[2]) and not BESIDE.fullmatch(key):
            raise AuditError(f"{path}: tensor {quoted(key)}: expected a PEFT name such as MODULE.lora_A.weight, got another")
        else:
            others.append(key)
    if not found:
        raise AuditError(f"{path}: expected tensors called MODULE.lora_A.weight and MODULE.lora_B.weight, got none")
    return [_pair(name, found[name], path) for name in sorted(found, key=_natural)], others


def _pair(name: str, factors: dict[str, Tensor], path: Path) -> Pair:
    if factors.keys() == {"embedding A", "embedding B"}:
        return Pair(name, "embedding", factors["embedding A"], factors["embedding B"])
    if factors.keys() != {"A", "B"}:
        names = " and ".join(quoted(tensor.name) for tensor in factors.values())
        raise AuditError(f"{path}: expected a lora_A and a lora_B of module {quoted(name)}, got {names} alone")
    return Pair(name, "linear" if len(factors["A"].shape) == 2 else "convolution", factors["A"], factors["B"])


def check_shapes(pair: Pair, rank: int, path: Path) -> tuple[int, int]:
    """Return ``n`` and ``m``, the widths of A's inputs and of B's outputs; a convolution's n is channels times kernel size.

    Raises
    ------
    AuditError
        Shapes that do not fit an A and a B of the configured rank, or a rank above `RANK_LIMIT`.
    """
    A, B = pair.A.shape, pair.B.shape
    if rank > RANK_LIMIT:
        raise AuditError(f"{path}: module {quoted(pair.name)}: expected a rank of at most {RANK_LIMIT}, got {rank}")
    sizes = {"linear": (2,), "embedding": (2,), "convolution": (3, 4, 5)}[pair.kind]
    if len(A) not in sizes or A[0] != rank or min(A) < 1:
        raise AuditError(f"{path}: tensor {quoted(pair.A.name)}: expected shape ({rank}, n) as configured, got {list(A)}")
    if len(B) != len(A) or B[1] != rank or min(B) < 1 or set(B[2:]) > {1}:
        raise AuditError(f"{path}: tensor {quoted(pair.B.name)}: expected shape (m, {rank}) as configured, got {list(B)}")
    return math.prod(A[1:]), B[0]
