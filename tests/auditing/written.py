"""Write safetensors files and adapters without the code under test, following the format's description with struct and json."""

import json
import struct

import numpy as np

CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3"}
CODES |= {"float8_e5m2": "F8_E5M2"}
CONFIGURATION = {"peft_type": "LORA", "r": 4, "lora_alpha": 4, "target_modules": ["q", "v"]}


def safetensors(tensors, metadata=None):
    """Return the bytes of a safetensors file with the given NumPy arrays, in that order."""
    header, data = ({} if metadata is None else {"__metadata__": metadata}), b""
    for name, array in tensors.items():
        place = len(data)
        data += array.tobytes()
        header[name] = {"dtype": CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": [place, len(data)]}
    return raw(header, data)


def raw(header, data=b""):
    """Return a file with this header (an object, or bytes) and data, unchecked."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


def factors(rank=4, n=32, m=24, seed=0, B=0.0, dtype="float32"):
    """Return a Kaiming uniform A and a Gaussian B of standard deviation `B`."""
    rng = np.random.default_rng(seed)
    A = rng.uniform(-1, 1, (rank, n)) / np.sqrt(n)
    return A.astype(dtype), (B * rng.standard_normal((m, rank))).astype(dtype)


def adapter(folder, modules=("layers.0.q", "layers.0.v"), configuration=None, tensors=None, prefix="base_model.model.", **kind):
    """Write an adapter of linear modules as PEFT would, and return its folder; `tensors` are added to it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for seed, name in enumerate(modules):
        A, B = factors(seed=seed, **kind)
        content |= {f"{prefix}{name}.lora_A.weight": A, f"{prefix}{name}.lora_B.weight": B}
    (folder / "adapter_model.safetensors").write_bytes(safetensors(content | (tensors or {})))
    (folder / "adapter_config.json").write_text(json.dumps(CONFIGURATION | (configuration or {})))
    return folder
