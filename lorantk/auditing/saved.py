"""A saved adapter as its reader hands it over, whatever its format; and the words for what is no LoRA at all."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lorantk.auditing.configuration import Configuration, Settings, check_alpha, scale_of
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.experts import EXPERTS_LIMIT
from lorantk.auditing.pairs import Factor, Pair, nothing, paired
from lorantk.auditing.report import NAMED, Finding, Refused, Scales
from lorantk.auditing.safe_files import natural
from lorantk.auditing.tensors import Tensor, read_tensor

# Tensors by which other methods, and LoRA in other forms, are recognised.
METHODS = {
    r"\.hada_w\d": "LoHa, whose update is a Hadamard product of two products",
    r"\.lokr_w\d": "LoKr, whose update is a Kronecker product",
    r"\.lora_mid\.": "LoRA of a convolution with a third factor (lora_mid)",
    r"\.lora_E(\.|$)": "AdaLoRA, which puts a trained diagonal between B and A",
    r"vera_(lambda|A|B)": "VeRA, whose A and B are random and shared",
    r"\bxlora|internal_xlora": "X-LoRA, which routes between adapters",
    r"\.b?oft_": "OFT, which rotates W₀",
    r"\.hra_u|\.randlora_|\.vblora_": "a method other than LoRA",
    r"\.ia3_l": "IA³, which rescales activations",
    r"prompt_embeddings|prompt_encoder": "prompt tuning",
    r"^lora_controlnet$": "Control-LoRA, which also changes matrices in full",
}
ANY = re.compile("|".join(METHODS))


class Saved(NamedTuple):
    """A saved adapter.

    Attributes
    ----------
    format
        What people call it: ``"PEFT"``, ``"kohya"``, ``"diffusers"``, ``"MLX"``, ``"GGUF"``.
    weights, configuration
        The file of the weights or of their index, and PEFT's configuration where there is one.
    pairs
        Its modules in the order of the model.
    given
        The settings of each module, by name.
    init
        The start, as a word of `lorantk.auditing.starts`.
    others
        Tensors that are no factors.
    findings
        What its reader found.
    scales
        The scale of each module in each runtime, by name.
    variants, remarks, rslora, bias
        As in `lorantk.auditing.configuration.Configuration`.
    """

    format: str
    weights: Path
    configuration: Configuration | None
    pairs: list[Pair | Refused]
    given: dict[str, Settings]
    init: str
    others: list[Tensor]
    findings: list[Finding]
    scales: dict[str, Scales]
    variants: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    rslora: bool = False
    bias: bool = False


def finding(id: str, text: str, advice: str, names=(), level: str = "warning") -> Finding:
    """Return a finding; of its names, only the first ones are kept."""
    return Finding(id, level, text, advice, tuple(names)[:NAMED])


def count_of(count: int, total: int, noun: str = "modules") -> str:
    """Return how many of all are meant, for a sentence."""
    return "the only module" if (total, noun) == (1, "modules") else f"{count} of {total} {noun}"


def signs(given: dict[str, Settings]) -> list[Finding]:
    """Return findings on an α that is zero or negative."""
    found, total = [], len(given)
    if zero := [name for name, own in given.items() if own.alpha == 0]:
        text = f"alpha = 0 in {count_of(len(zero), total)}: s = 0, the adapter does nothing there and its gradients vanish"
        found.append(finding("alpha-zero", text, "set alpha to the value that is meant", zero))
    if negative := [name for name, own in given.items() if own.alpha < 0]:
        text = f"alpha is negative in {count_of(len(negative), total)}: the update is subtracted; the conditions depend on |s|"
        found.append(finding("alpha-negative", text, "check that a subtraction is meant", negative))
    return found


def unknown(others: list[Tensor]) -> list[Finding]:
    """Return a finding on tensors of which the audit does not know what they do."""
    if not others:
        return []
    text = f"not audited: {len(others)} tensor{'s' * (len(others) > 1)} besides the factors"
    advice = "find out what is in them: full matrices and norms add to the update of the factors, a scalar may rescale it"
    return [finding("tensors-unknown", text, advice, [tensor.name for tensor in others])]


def method(names) -> str | None:
    """Return the name of the method that tensors of these names belong to, if it is not plain LoRA and one can tell."""
    marked = [name for name in names if ANY.search(name)]
    return next((word for mark, word in METHODS.items() for name in marked if re.search(mark, name)), None)


def collect(
    header: dict[str, Tensor], path: Path, expression: re.Pattern, factors: dict[str, str], *, make: Callable = Factor
) -> tuple[list[Pair | Refused], list[Tensor]]:
    """Return the pairs of a file whose names match an expression with groups `module` and `factor`, and the other tensors.

    Parameters
    ----------
    header, path
        The file's tensors, and the file.
    expression, factors
        How factors are called, and which word of the group `factor` means ``"A"`` and which ``"B"``.
    make
        Makes a factor of a tensor and its file.

    Raises
    ------
    AuditError
        A factor that appears twice.
    """
    found, others = {}, []
    for key, tensor in header.items():
        match = expression.fullmatch(key)
        if match is None:
            others.append(tensor)
            continue
        module = found.setdefault(match["module"], {})
        name = factors[match["factor"]]
        if name in module:
            raise AuditError(f"{path}: tensor {quoted(key)}: expected one {name} for a module, got two")
        module[name] = make(tensor, path)
    return [paired(name, found[name], str(path)) for name in sorted(found, key=natural)], others


def other_methods(pairs: list, others: list[Tensor], path: Path) -> tuple[list[Pair | Refused], list[Tensor]]:
    """Return the pairs and the other tensors, with modules of other methods among the former as refused.

    Raises
    ------
    AuditError
        No pair is left; the message names the method.
    """
    foreign = {}
    for tensor in others:
        word = method([tensor.name])
        if word:
            foreign.setdefault(re.split(r"\.(?=[^.]*_|lora_mid)", tensor.name)[0], word)
    if not pairs:
        word = next(iter(foreign.values()), None) or nothing([tensor.name for tensor in others])
        raise AuditError(f"{path}: expected the factors A and B of LoRA, got {word}")
    kept = [tensor for tensor in others if method([tensor.name]) is None]
    spoilt = [Refused(name, f"{path}: expected the factors A and B of LoRA, got {word}") for name, word in foreign.items()]
    return [pair for pair in pairs if pair.name not in foreign] + spoilt, kept


def experts(pair: Pair | Refused) -> list[Pair | Refused]:
    """Return one pair for each expert of a stack, or the pair itself."""
    if isinstance(pair, Refused) or len(pair.A.tensor.shape) != 3:
        return [pair]
    count = pair.A.tensor.shape[0]
    if len(pair.B.tensor.shape) != 3 or pair.B.tensor.shape[0] != count or not 1 <= count <= EXPERTS_LIMIT:
        shapes = f"{list(pair.A.tensor.shape)} and {list(pair.B.tensor.shape)}"
        return [
            Refused(pair.name, f"{pair.A.path}: module {quoted(pair.name)}: expected stacks of as many experts, got {shapes}")
        ]
    parts = ((pair.A._replace(expert=e, transposed=False), pair.B._replace(expert=e, transposed=False)) for e in range(count))
    return [Pair(f"{pair.name}[{e}]", "expert", *factors) for e, factors in enumerate(parts)]


def scalar(tensor: Tensor, path: Path) -> float:
    """Return the α in a tensor with one entry; raise AuditError if it is no α."""
    if tensor.shape not in ((), (1,)):
        raise AuditError(f"{path}: tensor {quoted(tensor.name)}: expected one number as alpha, got shape {list(tensor.shape)}")
    return check_alpha(float(read_tensor(path, tensor).item()), f"{path}: tensor {quoted(tensor.name)}")


def by_shape(pair: Pair, alpha: float | None) -> Settings:
    """Return the settings of a module whose rank only its shapes tell; without an α the scale is 1."""
    rank = max(pair.A.shape[0], 1) if pair.A.shape else 1
    alpha = float(rank) if alpha is None else alpha
    return Settings(rank, alpha, scale_of(alpha, rank, False))
