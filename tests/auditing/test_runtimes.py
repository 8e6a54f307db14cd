"""The scale in each runtime, against the rules written out once more, and where the report points out a difference."""

import math

import pytest
from auditing.written import adapter

from lorantk import audit_adapter


def scales(folder, configuration, rank=4, tensors=None):
    report = audit_adapter(adapter(folder, ["layers.0.q"], configuration, rank=rank, B=0.1, tensors=tensors))
    ids = {entry.id for entry in report.consistency if entry.id.startswith("scale-in-")}
    return report.modules[0].scales, ids


def test_rslora_is_lost_in_the_conversion_to_gguf(tmp_path):
    found, ids = scales(tmp_path, {"r": 64, "lora_alpha": 16, "use_rslora": True}, rank=64)
    assert (found.peft, found.vllm, found.llama_cpp) == (2, 2, 0.25)
    assert ids == {"scale-in-llama-cpp"}


@pytest.mark.parametrize("rslora", [False, True])
def test_patterns_are_known_to_peft_alone(rslora, tmp_path):
    options = {"rank_pattern": {"q": 8}, "alpha_pattern": {"q": 32}, "use_rslora": rslora}
    found, ids = scales(tmp_path, options, rank=8)
    root = math.sqrt if rslora else float
    assert (found.peft, found.vllm, found.llama_cpp) == (32 / root(8), 4 / root(4), 4 / 8)
    assert ids == {"scale-in-llama-cpp", "scale-in-vllm"}


def test_alpha_zero_is_one_in_llama_cpp(tmp_path):
    found, ids = scales(tmp_path, {"lora_alpha": 0})
    assert (found.peft, found.vllm, found.llama_cpp) == (0, 0, 1)
    assert ids == {"scale-in-llama-cpp"}


def test_plain_adapters_have_one_scale_and_those_that_a_runtime_refuses_have_none(tmp_path):
    found, ids = scales(tmp_path / "plain", {})
    assert (found.peft, found.vllm, found.llama_cpp, found.mlx, found.diffusers) == (1, 1, 1, None, None)
    assert ids == set()
    found, ids = scales(tmp_path / "dora", {"use_dora": True})
    assert (found.peft, found.vllm, found.llama_cpp) == (1, None, None)
    found, ids = scales(tmp_path / "bias", {"lora_bias": True})
    assert (found.peft, found.vllm, found.llama_cpp) == (1, None, None)
    found, ids = scales(tmp_path / "saved", {"modules_to_save": ["lm_head"]})
    assert (found.peft, found.vllm) == (1, None)
