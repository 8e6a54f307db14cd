r"""How A and B start under each value of PEFT's `init_lora_weights`, and what the theorems expect of ``‖A‖²`` and ``‖B‖²`` then.

LoRA's kernel lies below that of full fine-tuning, for all gradients of a layer, if and only if ``s²(‖A‖² + ‖B‖²) ≤ 1``.
This holds for any A and B. The squared norm of a random factor is known from its law, up to fluctuations that vanish as the
size grows: ``v n (1 + √(k/n))²`` for ``k × n`` independent entries of variance v. If a factor comes from W₀ or from data, its
norm can only be measured.
"""

import re
from typing import NamedTuple

from lorantk.auditing.errors import AuditError, quoted
from lorantk.theory.conditions import default_variance, sharp_value

KNOWN = ("true", "false", "gaussian", "orthogonal", "eva", "mica", "olora", "pissa", "corda", "loftq", "lora_ga")


class Factor(NamedTuple):
    """One factor at the start.

    Attributes
    ----------
    law
        ``"iid"`` (independent entries), ``"orthonormal"`` (orthonormal rows of A, columns of B), ``"zero"``, or ``"measured"``:
        unknown until W₀ or the data are known.
    variance
        Variance of its entries; 0 for zero, None if only a measurement can tell.
    rank
        Number of independent rows, if it is less than r.
    """

    law: str
    variance: float | None = None
    rank: int | None = None


class Start(NamedTuple):
    """Both factors, and a sentence on what the theorems say; `theory` is False if a configuration alone does not decide."""

    A: Factor
    B: Factor
    theory: bool
    text: str
    trains_B: bool = True


ZERO, MEASURED, ORTHONORMAL = Factor("zero", 0.0), Factor("measured"), Factor("orthonormal")
FROM_WEIGHTS = "W₀ is changed and A and B come from it; B ≠ 0, so no law of a random A applies: only the saved A and B decide"


def expected_top(factor: Factor, rank: int, width: int) -> float | None:
    """Return the expected ``‖A‖²`` of a factor with `rank` rows on `width` features (for B: columns and outputs), or None."""
    if factor.law == "iid":
        return float(sharp_value(factor.variance * width, (factor.rank or rank) / width))
    return {"zero": 0.0, "orthonormal": 1.0}.get(factor.law)


def check_init(init: bool | str, where: str) -> str:
    """Return an `init_lora_weights` as a lower-case word; raise AuditError if PEFT has no such value."""
    word = str(init).lower()
    if word in KNOWN or word == "orthonormal" or re.fullmatch(r"pissa_niter_\d{1,6}", word):
        return word
    raise AuditError(f"{where}: expected init_lora_weights out of {', '.join(KNOWN)} or pissa_niter_N, got {quoted(init)}")


def embedding_start(word: str) -> Start:
    """Return how an embedding's adapter starts: PEFT swaps the roles, so A is zero and B is random."""
    if word == "unknown":
        return start(word, 1, 1)
    if word == "false":
        text = "PEFT leaves both factors of an embedding adapter standard normal: B ≠ 0 and A ≠ 0"
        return Start(Factor("iid", 1.0), Factor("iid", 1.0), True, text)
    if word == "mica":
        return start(word, 1, 1)
    if word == "loftq":
        return Start(MEASURED, MEASURED, False, FROM_WEIGHTS)
    text = "adapter of an embedding: A = 0 and B standard normal, so n is the embedding's dimension and B plays A's role"
    return Start(ZERO, Factor("iid", 1.0), True, text)


def start(word: str, rank: int, features: int, *, variance: float | None = None, whiten: bool = False) -> Start:
    """Return how a linear or convolutional module's adapter starts.

    Parameters
    ----------
    word
        The `init_lora_weights`, as `check_init` returns it, or ``"orthonormal"`` (orthonormal rows of A, B = 0; not an option
        of PEFT).
    rank, features
        ``r`` and ``n``.
    variance
        Variance of A's entries instead of the option's own, for a start with a random A and B = 0.
    whiten
        EVA's option.
    """
    uniform = Factor("iid", default_variance("kaiming-uniform", rank, features))
    if variance is not None:
        return Start(Factor("iid", variance), ZERO, True, "A with independent entries of the given variance, B = 0")
    if word == "true":
        return Start(uniform, ZERO, True, "Kaiming uniform A with a = √5, of variance 1/(3n), and B = 0")
    if word == "gaussian":
        A = Factor("iid", default_variance("gaussian", rank, features))
        return Start(A, ZERO, True, "Gaussian A of standard deviation 1/r, B = 0")
    if word == "false":
        B = Factor("iid", default_variance("kaiming-uniform", rank, rank))
        return Start(uniform, B, True, "both factors Kaiming uniform, B ≠ 0: the model starts at W₀ + sBA")
    if word == "orthonormal":
        return Start(ORTHONORMAL, ZERO, True, "A with orthonormal rows, B = 0: exact at every size")
    if word == "orthogonal":
        half = max(rank // 2, 1)
        text = "A and B are Gaussian times rotations, of variance 1/200, rank r/2 and B A = 0; the rows of A are not orthonormal"
        return Start(Factor("iid", 1 / 100, half), Factor("iid", 1 / 100, half), True, text)
    if word == "eva" and not whiten:
        return Start(ORTHONORMAL, ZERO, True, "EVA: rows of A are singular vectors of the module's inputs, orthonormal; B = 0")
    if word == "eva":
        return Start(MEASURED, ZERO, False, "whitened EVA: rows of A are orthogonal, their lengths come from the data; B = 0")
    if word == "mica":
        text = "A = 0 and B with orthonormal columns, frozen: s²‖B‖² = s² at the start and throughout training"
        return Start(ZERO, ORTHONORMAL, True, text, trains_B=False)
    if word == "unknown":
        return Start(MEASURED, MEASURED, False, "the file does not say how A and B started: only the saved A and B are audited")
    text = {
        "olora": f"OLoRA: {FROM_WEIGHTS}; B has orthonormal columns, so s ≥ 1 rules out the order",
        "corda": f"CorDA: {FROM_WEIGHTS}",
        "loftq": f"LoftQ: {FROM_WEIGHTS}",
        "lora_ga": f"LoRA-GA: {FROM_WEIGHTS}",
    }
    pissa = f"PiSSA: {FROM_WEIGHTS}; its factors start balanced, s²(‖A‖² + ‖B‖²) = 2s‖W₀‖"
    return Start(MEASURED, MEASURED, False, text.get(word, pissa))


def begin_of(word: str, kind: str, rank: int, features: int, *, whiten: bool = False) -> Start:
    """Return how a module of this kind starts; see `start` and `embedding_start`."""
    return embedding_start(word) if kind == "embedding" else start(word, rank, features, whiten=whiten)
