r"""Read PEFT's `adapter_config.json`: the rank, scale and start of each module, by PEFT's own rules.

The rules are those of peft 0.21. A pattern P of `rank_pattern` or `alpha_pattern` applies to a module if the regular
expression ``(.*\.)?(P)$`` matches its name from the start; the first match counts.
"""

import math
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.patterns import PLAIN, Clock, Pattern, Table
from lorantk.auditing.safe_files import read_object

# LoRA options that add something to A and B, so that A and B alone do not decide the order.
VARIANTS = {
    "use_dora": "DoRA also trains a magnitude for each output: its kernel has an extra term that no theorem here covers",
    "velora_config": "VeLoRA approximates the gradient of A: steps do not follow the tangent kernel",
    "kasa_config": "KaSA changes W₀ and puts a trained diagonal between B and A",
    "use_qalora": "QALoRA pools the inputs before A: the theorems apply to the pooled inputs",
    "monteclora_config": "Monteclora adds random noise to the adapter in training",
    "use_bdlora": "BD-LoRA trains only the diagonal blocks of A or B: the order holds where κ ≤ 1, and may where κ > 1",
    "arrow_config": "Arrow routes between adapters: the kernel depends on the router",
}
# Options that do not affect A and B but deserve a note.
REMARKS = {
    "alora_invocation_tokens": "aLoRA acts on tokens from the invocation onwards: the order holds for their gradients",
    "lora_bias": "lora_bias: B's bias is trained too. Its term in LoRA's kernel is s² times that of a trained bias, so the order "
    "fails where s² > 1 or κ > 1; elsewhere it holds only against full fine-tuning that trains the layer's bias too",
    "modules_to_save": "modules_to_save are trained in full: they add the same term to both kernels and are not audited",
    "trainable_token_indices": "trainable_token_indices: rows of the embedding are trained in full and are not audited",
    "layer_replication": "layer_replication: module names are those of the replicated model",
}
# Every key that PEFT 0.21 or an earlier version writes. What else there is may change what A and B mean.
KEYS = {
    *("alora_invocation_tokens", "alpha_pattern", "arrow_config", "auto_mapping", "base_model_name_or_path", "bias"),
    *("corda_config", "enable_lora", "ensure_weight_tying", "eva_config", "exclude_modules", "fan_in_fan_out"),
    *("inference_mode", "init_lora_weights", "invocation_string", "kasa_config", "layer_replication", "layers_pattern"),
    *("layers_to_transform", "loftq_config", "lora_alpha", "lora_bias", "lora_dropout", "lora_ga_config", "megatron_config"),
    *("megatron_core", "merge_weights", "modules_to_save", "monteclora_config", "peft_type", "peft_version"),
    *("qalora_group_size", "r", "rank_pattern", "revision", "runtime_config", "target_modules", "target_parameters"),
    *("task_type", "trainable_token_indices", "use_bdlora", "use_dora", "use_qalora", "use_rslora", "velora_config"),
}
VERSION = (0, 21)


class Settings(NamedTuple):
    """The settings of one module: rank, α and the scale ``s = α/r``, or ``α/√r`` with rsLoRA."""

    rank: int
    alpha: float
    scale: float


class Configuration(NamedTuple):
    """The parts of a configuration that the audit uses; `where` names it in messages."""

    where: str
    rank: int
    alpha: float
    rslora: bool = False
    init: bool | str = True
    whiten: bool = False
    fan_in_fan_out: bool = False
    ranks: tuple[tuple[Pattern, str, int], ...] = ()
    alphas: tuple[tuple[Pattern, str, float], ...] = ()
    targets: tuple[str, ...] | str | None = None
    exclude: tuple[str, ...] | str = ()
    to_save: tuple[str, ...] = ()
    layers: tuple[int, ...] | None = None
    layers_pattern: tuple[str, ...] = ()
    task: str | None = None
    variants: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    bias: bool = False
    blocks: tuple[tuple[str, ...], tuple[str, ...], int] = ((), (), 1)
    keys: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    version: str | None = None
    clock: Clock | None = None
    parameters: tuple[str, ...] = ()
    replication: tuple[tuple[int, int], ...] = ()
    tying: bool = False
    magnitude: bool = False
    dropout: bool = False
    tokens: tuple[str, ...] = ()


def check_whole(value, where: str) -> int:
    """Return a rank or a width; raise AuditError unless it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not 1 <= value < 2**31:
        raise AuditError(f"{where}: expected a whole number of at least 1, got {quoted(value)}")
    return int(value)


def check_positive(value, where: str) -> float:
    """Return a number as a float; raise AuditError unless it is positive and its powers stay finite."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 1e-30 < value < 1e30:
        raise AuditError(f"{where}: expected a number between 1e-30 and 1e30, got {quoted(value)}")
    return float(value)


def check_alpha(value, where: str) -> float:
    """Return an α as a float; raise AuditError unless it is 0 or its powers stay finite. Its sign is that of the update."""
    if isinstance(value, bool) or not isinstance(value, Real) or not (value == 0 or 1e-30 < abs(value) < 1e30):
        raise AuditError(f"{where}: expected a number between 1e-30 and 1e30, or 0, got {quoted(value)}")
    return float(value)


def scale_of(alpha: float, rank: int, rslora: bool) -> float:
    """Return ``s``: ``α/r``, or ``α/√r`` with rsLoRA."""
    return alpha / (math.sqrt(rank) if rslora else rank)


def compiled(pattern: str, where: str, clock: Clock | None = None) -> Pattern:
    """Return a regular expression; raise AuditError if it is invalid."""
    return Pattern(pattern, where, clock or Clock()).check()


def _flag(content: dict, key: str, where: str) -> bool:
    value = content.get(key)
    if value is not None and not isinstance(value, bool):
        raise AuditError(f"{where}: expected true or false as {key!r}, got {quoted(value)}")
    return bool(value)


def _strings(content: dict, key: str, where: str) -> tuple[str, ...]:
    """Return a string or a list of strings as a tuple."""
    value = content.get(key) or []
    value = [value] if isinstance(value, str) else value
    if not (isinstance(value, list) and all(isinstance(entry, str) for entry in value)):
        raise AuditError(f"{where}: expected a string or a list of strings as {key!r}, got {quoted(value)}")
    return tuple(value)


def _patterns(content: dict, key: str, check, where: str, clock: Clock) -> tuple:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise AuditError(f"{where}: expected an object as {key!r}, got {quoted(value)}")
    found = []
    for name, entry in value.items():
        pattern = Pattern(rf"(.*\.)?({name})$", f"{where}: {key}", clock)
        if not PLAIN.fullmatch(name):
            pattern.check()
        found.append((pattern, name, check(entry, f"{where}: {key!r} of {quoted(name)}")))
    return tuple(found)


def _blocks(content: dict, where: str) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Return the parts of names of modules with a block-diagonal A, those with such a B, and the number of blocks."""
    given = content.get("use_bdlora") or {}
    if not isinstance(given, dict):
        raise AuditError(f"{where}: expected an object as 'use_bdlora', got {quoted(given)}")
    at = f"{where}: use_bdlora"
    names = (_strings(given, key, at) for key in ("target_modules_bd_a", "target_modules_bd_b"))
    return *names, check_whole(given.get("nblocks", 1), f"{at}: 'nblocks'")


def _replication(content: dict, where: str) -> tuple[tuple[int, int], ...]:
    """Return `layer_replication`: pairs of a first layer and one past the last."""
    value = content.get("layer_replication") or []
    if not (isinstance(value, list) and len(value) <= 1000 and all(isinstance(pair, list) and len(pair) == 2 for pair in value)):
        raise AuditError(f"{where}: expected a list of pairs as 'layer_replication', got {quoted(value)}")
    if not all(type(end) is int and 0 <= end <= 1000 for pair in value for end in pair):
        raise AuditError(f"{where}: expected layers of at most 1000 as 'layer_replication', got {quoted(value)}")
    return tuple((begin, end) for begin, end in value)


def _token_layers(content: dict, where: str) -> tuple[str, ...]:
    """Return the layers of `trainable_token_indices`; an empty name stands for the model's input embedding."""
    value = content.get("trainable_token_indices") or []
    if not isinstance(value, list | dict):
        raise AuditError(f"{where}: expected a list or an object as 'trainable_token_indices', got {quoted(value)}")
    return tuple(value) if isinstance(value, dict) else ("",) if value else ()


def read_configuration(path: Path) -> Configuration:
    """Return the configuration in `path`; missing keys take PEFT's defaults.

    Raises
    ------
    AuditError
        Not a JSON object, a method other than LoRA, or a value of the wrong type or out of range.
    """
    return parse_configuration(read_object(path), str(path))


def parse_configuration(content: dict, where: str) -> Configuration:
    """Return a configuration, given as the object in its file; `where` names it in messages. See `read_configuration`."""
    method = content.get("peft_type")
    if method != "LORA":
        raise AuditError(f"{where}: expected peft_type 'LORA', the method that the theorems cover, got {quoted(method)}")
    if content.get("enable_lora"):
        text = "expected one matrix for each A and B, got enable_lora, with which PEFT before 0.3 kept those of several in one"
        raise AuditError(f"{where}: {text}")
    init = content.get("init_lora_weights", True)
    if not isinstance(init, bool | str):
        raise AuditError(f"{where}: expected true, false or a name as 'init_lora_weights', got {quoted(init)}")
    eva, targets = content.get("eva_config") or {}, content.get("target_modules")
    if not isinstance(eva, dict):
        raise AuditError(f"{where}: expected an object as 'eva_config', got {quoted(eva)}")
    layers = content.get("layers_to_transform")
    layers = layers if layers is None or isinstance(layers, list) else [layers]
    if not all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers or ()):
        raise AuditError(f"{where}: expected whole numbers as 'layers_to_transform', got {quoted(layers)}")
    exclude = content.get("exclude_modules")
    clock = Clock()
    return Configuration(
        where=where,
        rank=check_whole(content.get("r", 8), f"{where}: 'r'"),
        alpha=check_alpha(content.get("lora_alpha", 8), f"{where}: 'lora_alpha'"),
        rslora=_flag(content, "use_rslora", where),
        init=init,
        whiten=_flag(eva, "whiten", f"{where}: eva_config"),
        fan_in_fan_out=_flag(content, "fan_in_fan_out", where),
        ranks=_patterns(content, "rank_pattern", check_whole, where, clock),
        alphas=_patterns(content, "alpha_pattern", check_alpha, where, clock),
        targets=targets if isinstance(targets, str | None) else _strings(content, "target_modules", where),
        exclude=exclude if isinstance(exclude, str) else _strings(content, "exclude_modules", where),
        to_save=_strings(content, "modules_to_save", where),
        layers=layers if layers is None else tuple(layers),
        layers_pattern=_strings(content, "layers_pattern", where),
        task=content.get("task_type") if isinstance(content.get("task_type"), str) else None,
        variants=tuple(text for key, text in VARIANTS.items() if content.get(key)),
        remarks=tuple(text for key, text in REMARKS.items() if content.get(key)),
        bias=_flag(content, "lora_bias", where),
        blocks=_blocks(content, where),
        keys=tuple(content),
        unknown=tuple(key for key, value in content.items() if key not in KEYS and value),
        version=content.get("peft_version") if isinstance(content.get("peft_version"), str) else None,
        clock=clock,
        parameters=_strings(content, "target_parameters", where),
        replication=_replication(content, where),
        tying=_flag(content, "ensure_weight_tying", where),
        magnitude=_flag(content, "use_dora", where),
        dropout=bool(content.get("lora_dropout")),
        tokens=_token_layers(content, where),
    )


_tables: list[Table] = []  # the last ones, as every module of an adapter asks the same two


def hits(patterns: tuple, name: str) -> list[int]:
    """Return which patterns match a name, by place; the first of them decides, as in PEFT."""
    table = next((table for table in _tables if table.patterns is patterns), None)
    if table is None:
        table = Table(patterns)
        _tables[:] = [table, *_tables[:3]]
    return table.hits(name) or [place for place, (_, literal, _) in enumerate(patterns) if literal == name]


def settings(configuration: Configuration, name: str) -> Settings:
    """Return the rank, α and scale of the module called `name` (without PEFT's prefix ``base_model.model.``)."""
    return chosen(configuration, name, hits(configuration.ranks, name), hits(configuration.alphas, name))


def chosen(configuration: Configuration, name: str, ranks: list[int], alphas: list[int]) -> Settings:
    """Return the rank, α and scale of a module, given which patterns match its name."""
    rank = configuration.ranks[ranks[0]][2] if ranks else configuration.rank
    alpha = configuration.alphas[alphas[0]][2] if alphas else configuration.alpha
    return Settings(rank, alpha, scale_of(alpha, rank, configuration.rslora))
