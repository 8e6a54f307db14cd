"""Compute kernels of a BERT of MiniLM's sizes with torch.func, whenever told to; started by language.py in PEFT's environment.

python benchmarks/torch_kernels.py MODE N RANK. A line "run" computes once, "peak" prints the peak memory of a call in MiB;
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

TOKENS = 32
mode, N, rank = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
model = BertForSequenceClassification(BertConfig(**sizes, num_labels=1, attn_implementation="eager")).eval()
if mode == "lora":
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=["query", "value"])
    model = get_peft_model(model, config).eval()
maps = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
arrays = {name: array.detach() for name, array in (*model.named_parameters(), *model.named_buffers())}
trained = {name: array for name, array in arrays.items() if ("lora_" in name if mode == "lora" else name in maps)}
rest = {name: array for name, array in arrays.items() if name not in trained}
lengths = np.random.default_rng(0).integers(6, TOKENS, N, endpoint=True)
ids = torch.randint(1000, 30000, (N, TOKENS))
# In the form that is added to the scores: from any other, transformers computes with branches on its values, as vmap cannot.
mask = torch.where(torch.as_tensor(np.arange(TOKENS) < lengths[:, None]), 0.0, -1e9)[:, None, None]


def output(trained, ids, mask):
    """The output for one sentence."""
    return functional_call(model, trained | rest, (ids[None], mask[None])).logits[0, 0]


def kernel():
    """The kernel, from the gradients of each sentence, array by array."""
    gradients = vmap(grad(output), in_dims=(None, 0, 0))(trained, ids, mask)
    return sum(leaf.flatten(1) @ leaf.flatten(1).T for leaf in gradients.values())


for line in sys.stdin:
    word = line.strip()
    if word == "peak":
        print(peak_mib(kernel), flush=True)
    elif word == "run":
        print(float(kernel().sum()), flush=True)
    else:
        print(sum(array.numel() for array in trained.values()), flush=True)
