"""Write down the module trees of every model class of Transformers, which `lorantk audit --model` needs to know what PEFT adapts.

    .venv-peft/bin/python scripts/peft_architectures.py lorantk/auditing/architectures.json

A checkpoint holds names and shapes of tensors, but not the class of each module: ``wte.weight`` may be an embedding or a linear
map, modules without weights are absent, and so is a head that is tied to an embedding. Each class is built here with its default
configuration, at most four layers deep and without memory for its weights, and read off. Numbers in names are written as ``*``.

The file has one line for each class, and a list of the parts that several of them share; `lorantk.auditing.architectures` reads
it and says what the entries mean. Classes whose default configuration cannot be built are left out. Runs in PEFT's environment
(see peft-requirements.txt), downloads nothing and takes two minutes.
"""

import argparse
import copy
import json
import os
import re
import warnings
from collections import Counter, defaultdict
from importlib.metadata import version
from logging import getLogger
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
getLogger("bitsandbytes").setLevel("ERROR")  # it advertises faster kernels for download
import torch
import transformers
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from peft.utils.transformers_weight_conversion import _MODEL_TO_CONVERSION_PATTERN, _MOE_TARGET_MODULE_MAPPING
from torch import nn
from transformers import AutoConfig
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, get_model_conversion_mapping
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.auto import modeling_auto
from transformers.pytorch_utils import Conv1D

warnings.filterwarnings("ignore")
LAYERS = 4
DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers")
DEPTHS += ("num_encoder_layers", "depth")
SHARED = 30  # characters from which a part that occurs twice is written once


def pattern(name):
    """Return a dotted name with its numbers written as ``*``."""
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)


def letter(module):
    """Return the class of a module as PEFT tells them apart, in one letter."""
    if isinstance(module, nn.Embedding):
        return "E"
    if isinstance(module, Conv1D):
        return "T"
    if isinstance(module, nn.Linear):
        return "L"
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return "C" if module.groups == 1 else "G"
    if isinstance(module, nn.MultiheadAttention):
        return "M"
    weight = module._parameters.get("weight")
    if weight is not None and weight.dim() > 1:
        return "W"
    return "o" if any(True for _ in module.parameters()) else "-"


def shallow(config, level=0):
    """Reduce the number of layers in a configuration and in those inside it."""
    for name in DEPTHS:
        if isinstance(getattr(config, name, None), int) and getattr(config, name) > LAYERS:
            setattr(config, name, LAYERS)
    for value in list(vars(config).values()):
        if isinstance(value, transformers.PretrainedConfig) and level < 3:
            shallow(value, level + 1)
    return config


def built(kind, name):
    """Return a model of a class on PyTorch's meta device, shallow if its configuration allows."""
    config = AutoConfig.for_model(kind)
    with torch.device("meta"):
        try:
            return getattr(transformers, name)(shallow(copy.deepcopy(config)))
        except Exception:  # a configuration that lists each layer
            return getattr(transformers, name)(config)


def tree(model):
    """Return the modules of a model as nested objects: a letter for a module without others inside."""
    root = {}
    for name, module in model.named_modules():
        node = root
        for part in pattern(name).split(".") if name else ():
            node = node.setdefault(part, {})
        node.setdefault("", set()).add(letter(module))

    def closed(node):
        own, inner = "".join(sorted(node.pop(""))), {part: closed(child) for part, child in sorted(node.items())}
        return own if not inner else inner if own == "o" else {"": own} | inner

    return closed(root)


def stored(model):
    """Return how files name tensors.

    Beginnings of names that differ, the parts of which loading makes one parameter, and what is related in other ways: tensors of
    the file, and modules of the model.
    """
    if not get_model_conversion_mapping(model, add_legacy=False):
        return {}, {}, [], []
    first = {}
    for name, tensor in model.state_dict().items():
        first.setdefault(pattern(name), (name, tensor))
    sources, made = {}, {}
    for target, (name, tensor) in first.items():
        try:
            found = sorted({pattern(source) for source in revert_weight_conversion(model, {name: tensor})})
        except Exception:  # two tensors of the model that are one in the file
            continue
        if len(found) == 1 and found[0].count("*") == target.count("*"):
            sources.setdefault(found[0], []).append(target)
        else:
            made[target] = found
    pairs, beginnings = {source: targets[0] for source, targets in sources.items() if len(targets) == 1}, {}
    for source, target in pairs.items():
        theirs, ours = source.split("."), target.split(".")
        while min(len(theirs), len(ours)) > 1 and theirs[-1] == ours[-1]:
            theirs.pop(), ours.pop()
        if theirs != ours:
            beginnings[".".join(theirs)] = ".".join(ours)
    # A name that one of these beginnings would change wrongly stands there in full: the longest counts.
    beginnings |= {source: target for source, target in pairs.items() if renamed(source, beginnings) != target}
    try:
        every = {pattern(name) for name in revert_weight_conversion(model, model.state_dict())}
    except Exception:
        every = set()
    lost = every - pairs.keys() - {source for found in made.values() for source in found}
    known = {*pairs.values(), *made}
    return beginnings, made, sorted(lost), sorted({name.rpartition(".")[0] for name in first if name not in known})


def repeated(model):
    """Return the modules of numbered layers that use the weight of another module, so that a file may not contain it."""
    groups = defaultdict(set)
    try:
        model.tie_weights()
    except Exception:
        return []
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups[id(parameter)].add(name)
    names = {name for group in groups.values() if len(group) > 1 for name in group if "*" in pattern(name)}
    return sorted({pattern(name.rpartition(".")[0]) for name in names})


def renamed(name, beginnings):
    """Return a file's pattern as the model's: the longest of the beginnings is replaced."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (found := beginnings.get(".".join(parts[:length]))) is not None:
            return ".".join([found, *parts[length:]])
    return name


def tied(model):
    """Return the modules that use one weight when the model's configuration ties its embeddings, one list for each weight."""
    try:
        for config in (model.config, getattr(model.config, "text_config", None)):
            if config is not None:
                config.tie_word_embeddings = True
        model.tie_weights()
        groups = defaultdict(list)
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if name.endswith(".weight"):
                groups[id(parameter)].append(name.removesuffix(".weight"))
    except Exception:
        return []
    return [sorted(group) for group in groups.values() if len(group) > 1 and not any("*" in pattern(name) for name in group)]


def facts(kind, model):
    """Return what the audit must know about one class."""
    names = {id(module): name for name, module in model.named_modules()}
    ends = []
    for which in ("input", "output"):
        try:
            ends.append(names.get(id(getattr(model, f"get_{which}_embeddings")())))
        except Exception:
            ends.append(None)
    beginnings, made, lost, split = stored(model)
    moved = {name for name, module in model.named_modules() if getattr(module, "is_transposed", False)}
    base = _MODEL_TO_CONVERSION_PATTERN.get(kind) if get_checkpoint_conversion_mapping(kind) is not None else None
    found = {
        "type": kind,
        "prefix": model.base_model_prefix,
        "input": ends[0],
        "output": ends[1],
        "tie": bool(getattr(model.config, "tie_word_embeddings", False)),
        "files": beginnings,
        "made": made,
        "lost": lost,
        "open": sorted({*split, *repeated(model)}),
        "transposed": sorted({pattern(name) for name in moved}),
        "experts": base if base in _MOE_TARGET_MODULE_MAPPING else None,
        "tree": tree(model),
    }
    found["tied"] = tied(model)  # the last, as it changes the configuration
    return {key: value for key, value in found.items() if value}


def shared(classes):
    """Return the parts that occur more than once as a list, and the classes with numbers in place of those parts."""
    counts = Counter()

    def count(part):
        if isinstance(part, dict | list):
            text = json.dumps(part, sort_keys=True)
            counts[text] += 1
            if counts[text] == 1:
                for child in part.values() if isinstance(part, dict) else part:
                    count(child)

    for entry in classes.values():
        for part in entry.values():
            count(part)
    numbers = {text: i for i, text in enumerate(sorted(t for t, n in counts.items() if n > 1 and len(t) >= SHARED))}

    def inner(part):
        if isinstance(part, dict):
            return {name: outer(child) for name, child in part.items()}
        return [outer(child) for child in part] if isinstance(part, list) else part

    def outer(part):
        return numbers.get(json.dumps(part, sort_keys=True), inner(part)) if isinstance(part, dict | list) else part

    parts = [inner(json.loads(text)) for text in numbers]
    return parts, {name: {key: outer(part) for key, part in entry.items()} for name, entry in classes.items()}


def main():
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = {}
    for table in sorted(name for name in dir(modeling_auto) if name.startswith("MODEL_") and name.endswith("MAPPING_NAMES")):
        for kind, names in getattr(modeling_auto, table).items():
            for name in names if isinstance(names, list | tuple) else (names,):
                wanted.setdefault(name, kind)
    classes, skipped = {}, 0
    for name, kind in sorted(wanted.items()):
        try:
            model = built(kind, name)
        except Exception:
            skipped += 1
            continue
        classes[name] = facts(kind, model)
    parts, classes = shared(classes)
    compact = {"separators": (",", ":"), "sort_keys": True}
    versions = {name: version(name) for name in ("transformers", "peft")}
    lines = [f"{json.dumps(name)}:{json.dumps(entry, **compact)}" for name, entry in sorted(classes.items())]
    rows = ",\n".join(json.dumps(part, **compact) for part in parts)
    targets = json.dumps(TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING, **compact)
    text = (
        f'{{"versions":{json.dumps(versions)},\n"targets":{targets},\n"shared":[\n{rows}\n],\n"classes":{{\n'
        + ",\n".join(lines)
        + "\n}}\n"
    )
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(text)
    print(f"{options.file}: {len(classes)} classes, {skipped} without a default that can be built, {len(text)} bytes")


if __name__ == "__main__":
    main()
