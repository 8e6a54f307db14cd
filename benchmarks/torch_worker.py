"""Kernels of a BERT of MiniLM's sizes with torch.func, and its training steps, whenever told to; started by language.py.

python benchmarks/torch_worker.py MODE N RANK, in PEFT's environment. MODE is maps or lora for a kernel of N sentences, and steps
or lora-steps for steps of AdamW on N sentences. A line "run" computes once, "peak" prints the peak memory of a call in MiB;
anything else prints the number of parameters that train. Weights are random: the time does not depend on them.
"""

import os
import sys
from pathlib import Path

# Threads that wait would keep the others' cores busy, which costs most where a machine is shared.
os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_WAIT_POLICY": "PASSIVE"}
from memory import peak_mib

# transformers looks for a package called kernels, and must not find kernels.py.
sys.path.remove(str(Path(__file__).resolve().parent))
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch.func import functional_call, grad, vmap
from transformers import BertConfig, BertForSequenceClassification

mode, N, rank = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
steps = mode.endswith("steps")
TOKENS, CLASSES = (24, 2) if steps else (32, 1)
sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
attention = "sdpa" if steps else "eager"  # its fastest; torch.func needs the other
model = BertForSequenceClassification(BertConfig(**sizes, **off, num_labels=CLASSES, attn_implementation=attention))
if mode.startswith("lora"):
    targets = ["query", "key", "value", "dense"] if steps else ["query", "value"]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, modules_to_save=["classifier"] if steps else None)
    model = get_peft_model(model, config)
model = model.train(steps)
lengths = np.random.default_rng(0).integers(6, TOKENS, N, endpoint=True)
ids = torch.randint(1000, 30000, (N, TOKENS))
seen = torch.as_tensor(np.arange(TOKENS) < lengths[:, None])


def training_step():
    """A function that takes a step of AdamW at a tiny rate and returns the loss before it, and the arrays that train."""
    trained = {name: array for name, array in model.named_parameters() if array.requires_grad}
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-6)
    labels = torch.randint(0, CLASSES, (N,))

    def step():
        loss = model(input_ids=ids, attention_mask=seen.long(), labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    return step, trained


def kernel():
    """A function that returns the kernel, from the gradients of each sentence array by array, and the arrays that train."""
    maps = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    arrays = {name: array.detach() for name, array in (*model.named_parameters(), *model.named_buffers())}
    trained = {name: array for name, array in arrays.items() if ("lora_" in name if mode == "lora" else name in maps)}
    rest = {name: array for name, array in arrays.items() if name not in trained}
    # In the form that is added to the scores: from any other, transformers computes with branches on its values.
    mask = torch.where(seen, 0.0, -1e9)[:, None, None]

    def output(trained, ids, mask):
        return functional_call(model, trained | rest, (ids[None], mask[None])).logits[0, 0]

    def compute():
        gradients = vmap(grad(output), in_dims=(None, 0, 0))(trained, ids, mask)
        return sum(leaf.flatten(1) @ leaf.flatten(1).T for leaf in gradients.values())

    return compute, trained


compute, trained = training_step() if steps else kernel()
for line in sys.stdin:
    word = line.strip()
    if word == "peak":
        print(peak_mib(compute), flush=True)
    elif word == "run":
        print(float(compute().sum()), flush=True)
    else:
        print(sum(array.numel() for array in trained.values()), flush=True)
