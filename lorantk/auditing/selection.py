"""Say which modules PEFT adapts in a model, by PEFT's rules (peft 0.21 with Transformers 5), and which the audit cannot decide.

Names in lists select modules whose name is theirs or ends with a dot and theirs; a string is a regular expression for the full
name. `exclude_modules` and `modules_to_save` come first. `layers_to_transform` holds for names that end with an entry of the
list, not for names that are one. A module that PEFT refuses, or whose shape the audit does not know, is listed with the reason.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from lorantk.auditing.architectures import default_targets
from lorantk.auditing.checkpoints import CONFIG
from lorantk.auditing.configuration import Configuration
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.experts import as_parameters
from lorantk.auditing.judge import Shape
from lorantk.auditing.matching import condensed, ends, expression, matcher, starts
from lorantk.auditing.models import ADAPTABLE, Model, Parameter, Part

OUTPUTS = {"embed_out", "lm_head", "output_projection"}  # where the class is not known
EMBEDDINGS = ("embed_tokens", "lm_head")  # what ensure_weight_tying looks for
HEADS = ("score", "classifier")
SAVED = {"SEQ_CLS": HEADS, "TOKEN_CLS": HEADS, "QUESTION_ANS": ("qa_outputs",)}  # with these tasks
CONDENSED = 20  # a list of as many targets is first shortened
MAMBA = ("falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h")
LIMIT = 100_000  # adapted matrices
UNMATCHED = (
    f"no such module in the model's file; a head that is tied to an embedding is not stored, and a {CONFIG} with a known class "
    "beside the model would say"
)
TIED = (
    "ensure_weight_tying: the embedding and the layers tied to it use one pair of factors, which start as those of the last one; "
    "audit the saved factors"
)


class Target(NamedTuple):
    """One matrix that PEFT adapts.

    Attributes
    ----------
    shape
        Its name, kind, n and m.
    key
        The name by which patterns give its rank and α.
    stack
        Number of experts whose factors are stacked with its own.
    caveat
        What n and m rest on, if the model does not give them.
    """

    shape: Shape
    key: str
    stack: int = 1
    caveat: str = ""


class Selection(NamedTuple):
    """What PEFT adapts.

    Attributes
    ----------
    targets
        The adapted matrices whose shapes are known.
    refused
        Names of modules and parameters that PEFT would refuse or that cannot be decided, with the reason.
    configuration
        The configuration as PEFT changes it for this model.
    shared
        Modules that use one matrix W₀, at least one of them adapted; one tuple for each matrix.
    notes
        What the reader should know.
    """

    targets: list[Target]
    refused: dict[str, str]
    configuration: Configuration
    shared: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()


def _linear(model: Model, parts: dict[str, Part], task: str | None) -> list[str]:
    """Return what ``"all-linear"`` selects: linear modules except the output layer, and those that may be linear."""
    known = model.architecture
    found = [name for name, part in parts.items() if part.kind in ("linear", "unknown")]
    if known is None:
        heads = HEADS if task == "SEQ_CLS" else ()
        return [name for name in found if name.rpartition(".")[2] not in OUTPUTS and name not in heads]
    output = known.output or next((head for head in HEADS if task == "SEQ_CLS" and head in parts), None)
    return [name for name in found if name != output]


def _replicated(names: dict, mapping: tuple[tuple[int, int], ...], where: str) -> dict:
    """Return modules or parameters with the layers that `layer_replication` makes in place of the model's."""
    prefix = ""
    while any(name.startswith(f"{prefix}model.") for name in names):
        prefix += "model."
    if any(name.startswith(f"{prefix}bert.") for name in names):
        prefix += "bert."
    places = [f"{prefix}{part}." for part in ("layers", "encoder.layer", "h")]
    place = next((place for place in places if any(name.startswith(place) for name in names)), None)
    if place is None:
        raise AuditError(
            f"{where}: expected layers called layers, encoder.layer or h for layer_replication, got none: PEFT refuses"
        )
    layers: dict[int, list[tuple[str, str]]] = {}
    for name in names:
        number, _, rest = name.removeprefix(place).partition(".")
        if name.startswith(place) and re.fullmatch("[0-9]{1,9}", number):
            layers.setdefault(int(number), []).append((name, rest))
    copies = [old for begin, end in mapping for old in range(begin, end)]
    if not copies or not set(copies) <= set(layers):
        raise AuditError(f"{where}: expected layer_replication of layers 0 to {max(layers, default=0)}, got {quoted(mapping)}")
    if sum(len(layers[old]) for old in copies) > LIMIT:
        raise AuditError(f"{where}: expected at most {LIMIT} modules after layer_replication, got more")
    found = {name: value for name, value in names.items() if not name.startswith(place)}
    for new, old in enumerate(copies):
        for name, rest in layers[old]:
            found[f"{place}{new}.{rest}" if rest else f"{place}{new}"] = names[name]
    return found


def _with_ties(configuration: Configuration, model: Model) -> tuple[Configuration, frozenset[str]]:
    """Return the configuration as ensure_weight_tying changes it, and the modules that take the embedding's adapter."""
    known, where, targets = model.architecture, configuration.where, configuration.targets
    saves = any(entry.rpartition(".")[2] in EMBEDDINGS for entry in configuration.to_save)
    if isinstance(targets, str):
        adapts = any(map(expression(configuration, targets, "target_modules").fullmatch, EMBEDDINGS))
    else:
        adapts = any(entry.rpartition(".")[2] in EMBEDDINGS for entry in targets or ())
    if not saves and not adapts:
        return configuration, frozenset()
    if known is None:
        raise AuditError(f"{where}: expected a config.json with a known class beside the model for ensure_weight_tying, got none")
    group = next((set(group) for group in known.tied if known.input in group), set()) if model.ties else set()
    tied = group - {known.input}
    if not tied:
        return configuration, frozenset()

    def names_one(entry: str, name: str) -> bool:
        return expression(configuration, rf"(^|.*\.){entry}($|\..*)", "target_modules").match(name) is not None

    def without(entries: tuple[str, ...]) -> tuple[str, ...]:
        entries = [*entries, *([known.input] if known.input not in entries else [])]
        for name in tied:
            entry = next((entry for entry in entries if names_one(entry, name)), None)
            if entry is not None:
                entries.remove(entry)
        return tuple(entries)

    if saves:
        return configuration._replace(to_save=without(configuration.to_save)), frozenset()
    targets = rf"(?:{targets}|^{re.escape(known.input)}$)" if isinstance(targets, str) else without(targets)
    return configuration._replace(targets=targets), frozenset(tied)


def _check(configuration: Configuration) -> None:
    """Raise AuditError for settings that PEFT refuses together."""
    where, layers = configuration.where, configuration.layers
    if isinstance(configuration.targets, str) and (layers is not None or configuration.layers_pattern):
        raise AuditError(
            f"{where}: expected no layers_to_transform or layers_pattern beside an expression, got one: PEFT refuses"
        )
    if configuration.layers_pattern and layers is None:
        raise AuditError(f"{where}: expected layers_to_transform beside layers_pattern, got none: PEFT refuses")
    if configuration.bias and (configuration.magnitude or not isinstance(configuration.init, bool)):
        raise AuditError(f"{where}: expected lora_bias without DoRA and with init_lora_weights true or false: PEFT refuses")


def _prepared(configuration: Configuration, model: Model, parts: dict[str, Part]) -> tuple[Configuration, frozenset[str]]:
    """Return the configuration as PEFT changes it before it looks at modules, and those that take the embedding's adapter."""
    _check(configuration)
    known, tied = model.architecture, frozenset()
    if configuration.task == "SEQ_CLS":
        configuration = configuration._replace(to_save=(*configuration.to_save, *HEADS))
    if known is not None and known.experts:
        linear = _linear(model, model.parts, configuration.task)
        every = [*model.parts, *model.parameters]
        configuration = as_parameters(configuration, known.experts, linear, every, model.parameters, matcher(configuration))
    if configuration.tying:
        configuration, tied = _with_ties(configuration, model)
    if configuration.targets is None:
        default = default_targets(model.type) if model.type else None
        if default is None and not configuration.parameters:
            raise AuditError(
                f"{configuration.where}: expected target_modules, which PEFT writes when it saves an adapter, got none, and no "
                "model_type beside the model for which PEFT has a default"
            )
        configuration = configuration._replace(targets=tuple(default) if isinstance(default, list) else default)
    if isinstance(configuration.targets, str) and configuration.targets.lower() == "all-linear":
        return configuration._replace(targets=tuple(_linear(model, parts, configuration.task))), tied
    if isinstance(configuration.targets, tuple) and configuration.layers and len(set(configuration.targets)) >= CONDENSED:
        return configuration._replace(targets=condensed(configuration.targets, parts)), tied
    return configuration, tied


def _token_layers(configuration: Configuration, model: Model, parts: dict[str, Part]) -> set[str]:
    """Return the modules whose rows `trainable_token_indices` trains, and so PEFT cannot adapt."""
    known, found = model.architecture, set()
    for layer in configuration.tokens:
        name = layer or (known.input if known else "embed_tokens")
        inside = {other for other in parts if name and other.endswith(name)}
        if not any(parts[other].kind in ("embedding", "linear", "unknown") for other in inside):
            raise AuditError(
                f"{configuration.where}: expected an embedding called {quoted(name or 'embed_tokens')} in the model for "
                "trainable_token_indices, got none: PEFT refuses"
            )
        found |= inside
    if found and known is not None and model.ties:
        found |= {name for group in known.tied if found & set(group) for name in group}
    return found


def _refusal(configuration: Configuration, model: Model, name: str, part: Part) -> str:
    """Return why a selected module is not adapted or not decided, or nothing."""
    last = name.rpartition(".")[2]
    if model.type in MAMBA and last in ("out_proj", "conv1d"):
        return f"PEFT refuses to adapt {last} of a model of type {model.type}"
    if part.kind not in ADAPTABLE:
        return part.reason
    saved = (*configuration.to_save, *SAVED.get(configuration.task, ()))
    above = [name, *(name[: i - 1] for i in starts(name)[1:])]
    if (entry := next((entry for entry in saved for other in above if other.endswith(entry)), None)) is not None:
        return f"it is, or lies in, a module whose name ends with {quoted(entry)}, which is to be saved in full"
    if part.kind == "embedding" and configuration.bias:
        return "PEFT refuses lora_bias for embeddings"
    if part.kind == "attention" and configuration.magnitude:
        return "PEFT refuses DoRA for multi-head attention"
    return ""


def _adapted(name: str, part: Part) -> list[Target]:
    """Return the adapted matrices of one module: two of multi-head attention, otherwise one."""
    kind = "linear" if part.kind == "attention" else part.kind
    found = [Target(Shape(name, kind, part.features_in, part.features_out), name, 1, part.caveat)]
    if part.kind == "attention":
        out = Shape(f"{name}.out_proj", "linear", part.features_in, part.features_in)
        found.append(Target(out, name))
    return found


def _parameters(
    configuration: Configuration, parameters: dict[str, Parameter], chosen: dict[str, Part]
) -> tuple[list[Target], dict[str, str]]:
    """Return the adapted matrices of `target_parameters`, one for each expert, and what is refused."""
    targets, refused, wanted = [], {}, set(configuration.parameters)
    linear = [part for part in chosen.values() if part.kind == "linear"]
    conflicts = {
        "lora_dropout": configuration.dropout,
        "fan_in_fan_out": linear[-1].transposed if linear else configuration.fan_in_fan_out,  # PEFT sets it as it goes
        "lora_bias": configuration.bias,
        "use_dora": configuration.magnitude,
    }
    conflict = next((key for key, value in conflicts.items() if value), None)
    for name, (shape, transposed) in parameters.items():
        if not ends(name, wanted):
            continue
        module = name.rpartition(".")[0]
        if conflict is not None:
            refused[name] = f"PEFT refuses {conflict} with target_parameters"
        elif not module:
            refused[name] = "PEFT refuses parameters outside any module"
        elif module in chosen:
            refused[name] = "its module is adapted too: PEFT refuses"
        elif len(shape) not in (2, 3):
            refused[name] = f"PEFT adapts parameters of 2 or 3 dimensions, and it has {len(shape)}"
        elif 0 in shape:
            refused[name] = "it is empty"
        elif len(shape) == 3 and transposed is None:
            refused[name] = "the file does not say whether its matrices are outputs by inputs or inputs by outputs"
        elif len(shape) == 2:
            targets.append(Target(Shape(name, "linear", shape[1], shape[0]), name))
        else:
            m, n = shape[:0:-1] if transposed else shape[1:]
            if len(targets) + shape[0] > LIMIT:
                raise AuditError(f"{configuration.where}: expected at most {LIMIT} adapted matrices, got more")
            names = [name] if shape[0] == 1 else [f"{name}[{expert}]" for expert in range(shape[0])]
            targets.extend(Target(Shape(each, "expert", n, m), name, shape[0]) for each in names)
    return targets, refused


def _unmatched(configuration: Configuration, parts: Iterable[str], parameters: Iterable[str]) -> list[str]:
    """Return the entries of lists of targets that no name of the model ends with."""
    found = []
    for entries, names in ((configuration.targets, parts), (configuration.parameters, parameters)):
        if isinstance(entries, tuple) and entries:
            known = {name[i:] for name in names for i in starts(name)}
            found.extend(entry for entry in entries if entry not in known)
    return found


def replicated(configuration: Configuration | None, model: Model) -> Model:
    """Return a model with the layers that `layer_replication` makes in place of its own."""
    if configuration is None or not configuration.replication:
        return model
    parts, parameters = (
        _replicated(names, configuration.replication, configuration.where) for names in (model.parts, model.parameters)
    )
    return model._replace(parts=parts, parameters=parameters)


def sharing(model: Model, adapted: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return the modules of a model that use one matrix W₀, for each matrix of which a user is adapted."""
    users: dict[str, list[str]] = {}
    for name, part in model.parts.items():
        if part.weight is not None:
            users.setdefault(part.weight, []).append(name)
    weights = {model.parts[name].weight for name in adapted if name in model.parts}
    return tuple(tuple(names) for weight, names in users.items() if len(names) > 1 and weight in weights)


def shapes(model: Model) -> dict[str, tuple[int, int] | None]:
    """Return n and m of every matrix that a saved adapter can have factors for, by name; None where they are not known."""
    found: dict[str, tuple[int, int] | None] = {}
    for name, (shape, transposed) in model.parameters.items():
        if len(shape) == 3:
            found[name] = None if transposed is None else (shape[1], shape[2]) if transposed else (shape[2], shape[1])
    for name, part in model.parts.items():
        if part.kind in ADAPTABLE:
            found |= {target.shape.name: target.shape[2:] for target in _adapted(name, part)}
            if part.kind == "attention":  # as PEFT saves it
                found[f"{name}.base_layer.out_proj"] = found[f"{name}.out_proj"]
        elif part.kind != "unsupported":
            found[name] = None
    return found


def select(configuration: Configuration, model: Model) -> Selection:
    """Return what PEFT adapts in a model, and what it refuses or the audit cannot decide.

    Raises
    ------
    AuditError
        Settings that PEFT refuses as a whole, or an invalid expression.
    """
    copied = replicated(configuration, model)
    parts, parameters = copied.parts, copied.parameters
    configuration, tied = _prepared(configuration, model, parts)
    targets, refused, chosen = [], {}, {}
    tokens, is_target = _token_layers(configuration, model, parts), matcher(configuration)
    for name, part in parts.items():
        if ends(name, tied) or (tied and name == model.architecture.input and is_target(name)):
            refused[name] = TIED
        elif is_target(name):
            reason = _refusal(configuration, model, name, part)
            if name in tokens:
                reason = "trainable_token_indices trains rows of it: PEFT refuses to adapt it too"
            if reason:
                refused[name] = reason
            else:
                chosen[name] = part
                targets.extend(_adapted(name, part))
    for name in [name for name, part in chosen.items() if part.kind == "attention" and f"{name}.out_proj" in chosen]:
        refused[f"{name}.out_proj"] = "it is part of an attention module that is adapted too"
    if configuration.parameters:
        found, more = _parameters(configuration, parameters, chosen)
        targets, refused = targets + found, refused | more
    missing, notes = _unmatched(configuration, parts, parameters), list(model.notes)
    if missing and model.architecture is None:
        refused |= dict.fromkeys(missing, UNMATCHED)
    elif missing:
        notes.append(f"targets that match nothing in the model: {', '.join(missing[:5])}")
    return Selection(targets, refused, configuration, sharing(copied, chosen), tuple(notes))
