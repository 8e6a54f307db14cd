"""Read a model's modules, as PEFT would see them, from the headers of its safetensors files and its `config.json`.

No weights are read. The headers give names and shapes. The class that `config.json` names gives the rest: what kind each module
is, modules without weights, and how Transformers renames, joins and ties tensors when it loads them. Without a known class, a
module's kind follows from its bias (of length m), its dimensions and the last part of its name, if that part has one meaning in
all classes of Transformers. What stays unknown is said of the module.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lorantk.auditing.architectures import Architecture, architecture, kinds_by_last_name, pattern
from lorantk.auditing.checkpoints import CONFIG, configuration_beside, headers, located, unpacked_shape
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.loading import MATRICES, loading
from lorantk.auditing.tensors import Tensor

GAPS_LIMIT = 10_000
ADAPTABLE = ("linear", "embedding", "convolution", "attention")
NORMALISED = (".parametrizations.weight.original1", ".weight_v")  # the matrix, where its norms are kept apart
EXPERTS = (
    "one matrix of an expert: Transformers 5 stacks those of all experts into one parameter, which PEFT adapts as a whole; a "
    f"{CONFIG} with a known class beside the model decides"
)


class Part(NamedTuple):
    """One module of a model.

    Attributes
    ----------
    kind
        One of `ADAPTABLE`; ``"unsupported"``, which PEFT refuses to adapt; ``"unknown"``; or ``"unsure"``: unknown, but not
        linear.
    features_in, features_out
        n and m: of a convolution, n is channels times kernel size; of an embedding, tokens and dimension. 0 if not adaptable.
    weight
        Name of the tensor W₀; modules that use one matrix have one name here.
    transposed
        Whether a linear module stores its matrix as inputs by outputs (GPT-2's Conv1D).
    reason
        Why it is unsupported or unknown.
    caveat
        What n and m rest on, if the file does not give it.
    """

    kind: str
    features_in: int = 0
    features_out: int = 0
    weight: str | None = None
    transposed: bool = False
    reason: str = ""
    caveat: str = ""


OWN_KIND = Part("unsupported", reason="a module of its own kind, which PEFT refuses to adapt")
CONTAINER = Part("unsupported", reason="it has no matrix of its own: PEFT refuses to adapt it")
EMPTY = Part("unsupported", reason="it has no weights: PEFT refuses to adapt it")
JOINED = Part("unknown", reason="loading makes it of tensors of the file in a way that the audit does not know")
ABSENT = Part("unknown", reason="the file does not contain its weight, and so not its shape")


class Parameter(NamedTuple):
    """Shape of a parameter, and whether stacked matrices are inputs by outputs (True) or outputs by inputs (None if unknown)."""

    shape: tuple[int, ...]
    transposed: bool | None = None


class Model(NamedTuple):
    """Modules and parameters of a model by their names in the loaded model.

    Attributes
    ----------
    parts
        Every module that the file or the class shows, in the order of the file.
    parameters
        Every parameter.
    architecture
        What is known of its class, None without a known class.
    type
        Its ``model_type``, or None.
    ties
        Whether its configuration ties its embeddings, None if nothing says so.
    notes
        What the reader should know about this reading.
    """

    parts: dict[str, Part]
    parameters: dict[str, Parameter]
    architecture: Architecture | None = None
    type: str | None = None
    ties: bool | None = None
    notes: tuple[str, ...] = ()


def _letters(name: str, known: Architecture | None) -> tuple[set[str], bool]:
    """Return what a module may be, and whether its class says so, and not only the last part of its name."""
    letters = None if known is None else known.kinds.get(pattern(name))
    if letters is None:
        return set(kinds_by_last_name().get(pattern(name).rpartition(".")[2], "")), False
    return set(letters), True


def _part(name: str, shape: tuple[int, ...], bias: tuple[int, ...] | None, weight: str, known: Architecture | None) -> Part:
    """Return the module that has a weight of this shape."""
    if len(shape) < 2:
        return Part("unsupported", reason="its weight is a vector: PEFT refuses to adapt it")
    if min(shape) < 1:
        return Part("unknown", reason="its weight is empty")
    if known is None and ".experts." in f".{name}":
        return Part("unknown", reason=EXPERTS)
    possible = set("LTEW" if len(shape) == 2 else "CGW")
    letters, by_class = _letters(name, known)
    found = possible & letters
    if len(shape) > 2:
        return _convolution(shape, weight, found, by_class)
    m, n = shape
    if found & {"L", "T"} or not by_class:  # a bias has one entry for each output, and embeddings have none
        if bias is not None and len(bias) == 1 and bias[0] in shape and not found - {"L", "T", "W"}:
            found = {"L" if bias[0] == m else "T"} | (found & {"W"} if by_class else set())
        elif bias is None:
            found -= {"T"}
    if found == {"T"}:
        return Part("linear", m, n, weight, transposed=True)
    if found == {"L"}:
        return Part("linear", n, m, weight)
    if found == {"E"}:
        return Part("embedding", m, n, weight)
    if found == {"W"}:
        return OWN_KIND
    return Part(
        "unknown",
        reason=f"its {m} × {n} matrix may be a linear map, an embedding or neither, and its name does not say which; a "
        f"{CONFIG} with a known class beside the model decides",
    )


def _convolution(shape: tuple[int, ...], weight: str, found: set[str], by_class: bool) -> Part:
    m, n = shape[0], math.prod(shape[1:])
    if found == {"W"} or (len(shape) == 3 and not found and not by_class):
        reason = f"its weight of shape {list(shape)} may be a convolution or a stack of matrices"
        return Part("unsure", reason=reason) if not found else OWN_KIND
    if found == {"G"} or (shape[1] == 1 and m > 1 and found != {"C"}):
        return Part("unsure", reason="a grouped convolution: B acts on groups, and the file does not say on how many")
    if by_class and found == {"C"}:
        return Part("convolution", n, m, weight)
    return Part("convolution", n, m, weight, caveat=f"n = {n} if the convolution has one group, which the file does not say")


def _containers(names) -> Iterator[str]:
    """Return every module that contains one of these, once."""
    seen = set()
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts)):
            above = ".".join(parts[:length])
            if above not in seen:
                seen.add(above)
                yield above


def _without_weight(name: str, known: Architecture | None) -> Part:
    """Return a module of which the file has other tensors, or inner modules, but no weight."""
    letters = set() if known is None else set(known.kinds.get(pattern(name), ""))
    if not letters & set("LTECGM"):
        return CONTAINER
    return (JOINED if pattern(name) in known.open else ABSENT)._replace(kind="unknown" if letters & set("LT") else "unsure")


def _add_absent(parts: dict[str, Part], known: Architecture) -> None:
    """Add the modules of the class that the file does not show, such as those without weights."""
    instances: dict[str, list[str]] = {"": [""]}
    for name in parts:
        instances.setdefault(pattern(name), []).append(name)
    around = {*known.open, *_containers(known.open)}
    for module, letters in known.kinds.items():
        if "*" in module and "-" not in letters and module not in around:  # as many as the file has
            continue
        part = JOINED if module in known.open else ABSENT
        if "-" in letters or letters in ("o", "W"):
            part = EMPTY if "-" in letters else CONTAINER
        elif "L" not in letters:
            part = part._replace(kind="unsure")
        parent, _, last = module.rpartition(".")
        for above in instances.get(parent, ()):
            prefix = f"{above}." if above else ""
            names = [prefix + last]
            if last == "*":  # gaps between the members of a sequence
                inside = [name[len(prefix) :] for name in instances.get(module, ()) if name.startswith(prefix)]
                inside = [int(number) for number in inside if number != "*"]
                names = [f"{prefix}{i}" for i in range(min(max(inside, default=0), GAPS_LIMIT))] or [f"{prefix}*"]
            for name in names:
                if name not in parts:
                    parts[name] = part
                    instances.setdefault(module, []).append(name)


def _add_tied(parts: dict[str, Part], known: Architecture) -> None:
    """Give the modules that use one weight the shape of the one that the file contains."""
    for group in known.tied:
        source = next((parts[name] for name in group if name in parts and parts[name].weight), None)
        if source is None or source.kind not in ("embedding", "linear"):
            continue
        tokens, width = source.features_in, source.features_out
        if source.kind == "linear":
            tokens, width = width, tokens
        for name in group:
            tied = {
                "E": Part("embedding", tokens, width, source.weight),
                "L": Part("linear", width, tokens, source.weight),
            }.get(known.kinds.get(pattern(name)))
            own = parts.get(name)
            if tied is not None and (own is None or own.weight is None or own[:3] == tied[:3]):
                parts[name] = tied


def _transposed(name: str, shapes: dict[str, tuple[int, ...]], known: Architecture | None) -> bool | None:
    """Return whether stacked matrices are inputs by outputs, None if that is not known.

    The class says so. Without one, two stacks of the same experts do if their sizes fit in one way only: the outputs of
    gate_up_proj are twice the inputs of down_proj.
    """
    module, _, last = name.rpartition(".")
    if len(shapes[name]) != 3:
        return None
    if known is not None and pattern(module) in known.kinds:
        return pattern(module) in known.transposed
    up, down = (shapes.get(f"{module}.{part}", ()) for part in ("gate_up_proj", "down_proj"))
    if last not in ("gate_up_proj", "down_proj") or not len(up) == len(down) == 3:
        return None
    plain, turned = up[2] == down[1] and up[1] == 2 * down[2], up[1] == down[2] and up[2] == 2 * down[1]
    return None if plain == turned else turned


def read_model(path: Path) -> Model:
    """Return the modules and parameters of a model.

    Parameters
    ----------
    path
        A safetensors file, an index of several, or a folder with ``model.safetensors.index.json`` or one safetensors file. A
        ``config.json`` beside it tells its class.

    Raises
    ------
    AuditError
        A file that cannot be read or contains no matrix.
    """
    where, path = str(path), located(path)
    tensors = headers(path)
    config = configuration_beside(path)
    names = config.get("architectures")
    name = names[0] if isinstance(names, list) and len(names) == 1 else None
    known = architecture(name) if isinstance(name, str) else None
    kind = config.get("model_type") if isinstance(config.get("model_type"), str) else None
    ties = config.get("tie_word_embeddings")
    ties = ties if isinstance(ties, bool) else known.tie if known else None
    loaded = loading({name: tensor.shape for name, (tensor, _) in tensors.items()}, known)
    parameters = {name: Parameter(shape, _transposed(name, loaded.shapes, known)) for name, shape in loaded.shapes.items()}
    parts = _parts(tensors, loaded.names, known)
    if not loaded.joined and not any(part.kind in (*ADAPTABLE, "unknown", "unsure") for part in parts.values()):
        raise AuditError(f"{where}: expected matrices called MODULE.weight, got none")
    for name in loaded.unclear:
        parts.setdefault(name.removesuffix(".weight"), JOINED)
    for name in _containers([name for name in parameters if "." in name]):
        parts.setdefault(name, _without_weight(name, known))
    if known is not None:
        _add_absent(parts, known)
        if ties:
            _add_tied(parts, known)
    return Model(parts, parameters, known, kind, ties, tuple(_notes(config, known, loaded.strangers)))


def _parts(tensors: dict[str, tuple[Tensor, Path]], names: dict[str, str], known: Architecture | None) -> dict[str, Part]:
    """Return the modules that have a matrix in the file."""
    parts: dict[str, Part] = {}
    for name, loaded in names.items():
        module, _, last = loaded.rpartition(".")
        stored, shape = name.removesuffix(f".{last}"), tensors[name][0].shape
        for end in NORMALISED:
            if loaded.endswith(end):
                module, last, stored = loaded.removesuffix(end), "weight", name.removesuffix(end)
        if not module or last not in MATRICES:
            continue
        if last == "in_proj_weight":
            out = tensors.get(f"{stored}.out_proj.weight")
            width = shape[-1] if shape else 0
            if out is not None and width and shape == (3 * width, width) and out[0].shape == (width, width):
                parts[module] = Part("attention", shape[1], shape[0], name)
            continue
        original = unpacked_shape(stored, tensors)
        if isinstance(original, str):
            parts[module] = Part("unknown", reason=original)
        else:
            bias = tensors.get(f"{stored}.bias")
            parts[module] = _part(module, original or shape, None if bias is None else bias[0].shape, name, known)
    return parts


def _notes(config: dict, known: Architecture | None, strangers: int) -> Iterator[str]:
    if known is None:
        reason = f"no {CONFIG} is beside it"
        if config:
            reason = f"its {CONFIG} names {quoted(config.get('architectures'))}, which is not among the known classes"
        yield (
            f"modules are read from the model's file alone, since {reason}: their names are the file's, and modules without "
            "weights and heads that are tied to an embedding are missing"
        )
    elif strangers:
        yield f"{strangers} weights of the model are not among those of {known.name}; they are read by their names alone"
