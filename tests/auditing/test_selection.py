"""Which modules PEFT adapts, and what is refused by name."""

import json

import pytest
from auditing.headers import model
from auditing.written import CONFIGURATION, adapter

from lorantk import audit_adapter, audit_configuration
from lorantk.auditing.configuration import parse_configuration, settings
from lorantk.auditing.errors import AuditError
from lorantk.auditing.matching import ends, matcher
from lorantk.auditing.models import read_model
from lorantk.auditing.selection import replicated, select, shapes

LLAMA = {f"model.layers.{i}.self_attn.{name}.weight": (16, 16) for i in range(3) for name in ("q_proj", "v_proj")}
LLAMA |= {"model.embed_tokens.weight": (48, 16), "model.norm.weight": (16,), "lm_head.weight": (48, 16)}
CLASS = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": False}
MOE = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral"}
Q = [f"model.layers.{i}.self_attn.q_proj" for i in range(3)]


def configured(**changes):
    return parse_configuration(CONFIGURATION | changes, "adapter_config.json")


def selected(folder, tensors=LLAMA, config=CLASS, **changes):
    return select(configured(**changes), read_model(model(folder, tensors, config)))


def names(selection):
    return {target.shape.name for target in selection.targets}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"target_modules": ["q"]}, {"layers.0.q", "layers.1.q"}),
        ({"target_modules": ["layers.0.q", "v"]}, {"layers.0.q", "layers.0.v", "layers.1.v"}),
        ({"target_modules": r".*\.1\.[qv]"}, {"layers.1.q", "layers.1.v"}),
        ({"target_modules": ["q", "v"], "exclude_modules": ["layers.0.q"]}, {"layers.1.q", "layers.0.v", "layers.1.v"}),
        ({"target_modules": ["q", "v"], "exclude_modules": r".*\.q"}, {"layers.0.v", "layers.1.v"}),
        ({"target_modules": ["q"], "layers_to_transform": 1}, set()),  # PEFT wants a name before "layers"
        ({"target_modules": ["q"], "layers_to_transform": 1, "layers_pattern": "layers"}, {"layers.1.q"}),  # unless it is named
        ({"target_modules": ["q", "lm_head", "layers.1.v"], "layers_to_transform": [0]}, {"lm_head", "layers.1.v"}),
        ({"target_modules": ["q", "head"], "modules_to_save": ["layers"]}, {"head"}),
        ({"target_modules": ["q"], "layers_to_transform": []}, {"layers.0.q", "layers.1.q"}),
        ({"target_modules": []}, set()),
    ],
)
def test_names_are_matched_as_in_peft(changes, found):
    every = ("layers.0.q", "layers.0.v", "layers.1.q", "layers.1.v", "head", "lm_head", "wte")
    is_target = matcher(configured(**changes))
    assert {name for name in every if is_target(name)} == found


@pytest.mark.parametrize("pattern", [None, "layers", ["h", "layers"]])
def test_layers_are_counted_by_the_first_number(pattern):
    is_target = matcher(configured(target_modules=["q"], layers_to_transform=[1], layers_pattern=pattern))
    every = ("model.layers.1.q", "model.layers.1.experts.0.q", "model.layers.0.experts.1.q")
    assert [is_target(name) for name in every] == [True, True, False]


def test_ends_are_whole_parts():
    assert ends("a.b.c", {"c"})
    assert ends("a.b.c", {"b.c"})
    assert ends("a", {"a"})
    assert not ends("a.bc", {"c"})
    assert not ends("a.b.c", {"b"})


def test_exact_names_count_whatever_their_layer(tmp_path):
    found = selected(tmp_path, target_modules=["q_proj", "lm_head"], layers_to_transform=[0])
    assert names(found) == {Q[0], "lm_head"}


def test_a_long_list_of_names_is_first_shortened(tmp_path):
    tensors = {f"model.layers.{i}.self_attn.{name}.weight": (4, 4) for i in range(12) for name in ("q_proj", "v_proj")}
    every = sorted(name.removesuffix(".weight") for name in tensors)
    found = selected(tmp_path / "a", tensors, target_modules=every[:19], layers_to_transform=[0])
    assert names(found) == set(every[:19])  # exact names
    found = selected(tmp_path / "b", tensors, target_modules=every, layers_to_transform=[0])
    assert names(found) == {f"model.layers.0.self_attn.{name}" for name in ("q_proj", "v_proj")}  # q_proj and v_proj


def test_all_linear_leaves_out_the_output_layer_of_the_class(tmp_path):
    found = selected(tmp_path / "a", target_modules="All-Linear")
    assert (names(found), found.refused) == ({name.removesuffix(".weight") for name in LLAMA if "self_attn" in name}, {})
    sequence = {"architectures": ["LlamaForSequenceClassification"], "model_type": "llama"}
    tensors = {name: shape for name, shape in LLAMA.items() if name != "lm_head.weight"} | {"score.weight": (2, 16)}
    for task, head in ((None, {"score"}), ("SEQ_CLS", set())):
        found = selected(tmp_path / f"b{task}", tensors, sequence, target_modules="all-linear", task_type=task)
        assert names(found) - {name.removesuffix(".weight") for name in LLAMA} == head


def test_a_refused_module_does_not_hide_the_others(tmp_path):
    found = selected(tmp_path, target_modules=["q_proj", "norm", "act_fn", "layers.1"])
    assert names(found) == set(Q)
    assert found.refused.keys() == {"model.norm", "model.layers.1", *(f"model.layers.{i}.mlp.act_fn" for i in range(0))}
    assert "a vector" in found.refused["model.norm"]
    assert "no matrix of its own" in found.refused["model.layers.1"]


def test_what_matches_nothing_is_said(tmp_path):
    found = selected(tmp_path / "a", target_modules=["q_proj", "k_proj"])
    assert "targets that match nothing in the model: k_proj" in found.notes
    found = selected(
        tmp_path / "b", {key: LLAMA[key] for key in LLAMA if "head" not in key}, None, target_modules=["q_proj", "lm_head"]
    )
    assert names(found) == set(Q)
    assert "a head that is tied to an embedding is not stored" in found.refused["lm_head"]


def test_the_default_targets_are_those_of_the_type(tmp_path):
    assert names(selected(tmp_path / "a", target_modules=None)) == {
        name.removesuffix(".weight") for name in LLAMA if "self_attn" in name
    }
    with pytest.raises(AuditError, match="expected target_modules, .* got none"):
        selected(tmp_path / "b", config=None, target_modules=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"target_modules": ".*q", "layers_to_transform": [0]},
            "expected no layers_to_transform or layers_pattern beside an expr",
        ),
        (
            {"target_modules": ".*q", "layers_to_transform": []},
            "expected no layers_to_transform or layers_pattern beside an expr",
        ),
        ({"layers_pattern": "layers"}, "expected layers_to_transform beside layers_pattern"),
        ({"lora_bias": True, "use_dora": True}, "expected lora_bias without DoRA"),
        ({"lora_bias": True, "init_lora_weights": "gaussian"}, "expected lora_bias without DoRA"),
        ({"target_modules": "("}, "target_modules: expected a regular expression"),
        ({"exclude_modules": "("}, "exclude_modules: expected a regular expression"),
        ({"modules_to_save": ["("]}, "modules_to_save: expected a regular expression"),
        ({"layers_pattern": "(", "layers_to_transform": 1}, "layers_pattern: expected a regular expression"),
        ({"layer_replication": [[0, 9]]}, r"expected layer_replication of layers 0 to 2, got \(\(0, 9\),\)"),
    ],
)
def test_what_peft_refuses_as_a_whole_is_one_line(changes, message, tmp_path):
    with pytest.raises(AuditError, match=message) as error:
        selected(tmp_path, **changes)
    assert "\n" not in str(error.value)


def experts(count=3):
    block = "model.layers.0.block_sparse_moe"
    shapes = {"w1": (12, 16), "w2": (16, 12), "w3": (12, 16)}
    tensors = {f"{block}.experts.{expert}.{name}.weight": shape for expert in range(count) for name, shape in shapes.items()}
    return tensors | {f"{block}.gate.weight": (count, 16), Q[0] + ".weight": (16, 16)}


def test_experts_that_are_targets_become_parameters(tmp_path):
    found = selected(tmp_path / "a", experts(), MOE, r=4, lora_alpha=8, target_modules=["q_proj", "w1", "w2", "w3"])
    block = "model.layers.0.mlp.experts"
    given = {target.shape: settings(found.configuration, target.key) for target in found.targets}
    assert {shape.name for shape in given} == {
        Q[0],
        *(f"{block}.{name}[{e}]" for name in ("gate_up_proj", "down_proj") for e in range(3)),
    }
    for shape, own in given.items():
        if "gate_up" in shape.name:
            assert (shape.kind, shape.features_in, shape.features_out, *own) == ("expert", 16, 24, 8, 16.0, 2.0)  # twice r and α
        elif "down" in shape.name:
            assert (shape.kind, shape.features_in, shape.features_out, *own) == ("expert", 12, 16, 4, 8.0, 2.0)
    with pytest.raises(AuditError, match="expected w3 among target_modules beside w1"):
        selected(tmp_path / "b", experts(), MOE, target_modules=["w1"])
    found = selected(tmp_path / "c", experts(), MOE, target_modules="all-linear")
    router = [target for target in found.targets if "gate.weight" in target.key]
    assert [target.shape[1:] for target in router] == [("linear", 16, 3)]


def test_parameters_that_peft_refuses_are_named(tmp_path):
    for i, (changes, word) in enumerate(
        [
            ({"lora_dropout": 0.1}, "lora_dropout"),
            ({"use_dora": True}, "use_dora"),
            ({"target_parameters": ["q_proj.weight"]}, "its module is adapted too"),
        ]
    ):
        changes = {"target_modules": ["q_proj"], "target_parameters": ["experts.down_proj"]} | changes
        found = selected(tmp_path / str(i), experts(), MOE, **changes)
        assert names(found) == {Q[0]}
        [(name, reason)] = found.refused.items()
        assert word in reason
    found = selected(
        tmp_path / "x", {"m.experts.other": (3, 4, 5), **LLAMA}, None, target_modules=[], target_parameters=["other"]
    )
    assert "does not say whether its matrices are outputs by inputs" in found.refused["m.experts.other"]
    for i, shape in enumerate([(0, 0), (4, 0), (0, 4, 5)]):
        found = selected(tmp_path / f"y{i}", {"m.other": shape, **LLAMA}, None, target_modules=[], target_parameters=["other"])
        assert (found.targets, found.refused) == ([], {"m.other": "it is empty"})


def test_copies_of_layers_share_their_matrix(tmp_path):
    found = selected(tmp_path, target_modules=["q_proj"], layer_replication=[[0, 2], [1, 3]])
    assert names(found) == {f"model.layers.{i}.self_attn.q_proj" for i in range(4)}
    assert found.shared == (("model.layers.1.self_attn.q_proj", "model.layers.2.self_attn.q_proj"),)


def test_tied_embeddings_share_their_matrix(tmp_path):
    tied = CLASS | {"tie_word_embeddings": True}
    assert selected(tmp_path / "a", config=tied, target_modules=["q_proj"]).shared == ()
    found = selected(tmp_path / "b", config=tied, target_modules=["lm_head"])
    assert [set(group) for group in found.shared] == [{"model.embed_tokens", "lm_head"}]
    found = selected(tmp_path / "c", config=tied, target_modules=["q_proj", "lm_head"], ensure_weight_tying=True)
    assert names(found) == set(Q)
    assert found.refused.keys() == {"lm_head", "model.embed_tokens"}


def test_attention_is_two_matrices(tmp_path):
    tensors = {"a.in_proj_weight": (24, 8), "a.out_proj.weight": (8, 8), "a.out_proj.bias": (8,)}
    found = selected(tmp_path / "a", tensors, None, target_modules=["a"])
    assert [target.shape[1:] for target in found.targets] == [("linear", 8, 24), ("linear", 8, 8)]
    empty = {"a.in_proj_weight": (0, 0), "a.out_proj.weight": (0, 0), "b.weight": (4, 4), "b.bias": (4,)}
    assert names(selected(tmp_path / "c", empty, None, target_modules=["a", "b"])) == {"b"}
    assert "DoRA" in selected(tmp_path / "b", tensors, None, target_modules=["a"], use_dora=True).refused["a"]


def test_a_report_names_what_is_refused(tmp_path):
    folder = model(tmp_path, LLAMA | {"x.odd.weight": (4, 4)}, CLASS)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(CONFIGURATION | {"target_modules": ["q_proj", "norm", "odd"]}))
    report = audit_configuration(path, model=folder)
    assert [module.name for module in report.modules] == Q
    assert {refused.name for refused in report.refused} == {"model.norm", "x.odd"}
    assert (report.overall.modules, report.overall.refused, report.overall.order) == (3, 2, None)
    assert "not audited: model.norm: its weight is a vector" in str(report)
    assert report.to_dict()["refused"][0].keys() == {"name", "reason"}
    path.write_text(json.dumps(CONFIGURATION | {"target_modules": ["norm"]}))
    with pytest.raises(AuditError, match="got model.norm: its weight is a vector"):
        audit_configuration(path, model=folder)


def test_a_partly_packed_model_is_audited_where_it_can_be(tmp_path):
    tensors = {
        Q[0].replace("q_proj", "q_proj.qweight"): ("I32", (4, 32)),
        Q[0].replace("q_proj", "q_proj.scales"): ("F16", (1, 32)),
    }
    found = selected(tmp_path, tensors | {"lm_head.weight": (64, 32)}, None, target_modules=["q_proj", "lm_head"])
    assert names(found) == {"lm_head"}
    assert "packed as qweight" in found.refused[Q[0]]


def test_experts_without_a_class_are_refused_by_name(tmp_path):
    tensors = {f"model.layers.0.mlp.experts.{e}.{name}.weight": (16, 32) for e in range(3) for name in ("gate_proj", "up_proj")}
    folder = model(tmp_path, tensors | {"model.layers.0.mlp.gate.weight": (3, 32), f"{Q[0]}.weight": (32, 32)})
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(CONFIGURATION | {"target_modules": "all-linear"}))
    report = audit_configuration(path, model=folder)
    assert [module.name for module in report.modules] == [Q[0]]
    assert len(report.refused) == 7
    text = " ".join(str(report).split())
    assert "model.layers.*.mlp.experts.*.gate_proj: one matrix of an expert: Transformers 5 stacks" in text
    assert text.count("one matrix of an expert") == 2  # three experts each
    assert text.count("(×3)") == 2
    assert "model.layers.0.mlp.gate: its 3 × 32 matrix may be" in text


def test_shapes_are_those_of_every_matrix_that_could_be_adapted(tmp_path):
    found = shapes(replicated(configured(layer_replication=[[0, 1], [0, 1]]), read_model(model(tmp_path / "a", LLAMA, CLASS))))
    assert {name: shape for name, shape in found.items() if shape} == {
        **{f"model.layers.{i}.self_attn.{name}": (16, 16) for i in range(2) for name in ("q_proj", "v_proj")},
        "model.embed_tokens": (48, 16),
        "lm_head": (16, 48),
    }
    found = shapes(read_model(model(tmp_path / "b", experts() | {"x.odd.weight": (4, 4)}, MOE)))
    assert found["model.layers.0.mlp.experts.gate_up_proj"] == (16, 24)
    assert found["x.odd"] is None


def test_a_saved_adapter_is_compared_with_the_model(tmp_path):
    folder = model(tmp_path / "model", LLAMA | {"model.layers.0.odd.weight": (32, 24)}, CLASS)
    saved = adapter(tmp_path / "adapter", [Q[0], "model.layers.0.odd", "no.such"], {"target_modules": ["q_proj", "odd", "such"]})
    found = {entry.id: entry for entry in audit_adapter(saved, model=folder).consistency}
    assert found["names-not-in-model"].names == ("no.such",)  # of odd, the kind is not known
    assert found["shapes-not-of-model"].names == (Q[0],)
    assert "has n = 32 and m = 24, the model 16 and 16" in found["shapes-not-of-model"].text
