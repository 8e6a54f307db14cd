"""PEFT's configuration: types of values, and the rank and scale of each module."""

import json
import re

import pytest
from auditing.written import CONFIGURATION

from lorantk.auditing.configuration import read_configuration, settings
from lorantk.auditing.errors import AuditError


def configured(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(CONFIGURATION | changes))
    return read_configuration(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "expected peft_type 'LORA', .* got 'IA3'"),
        ({"peft_type": None}, "expected peft_type 'LORA', .* got None"),
        ({"r": 0}, "'r': expected a whole number of at least 1, got 0"),
        ({"r": True}, "'r': expected a whole number"),
        ({"r": 8.0}, "'r': expected a whole number"),
        ({"r": "8"}, "'r': expected a whole number"),
        ({"r": 2**40}, "'r': expected a whole number"),
        ({"lora_alpha": True}, "'lora_alpha': expected a number between"),
        ({"lora_alpha": 1e-31}, "'lora_alpha': expected a number between"),
        ({"lora_alpha": "x"}, "'lora_alpha': expected a number between"),
        ({"lora_alpha": 10**400}, "'lora_alpha': expected a number between"),
        ({"rank_pattern": [1]}, "expected an object as 'rank_pattern'"),
        ({"rank_pattern": {"q": 0}}, "'rank_pattern' of 'q': expected a whole number of at least 1, got 0"),
        ({"alpha_pattern": {"q": None}}, "'alpha_pattern' of 'q': expected a number between"),
        ({"rank_pattern": {"(": 4}}, "rank_pattern: expected a regular expression"),
        ({"use_rslora": "yes"}, "expected true or false as 'use_rslora'"),
        ({"fan_in_fan_out": 1}, "expected true or false as 'fan_in_fan_out'"),
        ({"target_modules": 3}, "expected a string or a list of strings as 'target_modules'"),
        ({"target_modules": [3]}, "expected a string or a list of strings as 'target_modules'"),
        ({"init_lora_weights": 3}, "expected true, false or a name as 'init_lora_weights'"),
        ({"eva_config": 3}, "expected an object as 'eva_config'"),
        ({"layers_to_transform": ["x"]}, "expected whole numbers as 'layers_to_transform'"),
        ({"target_parameters": [1]}, "expected a string or a list of strings as 'target_parameters'"),
        ({"layer_replication": [[0]]}, "expected a list of pairs as 'layer_replication'"),
        ({"layer_replication": [[0, 2.5]]}, "expected layers of at most 1000 as 'layer_replication'"),
        ({"layer_replication": [[0, 10**9]]}, "expected layers of at most 1000 as 'layer_replication'"),
        ({"ensure_weight_tying": 1}, "expected true or false as 'ensure_weight_tying'"),
        ({"trainable_token_indices": 3}, "expected a list or an object as 'trainable_token_indices'"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_file_and_key(changes, message, tmp_path):
    with pytest.raises(AuditError, match=message) as error:
        configured(tmp_path, **changes)
    assert str(error.value).startswith(f"{tmp_path / 'adapter_config.json'}: ")
    assert "\n" not in str(error.value)


def test_the_scale_is_alpha_over_r_or_over_its_root(tmp_path):
    assert settings(configured(tmp_path, r=16, lora_alpha=8), "q").scale == 0.5
    assert settings(configured(tmp_path, r=16, lora_alpha=8, use_rslora=True), "q").scale == 2.0


def test_patterns_match_as_in_peft(tmp_path):
    ranks = {r"^model\.layers\.0\..*": 2, "q": 3, "layers.1.v": 5, r"a+b": 7}
    configuration = configured(tmp_path, rank_pattern=ranks, alpha_pattern={"v": 10})
    found = {
        name: settings(configuration, name)[:2]
        for name in (
            "model.layers.0.q",
            "model.layers.1.q",
            "layers.1.v",
            "x.layers.1.v",
            "layers.11.v",
            "layers.1.vv",
            "xq",
            "x.aab",
            "a+b",
        )
    }
    assert found == {
        "model.layers.0.q": (2, 4.0),  # the first that matches counts
        "model.layers.1.q": (3, 4.0),
        "layers.1.v": (5, 10.0),
        "x.layers.1.v": (5, 10.0),
        "layers.11.v": (4, 10.0),  # whole parts of names
        "layers.1.vv": (4, 4.0),
        "xq": (4, 4.0),
        "x.aab": (7, 4.0),
        "a+b": (7, 4.0),  # a key that equals the name, although its expression does not match
    }


def test_variants_are_reported(tmp_path):
    [text] = configured(tmp_path, use_dora=True).variants
    assert re.match("DoRA", text)
    assert configured(tmp_path, use_dora=False, velora_config=None).variants == ()


def test_no_targets_and_no_layers_are_not_an_empty_list(tmp_path):
    configuration = configured(tmp_path, target_modules=None)
    assert (configuration.targets, configuration.layers, configuration.tokens) == (None, None, ())
    configuration = configured(tmp_path, target_modules=[], layers_to_transform=[], trainable_token_indices=[3])
    assert (configuration.targets, configuration.layers, configuration.tokens) == ((), (), ("",))
    assert configured(tmp_path, layers_to_transform=2, trainable_token_indices={"embed": [1]})[-1] == ("embed",)
