"""A model's modules from its header and the class that its `config.json` names."""

import json

import pytest
from auditing.headers import model

from lorantk.auditing.architectures import architecture, kinds_by_last_name, pattern
from lorantk.auditing.errors import AuditError
from lorantk.auditing.models import read_model

LAYER = "model.layers.0"


def part(folder, name, tensors, configuration=None, data=None):
    return read_model(model(folder, tensors, configuration, data)).parts[name]


def named(kind, **more):
    return {"architectures": [kind], **more}


@pytest.mark.parametrize(
    ("name", "tensors", "found"),
    [
        ("x.q_proj", {"x.q_proj.weight": (24, 32)}, ("linear", 32, 24)),
        ("x.odd", {"x.odd.weight": (24, 32), "x.odd.bias": (24,)}, ("linear", 32, 24)),
        ("x.odd", {"x.odd.weight": (24, 32), "x.odd.bias": (32,)}, ("linear", 24, 32)),  # inputs by outputs: GPT-2's Conv1D
        ("h.0.attn.c_attn", {"h.0.attn.c_attn.weight": (32, 96), "h.0.attn.c_attn.bias": (96,)}, ("linear", 32, 96)),
        ("h.0.attn.c_attn", {"h.0.attn.c_attn.weight": (32, 32), "h.0.attn.c_attn.bias": (32,)}, ("linear", 32, 32)),
        ("x.relative_attention_bias", {"x.relative_attention_bias.weight": (16, 4)}, ("embedding", 16, 4)),
        ("x.position_embedding", {"x.position_embedding.weight": (16, 32)}, ("embedding", 16, 32)),
        ("wte", {"wte.weight": (100, 32)}, ("embedding", 100, 32)),
        ("x.conv", {"x.conv.weight": (8, 3, 5, 5), "x.conv.bias": (8,)}, ("convolution", 75, 8)),
        ("x.attn", {"x.attn.in_proj_weight": (24, 8), "x.attn.out_proj.weight": (8, 8)}, ("attention", 8, 24)),
        ("x.odd", {"x.odd.weight": (24, 32)}, ("unknown", 0, 0)),
        ("mlp.gate", {"mlp.gate.weight": (4, 32)}, ("unknown", 0, 0)),  # linear in some classes, a router in others
        ("x.norm", {"x.norm.weight": (32,), "y.q_proj.weight": (4, 4)}, ("unsupported", 0, 0)),
        ("x", {"x.q_proj.weight": (24, 32)}, ("unsupported", 0, 0)),
        ("x.depthwise", {"x.depthwise.weight": (8, 1, 3, 3)}, ("unsure", 0, 0)),
        ("e.experts.0.w1", {"e.experts.0.w1.weight": (8, 4)}, ("unknown", 0, 0)),
    ],
)
def test_the_kind_of_a_module_follows_from_its_header(name, tensors, found, tmp_path):
    read = part(tmp_path, name, tensors)
    assert (read.kind, read.features_in, read.features_out) == found
    assert bool(read.reason) == (read.kind in ("unknown", "unsure", "unsupported"))


def test_the_class_decides_where_the_name_does_not(tmp_path):
    tensors = {f"{LAYER}.mlp.gate.weight": (4, 32), f"{LAYER}.self_attn.q_proj.weight": (32, 32)}
    router = part(tmp_path / "a", f"{LAYER}.mlp.gate", tensors, named("Qwen3MoeForCausalLM"))
    assert router.kind == "unsupported"
    conv = {"resnet.embedder.embedder.convolution.weight": (8, 3, 7, 7)}
    sure = part(tmp_path / "b", "resnet.embedder.embedder.convolution", conv, named("ResNetForImageClassification"))
    assert (sure.kind, sure.features_in, sure.caveat) == ("convolution", 147, "")
    assert "if the convolution has one group" in part(tmp_path / "c", "resnet.embedder.embedder.convolution", conv).caveat


def test_a_tied_head_is_a_module_that_the_file_does_not_contain(tmp_path):
    tensors = {"model.embed_tokens.weight": (48, 16), f"{LAYER}.self_attn.q_proj.weight": (16, 16)}
    tied = read_model(model(tmp_path / "a", tensors, named("LlamaForCausalLM", tie_word_embeddings=True)))
    head, embedding = tied.parts["lm_head"], tied.parts["model.embed_tokens"]
    assert (head.kind, head.features_in, head.features_out) == ("linear", 16, 48)
    assert head.weight == embedding.weight == "model.embed_tokens.weight"
    apart = read_model(model(tmp_path / "b", tensors, named("LlamaForCausalLM", tie_word_embeddings=False)))
    assert apart.parts["lm_head"].kind == "unknown"
    assert "does not contain its weight" in apart.parts["lm_head"].reason
    assert "lm_head" not in read_model(model(tmp_path / "c", tensors)).parts


def test_a_head_of_its_own_shape_is_not_tied(tmp_path):
    tensors = {"model.embed_tokens.weight": (48, 16), "lm_head.weight": (40, 16)}
    parts = read_model(model(tmp_path, tensors, named("LlamaForCausalLM", tie_word_embeddings=True))).parts
    assert parts["lm_head"][1:4] == (16, 40, "lm_head.weight")


def test_a_bias_without_its_matrix_is_no_container(tmp_path):
    tensors = {f"{LAYER}.self_attn.q_proj.bias": (16,), f"{LAYER}.self_attn.k_proj.weight": (16, 16)}
    parts = read_model(model(tmp_path, tensors, named("LlamaForCausalLM"))).parts
    assert parts[f"{LAYER}.self_attn.q_proj"].kind == "unknown"
    assert parts[f"{LAYER}.self_attn"].kind == "unsupported"


def test_names_are_those_of_the_loaded_model(tmp_path):
    gpt = {"h.0.attn.c_attn.weight": (16, 48), "h.0.attn.c_attn.bias": (48,), "wte.weight": (50, 16)}
    read = read_model(model(tmp_path / "gpt", gpt, named("GPT2LMHeadModel")))
    assert read.parts["transformer.h.0.attn.c_attn"].features_in == 16  # the hub's file has no prefix
    assert read.parts["lm_head"].weight == "wte.weight"
    vit = {"vit.encoder.layer.1.attention.attention.query.weight": (16, 16)}
    assert "vit.layers.1.attention.q_proj" in read_model(model(tmp_path / "vit", vit, named("ViTForImageClassification"))).parts
    llava = {"language_model.model.layers.2.self_attn.q_proj.weight": (16, 16), "language_model.lm_head.weight": (48, 16)}
    parts = read_model(model(tmp_path / "llava", llava, named("LlavaForConditionalGeneration"))).parts
    assert {"model.language_model.layers.2.self_attn.q_proj", "lm_head"} <= parts.keys()


def test_experts_become_one_parameter(tmp_path):
    block = f"{LAYER}.block_sparse_moe.experts"
    shapes = {"w1": (12, 16), "w2": (16, 12), "w3": (12, 16)}
    tensors = {f"{block}.{expert}.{name}.weight": shape for expert in range(3) for name, shape in shapes.items()}
    read = read_model(model(tmp_path / "a", tensors, named("MixtralForCausalLM")))
    assert read.parameters[f"{LAYER}.mlp.experts.gate_up_proj"] == ((3, 24, 16), False)
    assert read.parameters[f"{LAYER}.mlp.experts.down_proj"] == ((3, 16, 12), False)
    assert not any(name.startswith(block) for name in read.parts)
    del tensors[f"{block}.2.w3.weight"]
    read = read_model(model(tmp_path / "b", tensors, named("MixtralForCausalLM")))
    assert f"{LAYER}.mlp.experts.gate_up_proj" not in read.parameters
    assert read.parts[f"{LAYER}.mlp.experts.gate_up_proj"].kind == "unknown"


@pytest.mark.parametrize(
    ("up", "down", "transposed"),
    [
        ((3, 24, 16), (3, 16, 12), False),
        ((3, 16, 24), (3, 12, 16), True),
        ((3, 16, 16), (3, 8, 16), True),
        ((3, 4, 4), (3, 4, 4), None),
    ],
)
def test_the_layout_of_stacks_follows_from_two_that_fit(up, down, transposed, tmp_path):
    tensors = {"m.experts.gate_up_proj": up, "m.experts.down_proj": down, "m.q_proj.weight": (4, 4)}
    parameters = read_model(model(tmp_path, tensors)).parameters
    assert [parameters[f"m.experts.{name}"].transposed for name in ("gate_up_proj", "down_proj")] == [transposed] * 2


Q = "x.q_proj"
STATE = f"{Q}.weight.quant_state.bitsandbytes__nf4"


def packed(state):
    return {f"{Q}.weight": ("U8", (384, 1)), STATE: ("U8", (len(state),))}, {STATE: state}


def test_a_packed_matrix_has_the_shape_of_its_quant_state_or_none(tmp_path):
    tensors, data = packed(json.dumps({"quant_type": "nf4", "shape": [24, 32]}).encode())
    read = part(tmp_path / "a", Q, tensors, data=data)
    assert (read.kind, read.features_in, read.features_out) == ("linear", 32, 24)
    for i, state in enumerate(
        (b"{", b"[]", b'{"shape": [24]}', b'{"shape": [24, true]}', b'{"shape": [24, 1e9]}', b'{"shape": [0, 32]}')
    ):
        tensors, data = packed(state)
        read = part(tmp_path / f"b{i}", Q, tensors, data=data)
        assert read.kind == "unknown"
        assert "no quant_state gives its shape" in read.reason
    assert part(tmp_path / "c", Q, {f"{Q}.weight": ("U8", (384, 1))}).kind == "unknown"


def test_other_quantised_matrices(tmp_path):
    gptq = {f"{Q}.qweight": ("I32", (4, 24)), f"{Q}.scales": ("F16", (1, 24))}
    read = part(tmp_path / "a", Q, gptq)
    assert read.kind == "unknown"
    assert "m = 24 outputs, and no g_idx gives its inputs" in read.reason
    read = part(tmp_path / "b", Q, gptq | {f"{Q}.g_idx": ("I32", (32,))})
    assert (read.kind, read.features_in, read.features_out) == ("linear", 32, 24)
    read = part(tmp_path / "c", Q, {f"{Q}.qweight": ("I32", (32, 3)), f"{Q}.scales": ("F16", (1, 24))})  # AWQ
    assert (read.features_in, read.features_out) == (32, 24)
    assert part(tmp_path / "d", Q, {f"{Q}.qweight": ("I32", (4, 24))}).kind == "unknown"
    assert "packed as weight_packed" in part(tmp_path / "e", Q, {f"{Q}.weight_packed": ("I32", (24, 4))}).reason
    eight = {f"{Q}.weight": ("F8_E4M3", (24, 32)), f"{Q}.weight_scale_inv": (1, 1)}
    assert part(tmp_path / "f", Q, eight).features_in == 32
    assert part(tmp_path / "g", Q, {f"{Q}.weight": ("I8", (24, 32)), f"{Q}.SCB": (24,)}).features_in == 32


def test_what_is_no_model_is_one_line(tmp_path):
    with pytest.raises(AuditError, match="expected matrices called MODULE.weight, got none"):
        read_model(model(tmp_path / "a", {"x": (3,)}))
    folder = model(tmp_path / "b", {"x.q_proj.weight": (4, 4)})
    for content, message in (("{", "expected JSON"), ("[]", "expected a JSON object")):
        (folder / "config.json").write_text(content)
        with pytest.raises(AuditError, match=message) as error:
            read_model(folder)
        assert "\n" not in str(error.value)
    for odd in ({"architectures": "LlamaForCausalLM"}, {"architectures": [3]}, {"architectures": ["Mine"]}, {"model_type": 3}):
        (folder / "config.json").write_text(json.dumps(odd))
        [note] = read_model(folder).notes
        assert "not among the known classes" in note
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to("/etc/hostname")
    with pytest.raises(AuditError, match="expected a file inside its folder"):
        read_model(folder)


def test_the_table_of_classes_is_consistent():
    assert architecture("NoSuchClass") is None
    llama = architecture("LlamaForCausalLM")
    assert llama.kinds["model.layers.*.self_attn.q_proj"] == "L"
    assert llama.kinds["model.layers.*.mlp.act_fn"] == "-"
    assert (llama.input, llama.output, llama.tied) == ("model.embed_tokens", "lm_head", (("lm_head", "model.embed_tokens"),))
    assert pattern("a.10.b1.2") == "a.*.b1.*"
    kinds = kinds_by_last_name()
    assert len(kinds) > 1000
    assert (kinds["embed_tokens"].replace("-", "").replace("o", ""), set(kinds["gate"]) >= set("LW")) == ("E", True)


def test_modules_made_of_parts_of_a_tensor_are_open(tmp_path):
    known = architecture("NomicBertModel")
    assert "encoder.layers.*.attn.Wqkv.weight" in known.lost
    tensors = {f"encoder.layers.{i}.{name}.weight": (8, 8) for i in range(2) for name in ("attn.Wqkv", "attn.out_proj")}
    read = read_model(model(tmp_path, tensors, named("NomicBertModel")))
    assert not any("Wqkv" in name for name in read.parts)
    for module in known.open:
        assert read.parts[module.replace("*", "1")].kind in ("unknown", "unsure"), module


@pytest.mark.parametrize("kind", ["weight_v", "parametrizations.weight.original1"])
def test_a_normalised_weight_has_the_shape_of_its_matrix(kind, tmp_path):
    read = part(tmp_path, "x.q_proj", {f"x.q_proj.{kind}": (24, 32), "x.q_proj.weight_g": (24, 1)})
    assert (read.kind, read.features_in, read.features_out) == ("linear", 32, 24)


def test_odd_names_are_read(tmp_path):
    odd = {
        "model.layers.*.mlp.1.weight": (4, 4),
        "٣.weight": (4, 4),
        "..weight": (4, 4),
        f"model.layers.{'9' * 400}.q.weight": (4, 4),
    }
    for i, kind in enumerate(("LlamaForCausalLM", "MixtralForCausalLM", "ResNetForImageClassification")):
        assert read_model(model(tmp_path / str(i), odd, named(kind))).notes
