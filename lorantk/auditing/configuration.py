r"""Read PEFT's `adapter_config.json`: the rank, scale and start of each module, by PEFT's own rules.

The rules are those of peft 0.21. A pattern P of `rank_pattern` or `alpha_pattern` applies to a module if the regular
expression ``(.*\.)?(P)$`` matches its name from the start; the first match counts. A list of `target_modules` gives whole
last parts of module names; a string is a regular expression for the full name.
"""

import math
import re
import warnings
from numbers import Integral, Real
from pathlib import Path
from typing import NamedTuple

from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.safe_files import read_object

# LoRA options that add something to A and B, so that A and B alone do not decide the order.
VARIANTS = {
    "use_dora": "DoRA also trains a magnitude for each output: its kernel has an extra term that no theorem here covers",
    "velora_config": "VeLoRA approximates the gradient of A: steps do not follow the tangent kernel",
    "kasa_config": "KaSA changes W₀ and puts a trained diagonal between B and A",
    "use_qalora": "QALoRA pools the inputs before A: the theorems apply to the pooled inputs",
    "monteclora_config": "Monteclora adds random noise to the adapter in training",
    "use_bdlora": "BD-LoRA makes A or B block diagonal: its entries are not independent draws",
    "arrow_config": "Arrow routes between adapters: the kernel depends on the router",
}
# Options that do not affect A and B but deserve a note.
REMARKS = {
    "alora_invocation_tokens": "aLoRA acts on tokens from the invocation onwards: the order holds for their gradients",
    "lora_bias": "B's bias is trained too: it adds to LoRA's kernel what a trained bias adds to that of full fine-tuning",
    "modules_to_save": "modules_to_save are trained in full: they add the same term to both kernels and are not audited",
    "layer_replication": "layer_replication: module names are those of the replicated model",
}
EMBEDDINGS = {
    *("embed_tokens", "embed_in", "embed_positions", "embedding", "embeddings", "position_embeddings", "shared"),
    *("tok_embeddings", "token_type_embeddings", "word_embeddings", "wpe", "wte"),
}
OUTPUTS = {"embed_out", "lm_head", "output_projection"}
HEADS = ("score", "classifier")


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
    ranks: tuple[tuple[re.Pattern, str, int], ...] = ()
    alphas: tuple[tuple[re.Pattern, str, float], ...] = ()
    targets: tuple[str, ...] | str | None = None
    exclude: tuple[str, ...] | str = ()
    to_save: tuple[str, ...] = ()
    layers: tuple[int, ...] = ()
    layers_pattern: tuple[str, ...] = ()
    task: str | None = None
    variants: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


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


def scale_of(alpha: float, rank: int, rslora: bool) -> float:
    """Return ``s``: ``α/r``, or ``α/√r`` with rsLoRA."""
    return alpha / (math.sqrt(rank) if rslora else rank)


def compiled(pattern: str, where: str) -> re.Pattern:
    """Compile a regular expression; raise AuditError if it is invalid."""
    try:
        with warnings.catch_warnings():  # Python warns about expressions whose meaning may change; PEFT accepts them
            warnings.simplefilter("ignore")
            return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise AuditError(f"{where}: expected a regular expression, got {quoted(pattern)} ({error})") from error


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


def _patterns(content: dict, key: str, check, where: str) -> tuple:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise AuditError(f"{where}: expected an object as {key!r}, got {quoted(value)}")
    return tuple(
        (compiled(rf"(.*\.)?({name})$", f"{where}: {key}"), name, check(entry, f"{where}: {key!r} of {quoted(name)}"))
        for name, entry in value.items()
    )


def read_configuration(path: Path) -> Configuration:
    """Return the configuration in `path`; missing keys take PEFT's defaults.

    Raises
    ------
    AuditError
        Not a JSON object, a method other than LoRA, target_parameters, or a value of the wrong type or out of range.
    """
    content, where = read_object(path), str(path)
    method = content.get("peft_type")
    if method != "LORA":
        raise AuditError(f"{where}: expected peft_type 'LORA', the method that the theorems cover, got {quoted(method)}")
    if content.get("target_parameters"):
        raise AuditError(f"{where}: expected adapters on modules, got target_parameters {quoted(content['target_parameters'])}")
    init = content.get("init_lora_weights", True)
    if not isinstance(init, bool | str):
        raise AuditError(f"{where}: expected true, false or a name as 'init_lora_weights', got {quoted(init)}")
    eva, targets = content.get("eva_config") or {}, content.get("target_modules")
    if not isinstance(eva, dict):
        raise AuditError(f"{where}: expected an object as 'eva_config', got {quoted(eva)}")
    layers = content.get("layers_to_transform")
    layers = [] if layers is None else layers if isinstance(layers, list) else [layers]
    if not all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers):
        raise AuditError(f"{where}: expected whole numbers as 'layers_to_transform', got {quoted(layers)}")
    exclude = content.get("exclude_modules")
    return Configuration(
        where=where,
        rank=check_whole(content.get("r", 8), f"{where}: 'r'"),
        alpha=check_positive(content.get("lora_alpha", 8), f"{where}: 'lora_alpha'"),
        rslora=_flag(content, "use_rslora", where),
        init=init,
        whiten=_flag(eva, "whiten", f"{where}: eva_config"),
        fan_in_fan_out=_flag(content, "fan_in_fan_out", where),
        ranks=_patterns(content, "rank_pattern", check_whole, where),
        alphas=_patterns(content, "alpha_pattern", check_positive, where),
        targets=targets if isinstance(targets, str) else _strings(content, "target_modules", where) or None,
        exclude=exclude if isinstance(exclude, str) else _strings(content, "exclude_modules", where),
        to_save=_strings(content, "modules_to_save", where),
        layers=tuple(layers),
        layers_pattern=_strings(content, "layers_pattern", where),
        task=content.get("task_type") if isinstance(content.get("task_type"), str) else None,
        variants=tuple(text for key, text in VARIANTS.items() if content.get(key)),
        remarks=tuple(text for key, text in REMARKS.items() if content.get(key)),
    )


def _looked_up(patterns: tuple, name: str, default):
    """Return the value of the first pattern that matches, as PEFT does."""
    for expression, _, value in patterns:
        if expression.match(name):
            return value
    return next((value for _, literal, value in patterns if literal == name), default)


def settings(configuration: Configuration, name: str) -> Settings:
    """Return the rank, α and scale of the module called `name` (without PEFT's prefix ``base_model.model.``)."""
    rank = _looked_up(configuration.ranks, name, configuration.rank)
    alpha = _looked_up(configuration.alphas, name, configuration.alpha)
    return Settings(rank, alpha, scale_of(alpha, rank, configuration.rslora))


def _ends(name: str, parts) -> bool:
    return any(name == part or name.endswith(f".{part}") for part in parts)


def _in_layers(configuration: Configuration, name: str) -> bool:
    """Say whether `layers_to_transform` keeps the module, by the first number after a dotted name or after `layers_pattern`."""
    for pattern in configuration.layers_pattern or (r"[^.]*",):
        expression = compiled(rf".*?\.{pattern}\.(\d+)\.", f"{configuration.where}: layers_pattern")
        if (match := expression.match(name)) is not None:
            return int(match.group(1)) in configuration.layers
    return False


def is_target(configuration: Configuration, name: str) -> bool:
    """Say whether PEFT would adapt the module called `name`.

    ``"all-linear"`` selects every module except embeddings and the output layer, recognised by their usual names.

    Raises
    ------
    AuditError
        An invalid expression, or no target_modules: PEFT then goes by the model's type, which the shapes do not reveal.
    """
    where, targets, exclude = configuration.where, configuration.targets, configuration.exclude
    if targets is None:
        raise AuditError(f"{where}: expected target_modules, which PEFT writes when it saves an adapter, got none")
    if isinstance(exclude, str) and compiled(exclude, f"{where}: exclude_modules").fullmatch(name):
        return False
    if not isinstance(exclude, str) and _ends(name, exclude):
        return False
    saved = (compiled(rf"(^|.*\.){part}($|\..*)", f"{where}: modules_to_save") for part in configuration.to_save)
    if any(expression.match(name) for expression in saved):
        return False
    if isinstance(targets, str):
        if targets.lower() == "all-linear":
            heads = HEADS if configuration.task == "SEQ_CLS" else ()
            return name.rpartition(".")[2] not in EMBEDDINGS | OUTPUTS and name not in heads
        return compiled(targets, f"{where}: target_modules").fullmatch(name) is not None
    return _ends(name, targets) and (not configuration.layers or _in_layers(configuration, name))
