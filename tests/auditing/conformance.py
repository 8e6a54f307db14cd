"""The conformance set: one update in each format, written without the readers under test.

`PYTHONPATH=tests .venv/bin/python -m auditing.conformance book/conformance` writes it again.
"""

import json
import struct
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from auditing.written import safetensors

RANK, N, M = 4, 32, 24
NAME = "model.layers.0.self_attn.q_proj"
GGUF_NAME = "blk.0.attn_q.weight"
# Small multiples of 1/8: every file holds them, and powers of two times them, exactly in its own type.
rng = np.random.default_rng(0)
A = rng.integers(-3, 4, (RANK, N)) / 8
B = rng.integers(-3, 4, (M, RANK)) / 8
UPDATE = B @ A


def factors(scale, names, dtype="float32", *, transposed=False):
    """Return A and B/scale under two names, so that ``scale · B A`` is the update."""
    pair = (A, B / scale)
    pair = [np.ascontiguousarray(factor.T) for factor in pair] if transposed else pair
    return {name: factor.astype(dtype) for name, factor in zip(names, pair, strict=True)}


def peft(**options):
    """Return PEFT's configuration as bytes."""
    content = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj"], "peft_version": "0.21.2"}
    return (json.dumps(content | options, indent=1) + "\n").encode()


PEFT = [f"base_model.model.{NAME}.lora_{x}.weight" for x in "AB"]
PLAIN = [f"transformer.{NAME}.lora_{x}.weight" for x in "AB"]
KOHYA = [f"lora_unet_{NAME.replace('.', '_')}.lora_{x}.weight" for x in ("down", "up")]


def text(value):
    """Return a string of GGUF."""
    return struct.pack("<Q", len(value)) + value.encode()


def gguf(scale, alpha, types=(0, 0)):
    """Return a GGUF file; of its types, 0 is F32, 1 is F16 and 8 is Q8_0, whose blocks here have the factor 1/8."""
    values = [("general.architecture", 8, text("llama")), ("general.type", 8, text("adapter")), ("adapter.type", 8, text("lora"))]
    if alpha is not None:
        values.append(("adapter.lora.alpha", 6, struct.pack("<f", alpha)))
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, len(values))
    head += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in values)
    data = b""
    for factor, kind, name in zip((A, B / scale), types, ("lora_a", "lora_b"), strict=True):
        head += text(f"{GGUF_NAME}.{name}") + struct.pack("<IQQIQ", 2, *factor.shape[::-1], kind, len(data))
        if kind == 8:
            rows = (8 * factor).astype("i1").reshape(-1, 32)
            content = b"".join(np.float16(1 / 8).tobytes() + row.tobytes() for row in rows)
        else:
            content = factor.astype("<f2" if kind else "<f4").tobytes()
        data += content + bytes(-len(content) % 32)
    return head + bytes(-len(head) % 32) + data


def shards():
    """Return the files of an adapter of PEFT in two parts, with their index."""
    parts = {
        f"adapter_model-0000{i}-of-00002.safetensors": {key: value} for i, (key, value) in enumerate(factors(2, PEFT).items(), 1)
    }
    places = {"weight_map": {key: file for file, tensors in parts.items() for key in tensors}}
    found = {file: safetensors(tensors) for file, tensors in parts.items()}
    found["adapter_model.safetensors.index.json"] = (json.dumps(places, indent=1) + "\n").encode()
    return found | {"adapter_config.json": peft(lora_alpha=8)}


def saved(scale, dtype="float32", **options):
    """Return the files of an adapter of PEFT."""
    return {"adapter_model.safetensors": safetensors(factors(scale, PEFT, dtype)), "adapter_config.json": peft(**options)}


def mlx():
    """Return the files of an adapter of mlx-lm, with an alpha that it does not read."""
    parameters = {"rank": RANK, "scale": 0.5, "alpha": 16, "dropout": 0.0}
    content = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters}
    tensors = factors(0.5, [f"{NAME}.lora_{x}" for x in "ab"], transposed=True)
    return {"adapters.safetensors": safetensors(tensors), "adapter_config.json": (json.dumps(content, indent=1) + "\n").encode()}


def cases():
    """Return each case: folder, format, scale s, what gives it, and its files."""
    file = "pytorch_lora_weights.safetensors"
    header = {"lora_adapter_metadata": json.dumps({"transformer.r": RANK, "transformer.lora_alpha": 2 * RANK})}
    alpha = {KOHYA[0].replace("lora_down.weight", "alpha"): np.array(1, "f4")}
    patterns = {"r": 8, "lora_alpha": 8, "rank_pattern": {"q_proj": RANK}, "alpha_pattern": {"q_proj": 2}}
    bare = "A and B without a configuration"
    return [
        ("peft", "PEFT", 2, "lora_alpha / r = 8 / 4", saved(2, lora_alpha=8)),
        ("peft-rslora", "PEFT", 2, "lora_alpha / √r = 4 / 2", saved(2, use_rslora=True)),
        ("peft-patterns", "PEFT", 0.5, "alpha_pattern / rank_pattern = 2 / 4", saved(0.5, **patterns)),
        ("peft-negative", "PEFT", -1, "lora_alpha / r = -4 / 4", saved(-1, lora_alpha=-4)),
        ("peft-bfloat16", "PEFT", 2, "lora_alpha / r = 8 / 4", saved(2, ml_dtypes.bfloat16, lora_alpha=8)),
        ("peft-shards", "PEFT", 2, "lora_alpha / r = 8 / 4", shards()),
        ("kohya", "kohya", 0.25, "alpha / r = 1 / 4", {"lora.safetensors": safetensors(factors(0.25, KOHYA) | alpha)}),
        ("diffusers", "diffusers", 2, "lora_alpha / r = 8 / 4 in the header", {file: safetensors(factors(2, PLAIN), header)}),
        ("no-alpha", bare, 1, "no alpha: alpha = r", {file: safetensors(factors(1, PLAIN))}),
        ("mlx", "MLX", 0.5, "scale = 0.5; its alpha is not read", mlx()),
        ("gguf", "GGUF", 4, "adapter.lora.alpha / r = 16 / 4", {"adapter.gguf": gguf(4, 16)}),
        ("gguf-no-alpha", "GGUF", 1, "no alpha: s = 1", {"adapter.gguf": gguf(1, None)}),
        ("gguf-q8_0", "GGUF", 2, "adapter.lora.alpha / r = 8 / 4", {"adapter.gguf": gguf(2, 8, (8, 1))}),
    ]


def files():
    """Return every file of the set by its path; the index says what a loader must find."""
    entries = [
        {"folder": folder, "format": kind, "scale": scale, "because": why, "files": sorted(contents)}
        for folder, kind, scale, why, contents in cases()
    ]
    index = {
        "about": "The same update s B A in each format. A loader is right if it applies the matrix in update.safetensors.",
        "shape": [M, N],
        "rank": RANK,
        "norm": float(np.linalg.norm(UPDATE, 2)),
        "cases": entries,
    }
    found = {"index.json": (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode()}
    found["update.safetensors"] = safetensors({"update": UPDATE})
    for folder, _, _, _, contents in cases():
        found |= {f"{folder}/{name}": content for name, content in contents.items()}
    return found


if __name__ == "__main__":
    for path, content in files().items():
        target = Path(sys.argv[1]) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
