"""The forward pass, its gradients and training, against what transformers and PEFT computed for a tiny model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from language import REFERENCE, differences, hidden_difference

from lorantk.experiments.language import bert, text
from lorantk.experiments.language.packages import LanguageError

ROUNDING = 1e-5  # relative, in single precision


@pytest.fixture(scope="module")
def found():
    return differences(REFERENCE, REFERENCE)


@pytest.mark.parametrize("what", ["hidden", "logits", "gradients", "adapted logits", "adapted gradients"])
def test_a_pass_is_that_of_transformers_and_peft(found, what):
    assert found[what] < ROUNDING


@pytest.mark.parametrize("what", ["full losses", "full weights", "lora losses", "lora factors"])
def test_ten_steps_of_training_are_those_of_pytorch(found, what):
    assert found[what] < 2e-4  # each step divides rounding errors of small gradients by their size


def test_another_layer_norm_would_be_noticed(tmp_path):
    shutil.copytree(REFERENCE, tmp_path / "bert")
    config = json.loads((tmp_path / "bert/config.json").read_text())
    (tmp_path / "bert/config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    assert hidden_difference(bert.read(tmp_path / "bert"), REFERENCE) > 10 * ROUNDING


def test_text_is_cut_into_tokens_as_by_transformers():
    model = bert.read(REFERENCE)
    kept = safetensors.numpy.load_file(REFERENCE / "reference.safetensors")
    sentences = json.loads((REFERENCE / "reference.json").read_text())["sentences"]
    tokens = text.tokenize(model.tokenizer, sentences, longest=32)
    np.testing.assert_array_equal(tokens.ids, kept["ids"])
    np.testing.assert_array_equal(tokens.lengths, kept["lengths"])


def copy(tmp_path, name, change):
    folder = tmp_path / "bert"
    shutil.copytree(REFERENCE, folder)
    path = folder / name
    change(path)
    return folder


def setting(**options):
    def change(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | options))

    return change


def without(name):
    def change(path):
        arrays = safetensors.numpy.load_file(path)
        safetensors.numpy.save_file({k: a for k, a in arrays.items() if k != name}, path)

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tokenizer.json", Path.unlink, "expected a folder with tokenizer.json"),
        ("config.json", setting(model_type="roberta"), "expected model_type 'bert', got 'roberta'"),
        ("config.json", setting(hidden_act="relu"), "expected hidden_act 'gelu', got 'relu'"),
        ("config.json", setting(num_hidden_layers=3), "expected an array encoder.layer.2.attention.self.query.weight of shape"),
        ("config.json", lambda path: path.write_text("{"), "expected JSON, safetensors and a tokenizer"),
        ("config.json", lambda path: path.write_text("{}"), "expected a whole number num_hidden_layers in config.json, got None"),
        ("config.json", lambda path: path.write_text("[]"), "expected an object in config.json, got []"),
        ("config.json", setting(hidden_size="32"), "expected a whole number hidden_size in config.json, got '32'"),
        ("config.json", setting(num_attention_heads=5), "expected heads of one size, got 5 of a width of 32"),
        ("config.json", setting(layer_norm_eps=None), "expected a number layer_norm_eps in config.json, got None"),
        ("config.json", setting(vocab_size=20), "expected a tokenizer of at most 20 tokens, got "),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:5000]), "expected JSON, safetensors"),
        ("model.safetensors", without("pooler.dense.bias"), "expected an array pooler.dense.bias of shape (32,), got none"),
        ("tokenizer.json", lambda path: path.write_text("{}"), "expected JSON, safetensors and a tokenizer"),
    ],
)
def test_a_model_that_cannot_be_computed_is_refused_in_one_line(tmp_path, name, change, message):
    with pytest.raises(LanguageError) as error:
        bert.read(copy(tmp_path, name, change))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
