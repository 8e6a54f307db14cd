"""Make the adapters that the chapter "Audit your adapter" reads, with the real PEFT on small models built here.

    .venv-peft/bin/python scripts/peft_adapters.py _build/adapters

Runs in its own environment (see peft-requirements.txt), downloads nothing, and writes below the given folder:

- ``base/``: the transformer whose modules are adapted, ``model.safetensors``;
- ``fresh/OPTION/`` and ``trained/NAME/``: adapters as PEFT saves them;
- ``draws.safetensors``: A and B of one layer under 100 seeds for each start that is random or comes from W₀;
- ``kernels.safetensors``: tangent kernels of one module by automatic differentiation;
- ``reference.json``: scale, norms and spectra of every adapter by PyTorch in float64, and losses of the training.

The folder appears whole or not at all.
"""

import argparse
import json
import os
import shutil
import sys
import warnings
from logging import getLogger
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
getLogger("bitsandbytes").setLevel("ERROR")  # it tells of faster kernels that it could download
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
VOCABULARY, LENGTH, BATCH = 64, 16, 8
EVERY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class OnCPU(TorchFunctionMode):
    """Leaves on the CPU what is sent to CUDA: LoftQ asks for CUDA by name, though it and bitsandbytes compute on a CPU too."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Call `function` with the CPU in place of CUDA."""

        def here(value):
            return "cpu" if isinstance(value, str | torch.device) and str(value) == "cuda" else value

        return function(*map(here, args), **{name: here(value) for name, value in (kwargs or {}).items()})


def transformer():
    """A Llama of four layers, 600 000 parameters; deterministic."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4, use_cache=False
    )
    return LlamaForCausalLM(config)


def sequences(chain, seed):
    """A batch of sequences of a Markov chain: each token has four likely successors, drawn with the chain's own seed."""
    rules = torch.randint(VOCABULARY, (VOCABULARY, 4), generator=torch.Generator().manual_seed(chain))
    generator = torch.Generator().manual_seed(1000 * chain + seed)
    tokens = [torch.randint(VOCABULARY, (BATCH,), generator=generator)]
    for _ in range(LENGTH - 1):
        tokens.append(rules[tokens[-1], torch.randint(4, (BATCH,), generator=generator)])
    return torch.stack(tokens, 1)


def train(model, chain, steps, rate, first=0):
    """Train what requires a gradient by Adam and return the losses."""
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
    """A PEFT model around a copy of `base`; starts that look at data get their batches."""
    model = transformer()
    model.load_state_dict(base)
    defaults = {"r": 8, "lora_alpha": 8, "target_modules": EVERY, "task_type": "CAUSAL_LM"}
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
    """A and B of an adapted layer as matrices in float64, wherever PEFT keeps them."""
    if "default" in layer.lora_embedding_A:
        pair = layer.lora_embedding_A["default"], layer.lora_embedding_B["default"]
    else:
        pair = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    rank = pair[0].shape[0]
    return pair[0].detach().double().reshape(rank, -1), pair[1].detach().double().reshape(-1, rank)


def reference(model):
    """For each adapted module what the audit should find, by singular value decompositions of the whole matrices."""
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
    return reference(model)


def as_dtype(source, folder, dtype):
    """Copy a saved adapter with its tensors in another type."""
    shutil.copytree(source, folder)
    tensors = load_file(source / "adapter_model.safetensors")
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")


def fresh(base, folder):
    """Every start, scale, pattern and kind of module; returns the references."""
    options = {
        "default": {},
        "twice": {"lora_alpha": 16},
        "rslora": {"use_rslora": True},
        "gaussian": {"init_lora_weights": "gaussian"},
        "false": {"init_lora_weights": False},
        "dora": {"use_dora": True},
        "all-linear": {"target_modules": "all-linear"},
        "regular-expression": {"target_modules": r".*layers\.[12]\..*_proj", "exclude_modules": ["o_proj"]},
        "two-layers": {"layers_to_transform": [0, 3], "target_modules": ["q_proj", "v_proj"]},
        "patterns": {
            "rank_pattern": {r"^model\.layers\.0\..*": 4, "q_proj": 16, r"layers\.2\.mlp\.down_proj": 32},
            "alpha_pattern": {"v_proj": 32, r"model.layers.1.self_attn.q_proj": 64},
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
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=96, n_layer=2, n_head=2, n_positions=LENGTH))
    gpt.save_pretrained(folder / "fan-in-fan-out" / "base")
    config = LoraConfig(r=8, lora_alpha=8, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    references["fresh/fan-in-fan-out"] = save(get_peft_model(gpt, config), folder / "fan-in-fan-out")
    images = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3), torch.nn.Flatten(), torch.nn.Linear(32, 4))
    config = LoraConfig(r=4, lora_alpha=4, target_modules=["0"])
    references["fresh/convolution"] = save(get_peft_model(images, config), folder / "convolution")
    for name, dtype in {"bfloat16": torch.bfloat16, "float16": torch.float16, "float8": torch.float8_e4m3fn}.items():
        as_dtype(folder / "default", folder / name, dtype)
    return references


def trained(base, folder):
    """Adapters after training on another chain; returns the references and the losses."""
    settings = {
        "equal": {"lora_alpha": 8},
        "twice": {"lora_alpha": 16},
        "gentle": {"lora_alpha": 2},
        "dora": {"lora_alpha": 8, "use_dora": True},
        "mica": {"lora_alpha": 8, "init_lora_weights": "mica"},
    }
    references, losses, models = {}, {}, {}
    for name, chosen in settings.items():
        model = adapted(base, chosen.pop("init_lora_weights", True), **chosen)
        losses[name] = train(model, chain=2, steps=50, rate=2e-3)
        references[f"trained/{name}"] = save(model, folder / name)
        models[name] = model
    return references, losses, models


def gradients(model, parameters, outputs):
    """Gradients of the first logits of the last tokens of two sequences, by automatic differentiation, one row each."""
    logits = model(input_ids=sequences(2, 999)[:2]).logits[:, -3:, : outputs // 6]
    rows = [torch.autograd.grad(value, parameters, retain_graph=True) for value in logits.reshape(-1)]
    return [torch.stack([row[i].reshape(-1) for row in rows]).double() for i in range(len(parameters))]


def kernels(models, outputs=24):
    """Of one module in trained models: gradients by W₀, and kernels of A, B and DoRA's magnitudes."""
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
                found[f"{name}.gradients"] = rows.reshape(outputs, *parts["W"].shape)
    return found


def draws(seeds):
    """A and B of one layer with 128 inputs and 96 outputs, r = 8, under `seeds` seeds, for each start that needs no data."""
    found = {}
    for option in ("true", "gaussian", "false", "orthogonal", "pissa", "pissa_niter_4", "olora", "mica", "loftq", "embedding"):
        pairs = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            layer = torch.nn.Embedding(128, 96) if option == "embedding" else torch.nn.Linear(128, 96)
            model = torch.nn.Sequential(layer)
            weight = layer.weight.detach().clone()
            word = {"true": True, "false": False, "embedding": True}.get(option, option)
            data = {"loftq_config": LoftQConfig(loftq_bits=4)} if option == "loftq" else {}
            config = LoraConfig(r=8, lora_alpha=16, target_modules=["0"], init_lora_weights=word, **data)
            with OnCPU():
                adapter = get_peft_model(model, config).base_model.model[0]
            pairs.append((*factors(adapter), weight))
        for name, tensors in zip("ABW", zip(*pairs, strict=True), strict=True):
            if name != "W" or option in ("pissa", "olora", "mica", "loftq"):
                found[f"{option}.{name}"] = torch.stack([tensor.float() for tensor in tensors]).contiguous()
    return found


def main():
    """Write everything into a folder beside the destination, and move it there when it is whole."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=100)
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
    content = {"adapters": references | found, "losses": losses | curves, "versions": {"torch": torch.__version__}}
    (work / "reference.json").write_text(json.dumps(content, indent=1))
    shutil.rmtree(options.folder, ignore_errors=True)
    os.replace(work, options.folder)
    print(f"adapters: {len(references | found)} in {options.folder}")


if __name__ == "__main__":
    sys.exit(main())
