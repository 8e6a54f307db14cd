"""What the files of an adapter say that its numbers do not.

Options that match nothing, an α that two places declare, names that do not load, lost tensors. Each function returns findings,
every one with what to do about it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from lorantk.auditing.configuration import VERSION, Configuration, Settings
from lorantk.auditing.matching import matcher
from lorantk.auditing.pairs import PREFIX, Pair
from lorantk.auditing.report import Finding, Module
from lorantk.auditing.safe_files import NAMES, PICKLES, adapters_in
from lorantk.auditing.saved import count_of, finding, signs
from lorantk.auditing.tensors import Tensor, size

# Parts of names that torch.compile, FSDP, activation checkpointing and DistributedDataParallel put in.
WRAPPERS = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.|^module\.")


STACKS = (0, 19)  # the first PEFT that saves stacked experts as now


def declared(configuration: Configuration, given: dict[str, Settings]) -> list[Finding]:
    """Return findings on how rank, α and scale are declared."""
    found = []
    if "lora_alpha" not in configuration.keys:
        text = "alpha is not declared: PEFT takes 8"
        found.append(finding("alpha-not-declared", text, "write lora_alpha into adapter_config.json"))
    if "r" not in configuration.keys:
        found.append(finding("rank-not-declared", "the rank is not declared: PEFT takes 8", "write r into adapter_config.json"))
    found += signs(given)
    if configuration.rslora and configuration.rank == configuration.alpha:
        text = f"use_rslora with r = alpha = {configuration.rank}, so s = {configuration.rank**0.5:.3g}"
        text += ": adapters merged by PEFT's add_weighted_adapter look like this, and were meant to have s = 1"
        found.append(finding("rslora-merged", text, "if the adapter was merged, set use_rslora to false"))
    scales = {own.scale for own in given.values()}
    if len(scales) > 1 and configuration.ranks and not configuration.alphas:
        text = f"rank_pattern without alpha_pattern: s differs between modules, from {min(scales):.3g} to {max(scales):.3g}"
        found.append(finding("scales-differ", text, "if one scale is meant, add an alpha_pattern", (), "note"))
    return found


def conflicts(configuration: Configuration, given: dict[str, Settings], alphas: dict[str, float], texts: dict) -> list[Finding]:
    """Return findings on an α that tensors or the file's header declare otherwise than the configuration, which PEFT follows."""
    found, advice = [], "find out with which alpha the adapter was trained, and remove the other"
    if other := [name for name, alpha in alphas.items() if name in given and given[name].alpha != alpha]:
        text = f"tensors MODULE.alpha say {alphas[other[0]]:g} where the configuration says {given[other[0]].alpha:g}"
        text += f", in {count_of(len(other), len(given))}: PEFT follows the configuration, other loaders the tensors"
        found.append(finding("alpha-conflict", text, advice, other))
    for key in ("alpha", "lora_alpha", "ss_network_alpha"):
        try:
            alpha = float(texts[key])
        except (KeyError, ValueError):
            continue
        if any(own.alpha != alpha for own in given.values()):
            text = f"the file's header says {key} = {texts[key]}, the configuration lora_alpha = {configuration.alpha:g}"
            found.append(finding("alpha-conflict", f"{text}: PEFT follows the configuration", advice))
    return found


def unmatched(
    configuration: Configuration, names: list[str], ranks: dict, alphas: dict, *, saved: bool = True, refused: Iterable[str] = ()
) -> list[Finding]:
    """Return findings on patterns and targets that match nothing, and on several patterns that match one module.

    Parameters
    ----------
    configuration, names
        PEFT's configuration and the modules of the file, or those that PEFT adapts in a model.
    ranks, alphas
        Which patterns of `rank_pattern` and `alpha_pattern` match each module, by place, see `hits`.
    saved
        Whether the modules are those of a file.
    refused
        Modules of a model that targets match but that are not audited.
    """
    found = []
    for key, patterns, hits in (("rank_pattern", configuration.ranks, ranks), ("alpha_pattern", configuration.alphas, alphas)):
        used = {place for places in hits.values() for place in places}
        dead = [literal for place, (_, literal, _) in enumerate(patterns) if place not in used]
        if dead:
            text = (
                f"no module matches {count_of(len(dead), len(patterns), f'entries of {key}')}, so that the general value applies"
            )
            advice = "write the module's name from the model's root, without base_model.model., or its last parts"
            found.append(finding("pattern-unmatched", text, advice, dead))
        double = [name for name, places in hits.items() if len({patterns[place][2] for place in places}) > 1]
        if double:
            values = ", ".join(f"{patterns[place][2]:g}" for place in hits[double[0]])
            text = f"several entries of {key} with different values ({values}) match {count_of(len(double), len(names))}"
            text += ": the first one counts, and saving sorts them, so that training may have used another"
            found.append(finding("pattern-order", text, "make the patterns exclude each other", double))
    return found + (_targets(configuration, names) if saved else _targets_of_model(configuration, [*names, *refused]))


def _ends(name: str, wanted: set[str]) -> set[str]:
    """Return which of the wanted names a name ends with, in whole parts."""
    return {name[place:] for place in range(len(name)) if place == 0 or name[place - 1] == "."} & wanted


def _targets_of_model(configuration: Configuration, names: list[str]) -> list[Finding]:
    if not isinstance(configuration.targets, tuple):
        return []
    wanted = set(configuration.targets)
    seen = set().union(*(_ends(name, wanted) for name in names))
    missing = [target for target in configuration.targets if target not in seen]
    if not missing:
        return []
    text = f"no module of the model matches {count_of(len(missing), len(configuration.targets), 'target_modules')}"
    return [finding("target-unmatched", text, "PEFT says nothing as long as others match: correct or remove them", missing)]


def _left_out(configuration: Configuration, names: list[str]) -> list[Finding]:
    """Return findings on modules of the file that PEFT does not adapt when it loads, so that it ignores their tensors."""
    is_target = matcher(configuration)
    if not (ignored := [name for name in names if not is_target(name)]):
        return []
    is_named = matcher(configuration._replace(exclude=(), to_save=(), layers=None))
    options = {"exclude_modules": configuration.exclude, "modules_to_save": configuration.to_save}
    options["layers_to_transform"] = configuration.layers
    keys = " or ".join(key for key, value in options.items() if value)
    expression = "target_modules, an expression for whole names" if isinstance(configuration.targets, str) else "target_modules"
    found = []
    for named, key in ((False, expression), (True, keys)):
        if own := [name for name in ignored if is_named(name) is named]:
            text = f"by {key} PEFT leaves out {count_of(len(own), len(names))} in the file, and ignores the tensors when it loads"
            found.append(finding("tensors-without-target", text, "correct the option if they were trained", own))
    return found


def _targets(configuration: Configuration, names: list[str]) -> list[Finding]:
    targets, found = configuration.targets, []
    if targets is None and not configuration.parameters:
        text = "target_modules is missing or null: PEFT takes its default for the type of the model, or refuses"
        return [finding("targets-not-declared", text, "write the names of the adapted modules", (), "note")]
    if targets is None or (isinstance(targets, str) and targets.lower() == "all-linear"):
        return found
    if isinstance(targets, tuple):
        wanted = set(targets)
        seen = set().union(*(_ends(name, wanted) for name in names))
        if missing := [target for target in targets if target not in seen]:
            text = f"the file has no tensors for {count_of(len(missing), len(targets), 'target_modules')}"
            advice = "check that the file was saved whole; PEFT starts these modules afresh if the model has them"
            found.append(finding("target-without-tensors", text, advice, missing))
    found += _left_out(configuration, names)
    layers = configuration.layers or ()
    lost = [layer for layer in layers if not any(f".{layer}." in name for name in names)]
    if lost:
        text = f"the file has no tensors for {count_of(len(lost), len(layers), 'layers_to_transform')}"
        found.append(finding("target-without-tensors", text, "check that the file was saved whole", map(str, lost)))
    return found


def names_that_do_not_load(keys: list[str]) -> list[Finding]:
    """Return findings on names of factors under which PEFT would look for nothing."""
    found = []
    if wrapped := [key for key in keys if WRAPPERS.search(key)]:
        part = WRAPPERS.search(wrapped[0]).group().strip(".")
        text = f"{count_of(len(wrapped), len(keys), 'factors')} carry a wrapper's name ({part}): PEFT loads none of them"
        found.append(finding("names-do-not-load", text, "save the unwrapped model, or take this part out of the names", wrapped))
    odd = [key for key in keys if PREFIX in key[1:] and not WRAPPERS.search(key)]
    if odd:
        before, _, after = odd[0].rpartition(PREFIX)
        text = f"{count_of(len(odd), len(keys), 'factors')} have {before} before PEFT's prefix {PREFIX}: PEFT loads none of them"
        found.append(finding("names-do-not-load", text, f"take {before} out of the names", odd))
    if bare := [key for key in keys if PREFIX not in key and not WRAPPERS.search(key)]:
        text = f"the names of {count_of(len(bare), len(keys), 'factors')} lack PEFT's prefix {PREFIX}: PeftModel.from_pretrained "
        text += "loads none of them"
        advice = "add the prefix for PEFT; diffusers and transformers load such names"
        found.append(finding("names-do-not-load", text, advice, bare))
    return found


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version, or none."""
    numbers = re.match(r"(\d{1,6})\.(\d{1,6})", version)
    return tuple(map(int, numbers.groups())) if numbers else ()


def options(configuration: Configuration) -> list[Finding]:
    """Return findings on options that this audit does not know."""
    found = []
    if configuration.unknown:
        text = f"unknown options: {', '.join(configuration.unknown[:5])}. They may change what A and B mean"
        advice = "find out what they do; without them the report holds"
        found.append(finding("unknown-option", text, advice, configuration.unknown))
    if _numbers(configuration.version or "") > VERSION:
        known = ".".join(map(str, VERSION))
        text = f"peft_version {configuration.version[:40]} is newer than {known}, whose rules the audit follows"
        found.append(finding("newer-version", text, "check what changed since", (), "note"))
    return found


def start(configuration: Configuration) -> list[Finding]:
    """Return a finding on a start for which PEFT changed W₀."""
    word = str(configuration.init).lower()
    if not word.startswith(("pissa", "olora", "corda", "loftq", "lora_ga")):
        return []
    text = f"A and B belong to a W₀ that init_lora_weights = {word} has changed: a program that puts them on the W₀ of the "
    text += "published model, as vLLM and llama.cpp do, gets another model"
    convert = "" if word == "loftq" else "convert the adapter when you save it (path_initial_model_for_weight_conversion), or "
    advice = f"{convert}keep the changed W₀ with it"
    return [finding("start-changes-weights", text, advice, (), "note")]


def experts(configuration: Configuration, names: list[str]) -> list[Finding]:
    """Return a finding on factors of stacked experts from a PEFT that laid them out in another way.

    PEFT before 0.19 took every stack for experts by inputs by outputs, and did not write its version before 0.18.
    """
    numbers = _numbers(configuration.version or "0.17")
    if not names or not numbers or numbers >= STACKS:
        return []
    text = "PEFT before 0.19 saved factors of experts whose matrices are outputs by inputs, such as Mixtral's and Qwen's, with n "
    text += "and m exchanged: a newer one refuses them or, where n = m, applies the transposed update; κ is the same"
    return [finding("experts-exchanged", text, "load them with the PEFT that saved them", names)]


def biases(configuration: Configuration, names: list[str]) -> list[Finding]:
    """Return a finding if lora_bias and the biases in the file do not go together."""
    if configuration.bias and not names:
        text = "lora_bias is set, but the file has no lora_B.bias: PEFT starts the biases at zero"
        return [finding("bias-incomplete", text, "save the biases, or unset lora_bias")]
    if names and not configuration.bias:
        text = "the file has a lora_B.bias, but lora_bias is not set: PEFT ignores it"
        return [finding("bias-incomplete", text, "set lora_bias if the adapter was trained with it", names)]
    return []


def beside(configuration: Configuration, others: list[Tensor], magnitudes: list[str], total: int) -> list[Finding]:
    """Return findings on tensors other than factors: DoRA's magnitudes and full matrices.

    Parameters
    ----------
    configuration, others
        PEFT's configuration, and the tensors that belong to no module with factors.
    magnitudes
        Names of DoRA's magnitudes under PEFT's name.
    total
        Bytes of all tensors.
    """
    dora, found = any(text.startswith("DoRA") for text in configuration.variants), []
    foreign = [tensor.name for tensor in others if re.search(r"\.(magnitude|dora_scale|m)$", tensor.name)]
    if dora and not magnitudes:
        text = "use_dora is set, but the file has no lora_magnitude_vector: PEFT starts the magnitudes afresh"
        found.append(finding("dora-incomplete", text, "save the magnitudes, or unset use_dora"))
    if magnitudes and not dora:
        text = "the file has a lora_magnitude_vector, but use_dora is not set: PEFT ignores it"
        found.append(finding("dora-incomplete", text, "set use_dora if the adapter was trained with it", magnitudes))
    if foreign:
        text = "magnitudes have names other than PEFT's lora_magnitude_vector: PEFT ignores them"
        found.append(finding("dora-names", text, "rename them", foreign))
    rows = [tensor.name for tensor in others if "trainable_tokens_" in tensor.name]
    if rows and not configuration.tokens:
        text = "the file has rows of trainable tokens, but trainable_token_indices is not set: PEFT ignores them"
        found.append(finding("tokens-incomplete", text, "set trainable_token_indices to the tokens that were trained", rows))
    if configuration.tokens and not rows:
        text = "trainable_token_indices is set, but the file has no rows for it: PEFT starts from the model's"
        found.append(finding("tokens-incomplete", text, "check that the file was saved whole"))
    full = [tensor for tensor in others if tensor.name not in (*foreign, *rows)]
    if full:
        share = sum(size(tensor.dtype, tensor.shape) for tensor in full) / max(total, 1)
        names = [tensor.name for tensor in full]
        text = f"{len(full)} tensor{'s' * (len(full) > 1)} besides the factors, {100 * share:.0f} % of the file, trained in full "
        text += "or copied from the model: not audited"
        found.append(finding("full-matrices", text, "leave out copies when you save", names, "note"))
    saved = [part for part in configuration.to_save if not any(f".{part}." in f".{tensor.name}" for tensor in others)]
    if saved:
        text = f"the file lacks {count_of(len(saved), len(configuration.to_save), 'modules_to_save')}"
        found.append(finding("target-without-tensors", text, "check that the file was saved whole", saved))
    return found


def folder(path: Path, used: str) -> list[Finding]:
    """Return findings on what else lies in the adapter's folder than the weights that were used."""
    found = []
    try:
        doubles = [name for name in NAMES if name != used and (path / name).exists()]
        pickles = sorted(entry.name for entry in path.glob("adapter_model.*") if entry.suffix in PICKLES)
        others = adapters_in(path)
    except OSError:
        return found
    if doubles and used in NAMES:
        text = f"{', '.join(doubles)} beside {used}, which alone was read"
        found.append(finding("weights-beside", text, "audit each by its own path, and keep the one that is meant", doubles))
    if pickles:
        text = f"{', '.join(pickles)} beside the safetensors file: it was not read, and a loader may take it instead"
        found.append(finding("pickle-beside", text, "delete it, as reading a pickle can run any code", pickles))
    if others:
        text = f"{len(others)} more adapters lie in folders below: {', '.join(others[:5])}"
        found.append(finding("more-adapters", text, "audit each of them by its own path", others, "note"))
    return found


def dead(modules: list[Module]) -> list[Finding]:
    """Return findings on modules whose update is zero, or zero in most rows."""
    found, total = [], len(modules)
    zero = [module for module in modules if module.measured.fresh]
    if zero:
        factor = "A" if all(module.measured.top_B for module in zero) else "B"
        text = f"{factor} is zero in {count_of(len(zero), total)}: the adapter does nothing there"
        advice = "normal before training; after it, check that training reached these modules and that the file was saved whole"
        level = "note" if len(zero) == total else "warning"
        found.append(finding("factor-zero", text, advice, [module.name for module in zero], level))
    partial = [module for module in modules if 0 < module.measured.rows < 0.5]
    if partial:
        least = min(module.measured.rows for module in partial)
        text = f"B is zero in most rows in {count_of(len(partial), total)}; only {100 * least:.0f} % are not zero in one of them"
        found.append(finding("rows-zero", text, "check that B was saved whole", [module.name for module in partial]))
    return found


def against_model(pairs: list[Pair], shapes: dict[str, tuple], given: dict[str, tuple]) -> list[Finding]:
    """Return findings on modules whose names or shapes are not those of a model.

    Parameters
    ----------
    pairs
        The adapter's modules.
    shapes, given
        ``(n, m)`` by name, in the model and in the adapter.
    """
    found = []
    missing = [pair.name for pair in pairs if (pair.key or pair.name) not in shapes]
    if missing:
        text = f"the model does not have {count_of(len(missing), len(pairs))} of the adapter, so that loaders apply nothing there"
        ends = {}
        for name in shapes:
            ends.setdefault(".".join(name.split(".")[-4:]), name)
        like = next((ends[end] for name in missing if (end := ".".join(name.split(".")[-4:])) in ends), None)
        text += f": {missing[0]}" + (f", where the model has {like}" if like else "")
        found.append(finding("names-not-in-model", text, "rename the tensors, or load the model they were trained on", missing))
    wrong = [name for name, shape in given.items() if name in shapes and shapes[name] != shape]
    if wrong:
        n, m = shapes[wrong[0]]
        text = (
            f"the shapes of {count_of(len(wrong), len(pairs))} are not the model's: {wrong[0]} has n = {given[wrong[0]][0]} and "
        )
        text += f"m = {given[wrong[0]][1]}, the model {n} and {m}"
        found.append(finding("shapes-not-of-model", text, "load the model they were trained on", wrong))
    return found
