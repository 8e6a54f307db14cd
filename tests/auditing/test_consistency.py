"""What the files of an adapter say besides the numbers: each inconsistency is found, named, and said what to do about."""

import json
import math

import numpy as np
import pytest
from auditing import headers
from auditing.written import adapter, factors, safetensors

from lorantk import audit_adapter, audit_configuration

A, B = factors(B=0.1)
Q = "layers.0.q"


TIED = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": True}


def found(folder):
    """Return the report's findings by their id, after checking that each says what to do."""
    report = audit_adapter(folder)
    assert all(entry.text and entry.advice and entry.level in ("note", "warning") for entry in report.consistency)
    return {entry.id: entry for entry in report.consistency}


def only(report):
    [module] = report.modules
    return module


def trained(folder, configuration=None, names=(Q,), **more):
    """Write an adapter whose B is not zero and whose targets are its modules."""
    targets = {"target_modules": sorted({name.rpartition(".")[2] for name in names})}
    return adapter(folder, list(names), targets | (configuration or {}), B=0.05, **more)


def test_a_consistent_adapter_has_no_findings(tmp_path):
    assert found(trained(tmp_path)) == {}


@pytest.mark.parametrize(
    ("pattern", "scale", "dead"),
    [({"^q": 100}, 2, True), ({"^layers.0.q": 100}, 25, False), ({"base_model.model.layers.0.q": 100}, 2, True)],
)
def test_a_pattern_that_matches_nothing_is_named(pattern, scale, dead, tmp_path):
    folder = trained(tmp_path, {"lora_alpha": 8, "alpha_pattern": pattern})
    assert only(audit_adapter(folder)).scale == scale
    entries = found(folder)
    assert ("pattern-unmatched" in entries) is dead
    if dead:
        assert entries["pattern-unmatched"].names == tuple(pattern)


def test_a_dead_rank_pattern_is_named_and_the_general_rank_holds(tmp_path):
    folder = trained(tmp_path, {"rank_pattern": {"layers.9.q": 16}})
    assert only(audit_adapter(folder)).rank == 4
    assert "no module matches 1 of 1 entries of rank_pattern" in found(folder)["pattern-unmatched"].text


def test_two_patterns_on_one_module_lose_their_order_when_saved(tmp_path):
    names, patterns = ("layers.0.fc2", "layers.1.fc2"), {"fc2": 1, r"layers\.1\..*": 32}
    folder = trained(tmp_path, {"alpha_pattern": patterns}, names=names)
    assert [module.scale for module in audit_adapter(folder).modules] == [0.25, 0.25]  # what PEFT applies when it loads
    entry = found(folder)["pattern-order"]
    assert entry.names == ("layers.1.fc2",)
    assert "1, 32" in entry.text
    same = trained(tmp_path / "same", {"alpha_pattern": {"fc2": 1, r"layers\.1\..*": 1}}, names=names)
    assert "pattern-order" not in found(same)


def test_alpha_and_rank_that_are_not_declared_take_pefts_values(tmp_path):
    folder = trained(tmp_path, rank=8)
    content = json.loads((folder / "adapter_config.json").read_text())
    for key in ("r", "lora_alpha"):
        del content[key]
    (folder / "adapter_config.json").write_text(json.dumps(content))
    module = only(audit_adapter(folder))
    assert (module.rank, module.alpha, module.scale) == (8, 8.0, 1.0)
    assert "PEFT takes 8" in found(folder)["alpha-not-declared"].text
    assert "PEFT takes 8" in found(folder)["rank-not-declared"].text


def test_alpha_zero_is_inert_and_a_negative_alpha_turns_the_sign(tmp_path):
    zero = trained(tmp_path / "zero", {"lora_alpha": 0})
    module = only(audit_adapter(zero))
    assert (module.scale, module.measured.value, module.order, module.condition.value) == (0, 0, True, 0)
    assert "the adapter does nothing there" in found(zero)["alpha-zero"].text
    turned, plain = trained(tmp_path / "turned", {"lora_alpha": -8}), trained(tmp_path / "plain", {"lora_alpha": 8})
    module, other = only(audit_adapter(turned)), only(audit_adapter(plain))
    assert module.scale == -2
    assert "subtracted" in found(turned)["alpha-negative"].text
    assert module.measured == other.measured
    assert (module.order, module.remedy.alpha) == (other.order, other.remedy.alpha and -other.remedy.alpha)


@pytest.mark.parametrize("key", ["alpha", "lora_alpha"])
def test_an_alpha_in_the_header_that_contradicts_the_configuration_is_named(key, tmp_path):
    folder = trained(tmp_path, {"lora_alpha": 128})
    tensors = {f"base_model.model.{Q}.lora_A.weight": A, f"base_model.model.{Q}.lora_B.weight": B}
    for value, conflict in (("8", True), ("128", False)):
        (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors, {"format": "pt", key: value}))
        assert only(audit_adapter(folder)).scale == 32
        assert ("alpha-conflict" in found(folder)) is conflict


def test_an_alpha_tensor_that_contradicts_the_configuration_is_named(tmp_path):
    for value, conflict in ((8.0, True), (128.0, False)):
        tensors = {f"base_model.model.{Q}.alpha": np.array(value, "f4")}
        folder = trained(tmp_path / str(value), {"lora_alpha": 128}, tensors=tensors)
        assert only(audit_adapter(folder)).scale == 32
        assert ("alpha-conflict" in found(folder)) is conflict


def test_rslora_with_rank_equal_to_alpha_is_the_mark_of_a_merge(tmp_path):
    folder = trained(tmp_path, {"use_rslora": True})
    assert only(audit_adapter(folder)).scale == 2
    assert "s = 2: adapters merged by PEFT's add_weighted_adapter" in found(folder)["rslora-merged"].text
    assert "rslora-merged" not in found(trained(tmp_path / "other", {"use_rslora": True, "lora_alpha": 2}))


def test_a_rank_pattern_alone_makes_scales_differ(tmp_path):
    tensors = {
        "base_model.model.layers.0.v.lora_A.weight": factors(8)[0],
        "base_model.model.layers.0.v.lora_B.weight": factors(8)[1],
    }
    options = {"rank_pattern": {"v": 8}, "target_modules": ["q", "v"]}
    assert "from 0.5 to 1" in found(trained(tmp_path, options, tensors=tensors))["scales-differ"].text
    options |= {"alpha_pattern": {"v": 8}}
    assert "scales-differ" not in found(trained(tmp_path / "both", options, tensors=tensors))


def test_targets_without_tensors_and_tensors_without_a_target(tmp_path):
    entry = found(trained(tmp_path, {"target_modules": ["q", "v", "lm_head"]}))["target-without-tensors"]
    assert entry.names == ("v", "lm_head")
    entry = found(trained(tmp_path / "b", {"target_modules": ["q"]}, names=(Q, "layers.0.k")))["tensors-without-target"]
    assert entry.names == ("layers.0.k",)
    entry = found(trained(tmp_path / "c", {"target_modules": r".*\.q"}, names=(Q, "layers.0.k")))["tensors-without-target"]
    assert entry.names == ("layers.0.k",)
    for name, options in {
        "f": {"exclude_modules": ["k"]},
        "g": {"exclude_modules": r".*\.k"},
        "h": {"layers_to_transform": [0], "layers_pattern": "layers"},
        "i": {"target_modules": []},
    }.items():
        entry = found(trained(tmp_path / name, options, names=(Q, "layers.1.k")))["tensors-without-target"]
        assert set(entry.names) == ({Q, "layers.1.k"} if name == "i" else {"layers.1.k"})
        assert (next(iter(options)) in entry.text) is True
    entry = found(trained(tmp_path / "j", {"target_modules": "q"}))["tensors-without-target"]
    assert "an expression for whole names" in entry.text
    entry = found(trained(tmp_path / "d", {"modules_to_save": ["lm_head"]}))["target-without-tensors"]
    assert entry.names == ("lm_head",)
    entry = found(trained(tmp_path / "e", {"layers_to_transform": [0, 7]}))["target-without-tensors"]
    assert entry.names == ("7",)
    assert found(trained(tmp_path / "all", {"target_modules": "all-linear"})) == {}
    assert found(trained(tmp_path / "none", {"target_modules": None})).keys() == {"targets-not-declared"}


@pytest.mark.parametrize(
    ("prefix", "text"),
    [
        ("_orig_mod.base_model.model.", "_orig_mod"),
        ("base_model.model._orig_mod.", "_orig_mod"),
        ("base_model.model._fsdp_wrapped_module.", "_fsdp_wrapped_module"),
        ("module.base_model.model.", "module"),
        ("", "lack PEFT's prefix"),
        ("base_model.model.base_model.model.", "have base_model.model. before PEFT's prefix"),
        ("model.base_model.model.", "have model. before PEFT's prefix"),
    ],
)
def test_names_under_which_peft_looks_for_nothing(prefix, text, tmp_path):
    entry = found(trained(tmp_path, prefix=prefix))["names-do-not-load"]
    assert text in entry.text
    assert "2 of 2 factors" in entry.text


def test_a_wrapper_inside_a_name_makes_its_pattern_miss(tmp_path):
    folder = trained(tmp_path, {"lora_alpha": 8, "alpha_pattern": {"^layers.0.q": 100}}, prefix="base_model.model._orig_mod.")
    assert only(audit_adapter(folder)).scale == 2
    assert {"names-do-not-load", "pattern-unmatched"} <= found(folder).keys()


def test_a_zero_b_is_counted(tmp_path):
    untrained = adapter(tmp_path, ["layers.0.q", "layers.0.v"])
    assert found(untrained)["factor-zero"].text == "B is zero in 2 of 2 modules: the adapter does nothing there"
    assert found(untrained)["factor-zero"].level == "note"
    other = {"base_model.model.layers.0.k.lora_A.weight": A, "base_model.model.layers.0.k.lora_B.weight": B}
    partly = adapter(tmp_path / "partly", tensors=other, configuration={"target_modules": ["q", "k", "v"]})
    entry = found(partly)["factor-zero"]
    assert (entry.text[:27], entry.level) == ("B is zero in 2 of 3 modules", "warning")
    assert entry.names == ("layers.0.q", "layers.0.v")


def test_a_b_that_is_zero_in_most_rows_is_named(tmp_path):
    for rows, named in ((5, True), (20, False)):
        part = B.copy()
        part[rows:] = 0
        folder = trained(tmp_path / str(rows))
        tensors = {f"base_model.model.{Q}.lora_A.weight": A, f"base_model.model.{Q}.lora_B.weight": part}
        (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
        assert ("rows-zero" in found(folder)) is named


def test_options_that_are_not_known_are_named(tmp_path):
    folder = trained(tmp_path, {"use_ylora": True, "ylora_config": {"gain": 3.0}, "use_zlora": False})
    assert found(folder)["unknown-option"].names == ("use_ylora", "ylora_config")
    assert "newer than 0.21" in found(trained(tmp_path / "new", {"peft_version": "9.0.0"}))["newer-version"].text
    assert found(trained(tmp_path / "now", {"peft_version": "0.21.2"})) == {}


MAGNITUDE = {f"base_model.model.{Q}.lora_magnitude_vector": np.ones(24, "f4")}


@pytest.mark.parametrize(
    ("flag", "tensors", "id"),
    [
        (True, {}, "dora-incomplete"),
        (False, MAGNITUDE, "dora-incomplete"),
        (True, {f"base_model.model.{Q}.dora_scale": np.ones(24, "f4")}, "dora-names"),
        (True, MAGNITUDE, None),
    ],
)
def test_doras_flag_and_its_magnitudes_go_together(flag, tensors, id, tmp_path):
    folder = trained(tmp_path, {"use_dora": flag}, tensors=tensors)
    assert only(audit_adapter(folder)).order is (None if flag else True)
    assert found(folder).keys() >= ({id} if id else set())
    assert id or found(folder) == {}


@pytest.mark.parametrize(("flag", "saved"), [(True, False), (False, True), (True, True), (False, False)])
def test_biases_go_with_their_flag(flag, saved, tmp_path):
    tensors = {f"base_model.model.{Q}.lora_B.bias": np.ones(24, "f4")} if saved else {}
    folder = trained(tmp_path, {"lora_bias": flag}, tensors=tensors)
    assert found(folder).keys() == ({"bias-incomplete"} if flag != saved else set())


@pytest.mark.parametrize(("indices", "saved"), [([1], False), (None, True), ([1], True), (None, False)])
def test_rows_of_trained_tokens_go_with_their_option(indices, saved, tmp_path):
    rows = {"base_model.model.embed_tokens.token_adapter.trainable_tokens_delta": np.ones((1, 32), "f4")} if saved else {}
    folder = trained(tmp_path, {"trainable_token_indices": indices}, tensors=rows)
    assert found(folder).keys() == ({"tokens-incomplete"} if bool(indices) != saved else set())


@pytest.mark.parametrize(("init", "noted"), [("pissa_niter_16", True), ("olora", True), (True, False), ("eva", False)])
def test_a_start_that_changed_the_weights_is_noted(init, noted, tmp_path):
    assert ("start-changes-weights" in found(trained(tmp_path, {"init_lora_weights": init}))) is noted


def test_the_output_of_attention_takes_the_settings_of_the_attention(tmp_path):
    names = ("x.attn", "x.attn.base_layer.out_proj")
    options = {"target_modules": ["attn"], "alpha_pattern": {"attn": 32}, "rank_pattern": {"x.attn": 4}}
    report = audit_adapter(trained(tmp_path, options, names=names))
    assert [module.scale for module in report.modules] == [8, 8]
    assert not {"tensors-without-target", "pattern-unmatched"} & {entry.id for entry in report.consistency}


def test_full_matrices_are_counted_and_named(tmp_path):
    tensors = {f"base_model.model.{name}.weight": np.ones((500, 32), "f4") for name in ("embed_tokens", "lm_head")}
    folder = trained(tmp_path, {"modules_to_save": ["embed_tokens", "lm_head"]}, tensors=tensors)
    entry = found(folder)["full-matrices"]
    assert entry.names == tuple(tensors)
    assert "2 tensors besides the factors, 99 % of the file" in entry.text
    assert only(audit_adapter(folder)).order is True


def test_a_pickle_beside_the_weights_and_adapters_below_are_named(tmp_path):
    folder = trained(tmp_path)
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04.")
    (folder / "adapters.safetensors").write_bytes(b"")
    trained(folder / "second")
    assert found(folder)["weights-beside"].names == ("adapters.safetensors",)
    assert found(folder)["pickle-beside"].names == ("adapter_model.bin",)
    assert found(folder)["more-adapters"].names == ("second",)


def test_names_and_shapes_are_compared_with_a_model(tmp_path):
    folder = trained(tmp_path / "a", names=("model.layers.0.self_attn.q",))
    model = tmp_path / "model.safetensors"

    def against(name, shape):
        model.write_bytes(safetensors({name: np.zeros(shape, "f4")}))
        return {entry.id: entry for entry in audit_adapter(folder, model=model).consistency}

    assert against("model.layers.0.self_attn.q.weight", (24, 32)) == {}
    entry = against("model.language_model.layers.0.self_attn.q.weight", (24, 32))["names-not-in-model"]
    assert "where the model has model.language_model.layers.0.self_attn.q" in entry.text
    entry = against("model.layers.0.self_attn.q.weight", (24, 48))["shapes-not-of-model"]
    assert "has n = 32 and m = 24, the model 48 and 24" in entry.text


def test_a_matrix_that_the_model_ties_is_named(tmp_path):
    tensors = {"model.embed_tokens.weight": (24, 32), "model.layers.0.self_attn.q_proj.weight": (24, 32)}
    base = headers.model(tmp_path / "base", tensors, TIED)
    entries = {
        name: {entry.id: entry for entry in audit_adapter(trained(tmp_path / name, names=(name,)), model=base).consistency}
        for name in ("lm_head", "model.layers.0.self_attn.q_proj")
    }
    assert set(entries["lm_head"]["shared-matrix"].names) == {"lm_head", "model.embed_tokens"}
    assert entries["model.layers.0.self_attn.q_proj"] == {}


def test_a_converted_start_keeps_its_scale_and_is_no_fresh_draw(tmp_path):
    A0, B0 = factors(seed=9, B=0.1)
    tensors = {
        f"base_model.model.{Q}.lora_A.weight": np.vstack([A, A0]),
        f"base_model.model.{Q}.lora_B.weight": np.hstack([B, -B0]),
    }
    folder = trained(tmp_path, {"r": 8, "lora_alpha": 16})
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    module = only(audit_adapter(folder))
    assert (module.scale, module.measured.fresh) == (2, False)
    update = 2 * (B.astype(float) @ A - B0.astype(float) @ A0)
    np.testing.assert_allclose(module.measured.norm, np.linalg.norm(update, 2), rtol=1e-7)
    assert module.measured.balanced < module.measured.value
    assert math.isclose(module.measured.balanced, 4 * np.linalg.norm(update, 2), rel_tol=1e-7)


def test_a_configuration_alone_is_checked_too(tmp_path):
    options = {"use_ylora": True, "alpha_pattern": {"^q": 100}, "target_modules": ["q", "nowhere"], "use_rslora": True}
    path = trained(tmp_path, options) / "adapter_config.json"
    content = json.loads(path.read_text())
    found = {entry.id for entry in audit_configuration(path, features=32).consistency}
    assert found == {"unknown-option", "rslora-merged"}
    model = tmp_path / "model.safetensors"
    model.write_bytes(safetensors({"model.layers.0.q.weight": np.zeros((24, 32), "f4")}))
    entries = {entry.id: entry for entry in audit_configuration(path, model=model).consistency}
    assert entries.keys() == {"unknown-option", "rslora-merged", "pattern-unmatched", "target-unmatched"}
    assert entries["target-unmatched"].names == ("nowhere",)
    model.write_bytes(
        safetensors(
            {"model.layers.0.q.weight_packed": np.zeros((24, 4), "f4"), "model.layers.0.v.weight": np.zeros((24, 32), "f4")}
        )
    )
    path.write_text(json.dumps(content | {"target_modules": ["q", "v"]}))
    report = audit_configuration(path, model=model)
    assert [entry.name for entry in report.refused] == ["model.layers.0.q"]
    assert "target-unmatched" not in {entry.id for entry in report.consistency}
    model.write_bytes(safetensors({"model.layers.0.q.weight": np.zeros((24, 32), "f4")}))
    del content["lora_alpha"]
    path.write_text(json.dumps(content | {"use_rslora": False, "alpha_pattern": {}, "use_ylora": False, "target_modules": ["q"]}))
    assert {entry.id for entry in audit_configuration(path, model=model).consistency} == {"alpha-not-declared"}
