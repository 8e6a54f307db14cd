"""Find the tensors of a file that are A and B of each module, by the names under which PEFT saves them."""

import math
import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.report import Refused
from lorantk.auditing.safe_files import natural
from lorantk.auditing.tensors import Tensor, read_tensor, size

PREFIX = "base_model.model."
RANK_LIMIT = 4096  # spectra of r × r matrices: seconds and half a gigabyte for one module of this rank
# PEFT drops the adapter's name when it saves; files written by other means may keep it: lora_A.default.weight.
LINEAR = re.compile(r"(?P<module>.+)\.lora_(?P<factor>[AB])(\.(?P<adapter>[^.]+))?\.weight")
EMBEDDING = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<factor>[AB])(\.(?P<adapter>[^.]+))?")
BIAS = re.compile(r"(?P<module>.+)\.lora_B(\.[^.]+)?\.bias")
# What PEFT saves beside A and B: biases, DoRA's magnitudes, KaSA's diagonals, what VeLoRA and MonteCLoRA keep.
BESIDE = re.compile(
    r".+\.(lora_B(\.[^.]+)?\.bias|lora_magnitude_vector(\.[^.]+)?(\.weight)?|lora_diag(\.[^.]+)?"
    r"|lora_velora_embed(\.[^.]+)?|lora_monteclora_sampler\..+)"
)
SHARDS = "DeepSpeed ZeRO-3 or FSDP shards that were not gathered before saving leave such files; save the gathered weights"


# Names under which other programs save A and B, or by which one sees why there are none.
PROGRAMS = {
    r"\.lora_[ab]\.weight$": "torchtune's own names; the adapter_model.safetensors that it writes has PEFT's",
    r"\.adapter\.linear_(in|out)\.weight$": "NeMo's own names; export the adapter to PEFT's format",
    r"[^.]\.[AB]$": "mlx-vlm's A and B, whose scale is alpha in some of its versions and alpha/r in others",
    r"(?<!lora)_[AB]\.weight$": "names without lora_, which an early PEFT leaves if an adapter is called lora; put lora_ back in",
    r"(^|\.)_?flat_param": f"flat parameters: {SHARDS}",
}


def program(names: Collection[str]) -> str | None:
    """Return the names that other programs give to A and B, if these are such."""
    return next((word for mark, word in PROGRAMS.items() if any(re.search(mark, name) for name in names)), None)


def nothing(names: Collection[str]) -> str:
    """Return what a file without factors holds, for messages."""
    if word := program(names):
        return word
    return f"none of {len(names)} tensors, such as {quoted(next(iter(names)))}" if names else f"a file without tensors ({SHARDS})"


class Factor(NamedTuple):
    """Where A or B of one module is stored, and how.

    Attributes
    ----------
    tensor, path
        The tensor and its file.
    transposed
        Whether it is stored as ``(n, r)`` instead of ``(r, n)``, or as ``(r, m)`` instead of ``(m, r)``.
    blocks
        Number of diagonal blocks, which are stored below each other, of a matrix that is zero elsewhere.
    expert
        Which matrix of a stack it is, or None if the tensor is no stack.
    columns
        The first of its columns and the distance to the next, if only some columns of the tensor belong to it.
    """

    tensor: Tensor
    path: Path
    transposed: bool = False
    blocks: int = 1
    expert: int | None = None
    columns: tuple[int, int] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the matrix (of a convolution's: with the kernel's sizes)."""
        shape = self.tensor.shape if self.expert is None else self.tensor.shape[1:]
        shape = shape[::-1] if self.transposed else shape
        if self.columns is not None:
            first, step = self.columns
            shape = (shape[0], len(range(first, shape[1], step)))
        return shape if self.blocks == 1 or len(shape) < 2 else (shape[0], shape[1] * self.blocks)

    def matrix(self) -> np.ndarray:
        """Return the matrix in float64, a convolution's with its kernel flattened, diagonal blocks below each other."""
        if self.columns is not None:
            first, step = self.columns
            return _last_read(self.path, self.tensor)[:, first::step]
        if self.expert is None:
            values = read_tensor(self.path, self.tensor)
        else:
            shape = self.tensor.shape[1:]
            start = self.tensor.start + self.expert * size(self.tensor.dtype, shape)
            values = read_tensor(self.path, self.tensor._replace(shape=shape, start=start))
        values = values.reshape(len(values), -1)
        return values.T if self.transposed else values


_last_read = lru_cache(1)(read_tensor)  # every expert of a stack takes its columns from one tensor


def forget() -> None:
    """Free the memory of the tensor that was read last for an expert."""
    _last_read.cache_clear()


class Pair(NamedTuple):
    """One adapted module and its factors as stored in the file.

    Attributes
    ----------
    name
        The module's name, without PEFT's prefix.
    kind
        ``"linear"``, ``"convolution"``, ``"embedding"``, or ``"expert"``: one matrix of a stack.
    A, B
        Factors of shapes ``(r, n)`` and ``(m, r)``; of a convolution ``(r, channels, …)`` and ``(m, r, 1, …)``.
    key
        The parameter by whose name patterns give its rank and α, None for a module's own weight.
    stack
        Number of experts whose factors PEFT drew together with its own.
    """

    name: str
    kind: str
    A: Factor
    B: Factor
    key: str | None = None
    stack: int = 1


def paired(name: str, factors: dict[str, Factor], where: str) -> Pair | Refused:
    """Return the pair of a module's factors, named ``A``, ``B``, ``embedding A`` and ``embedding B``, or why there is none."""
    if factors.keys() == {"embedding A", "embedding B"}:
        return Pair(name, "embedding", factors["embedding A"], factors["embedding B"])
    if factors.keys() != {"A", "B"}:
        names = " and ".join(quoted(factor.tensor.name) for factor in factors.values())
        return Refused(name, f"{where}: expected an A and a B of module {quoted(name)}, got {names} alone")
    return Pair(name, "linear" if len(factors["A"].shape) < 3 else "convolution", factors["A"], factors["B"])


def pair_tensors(
    header: dict[str, Tensor], path: Path, places: dict[str, Path] | None = None
) -> tuple[list[Pair | Refused], list[str]]:
    """Return the pairs of a file in the order of the model, and the names of tensors that do not belong to an adapter.

    Parameters
    ----------
    header, path
        The tensors, and their file.
    places
        The files of the tensors if there are several.

    Raises
    ------
    AuditError
        A factor that appears twice or belongs to another kind of adapter; or a file without factors.
    """
    found, others = {}, []
    for key, tensor in header.items():
        embedding = EMBEDDING.fullmatch(key)
        match = embedding or LINEAR.fullmatch(key)
        if match:
            factors = found.setdefault(match["module"].removeprefix(PREFIX), {})
            name = ("embedding " if embedding else "") + match["factor"]
            if name in factors:
                raise _twice(key, factors[name].tensor.name, name, match, path)
            factors[name] = Factor(tensor, places[key] if places else path)
        elif key.endswith("_scale") and re.search(r"lora_[AB]\.", key):
            text = "a scale of its own: the stored numbers are not the weights, and how to apply it is not declared"
            raise AuditError(f"{path}: tensor {quoted(key)}: expected factors that are stored as they are, got {text}")
        elif re.search(r"lora[_.]", key.rpartition("modules_to_save")[2]) and not BESIDE.fullmatch(key):
            word = program([key]) or "another"
            raise AuditError(f"{path}: tensor {quoted(key)}: expected a PEFT name such as MODULE.lora_A.weight, got {word}")
        else:
            others.append(key)
    if not found:
        expected = "expected tensors called MODULE.lora_A.weight and MODULE.lora_B.weight"
        raise AuditError(f"{path}: {expected}, got {nothing(header)}")
    return [paired(name, found[name], str(path)) for name in sorted(found, key=natural)], others


def _twice(key: str, other: str, name: str, match: re.Match, path: Path) -> AuditError:
    matches = [pattern.fullmatch(other) for pattern in (LINEAR, EMBEDDING)]
    first = next(found["adapter"] for found in matches if found)
    text = f"{path}: tensor {quoted(key)}: expected one {name} for a module, got {quoted(other)} too"
    if first != match["adapter"]:
        text += (
            f": the file holds several adapters, {first or 'one without a name'} and {match['adapter'] or 'one without a name'}"
        )
    return AuditError(text)


def check_shapes(pair: Pair, rank: int) -> tuple[int, int]:
    """Return ``n`` and ``m``, the widths of A's inputs and of B's outputs; a convolution's n is channels times kernel size.

    Raises
    ------
    AuditError
        Shapes that do not fit an A and a B of the configured rank, or a rank above `RANK_LIMIT`.
    """
    A, B = pair.A.shape, pair.B.shape
    at = f"{pair.A.path}: module {quoted(pair.name)}"
    if rank > RANK_LIMIT:
        raise AuditError(f"{at}: expected a rank of at most {RANK_LIMIT}, got {rank}")
    for factor in (pair.A, pair.B):
        if len(factor.shape) < 2:
            at = f"{factor.path}: tensor {quoted(factor.tensor.name)}"
            raise AuditError(f"{at}: expected a matrix, got shape {list(factor.shape)} ({SHARDS})")
        if 0 in factor.shape:
            at = f"{factor.path}: tensor {quoted(factor.tensor.name)}"
            raise AuditError(f"{at}: expected a matrix of rank {rank}, got the empty shape {list(factor.shape)}")
    sizes = {"linear": (2,), "expert": (2,), "embedding": (2,), "convolution": (3, 4, 5)}[pair.kind]
    if len(A) not in sizes or A[0] != rank:
        at = f"{pair.A.path}: tensor {quoted(pair.A.tensor.name)}"
        raise AuditError(f"{at}: expected rank {rank} as configured, so shape ({rank}, n), got {list(A)}")
    if len(B) != len(A) or B[1] != rank or set(B[2:]) > {1}:
        at = f"{pair.B.path}: tensor {quoted(pair.B.tensor.name)}"
        if pair.kind == "convolution" and len(B) == len(A) and 0 < B[1] < rank and rank % B[1] == 0:
            got = f"one of {rank // B[1]} groups, on each of which B acts by itself: the theorems compare with a full matrix"
            raise AuditError(f"{at}: expected a convolution of one group, got {got}")
        if len(B) != len(A):
            raise AuditError(f"{at}: expected as many dimensions as A's shape {list(A)}, got {list(B)}")
        raise AuditError(f"{at}: expected rank {rank}, so shape (m, {rank}), got {list(B)}")
    if A[0] % pair.A.blocks or B[0] % pair.B.blocks:
        raise AuditError(f"{at}: expected a size that the number of blocks divides, got {list(A)} and {list(B)}")
    return math.prod(A[1:]), B[0]
