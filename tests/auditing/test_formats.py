"""Adapters in the formats that people have: one update in each of them, and refusals by the name of what it is."""

import json
import math
import struct

import gguf
import ml_dtypes
import numpy as np
import pytest
from auditing.written import CONFIGURATION, adapter, factors, raw, safetensors

from lorantk import audit_adapter
from lorantk.auditing.errors import AuditError

A, B = factors(n=64, m=32, B=0.2)
NORM = np.linalg.norm(B.astype(float) @ A, 2)


def only(report):
    [module] = report.modules
    return module


def ids(report):
    return {entry.id for entry in report.consistency}


def file(folder, tensors, metadata=None, name="lora.safetensors"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(safetensors(tensors, metadata))
    return folder / name


def number(value):
    return np.array(value, "f4")


@pytest.mark.parametrize(
    ("down", "up", "alpha"),
    [
        ("lora_unet_x_to_q.lora_down.weight", "lora_unet_x_to_q.lora_up.weight", "lora_unet_x_to_q.alpha"),
        ("unet.x.processor.to_q_lora.down.weight", "unet.x.processor.to_q_lora.up.weight", "unet.x.processor.to_q.alpha"),
        ("unet.x.to_q.lora.down.weight", "unet.x.to_q.lora.up.weight", "unet.x.to_q.alpha"),
        ("text_encoder.q.lora_linear_layer.down.weight", "text_encoder.q.lora_linear_layer.up.weight", "text_encoder.q.alpha"),
    ],
)
def test_down_and_up_are_a_and_b_and_alpha_counts(down, up, alpha, tmp_path):
    report = audit_adapter(file(tmp_path, {down: A, up: B, alpha: number(1)}))
    module = only(report)
    assert report.format == ("kohya" if down.startswith("lora_") else "diffusers")
    assert (module.rank, module.alpha, module.scale, module.init) == (4, 1, 0.25, "true")
    assert (module.scales.diffusers, module.scales.peft) == (0.25, None)
    np.testing.assert_allclose(module.measured.norm, NORM / 4, rtol=1e-7)


def test_kohyas_convolutions_are_read_and_alpha_zero_is_alpha_r(tmp_path):
    rng = np.random.default_rng(0)
    down, up = rng.standard_normal((4, 16, 3, 3)).astype("f4"), rng.standard_normal((32, 4, 1, 1)).astype("f4")
    tensors = {"lora_unet_c.lora_down.weight": down, "lora_unet_c.lora_up.weight": up, "lora_unet_c.alpha": number(0)}
    report = audit_adapter(file(tmp_path, tensors))
    module = only(report)
    assert (module.kind, module.features_in, module.features_out, module.scale) == ("convolution", 144, 32, 1)
    np.testing.assert_allclose(
        module.measured.norm, np.linalg.norm(up.reshape(32, 4).astype(float) @ down.reshape(4, -1), 2), rtol=1e-7
    )
    assert "alpha-zero" in ids(report)
    assert module.scales.diffusers == 0  # diffusers takes it literally


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"lora_unet_x.hada_w1_a": A, "lora_unet_x.hada_w1_b": A}, "LoHa, whose update is a Hadamard product"),
        ({"lora_unet_x.lokr_w1": A, "lora_unet_x.lokr_w2": A}, "LoKr, whose update is a Kronecker product"),
        ({"x.lora_A": A, "x.lora_B": B, "x.lora_E": A}, "AdaLoRA"),
        ({"base_model.vera_A": A, "base_model.vera_B": B, "x.vera_lambda_b": A}, "VeRA"),
        ({"x.ia3_l": A}, "IA³"),
        ({"prompt_embeddings": A}, "prompt tuning"),
        ({"lora_unet_x.oft_blocks": A}, "OFT"),
        ({"input_blocks.0.0.down": A, "input_blocks.0.0.up": B, "lora_controlnet": A}, "Control-LoRA"),
        ({"layers.0.attn.q_proj.lora_a.weight": A, "layers.0.attn.q_proj.lora_b.weight": B}, "torchtune's own names"),
        ({"x.linear_qkv.adapter.linear_in.weight": A, "x.linear_qkv.adapter.linear_out.weight": B}, "NeMo's own names"),
        ({"model.q_proj.A": A, "model.q_proj.B": B}, "mlx-vlm's A and B"),
        ({"base_model.model.q_proj_A.weight": A, "base_model.model.q_proj_B.weight": B}, "if an adapter is called lora"),
        ({"base_model.model._flat_param": A}, "FSDP shards"),
        ({"model.embed.weight": A}, "none of 1 tensors, such as 'model.embed.weight'"),
        ({}, "a file without tensors"),
    ],
)
def test_other_methods_are_refused_by_name(tensors, message, tmp_path):
    with pytest.raises(AuditError, match=message) as error:
        audit_adapter(file(tmp_path, tensors))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("configuration", [CONFIGURATION, {"rank": 4, "alpha": 8}])
def test_names_of_other_programs_are_refused_beside_a_configuration(configuration, tmp_path):
    for name, tensors in {
        "torchtune's": {"layers.0.q.lora_a.weight": A, "layers.0.q.lora_b.weight": B},
        "mlx-vlm's": {"model.q.A": A, "model.q.B": B},
    }.items():
        file(tmp_path, tensors, name="adapter_model.safetensors")
        (tmp_path / "adapter_config.json").write_text(json.dumps(configuration))
        with pytest.raises(AuditError, match=f"got {name}"):
            audit_adapter(tmp_path)


def test_a_tensor_called_like_another_programs_factor_does_no_harm(tmp_path):
    tensors = {"base_model.model.ssm.A": A, "base_model.model.x.proj_A.weight": A}
    report = audit_adapter(adapter(tmp_path, ["layers.0.q"], {"target_modules": ["q"]}, tensors))
    assert [module.name for module in report.modules] == ["layers.0.q"]


def test_one_adapter_for_several_matrices_of_an_early_peft_is_refused(tmp_path):
    with pytest.raises(AuditError, match="got enable_lora, with which PEFT before 0.3"):
        audit_adapter(adapter(tmp_path, configuration={"enable_lora": [True, False, True]}))
    assert audit_adapter(adapter(tmp_path, configuration={"enable_lora": None})).overall.modules == 2


def test_a_grouped_convolution_is_refused_by_name(tmp_path):
    down, up = np.ones((4, 8, 3, 3), "f4"), np.ones((32, 2, 1, 1), "f4")
    tensors = {"base_model.model.conv.lora_A.weight": down, "base_model.model.conv.lora_B.weight": up}
    with pytest.raises(AuditError, match="expected a convolution of one group, got one of 2 groups"):
        audit_adapter(adapter(tmp_path, [], {"target_modules": ["conv"]}, tensors))


def test_factors_of_other_dimensions_than_each_other_are_named(tmp_path):
    tensors = {"lora_unet_c.lora_down.weight": np.ones((4, 8, 3, 3), "f4"), "lora_unet_c.lora_up.weight": np.ones((16, 4), "f4")}
    with pytest.raises(AuditError, match=r"expected as many dimensions as A's shape \[4, 8, 3, 3\], got \[16, 4\]"):
        audit_adapter(file(tmp_path, tensors))


def test_xlabs_numbered_factors_are_two_modules(tmp_path):
    tensors = {
        f"double_blocks.0.processor.qkv_lora{i}.{part}.weight": X for i in (1, 2) for part, X in (("down", A), ("up", i * B))
    }
    report = audit_adapter(file(tmp_path, tensors))
    assert [module.name for module in report.modules] == [f"double_blocks.0.processor.qkv_lora{i}" for i in (1, 2)]
    np.testing.assert_allclose([module.measured.norm for module in report.modules], [NORM, 2 * NORM], rtol=1e-7)


@pytest.mark.parametrize(
    "extra", ["diffusion_model.norm3.diff", "diffusion_model.q.diff_b", "x.scalar", "bundle_emb.t.string_to_param.*"]
)
def test_tensors_that_no_reader_knows_are_named(extra, tmp_path):
    kohya = {"lora_unet_x.lora_down.weight": A, "lora_unet_x.lora_up.weight": B, "lora_unet_x.alpha": number(4)}
    for tensors in (kohya, PEFT_NAMES | {"base_model.model.q.alpha": number(4)}):
        assert ids(audit_adapter(file(tmp_path, tensors))) == set()
        report = audit_adapter(file(tmp_path, tensors | {extra: A}))
        assert [entry.names for entry in report.consistency] == [(extra,)]
    folder = mlx(tmp_path / "mlx", {"q.lora_a": A.T.copy(), "q.lora_b": B.T.copy(), extra: A}, {"rank": 4, "scale": 2})
    assert "tensors-unknown" in ids(audit_adapter(folder))


def test_a_bias_of_b_without_a_configuration_leaves_the_order_open(tmp_path):
    tensors = PEFT_NAMES | {"base_model.model.q.alpha": number(4)}
    small = {name: 0.1 * value if value.ndim else value for name, value in tensors.items()}
    assert only(audit_adapter(file(tmp_path, {n: v.astype("f4") for n, v in small.items()}))).order is True
    small["base_model.model.q.lora_B.bias"] = np.ones(len(B))
    module = only(audit_adapter(file(tmp_path, {n: v.astype("f4") for n, v in small.items()})))
    assert module.order is None
    assert "if full fine-tuning trains this layer's bias too" in module.by


def test_a_module_of_another_method_does_not_hide_the_others(tmp_path):
    tensors = {"lora_unet_q.lora_down.weight": A, "lora_unet_q.lora_up.weight": B, "lora_unet_k.lokr_w1": A}
    report = audit_adapter(file(tmp_path, tensors))
    assert [module.name for module in report.modules] == ["lora_unet_q"]
    assert [(entry.name, "LoKr" in entry.reason) for entry in report.refused] == [("lora_unet_k", True)]


def test_kohyas_names_beside_a_configuration_of_peft(tmp_path):
    tensors = {"lora_unet_q.lora_down.weight": A, "lora_unet_q.lora_up.weight": B, "lora_unet_q.alpha": number(2)}
    path = file(tmp_path, tensors, name="adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIGURATION | {"lora_alpha": 1}))
    report = audit_adapter(tmp_path)
    assert (report.format, only(report).scale) == ("kohya", 0.5)
    [entry] = [entry for entry in report.consistency if entry.id == "names-do-not-load"]
    assert "declares alpha = 1 where the file has 2" in entry.text
    assert audit_adapter(path).modules == report.modules


def test_mixed_ranks_without_alpha_have_scale_one_and_the_report_says_what_an_older_loader_does(tmp_path):
    wide = factors(64, 96, 96, B=0.1)
    tensors = {"adaln.lora_A.weight": factors(16)[0], "adaln.lora_B.weight": factors(16, B=0.1)[1]}
    tensors |= {"attn.to_q.lora_A.weight": wide[0], "attn.to_q.lora_B.weight": wide[1]}
    report = audit_adapter(file(tmp_path, tensors))
    assert [(module.rank, module.scale) for module in report.modules] == [(16, 1), (64, 1)]
    [entry] = [entry for entry in report.consistency if entry.id == "alpha-not-declared"]
    assert "between 0.25 and 1" in entry.text


PEFT_NAMES = {"base_model.model.q.lora_A.weight": A, "base_model.model.q.lora_B.weight": B}


@pytest.mark.parametrize(
    ("tensors", "metadata", "scale", "id"),
    [
        ({}, {"alpha": "8"}, 2, "alpha-in-header"),
        ({}, {"ss_network_alpha": "1", "ss_network_dim": "4"}, 0.25, "alpha-in-header"),
        ({"base_model.model.q.alpha": number(64)}, None, 16, None),
        ({"base_model.model.q.alpha": number(64)}, {"alpha": "8"}, 16, "alpha-conflict"),
        ({}, None, 1, "alpha-not-declared"),
    ],
)
def test_alpha_comes_from_the_tensors_then_from_the_header(tensors, metadata, scale, id, tmp_path):
    report = audit_adapter(file(tmp_path, PEFT_NAMES | tensors, metadata))
    assert only(report).scale == scale
    assert (id in ids(report)) if id else ids(report) == set()


def test_weights_that_cannot_be_read_are_told_from_none(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapters.npz").write_bytes(b"PK")
    with pytest.raises(AuditError, match="got adapters.npz"):
        audit_adapter(tmp_path)
    (tmp_path / "adapter_model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(AuditError, match="expected adapter_model.safetensors.index.json beside"):
        audit_adapter(tmp_path)


def test_an_alpha_that_is_no_number_is_named(tmp_path):
    with pytest.raises(AuditError, match="header: 'alpha': expected a number, got 'much'"):
        audit_adapter(file(tmp_path, PEFT_NAMES, {"alpha": "much"}))
    with pytest.raises(AuditError, match="expected one number as alpha, got shape"):
        audit_adapter(file(tmp_path, PEFT_NAMES | {"base_model.model.q.alpha": A}))
    with pytest.raises(AuditError, match="'base_model.model.q.alpha'.*expected finite weights"):
        audit_adapter(file(tmp_path, PEFT_NAMES | {"base_model.model.q.alpha": number(math.nan)}))


def test_the_configuration_that_diffusers_puts_into_the_header_counts(tmp_path):
    names = {"transformer.blocks.0.to_q.lora_A.weight": A, "transformer.blocks.0.to_q.lora_B.weight": B}
    options = {"transformer.r": 4, "transformer.lora_alpha": 8, "transformer.alpha_pattern": {"to_q": 2}}
    for more, scale in (({}, 0.5), ({"transformer.use_rslora": True}, 1.0)):
        report = audit_adapter(file(tmp_path, names, {"lora_adapter_metadata": json.dumps(options | more)}))
        assert (report.format, only(report).scale, only(report).scales.diffusers) == ("diffusers", scale, scale)
    options |= {"transformer.lora_bias": True, "transformer.use_ylora": True}
    report = audit_adapter(file(tmp_path, names, {"lora_adapter_metadata": json.dumps(options)}))
    assert (only(report).order, ids(report)) == (None, {"unknown-option"})
    with pytest.raises(AuditError, match="lora_adapter_metadata: transformer: 'r': expected a whole number"):
        audit_adapter(file(tmp_path, names, {"lora_adapter_metadata": json.dumps(options | {"transformer.r": "x"})}))


def mlx(folder, tensors, parameters, **more):
    file(folder, tensors, name="adapters.safetensors")
    content = {"fine_tune_type": "lora", "num_layers": 16, "lora_parameters": parameters} | more
    (folder / "adapter_config.json").write_text(json.dumps(content))
    return folder


MLX = {"model.layers.0.q.lora_a": np.ascontiguousarray(A.T), "model.layers.0.q.lora_b": np.ascontiguousarray(B.T)}


def test_mlx_stores_the_scale_itself_and_transposed_factors(tmp_path):
    folder = mlx(tmp_path, MLX, {"rank": 4, "scale": 20.0, "alpha": 16})
    for path in (folder, folder / "adapters.safetensors"):
        report = audit_adapter(path)
        module = only(report)
        assert (report.format, module.name, module.scale, module.alpha) == ("MLX", "model.layers.0.q", 20, 80)
        assert (module.features_in, module.features_out, module.scales.mlx, module.scales.vllm) == (64, 32, 20, None)
        np.testing.assert_allclose(module.measured.norm, 20 * NORM, rtol=1e-7)
        assert ids(report) == {"alpha-conflict"}


def test_mlx_experts_are_audited_one_by_one(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 4, 64)).astype("f4"), rng.standard_normal((3, 32, 4)).astype("f4")
    report = audit_adapter(mlx(tmp_path, {"x.up.lora_a": a, "x.up.lora_b": b}, {"rank": 4, "scale": 2}))
    assert [module.name for module in report.modules] == ["x.up[0]", "x.up[1]", "x.up[2]"]
    expected = [2 * np.linalg.norm(b[e].astype(float) @ a[e], 2) for e in range(3)]
    np.testing.assert_allclose([module.measured.norm for module in report.modules], expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("parameters", "more", "message"),
    [
        ({"rank": 4}, {}, "lora_parameters: 'scale': expected a number"),
        ({"scale": 1}, {}, "lora_parameters: 'rank': expected a whole number"),
        ({"rank": 4, "scale": 1}, {"fine_tune_type": "full"}, "expected fine_tune_type 'lora'"),
        (None, {}, "expected an object as 'lora_parameters', got None"),
        ({"rank": 5, "scale": 1}, {}, r"expected rank 5 as configured, so shape \(5, n\), got \[4, 64\]"),
    ],
)
def test_a_wrong_configuration_of_mlx_is_named(parameters, more, message, tmp_path):
    with pytest.raises(AuditError, match=message):
        audit_adapter(mlx(tmp_path, MLX, parameters, **more))


def test_mlx_without_a_configuration_is_refused(tmp_path):
    with pytest.raises(AuditError, match="expected an adapter_config.json with mlx-lm's scale"):
        audit_adapter(file(tmp_path, MLX, name="adapters.safetensors"))


def test_mlxs_dora_is_undecided(tmp_path):
    report = audit_adapter(
        mlx(tmp_path, MLX | {"model.layers.0.q.m": number([1] * 32)}, {"rank": 4, "scale": 1}, fine_tune_type="dora")
    )
    assert (only(report).order, ids(report)) == (None, set())
    report = audit_adapter(mlx(tmp_path, MLX, {"rank": 4, "scale": 1}, fine_tune_type="dora"))
    assert ids(report) == {"dora-incomplete"}


def write_gguf(path, tensors, alpha=8.0, kind="adapter", method="lora"):
    """Write a GGUF file by the package of llama.cpp."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(kind)
    writer.add_string("adapter.type", method)
    if alpha is not None:
        writer.add_float32("adapter.lora.alpha", alpha)
    writer.add_array("general.tags", ["a", "b"])
    for name, tensor in tensors.items():
        if isinstance(tensor, tuple):
            writer.add_tensor(name, tensor[0], raw_dtype=tensor[1])
        else:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def names(a, b, module="blk.0.attn_q.weight"):
    return {f"{module}.lora_a": a, f"{module}.lora_b": b}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_gguf_is_read_with_llama_cpps_scale(dtype, tmp_path):
    a, b = A.astype(dtype), B.astype(dtype)
    report = audit_adapter(write_gguf(tmp_path / "x.gguf", names(a, b)))
    module = only(report)
    assert (report.format, module.name, module.rank, module.scale, module.init) == ("GGUF", "blk.0.attn_q", 4, 2, "unknown")
    assert (module.features_in, module.features_out, module.scales.llama_cpp) == (64, 32, 2)
    np.testing.assert_allclose(module.measured.norm, 2 * np.linalg.norm(b.astype(float) @ a.astype(float), 2), rtol=1e-7)
    for alpha in (0.0, None):
        report = audit_adapter(write_gguf(tmp_path / "x.gguf", names(A, B), alpha))
        assert only(report).scale == 1
        assert "alpha-not-declared" in ids(report)


@pytest.mark.parametrize("kind", ["Q8_0", "BF16"])
def test_quantised_gguf_is_read_as_its_own_package_reads_it(kind, tmp_path):
    kind = gguf.GGMLQuantizationType[kind]
    wide = [M.astype("f4") for M in np.split(np.random.default_rng(0).standard_normal((64, 64)), 2)]  # rows of 64
    packed = [(gguf.quantize(M, kind), kind) for M in wide]
    path = write_gguf(
        tmp_path / "x.gguf",
        {"blk.0.q.weight.lora_a": packed[0], "blk.0.q.weight.lora_b": (gguf.quantize(wide[1].T.copy(), kind), kind)},
    )
    tensors = {tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(path).tensors}
    a, b = (tensors[f"blk.0.q.weight.lora_{x}"].astype(float) for x in "ab")
    module = only(audit_adapter(path))
    assert module.measured.dtype == kind.name
    np.testing.assert_allclose(module.measured.norm, module.scale * np.linalg.norm(b @ a, 2), rtol=1e-6)


def test_embeddings_and_experts_in_gguf(tmp_path):
    rng = np.random.default_rng(0)
    embedding = rng.standard_normal((100, 4)).astype("f4"), rng.standard_normal((32, 4)).astype("f4")
    stack = rng.standard_normal((2, 4, 64)).astype("f4"), rng.standard_normal((2, 32, 4)).astype("f4")
    tensors = names(*embedding, "token_embd.weight") | names(*stack, "blk.0.ffn_up_exps.weight")
    report = audit_adapter(write_gguf(tmp_path / "x.gguf", tensors))
    found = {module.name: module for module in report.modules}
    assert (found["token_embd"].kind, found["token_embd"].features_in, found["token_embd"].width) == ("embedding", 100, 100)
    expected = 2 * np.linalg.norm(embedding[1].astype(float) @ embedding[0].T, 2)
    np.testing.assert_allclose(found["token_embd"].measured.norm, expected, rtol=1e-7)
    for e in range(2):
        expected = 2 * np.linalg.norm(stack[1][e].astype(float) @ stack[0][e], 2)
        np.testing.assert_allclose(found[f"blk.0.ffn_up_exps[{e}]"].measured.norm, expected, rtol=1e-7)


def test_a_negative_scale_is_noted_in_every_format(tmp_path):
    kohya = {"lora_unet_x.lora_down.weight": A, "lora_unet_x.lora_up.weight": B, "lora_unet_x.alpha": number(-4)}
    reports = [audit_adapter(file(tmp_path, kohya)), audit_adapter(file(tmp_path, PEFT_NAMES, {"alpha": "-4"}))]
    reports.append(
        audit_adapter(mlx(tmp_path / "mlx", {"q.lora_a": A.T.copy(), "q.lora_b": B.T.copy()}, {"rank": 4, "scale": -1}))
    )
    wide = np.random.default_rng(0).standard_normal((4, 64)).astype("f4")
    reports.append(audit_adapter(write_gguf(tmp_path / "x.gguf", names(wide, wide.T.copy()), alpha=-4.0)))
    for report in reports:
        assert only(report).scale == -1
        assert "alpha-negative" in ids(report)


def test_gguf_factors_of_two_ranks_are_named_by_the_rank_of_a(tmp_path):
    wide = np.ones((4, 64), "f4")
    with pytest.raises(AuditError, match=r"lora_b': expected rank 4, so shape \(m, 4\), got \[64, 8\]"):
        audit_adapter(write_gguf(tmp_path / "x.gguf", names(wide, np.ones((64, 8), "f4"))))


def test_a_gguf_file_that_is_no_adapter_is_refused(tmp_path):
    with pytest.raises(AuditError, match="expected a GGUF file of a LoRA adapter, got general.type 'model'"):
        audit_adapter(write_gguf(tmp_path / "x.gguf", names(A, B), kind="model"))
    with pytest.raises(AuditError, match="adapter.type 'other'"):
        audit_adapter(write_gguf(tmp_path / "x.gguf", names(A, B), method="other"))
    with pytest.raises(AuditError, match="got none of 1 tensors"):
        audit_adapter(write_gguf(tmp_path / "x.gguf", {"x.weight": A}))
    quantised = gguf.quantize(np.ones((4, 64), "f4"), gguf.GGMLQuantizationType.Q4_0), gguf.GGMLQuantizationType.Q4_0
    with pytest.raises(AuditError, match="got type 2 of ggml"):
        audit_adapter(write_gguf(tmp_path / "x.gguf", names(quantised, B)))


HEAD = b"GGUF" + struct.pack("<IQQ", 3, 1, 1)
KEY = struct.pack("<Q", 1) + b"k"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends before it does"),
        (b"GGUF", "ends before it does"),
        (b"ABCD" + struct.pack("<IQQ", 3, 0, 0), "expected GGUF of version 2 or 3"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "expected GGUF of version 2 or 3, little endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "ends before it does"),
        (HEAD + struct.pack("<Q", 2**62), "expected a header of at most"),
        (HEAD + KEY + struct.pack("<IIQ", 9, 0, 2**62), "expected a header of at most"),  # where the package does not end
        (HEAD + KEY + struct.pack("<IIQ", 9, 8, 2**62), "ends before it does"),
        (HEAD + KEY + struct.pack("<IIQ", 9, 9, 1), "expected an array of numbers or strings"),
        (HEAD + KEY + struct.pack("<I", 99), "expected a type of GGUF, got 99"),
    ],
)
def test_a_malformed_gguf_file_is_one_line_in_bounded_memory(content, message, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(AuditError, match=message) as error:
        audit_adapter(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_truncated_gguf_file_is_noticed(tmp_path):
    path = write_gguf(tmp_path / "x.gguf", names(A, B))
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(AuditError, match="expected its data inside the file, got a truncated file"):
        audit_adapter(path)


def test_shards_that_were_not_gathered_are_named(tmp_path):
    key = "base_model.model.q.lora_{}.weight"
    empty, flat = np.zeros(0, "f4"), np.zeros(64, "f4")
    for i, pair in enumerate(((empty, empty), (flat, flat), (A, empty))):
        folder = adapter(tmp_path / str(i), ["q"])
        content = {key.format(name): tensor for name, tensor in zip("AB", pair, strict=True)}
        (folder / "adapter_model.safetensors").write_bytes(safetensors(content))
        with pytest.raises(AuditError, match="DeepSpeed ZeRO-3 or FSDP shards that were not gathered"):
            audit_adapter(folder)
    folder = adapter(tmp_path / "none", ["q"])
    (folder / "adapter_model.safetensors").write_bytes(raw({}))
    with pytest.raises(AuditError, match="got a file without tensors \\(DeepSpeed ZeRO-3"):
        audit_adapter(folder)


def test_two_adapters_in_one_file_are_refused_by_their_names(tmp_path):
    tensors = {f"q.lora_{x}.{name}.weight": M for name in ("default", "second") for x, M in (("A", A), ("B", B))}
    folder = adapter(tmp_path)
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    with pytest.raises(AuditError, match="the file holds several adapters, default and second"):
        audit_adapter(folder)


def test_stored_scales_are_not_ignored_and_integers_are_refused(tmp_path):
    small = {name: tensor.astype(ml_dtypes.float8_e4m3fn) for name, tensor in PEFT_NAMES.items()}
    folder = adapter(tmp_path, ["q"])
    path = folder / "adapter_model.safetensors"
    path.write_bytes(safetensors(small | {"base_model.model.q.lora_A.weight_scale": number([0.5])}))
    with pytest.raises(AuditError, match="the stored numbers are not the weights"):
        audit_adapter(folder)
    path.write_bytes(safetensors({**PEFT_NAMES, "base_model.model.q.lora_A.weight": A.astype(ml_dtypes.bfloat16)}))
    assert only(audit_adapter(folder)).measured.dtype == "BF16/F32"


def test_a_mixture_of_adapters_is_refused_with_what_lies_below(tmp_path):
    folder = adapter(tmp_path, ["q"], {"peft_type": "XLORA"})
    with pytest.raises(AuditError, match="got 'XLORA'$"):
        audit_adapter(folder)
    adapter(folder / "first")
    with pytest.raises(AuditError, match="got 'XLORA'; adapters that can be audited lie in first"):
        audit_adapter(folder)


def test_experts_of_a_type_that_is_not_read_are_refused(tmp_path):
    kind = gguf.GGMLQuantizationType.Q4_0
    stack = gguf.quantize(np.ones((2, 4, 64), "f4"), kind), kind
    path = write_gguf(tmp_path / "x.gguf", names(stack, np.ones((2, 32, 4), "f4"), "blk.0.ffn_up_exps.weight"))
    with pytest.raises(AuditError, match="got type 2 of ggml"):
        audit_adapter(path)
