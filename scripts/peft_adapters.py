"""Make the adapters that the chapter "Audit your adapter" reads, using the real PEFT on small models built here.

    .venv-peft/bin/python scripts/peft_adapters.py expected/adapters

Runs in its own environment (see peft-requirements.txt) and downloads nothing. Writes small files into the given folder, which the
repository keeps (`make peft` makes them again and compares):

- ``base/``: the transformer whose modules are adapted, ``model.safetensors``;
- ``fresh/OPTION/`` and ``trained/NAME/``: adapters as PEFT saves them;
- ``draws.safetensors``: A and B of one layer with many seeds, for each start that is random or comes from W₀;
- ``kernels.safetensors``: tangent kernels of one module by automatic differentiation;
- ``reference.json``: scale, norms and spectra of every adapter by PyTorch in float64, training losses, versions, and the SHA-256
  of every other file.

The folder appears complete or not at all.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import warnings
from importlib.metadata import version
from logging import getLogger
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
getLogger("bitsandbytes").setLevel("ERROR")  # it advertises faster kernels for download
import torch
from peft import EvaConfig, LoftQConfig, LoraConfig, LoraGAConfig, get_peft_model, initialize_lora_eva_weights, preprocess_loraga
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

warnings.filterwarnings("ignore")
logging.disable_progress_bar()
VOCABULARY, LENGTH, BATCH = 32, 16, 8
WIDTH, HIDDEN, LAYERS, RANK = 64, 64, 2, 4  # on a CPU, bitsandbytes quantises rows of fewer than 64 entries differently
INPUTS, OUTPUTS = 64, 16  # of the layer with many seeds
SOME = ["q_proj", "down_proj"]
EVERY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class OnCPU(TorchFunctionMode):
    """Keep on the CPU what is sent to CUDA: LoftQ asks for CUDA by name, but it and bitsandbytes also run on a CPU."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call `function` with the CPU instead of CUDA."""

        def here(value):
            return "cpu" if isinstance(value, str | torch.device) and str(value) == "cuda" else value

        return function(*map(here, args), **{name: here(value) for name, value in (kwargs or {}).items()})


def transformer():
    """Return a Llama with two layers and 61 000 parameters; deterministic."""
    torch.manual_seed(0)
    shape = {"hidden_size": WIDTH, "intermediate_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, use_cache=False, **shape)
    return LlamaForCausalLM(config)


def sequences(chain, seed):
    """Return a batch of sequences of a Markov chain: each token has four likely successors, drawn with the chain's own seed."""
    rules = torch.randint(VOCABULARY, (VOCABULARY, 4), generator=torch.Generator().manual_seed(chain))
    generator = torch.Generator().manual_seed(1000 * chain + seed)
    tokens = [torch.randint(VOCABULARY, (BATCH,), generator=generator)]
    for _ in range(LENGTH - 1):
        tokens.append(rules[tokens[-1], torch.randint(4, (BATCH,), generator=generator)])
    return torch.stack(tokens, 1)


def train(model, chain, steps, rate, first=0):
    """Train everything that requires a gradient with Adam and return the losses."""
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
    losses = []
    for step in range(first, first + steps):
        batch = sequences(chain, step)
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def adapted(base, option, **options):
    """Return a PEFT model around a copy of `base`; starts that depend on data get their batches."""
    model = transformer()
    model.load_state_dict(base)
    defaults = {"r": RANK, "lora_alpha": RANK, "target_modules": SOME, "task_type": "CAUSAL_LM"}
    if option == "eva":
        options["eva_config"] = EvaConfig(rho=1.0)
    if option == "corda":
        options["corda_config"] = CordaConfig(corda_method="kpm")
    if option == "lora_ga":
        options["lora_ga_config"] = LoraGAConfig()
    if option == "loftq":
        options["loftq_config"] = LoftQConfig(loftq_bits=4)
    config = LoraConfig(**(defaults | {"init_lora_weights": option} | options))
    batches = [{"input_ids": sequences(1, seed), "attention_mask": torch.ones(BATCH, LENGTH)} for seed in range(16)]

    def forward():  # CorDA takes one sequence at a time
        for batch in batches[:2]:
            for row in batch["input_ids"]:
                model(input_ids=row[None])

    def backward():
        for batch in batches[:2]:
            model(**batch, labels=batch["input_ids"]).loss.backward()

    if option == "corda":
        preprocess_corda(model, config, run_model=torch.no_grad()(forward))
    if option == "lora_ga":
        preprocess_loraga(model, config, backward)
    torch.manual_seed(1)
    with OnCPU():
        peft = get_peft_model(model, config)
    if option == "eva":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            initialize_lora_eva_weights(peft, batches, show_progress_bar=False)
    return peft


def factors(layer):
    """Return A and B of an adapted layer as matrices in float64, wherever PEFT keeps them."""
    if "default" in layer.lora_embedding_A:
        pair = layer.lora_embedding_A["default"], layer.lora_embedding_B["default"]
    else:
        pair = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    rank = pair[0].shape[0]
    return pair[0].detach().double().reshape(rank, -1), pair[1].detach().double().reshape(-1, rank)


def reference(model):
    """Return what the audit should find for each adapted module, by singular value decompositions of the whole matrices."""
    found = {}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            A, B = factors(layer)
            update = torch.linalg.svdvals(B @ A)
            found[name.removeprefix("base_model.model.")] = {
                "rank": layer.r["default"],
                "scale": layer.scaling["default"],
                "variance": A.square().mean().item(),
                "top_A": torch.linalg.svdvals(A)[0].square().item(),
                "top_B": torch.linalg.svdvals(B)[0].square().item(),
                "update": update[0].item(),
                "stable_rank": (update.square().sum() / update[0].square()).item() if update[0] > 0 else 0.0,
            }
    return found


def save(model, folder):
    """Save an adapter as PEFT does, and return its reference."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink()  # a model card without content
    return reference(model)


def as_dtype(source, folder, dtype):
    """Copy a saved adapter with its tensors in another type."""
    shutil.copytree(source, folder)
    tensors = load_file(source / "adapter_model.safetensors")
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")


def fresh(base, folder):
    """Make adapters with every start, scale, pattern and kind of module; return the references."""
    options = {
        "default": {},
        "twice": {"lora_alpha": 2 * RANK},
        "rslora": {"use_rslora": True},
        "gaussian": {"init_lora_weights": "gaussian"},
        "false": {"init_lora_weights": False},
        "dora": {"use_dora": True},
        "all-linear": {"target_modules": "all-linear"},
        "regular-expression": {"target_modules": r".*layers\.[12]\..*_proj", "exclude_modules": ["o_proj"]},
        "one-layer": {"layers_to_transform": [1], "target_modules": ["q_proj", "v_proj"]},
        "patterns": {
            "target_modules": EVERY,
            "rank_pattern": {r"^model\.layers\.0\..*": 2, "q_proj": 8, r"layers\.1\.mlp\.down_proj": 16},
            "alpha_pattern": {"v_proj": 16, r"model.layers.1.self_attn.q_proj": 32},
        },
        "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
        "head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    }
    options |= {
        name: {"init_lora_weights": name}
        for name in ("orthogonal", "pissa", "pissa_niter_4", "olora", "eva", "corda", "mica", "lora_ga", "loftq")
    }
    references = {}
    for name, chosen in options.items():
        model = adapted(base, chosen.pop("init_lora_weights", True), **chosen)
        references[f"fresh/{name}"] = save(model, folder / name)
    torch.manual_seed(2)
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=24, n_layer=1, n_head=2, n_positions=LENGTH))
    gpt.save_pretrained(folder / "fan-in-fan-out" / "base")
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    references["fresh/fan-in-fan-out"] = save(get_peft_model(gpt, config), folder / "fan-in-fan-out")
    images = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3), torch.nn.Flatten(), torch.nn.Linear(32, 4))
    config = LoraConfig(r=4, lora_alpha=4, target_modules=["0"])
    references["fresh/convolution"] = save(get_peft_model(images, config), folder / "convolution")
    for name, dtype in {"bfloat16": torch.bfloat16, "float16": torch.float16, "float8": torch.float8_e4m3fn}.items():
        as_dtype(folder / "default", folder / name, dtype)
    return references


def trained(base, folder):
    """Make adapters trained on another chain; return the references and the losses."""
    settings = {
        "equal": {},
        "twice": {"lora_alpha": 2 * RANK},
        "gentle": {"lora_alpha": RANK / 4},
        "dora": {"use_dora": True},
        "mica": {"init_lora_weights": "mica"},
    }
    references, losses, models = {}, {}, {}
    for name, chosen in settings.items():
        model = adapted(base, chosen.pop("init_lora_weights", True), target_modules=EVERY, **chosen)
        losses[name] = train(model, chain=2, steps=50, rate=2e-3)
        references[f"trained/{name}"] = save(model, folder / name)
        models[name] = model
    return references, losses, models


def gradients(model, parameters, outputs):
    """Return gradients of the first logits of the last tokens of two sequences, by automatic differentiation, one row each."""
    logits = model(input_ids=sequences(2, 999)[:2]).logits[:, -2:, : outputs // 4]
    rows = [torch.autograd.grad(value, parameters, retain_graph=True) for value in logits.reshape(-1)]
    return [torch.stack([row[i].reshape(-1) for row in rows]).double() for i in range(len(parameters))]


def kernels(models, outputs=4):
    """Return gradients with respect to W₀, and kernels of A, B and DoRA's magnitudes, for one module of trained models."""
    found = {}
    for name in ("equal", "twice", "gentle", "dora"):
        model = models[name].eval()
        layer = model.get_submodule("base_model.model.model.layers.1.self_attn.q_proj")
        parts = {"A": layer.lora_A["default"].weight, "B": layer.lora_B["default"].weight, "W": layer.base_layer.weight}
        if name == "dora":
            parts["m"] = layer.lora_magnitude_vector["default"].weight
        parts["W"].requires_grad_(True)
        for part, rows in zip(parts, gradients(model, list(parts.values()), outputs), strict=True):
            found[f"{name}.{part}"] = rows @ rows.T
            if part == "W":
                found[f"{name}.gradients"] = rows.reshape(outputs, *parts["W"].shape).float()
    return found


def draws(seeds):
    """Return A and B of one layer, with `seeds` seeds for each random start and a tenth as many for each start from W₀."""
    found = {}
    for option in ("true", "gaussian", "false", "orthogonal", "pissa", "pissa_niter_4", "olora", "mica", "loftq", "embedding"):
        pairs, from_weights = [], option in ("pissa", "pissa_niter_4", "olora", "mica", "loftq")
        for seed in range(seeds // 10 if from_weights else seeds):
            torch.manual_seed(seed)
            layer = torch.nn.Embedding(INPUTS, OUTPUTS) if option == "embedding" else torch.nn.Linear(INPUTS, OUTPUTS)
            model = torch.nn.Sequential(layer)
            weight = layer.weight.detach().clone()
            word = {"true": True, "false": False, "embedding": True}.get(option, option)
            data = {"loftq_config": LoftQConfig(loftq_bits=4)} if option == "loftq" else {}
            config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["0"], init_lora_weights=word, **data)
            with OnCPU():
                adapter = get_peft_model(model, config).base_model.model[0]
            pairs.append((*factors(adapter), weight))
        for name, tensors in zip("ABW", zip(*pairs, strict=True), strict=True):
            if name != "W" or option in ("pissa", "olora", "mica", "loftq"):
                found[f"{option}.{name}"] = torch.stack([tensor.float() for tensor in tensors]).contiguous()
    return found


def main():
    """Write everything into a folder next to the destination, and move it there once it is complete."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the matrices are too small for more
    work = options.folder.with_name(f".{options.folder.name}.new")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    model = transformer()
    losses = {"base": train(model, chain=1, steps=100, rate=2e-3)}
    base = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(work / "base")
    references = fresh(base, work / "fresh")
    found, curves, models = trained(base, work / "trained")
    save_file({name: tensor.contiguous() for name, tensor in kernels(models).items()}, work / "kernels.safetensors")
    save_file(draws(options.seeds), work / "draws.safetensors")
    hashes = {
        path.relative_to(work).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(work.rglob("*"))
        if path.is_file()
    }
    versions = {name: version(name) for name in ("torch", "transformers", "peft", "safetensors", "bitsandbytes")}
    content = {"adapters": references | found, "losses": losses | curves, "versions": versions, "sha256": hashes}
    (work / "reference.json").write_text(json.dumps(content, indent=1))
    shutil.rmtree(options.folder, ignore_errors=True)
    os.replace(work, options.folder)
    print(f"adapters: {len(references | found)} in {options.folder}")


if __name__ == "__main__":
    sys.exit(main())
