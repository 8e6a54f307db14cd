"""Factors of stacked experts, against PEFT's own update of each expert (scripts/peft_selections.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
from auditing.written import CONFIGURATION, adapter, safetensors

from lorantk import audit_adapter
from lorantk.auditing.configuration import parse_configuration, read_configuration
from lorantk.auditing.errors import AuditError
from lorantk.auditing.experts import count, of_stack, unstacked, wrapped
from lorantk.auditing.pairs import pair_tensors
from lorantk.auditing.starts import start
from lorantk.auditing.tensors import read_header

MADE = json.loads((Path(__file__).parents[2] / "expected/selections.json").read_text())["stacks"]
BLOCK, EXPERTS = "model.layers.0.mlp.experts", 3


def configured(**changes):
    return parse_configuration(CONFIGURATION | changes, "adapter_config.json")


def saved(folder, configuration=None):
    """Write PEFT's adapter."""
    folder.mkdir(exist_ok=True)
    tensors = {name: np.array(rows, "f4") for name, rows in MADE["tensors"].items()}
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    content = {"peft_type": "LORA"} | MADE["configuration"] | (configuration or {})
    (folder / "adapter_config.json").write_text(json.dumps(content))
    return folder


def test_each_expert_has_the_update_that_peft_gives_it(tmp_path):
    report = audit_adapter(saved(tmp_path / "a"))
    found = {module.name: module for module in report.modules}
    assert found.keys() == {f"{BLOCK}.{name}[{expert}]" for name in ("gate_up_proj", "down_proj") for expert in range(EXPERTS)}
    for name, rows in MADE["updates"].items():
        updates = np.array(rows).reshape(EXPERTS, -1, len(rows[0]))
        for expert, update in enumerate(updates):
            module = found[f"{name}[{expert}]"]
            assert (module.features_out, module.features_in) == update.shape
            assert (module.kind, module.rank, module.scale) == ("expert", 2, 1.5)
            np.testing.assert_allclose(module.measured.norm, np.linalg.norm(update, 2), rtol=1e-5)


def test_the_split_is_that_of_peft_and_another_one_is_not(tmp_path):
    folder = saved(tmp_path / "a")
    path = folder / "adapter_model.safetensors"
    pairs, _ = pair_tensors(read_header(path), path)
    configuration = read_configuration(folder / "adapter_config.json")
    found = {pair.name: pair for pair in unstacked(configuration, pairs)}
    whole = np.array(MADE["tensors"][f"base_model.model.{BLOCK}.lora_B.weight"])  # the outermost: down_proj
    updates = np.array(MADE["updates"][f"{BLOCK}.down_proj"]).reshape(EXPERTS, len(whole), -1)
    for expert in range(EXPERTS):
        pair = found[f"{BLOCK}.down_proj[{expert}]"]
        A, B = pair.A.matrix(), pair.B.matrix()
        assert (A.shape, B.shape) == (pair.A.shape, pair.B.shape)
        np.testing.assert_allclose(1.5 * B @ A, updates[expert], atol=1e-6)
        wrong = whole[:, 2 * expert : 2 * expert + 2]  # columns grouped by expert, as the rows of A are
        assert not np.allclose(1.5 * wrong @ A, updates[expert], atol=1e-3)


@pytest.mark.parametrize(
    ("version", "noted"), [("0.21.2", False), ("0.19.0", False), ("0.18.1", True), (None, True), ("x", False)]
)
def test_the_layout_of_an_older_peft_is_noted(version, noted, tmp_path):
    report = audit_adapter(saved(tmp_path, {"peft_version": version}))
    assert ("experts-exchanged" in {entry.id for entry in report.consistency}) is noted
    assert all(module.scales.vllm is module.scales.llama_cpp is None for module in report.modules)


def test_a_stack_under_target_modules_is_no_adapter_of_its_full_rank(tmp_path):
    with pytest.raises(AuditError, match="look like those of stacked experts, but no target_parameters name"):
        audit_adapter(saved(tmp_path / "a", {"target_modules": ["experts"], "target_parameters": None, "r": 6}))
    folder = adapter(tmp_path / "b", modules=("m.q", "m.experts"), configuration={"target_modules": ["q", "experts"]})
    report = audit_adapter(folder)
    assert [module.name for module in report.modules] == ["m.q"]
    assert [refused.name for refused in report.refused] == ["m.experts"]
    assert report.overall.order is None


@pytest.mark.parametrize(
    ("entries", "names", "keys"),
    [
        (["experts.down_proj"], ["m.experts"], ["m.experts.down_proj"]),
        (
            ["experts.down_proj", "gate_up_proj"],
            ["m.experts", "m.experts.base_layer"],
            ["m.experts.down_proj", "m.experts.gate_up_proj"],
        ),
        (["gate_up_proj"], ["m.experts", "m.q"], ["m.experts.gate_up_proj"]),  # q is among target_modules
        (["mlp.gate.weight"], ["mlp.gate", "m.q_proj"], ["mlp.gate.weight"]),
        (["down_proj", "gate_up_proj"], ["m.experts"], [None]),
        (["a.first", "a.second"], ["m.a", "m.a.base_layer"], ["m.a.first", "m.a.first"]),  # the settings are the same
        (["other.down_proj"], ["m.experts"], [None]),
    ],
)
def test_what_a_saved_module_stands_for(entries, names, keys):
    found = wrapped(configured(target_parameters=entries), names)
    assert [one.key for one in found.values()] == keys
    assert all(bool(one.reason) == (one.key is None) for one in found.values())


def test_parameters_of_several_ranks_are_not_told_apart():
    configuration = configured(target_parameters=["a.first", "a.second"], rank_pattern={"first": 2})
    found = wrapped(configuration, ["m.a", "m.a.base_layer"])
    assert {one.key for one in found.values()} == {None}
    assert all("several ranks or α" in one.reason for one in found.values())


def test_shapes_that_are_no_stacks_are_refused(tmp_path):
    assert count((12, 8), (5, 12), 4) == 3
    wrong = (((12, 8), (5, 8)), ((10, 8), (5, 10)), ((12,), (5, 12)), ((4, 8, 1), (5, 4, 1)))
    assert {count(A, B, 4) for A, B in wrong} == {0}
    with pytest.raises(AuditError, match=r"expected stacks of factors of rank 4, got \[6, 12\] and \[8, 6\]"):
        audit_adapter(saved(tmp_path, {"r": 4, "target_parameters": ["down_proj", "gate_up_proj"]}))


def test_stacked_factors_start_as_those_of_one_layer():
    alone = start("false", 2, 8)
    assert of_stack(alone, "false", 3).B.variance == pytest.approx(alone.B.variance / 3)
    assert of_stack(start("true", 2, 8), "true", 3) == start("true", 2, 8)
    assert not of_stack(start("orthogonal", 2, 8), "orthogonal", 3).theory
    tensors = {name: np.array(rows) for name, rows in MADE["tensors"].items()}
    [B] = [rows for name, rows in tensors.items() if name.endswith("base_layer.lora_B.weight")]
    assert np.abs(B).max() <= 1 / np.sqrt(2 * EXPERTS)  # Kaiming uniform on all 2·3 inputs, not on one expert's 2
