"""Load the conformance set with the real PEFT and print, as JSON, the scale and the largest difference of each update.

.venv-peft/bin/python scripts/peft_conformance.py book/conformance
"""

import json
import sys
import warnings
from pathlib import Path

from peft import PeftModel
from safetensors.torch import load_file
from torch import nn

warnings.filterwarnings("ignore")


def model(shape):
    """Return a model with one linear layer called model.layers.0.self_attn.q_proj."""
    module = nn.Linear(shape[1], shape[0], bias=False)
    for name in ("q_proj", "self_attn"):
        parent = nn.Module()
        parent.add_module(name, module)
        module = parent
    for name, parent in (("layers", nn.Module()), ("model", nn.Module())):
        parent.add_module(name, nn.ModuleList([module]) if name == "layers" else module)
        module = parent
    module.forward = module.get_submodule("model.layers.0.self_attn.q_proj").forward
    return module


def main():
    """Load each folder that PEFT can read."""
    folder = Path(sys.argv[1])
    index = json.loads((folder / "index.json").read_text())
    update = load_file(folder / "update.safetensors")["update"]
    found = {}
    for case in index["cases"]:
        if "adapter_model.safetensors" in case["files"]:
            loaded = PeftModel.from_pretrained(model(index["shape"]), folder / case["folder"])
            layer = loaded.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
            difference = (layer.get_delta_weight("default").double() - update).abs().max().item()
            found[case["folder"]] = {"scale": layer.scaling["default"], "difference": difference}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
