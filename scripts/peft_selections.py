"""Write down what the real PEFT adapts in small models, for random configurations of every option that has a say in it.

    .venv-peft/bin/python scripts/peft_selections.py expected/selections.json

For each model: its checkpoint's names, types and shapes and what the audit reads of its ``config.json``; the modules and
parameters that were adapted at least once, with the number of experts, n and m; and for each configuration the adapted ones
with r and s, or PEFT's error. Also one adapter of stacked experts, with each expert's update. Runs in PEFT's environment (see
peft-requirements.txt), downloads nothing, and draws everything with fixed seeds.
"""

import argparse
import copy
import json
import math
import os
import random
import re
import tempfile
import warnings
from importlib.metadata import version
from logging import getLogger
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
getLogger("bitsandbytes").setLevel("ERROR")  # it advertises faster kernels for download
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import ParamWrapper
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig
from transformers.utils import logging

warnings.filterwarnings("ignore")
logging.disable_progress_bar()
TEXT = {"vocab_size": 48, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2}
TEXT |= {"max_position_embeddings": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
HEADS = TEXT | {"num_key_value_heads": 1, "head_dim": 8}
VISION = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 8}
VISION |= {"patch_size": 4, "projection_dim": 12}
SOME_EXPERTS = {"num_experts": 3, "num_local_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 12}
GENERATION, SENTENCES = (None, None, None, "CAUSAL_LM", "FEATURE_EXTRACTION"), (None, None, "SEQ_CLS", "TOKEN_CLS")
DENSE = {"tie_word_embeddings": True}
TRANSFORMERS = {  # class, type, settings, tasks
    "llama": ("LlamaForCausalLM", "llama", HEADS, GENERATION),
    "llama, tied": ("LlamaForCausalLM", "llama", HEADS | DENSE, GENERATION),
    "llama, classifier": ("LlamaForSequenceClassification", "llama", HEADS, SENTENCES),
    "gpt2": (
        "GPT2LMHeadModel",
        "gpt2",
        {"vocab_size": 48, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 20},
        GENERATION,
    ),
    "gpt_neox": ("GPTNeoXForCausalLM", "gpt_neox", TEXT, GENERATION),
    "bert": ("BertForMaskedLM", "bert", TEXT, SENTENCES),
    "bert, classifier": ("BertForSequenceClassification", "bert", TEXT, SENTENCES),
    "t5": (
        "T5ForConditionalGeneration",
        "t5",
        {"vocab_size": 48, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2},
        (None, None, "SEQ_2_SEQ_LM"),
    ),
    "vit": ("ViTForImageClassification", "vit", VISION, (None, None, "SEQ_CLS")),
    "mixtral": ("MixtralForCausalLM", "mixtral", HEADS | SOME_EXPERTS, GENERATION),
    "qwen3_moe": ("Qwen3MoeForCausalLM", "qwen3_moe", HEADS | SOME_EXPERTS, GENERATION),
    "qwen2_moe": (
        "Qwen2MoeForCausalLM",
        "qwen2_moe",
        HEADS | SOME_EXPERTS | {"shared_expert_intermediate_size": 12},
        GENERATION,
    ),
    "gpt_oss": ("GptOssForCausalLM", "gpt_oss", HEADS | SOME_EXPERTS, GENERATION),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        "deepseek_v3",
        TEXT
        | {"num_key_value_heads": 2, "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2}
        | {"moe_intermediate_size": 12, "first_k_dense_replace": 1, "kv_lora_rank": 8, "q_lora_rank": 8}
        | {"qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8},
        GENERATION,
    ),
    "whisper": (
        "WhisperForConditionalGeneration",
        "whisper",
        {"vocab_size": 48, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "num_mel_bins": 8}
        | {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
        | {"max_source_positions": 10, "max_target_positions": 10, "pad_token_id": 0}
        | {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1},
        (None, None, "SEQ_2_SEQ_LM"),
    ),
    "mamba": ("MambaForCausalLM", "mamba", {"vocab_size": 48, "hidden_size": 16, "num_hidden_layers": 2}, GENERATION),
    "resnet": (
        "ResNetForImageClassification",
        "resnet",
        {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "basic"},
        (None, None, "SEQ_CLS"),
    ),
    "mobilenet_v2": ("MobileNetV2ForImageClassification", "mobilenet_v2", {"depth_multiplier": 0.1}, (None,)),
    "llava": ("LlavaForConditionalGeneration", "llava", {}, GENERATION),
    "clip": ("CLIPModel", "clip", {}, (None, None, "FEATURE_EXTRACTION")),
}
CASES = 40


class Plain(nn.Module):
    """A network that is not of Transformers: convolutions, one of them grouped, attention, an embedding, linear maps."""

    def __init__(self):
        """Make the layers."""
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=4), nn.Conv2d(12, 8, 1)
        )
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16) for _ in range(2))
        self.token_embedding = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 4)
        self.plain_out = nn.Linear(4, 2, bias=False)


def models():
    """Yield name, model, and the tasks for which PEFT has a wrapper that fits it."""
    for name, (kind, family, settings, tasks) in TRANSFORMERS.items():
        if name == "llava":
            parts = {
                "text_config": HEADS | {"model_type": "llama"},
                "vision_config": VISION | {"model_type": "clip_vision_model"},
            }
            config = AutoConfig.for_model(family, **parts, image_token_index=3, vision_feature_layer=-1)
        elif name == "clip":
            config = AutoConfig.for_model(family, text_config=TEXT, vision_config=VISION, projection_dim=12)
        else:
            config = AutoConfig.for_model(family, **settings)
        torch.manual_seed(0)
        yield name, getattr(transformers, kind)(config).float(), tasks
    torch.manual_seed(0)
    yield "torch", Plain(), (None,)


def stored(model):
    """Return types and shapes of a model's checkpoint by name, and what the audit reads of its configuration."""
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(model, transformers.PreTrainedModel):
            model.save_pretrained(folder)
            content = json.loads((Path(folder) / "config.json").read_text())
            config = {key: content[key] for key in ("architectures", "model_type", "tie_word_embeddings") if key in content}
        else:
            save_file(model.state_dict(), Path(folder) / "model.safetensors")
            config = None
        with safe_open(Path(folder) / "model.safetensors", "pt") as file:
            slices = {name: file.get_slice(name) for name in sorted(file.keys())}
            return {name: [part.get_dtype(), part.get_shape()] for name, part in slices.items()}, config


def some(rng, values, most):
    """Return between one and `most` of the values."""
    values = list(values)
    return rng.sample(values, min(len(values), rng.randint(1, most)))


def end(rng, name):
    """Return a name's last part or parts, or all of it."""
    parts = name.split(".")
    return ".".join(parts[-rng.choice([1, 1, 1, 2, 3, len(parts)]) :])


def expression(rng, name):
    """Return a regular expression that matches a name, and perhaps others."""
    last = re.escape(name.rpartition(".")[2])
    wild = re.sub(r"\\\.\d+(?=\\\.|$)", r"\\.\\d+", re.escape(name))
    first = re.sub(r"\\\.\d+(?=\\\.|$)", r"\\.[02]", re.escape(name))
    return rng.choice([rf".*\.{last}", wild, first, rf".*({last}|down_proj|value)", rf"(.*\.)?{last}", re.escape(name)])


def configuration(rng, model, tasks, family):
    """Return random settings of LoraConfig for a model, mostly such as make sense."""
    kinds = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.MultiheadAttention, transformers.pytorch_utils.Conv1D)
    names = [name for name, _ in model.named_modules() if name]
    usual = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    lasts = sorted({name.rpartition(".")[2] for name in usual})
    numbered = sorted(
        {name.split(".")[i - 1] for name in names for i, part in enumerate(name.split(".")) if i and part.isdigit()}
    )
    settings = {"r": rng.choice([1, 2, 4, 8]), "lora_alpha": rng.choice([1, 4, 8, 16])}
    form = rng.random()
    if form < 0.55:
        settings["target_modules"] = sorted({end(rng, name) for name in some(rng, usual, 4)} | set(some(rng, lasts, 2)))
        if rng.random() < 0.2:
            settings["target_modules"].append(
                rng.choice(["lm_head", "embed_tokens", "score", "no_such_module", end(rng, rng.choice(names))])
            )
        if rng.random() < 0.1:
            settings["target_modules"] = sorted(set(rng.sample(usual, min(len(usual), 24))))
    elif form < 0.75:
        settings["target_modules"] = expression(rng, rng.choice(usual if rng.random() < 0.9 else names))
    elif form < 0.92:
        settings["target_modules"] = rng.choice(["all-linear", "all-linear", "All-Linear"])
    elif form < 0.96:
        settings["target_modules"] = []
    listed = isinstance(settings.get("target_modules"), list)
    if listed and rng.random() < 0.3 or rng.random() < 0.02:
        settings["layers_to_transform"] = rng.choice([0, 1, [0, 2], [1], []])
        if rng.random() < 0.5:
            settings["layers_pattern"] = rng.choice([rng.choice(numbered or ["layers"]), [*numbered, "layers"], "h", []])
    if rng.random() < 0.2:
        settings["exclude_modules"] = rng.choice(
            [some(rng, lasts, 2), [rng.choice(usual)], expression(rng, rng.choice(usual)), r".*\.1\..*"]
        )
    if rng.random() < 0.12:
        settings["modules_to_save"] = [rng.choice([end(rng, rng.choice(usual)), rng.choice(usual)[-4:]])]
    for key, values in {"rank_pattern": (2, 4, 16), "alpha_pattern": (2, 32)}.items():
        if rng.random() < 0.25:
            keys = [rng.choice([end(rng, name), expression(rng, name), f"^{re.escape(name)}"]) for name in some(rng, usual, 3)]
            settings[key] = {name: rng.choice(values) for name in keys}
    if rng.random() < 0.25:
        settings["use_rslora"] = True
    if rng.random() < 0.3:
        settings["init_lora_weights"] = rng.choice(["gaussian", False])
    for key, chance in {"fan_in_fan_out": 0.06, "lora_bias": 0.05, "use_dora": 0.05, "ensure_weight_tying": 0.06}.items():
        if rng.random() < chance:
            settings[key] = True
    if settings.get("lora_bias"):
        settings.pop("init_lora_weights", None)
    if rng.random() < 0.1:
        settings["lora_dropout"] = 0.1
    if rng.random() < 0.03:
        settings["trainable_token_indices"] = [0, 3]
    if (task := rng.choice(tasks)) is not None:
        settings["task_type"] = task
    matrices = [name for name, parameter in model.named_parameters() if parameter.dim() == 3 and "expert" in name]
    if rng.random() < (0.35 if matrices else 0.03):
        chosen = some(rng, matrices or [name for name, _ in model.named_parameters()], 2)
        settings["target_parameters"] = sorted({end(rng, name) for name in chosen})
    if family in ("llama", "bert", "llama, tied", "mixtral", "qwen3_moe", "deepseek_v3") and rng.random() < 0.1:
        settings["layer_replication"] = rng.choice([[[0, 2], [1, 3]], [[0, 3], [0, 1]], [[0, 1], [0, 1], [2, 3]]])
    return settings


def adapted(model):
    """Return the adapted modules and parameters of a PEFT model: kind, experts, n and m; and for each r and s."""
    shapes, found = {}, {}
    for name, layer in model.base_model.model.named_modules():
        if not isinstance(layer, LoraLayer):
            continue
        name = name.replace(".base_layer", "")
        if isinstance(layer, ParamWrapper):
            name = f"{name}.{layer.parameter_name}"
        if "default" in layer.lora_embedding_A:
            A, B = layer.lora_embedding_A["default"], layer.lora_embedding_B["default"]
        else:
            A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        experts, r = getattr(layer, "num_experts", 1), layer.r["default"]
        groups = getattr(layer.get_base_layer(), "groups", 1)
        assert name not in found
        assert A.shape[0] == B.shape[1] * groups == r * experts
        kind = type(layer).__name__ + ("" if groups == 1 else ", grouped")
        shapes[name] = [kind, experts, math.prod(A.shape[1:]), B.shape[0]]
        found[name] = [r, round(layer.scaling["default"], 9)]
    return shapes, found


def cases(name, model, tasks):
    """Return what PEFT does with random configurations of one model."""
    tensors, config = stored(model)
    rng = random.Random(name)
    shapes, rows, seen = {}, [], set()
    while len(rows) < CASES:
        settings = configuration(rng, model, tasks, name)
        if (text := json.dumps(settings, sort_keys=True)) in seen:
            continue
        seen.add(text)
        try:
            torch.manual_seed(1)
            kinds, found = adapted(get_peft_model(copy.deepcopy(model), LoraConfig(**copy.deepcopy(settings))))
        except Exception as error:  # PEFT raises many classes
            rows.append([settings, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"])
            continue
        assert all(shapes.get(key, kind) == kind for key, kind in kinds.items()), name
        shapes |= kinds
        rows.append([settings, found])
    order = sorted(shapes)
    numbers = {key: i for i, key in enumerate(order)}
    rows = [[s, f if isinstance(f, str) else [[numbers[key], *value] for key, value in sorted(f.items())]] for s, f in rows]
    return {"config": config, "tensors": tensors, "adapted": {key: shapes[key] for key in order}, "cases": rows}


def stacks():
    """Return an adapter of stacked experts as PEFT saves it, and the updates of its parameters by PEFT, one for each expert."""
    config = AutoConfig.for_model("qwen3_moe", **(HEADS | SOME_EXPERTS | {"hidden_size": 8, "num_hidden_layers": 1}))
    torch.manual_seed(0)
    model = transformers.Qwen3MoeForCausalLM(config).float()
    settings = {"r": 2, "lora_alpha": 3, "target_modules": [], "init_lora_weights": False}
    settings["target_parameters"] = ["experts.down_proj", "experts.gate_up_proj"]
    model = get_peft_model(model, LoraConfig(**settings))
    updates = {}
    for name, layer in model.base_model.model.named_modules():
        if isinstance(layer, ParamWrapper):
            name = f"{name.replace('.base_layer', '')}.{layer.parameter_name}"
            updates[name] = layer.get_delta_weight("default").detach()
    tensors = get_peft_model_state_dict(model)
    numbers = {"tensors": tensors, "updates": updates}
    return {"configuration": settings} | {
        key: {name: [[round(x, 7) for x in row] for row in t.flatten(0, -2).tolist()] for name, t in values.items()}
        for key, values in numbers.items()
    }


def main():
    """Write the file, with one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    compact = {"separators": (",", ":")}  # in their order, which counts for patterns
    versions = {name: version(name).partition("+")[0] for name in ("torch", "transformers", "peft")}
    parts = []
    for name, model, tasks in models():
        found = cases(name, model, tasks)
        rows = ",\n".join(json.dumps(row, **compact) for row in found.pop("cases"))
        head = ",\n".join(f"{json.dumps(key)}:{json.dumps(value, **compact)}" for key, value in found.items())
        parts.append(f'{json.dumps(name)}:{{{head},\n"cases":[\n{rows}\n]}}')
        print(f"{name}: {rows.count('Error: ')} of {CASES} refused")
    options.file.parent.mkdir(parents=True, exist_ok=True)
    experts = json.dumps(stacks(), **compact)
    options.file.write_text(
        f'{{"versions":{json.dumps(versions)},\n"stacks":{experts},\n"models":{{\n' + ",\n".join(parts) + "\n}}\n"
    )


if __name__ == "__main__":
    main()
