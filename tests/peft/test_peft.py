"""What is stored of PEFT, against PEFT itself: `make peft` first sets it up and makes everything again."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from lorantk.auditing.tensors import read_header, read_tensor

ROOT = Path(__file__).parents[2]
KEPT, MADE = ROOT / "expected/adapters", ROOT / "_build/adapters"
FILES = sorted(path.relative_to(KEPT).as_posix() for path in KEPT.rglob("*") if path.is_file())


def test_the_same_files_are_made():
    assert MADE.is_dir(), "expected _build/adapters, which `make peft` makes, got none"
    assert sorted(path.relative_to(MADE).as_posix() for path in MADE.rglob("*") if path.is_file()) == FILES


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".safetensors")])
def test_tensors_are_made_again(name):
    header, other = read_header(KEPT / name), read_header(MADE / name)
    assert {key: (tensor.dtype, tensor.shape) for key, tensor in header.items()} == {
        key: (tensor.dtype, tensor.shape) for key, tensor in other.items()
    }
    for key, tensor in header.items():
        kept, made = read_tensor(KEPT / name, tensor), read_tensor(MADE / name, other[key])
        # Other processors add in another order; fifty steps of training, or one step of an 8-bit type, amplify the difference.
        loose = name.startswith(("trained", "kernels")) or "float8" in name
        np.testing.assert_allclose(made, kept, rtol=2e-2 if loose else 1e-4, atol=(2e-2 if loose else 1e-5) * np.abs(kept).max())


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith("adapter_config.json")])
def test_configurations_are_made_again(name):
    assert json.loads((MADE / name).read_text()) == json.loads((KEPT / name).read_text())


def test_versions_are_those_of_the_environment():
    kept, made = (json.loads((folder / "reference.json").read_text())["versions"] for folder in (KEPT, MADE))
    assert {name: number.partition("+")[0] for name, number in kept.items()} == {
        name: number.partition("+")[0] for name, number in made.items()
    }


@pytest.mark.parametrize("kept", ["expected/selections.json", "lorantk/auditing/architectures.json"])
def test_selections_and_classes_are_those_of_the_environment(kept):
    made = ROOT / "_build/peft" / Path(kept).name
    assert made.read_text() == (ROOT / kept).read_text(), f"copy {made.relative_to(ROOT)} to {kept} if PEFT changed"


def test_every_documented_start_is_among_the_adapters():
    source = next((ROOT / ".venv-peft/lib").glob("python3*/site-packages/peft/tuners/lora/config.py")).read_text()
    literal = re.search(r"init_lora_weights: \(\s*bool\s*\|\s*Literal\[(.*?)\]\s*\) = field", source, re.DOTALL).group(1)
    documented = set(re.findall(r'"([^"]+)"', literal)) | {True, False}
    assert len(documented) >= 11
    made = {json.loads(path.read_text())["init_lora_weights"] for path in (KEPT / "fresh").glob("*/adapter_config.json")}
    assert documented - made == {"pissa_niter_[number of iters]"}
    assert "pissa_niter_4" in made
