"""The audit as a whole: numbers, configurations and saved adapters against dense linear algebra."""

import json
import math

import ml_dtypes
import numpy as np
import pytest
from auditing.written import adapter, factors, safetensors

import lorantk
from lorantk import audit_adapter, audit_configuration, audit_numbers
from lorantk.auditing.errors import AuditError
from lorantk.auditing.tensors import read_tensor
from lorantk.theory import delta, order, trained_order
from lorantk.theory.adapters import adapter as described


def only(report):
    [module] = report.modules
    return module


@pytest.mark.parametrize(("rank", "alpha", "features", "holds"), [(8, 8, 768, True), (8, 16, 768, False), (512, 512, 768, False)])
def test_numbers_give_the_sharp_condition(rank, alpha, features, holds):
    module = only(audit_numbers(rank=rank, alpha=alpha, features=features))
    value = (alpha / rank) ** 2 / (3 * features) * features * (1 + math.sqrt(rank / features)) ** 2
    assert module.condition.value == pytest.approx(value, rel=1e-14)
    assert module.condition.holds is module.order is holds
    assert (module.rank, module.features_in, module.variance) == (rank, features, 1 / (3 * features))
    assert module.condition.probability == pytest.approx(delta.nsd_probability((alpha / rank) ** 2 / 3, rank, features))
    assert module.mean.fraction == pytest.approx((alpha / rank) ** 2 * rank / (3 * features))
    assert module.mean.spread == math.sqrt(2 / rank)


def test_numbers_agree_with_the_chapters_on_given_data():
    config = described(8, alpha=16)
    gram = only(audit_numbers(rank=8, alpha=16, features=1024, dimension=300, failure=0.05)).gram
    assert gram.capacity == pytest.approx(order.gram_capacity(config, 1024))
    assert gram.safe_capacity == pytest.approx(order.gram_capacity(config, 1024, failure=0.05))
    assert gram.value == pytest.approx(order.gram_value(config, 300, 1024))
    assert gram.holds


def test_rslora_variance_and_init_change_what_they_should():
    assert only(audit_numbers(rank=16, alpha=8, features=64, rslora=True)).scale == 2.0
    assert only(audit_numbers(rank=16, alpha=8, features=64, variance=0.01)).q == pytest.approx(0.25 * 0.01 * 64)
    assert only(audit_numbers(rank=16, alpha=8, features=64, init="gaussian")).variance == 1 / 256
    exact = only(audit_numbers(rank=16, alpha=16, features=64, init="orthonormal"))
    assert (exact.condition.value, exact.order, exact.condition.probability) == (1.0, True, 1.0)
    assert only(audit_numbers(rank=16, alpha=np.float64(16.5), features=np.int64(64), init="orthonormal")).order is False
    undecided = only(audit_numbers(rank=16, alpha=16, features=64, init="pissa"))
    assert (undecided.order, undecided.condition.value, undecided.mean, undecided.gram) == (None, None, None, None)
    both = only(audit_numbers(rank=16, alpha=16, features=64, features_out=32, init=False))
    assert both.condition.value == pytest.approx((1 + 0.5) ** 2 / 3 + 32 / 48 * (1 + math.sqrt(0.5)) ** 2)


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("options", [{}, {"init": "gaussian"}, {"variance": 0.01}])
@pytest.mark.parametrize(("rank", "alpha", "features"), [(8, 16, 1024), (4, 64, 256), (100, 1600, 256)])
def test_each_remedy_meets_the_condition_and_none_is_nearer(rank, alpha, features, options, rslora):
    options = options | {"rslora": rslora}
    module = only(audit_numbers(rank=rank, alpha=alpha, features=features, **options))
    assert not module.order
    remedy = module.remedy

    def value(**changes):
        return only(audit_numbers(**({"rank": rank, "alpha": alpha, "features": features} | options | changes))).condition.value

    assert 1 - 1e-6 < value(alpha=remedy.alpha) < 1
    assert 1 - 1e-6 < value(variance=remedy.variance) < 1
    if remedy.rank is None:
        assert value(rank=features) >= 1 - 1e-8
    else:
        assert value(rank=remedy.rank) < 1 <= value(rank=remedy.rank - 1) + 1e-8
    s = module.scale
    if (r := remedy.rank_at_scale) is not None:
        alphas = [s * (math.sqrt(k) if rslora else k) for k in (r, r + 1)]
        assert value(rank=r, alpha=alphas[0]) < 1 <= value(rank=r + 1, alpha=alphas[1]) + 1e-8
    now = {"alpha": alpha, "rank": rank, "rank_at_scale": rank, "variance": module.variance}
    changes = {key: abs(math.log(getattr(remedy, key) / old)) for key, old in now.items() if getattr(remedy, key)}
    assert remedy.least == min(changes, key=changes.get)
    assert remedy.orthonormal == min(1, 1 / s)


def test_an_adapter_in_order_needs_no_remedy():
    assert only(audit_numbers(rank=8, alpha=8, features=1024)).remedy == lorantk.auditing.report.Remedy()


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("B", [0.0, 0.05])
def test_saved_factors_agree_with_dense_linear_algebra(B, dtype, tmp_path):
    folder = adapter(tmp_path, ["x.q"], {"lora_alpha": 6}, B=B, dtype=dtype)
    A, factor = (M.astype(float) for M in factors(B=B, dtype=dtype))
    module, s = only(audit_adapter(folder)), 1.5
    found = module.measured
    np.testing.assert_allclose(found.value, trained_order.trained_value(A, factor, s), rtol=1e-12)
    np.testing.assert_allclose(found.balanced, trained_order.balanced_value(A, factor, s), rtol=1e-7, atol=1e-12)
    spectrum = np.asarray(delta.m_delta_eigenvalues(A, s))
    np.testing.assert_allclose([found.least, found.edge], [spectrum[-4], spectrum[-1]], rtol=1e-12)
    np.testing.assert_allclose(found.eigenvalues, spectrum[-4:], atol=1e-12)
    update = np.linalg.svd(s * factor @ A, compute_uv=False)
    np.testing.assert_allclose(found.norm, update[0], rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(found.stable_rank, (update**2).sum() / update[0] ** 2 if B else 0, rtol=1e-9)
    assert found.fresh is (B == 0)
    assert module.order is found.holds is bool(found.value <= 1)


def test_the_spectrum_of_a_fresh_adapter_is_near_its_law_and_that_of_another_is_not(tmp_path):
    def distance(name, **kind):
        return only(
            audit_adapter(adapter(tmp_path / name, ["x.q"], {"r": 128, "lora_alpha": 128}, rank=128, n=512, **kind))
        ).measured

    fresh = distance("fresh")
    assert fresh.distance < 0.05  # rigid: of order (log n)/r
    A, B = factors(128, 512)
    tensors = {"x.q.lora_A.weight": A * np.linspace(0.2, 1.6, 128)[:, None].astype("float32"), "x.q.lora_B.weight": B}
    (tmp_path / "fresh/adapter_model.safetensors").write_bytes(safetensors(tensors))
    report = audit_adapter(tmp_path / "fresh")
    assert only(report).measured.distance > 0.1
    assert distance("trained", B=0.1).distance is None


def test_a_drawn_factor_of_another_variance_is_noted(tmp_path):
    assert only(audit_adapter(adapter(tmp_path / "a", ["x.q"], n=256))).notes == ()
    [note] = only(audit_adapter(adapter(tmp_path / "b", ["x.q"], {"init_lora_weights": "gaussian", "r": 4}, n=256))).notes
    assert "times the configured variance: not a fresh draw" in note


def test_an_outlier_among_like_modules_is_named(tmp_path):
    names = [f"layers.{i}.q" for i in range(12)]
    A, B = factors(B=0.9)
    report = audit_adapter(
        adapter(tmp_path, names, tensors={"layers.12.q.lora_A.weight": A, "layers.12.q.lora_B.weight": B}, B=0.1)
    )
    assert report.overall.outliers == ("layers.12.q",)
    assert "times the median of its 13 similar modules" in report.modules[12].notes[-1]
    assert report.overall.worst == "layers.12.q"


def test_balancing_is_offered_exactly_where_it_helps(tmp_path):
    A, B = factors()
    A, B = A / np.linalg.norm(A, 2), np.eye(24, 4, dtype="float32")
    for name, scale_A, scale_B, remedy in (("a", 0.5, 0.5, None), ("b", 2.0, 0.2, "balance"), ("c", 2.0, 0.5, "scale")):
        tensors = {"x.q.lora_A.weight": scale_A * A, "x.q.lora_B.weight": scale_B * B}
        adapter(tmp_path / name, ["x.q"])
        (tmp_path / name / "adapter_model.safetensors").write_bytes(safetensors({k: v.astype("f4") for k, v in tensors.items()}))
        module = only(audit_adapter(tmp_path / name))
        assert module.remedy.after_training == remedy
    scale = module.remedy.alpha / module.rank  # the last one: balanced factors of the same update at a smaller scale
    norm = np.linalg.norm(2.0 * A * 0.5, 2)
    assert 2 * scale * norm < 1 < 2.001 * scale * norm


def test_modules_come_in_the_order_of_the_model_and_by_their_own_names(tmp_path):
    names = ["layers.10.q", "layers.2.q", "layers.1.v"]
    expected = ["layers.1.v", "layers.2.q", "layers.10.q"]
    for i, prefix in enumerate(("base_model.model.", "", "unet.")):
        found = [module.name for module in audit_adapter(adapter(tmp_path / str(i), names, prefix=prefix)).modules]
        assert found == [prefix.removeprefix("base_model.model.") + name for name in expected]


def test_embeddings_and_convolutions_are_read(tmp_path):
    rng = np.random.default_rng(0)
    tensors = {
        "model.embed_tokens.lora_embedding_A": np.zeros((4, 100), "f4"),
        "model.embed_tokens.lora_embedding_B": rng.standard_normal((24, 4)).astype("f4"),
        "conv.lora_A.weight": (rng.uniform(-1, 1, (4, 8, 3, 3)) / np.sqrt(72)).astype("f4"),
        "conv.lora_B.weight": np.zeros((16, 4, 1, 1), "f4"),
        "lm_head.weight": np.zeros((3, 3), "f4"),
    }
    report = audit_adapter(adapter(tmp_path, ["x.q"], tensors=tensors))
    kinds = {module.name: (module.kind, module.features_in, module.features_out, module.width) for module in report.modules}
    assert kinds["model.embed_tokens"] == ("embedding", 100, 24, 24)
    assert kinds["conv"] == ("convolution", 72, 16, 72)
    embedding = next(module for module in report.modules if module.kind == "embedding")
    B = tensors["model.embed_tokens.lora_embedding_B"].astype(float)
    np.testing.assert_allclose(embedding.measured.value, np.linalg.norm(B, 2) ** 2, rtol=1e-12)
    assert embedding.condition.value == pytest.approx(24 * (1 + math.sqrt(4 / 24)) ** 2)
    assert all(module.notes == () for module in report.modules)
    [full] = [entry for entry in report.consistency if entry.id == "full-matrices"]
    assert full.names == ("lm_head.weight",)


def test_dora_leaves_the_order_undecided_and_says_why(tmp_path):
    tensors = {"x.q.lora_magnitude_vector": np.ones(24, "f4")}
    report = audit_adapter(adapter(tmp_path, ["x.q"], {"use_dora": True}, tensors))
    assert (only(report).order, only(report).measured.holds, report.overall.order) == (None, True, None)
    assert any(note.startswith("DoRA also trains a magnitude") for note in report.notes)


A4, B4 = factors()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"x.q.lora_A.weight": A4}, "expected an A and a B of module 'x.q', got 'x.q.lora_A.weight' alone"),
        ({"x.q.lora_A.weight": A4, "x.q.lora_embedding_B": B4}, "expected an A and a B of module 'x.q'"),
        ({"x.q.lora_A.weight": A4, "x.q.lora_A.b.weight": A4, "x.q.lora_B.weight": B4}, "expected one A for a module"),
        ({"x.q.lora_A.weight": A4, "x.q.lora_B.weight": B4.T.copy()}, r"tensor 'x.q.lora_B.weight': .*so shape \(m, 4\)"),
        ({"x.q.lora_A.weight": A4.T.copy(), "x.q.lora_B.weight": B4}, r"tensor 'x.q.lora_A.weight': .*so shape \(4, n\)"),
        (
            {"x.q.lora_A.weight": A4[:2].copy(), "x.q.lora_B.weight": B4},
            r"rank 4 as configured, so shape \(4, n\), got \[2, 32\]",
        ),
        ({"x.q.lora_A.weight": A4[0].copy(), "x.q.lora_B.weight": B4}, r"expected a matrix, got shape \[32\] \(DeepSpeed ZeRO-3"),
        (
            {"x.q.lora_A.weight": A4[:, :0].copy(), "x.q.lora_B.weight": B4},
            r"expected a matrix of rank 4, got the empty shape \[4, 0\]",
        ),
        ({"x.q.lora_A.weight": A4, "x.q.lora_B.weight": B4 * np.float32("nan")}, "x.q.lora_B.weight': expected finite"),
        ({"x.q.weight": A4}, "expected tensors called MODULE.lora_A.weight and MODULE.lora_B.weight, got none"),
        ({"x.q.lora_C.weight": A4}, "expected a PEFT name"),
    ],
)
def test_tensors_that_do_not_form_an_adapter_are_named(tensors, message, tmp_path):
    folder = adapter(tmp_path)
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    with pytest.raises(AuditError, match=message) as error:
        audit_adapter(folder)
    assert str(folder / "adapter_model.safetensors") in str(error.value)


def test_a_rank_whose_spectra_would_not_end_is_refused(tmp_path):
    A, B = np.zeros((5000, 2), "f4"), np.zeros((2, 5000), "f4")
    folder = adapter(tmp_path, ["x.q"], {"r": 5000})
    (folder / "adapter_model.safetensors").write_bytes(safetensors({"x.q.lora_A.weight": A, "x.q.lora_B.weight": B}))
    with pytest.raises(AuditError, match="module 'x.q': expected a rank of at most 4096, got 5000"):
        audit_adapter(folder)


def test_a_module_of_a_wrong_shape_is_refused_and_its_weights_are_not_read(tmp_path, monkeypatch):
    folder = adapter(tmp_path, tensors={"z.lora_A.weight": A4[:2].copy(), "z.lora_B.weight": B4})
    read = []
    monkeypatch.setattr(
        "lorantk.auditing.pairs.read_tensor", lambda path, tensor: read.append(tensor.name) or read_tensor(path, tensor)
    )
    report = audit_adapter(folder)
    assert [entry.name for entry in report.refused] == ["z"]
    assert "expected rank 4 as configured, so shape (4, n), got [2, 32]" in report.refused[0].reason
    assert len(report.modules) == 2
    assert report.overall.order is None
    assert not any(name.startswith("z.") for name in read)
    assert len(read) == 4


def model(folder, **shapes):
    """Write a model of zeros with the given shapes; `__` in a name means a dot."""
    arrays = {f"{name.replace('__', '.')}.weight": np.zeros(shape, "f4") for name, shape in shapes.items()}
    (folder / "model.safetensors").write_bytes(safetensors(arrays | {"norm.weight": np.zeros(3, "f4")}))
    return folder


def test_a_configuration_is_audited_with_the_models_shapes(tmp_path):
    model(tmp_path, layers__0__q=(24, 32), layers__0__v=(16, 32), layers__0__o=(32, 24), wte=(100, 32))
    path = tmp_path / "adapter_config.json"
    content = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q", "v", "wte"], "rank_pattern": {"v": 2}}
    path.write_text(json.dumps(content))
    report = audit_configuration(path, model=tmp_path)
    assert {m.name: (m.rank, m.features_in, m.features_out, m.scale, m.kind) for m in report.modules} == {
        "layers.0.q": (4, 32, 24, 2.0, "linear"),
        "layers.0.v": (2, 32, 16, 4.0, "linear"),
        "wte": (4, 100, 32, 2.0, "embedding"),
    }
    assert report.overall.parameters == 4 * 56 + 2 * 48 + 4 * 132
    path.write_text(json.dumps(content | {"fan_in_fan_out": True}))  # PEFT goes by the module, which has no bias: no Conv1D
    assert {m.name: m.features_in for m in audit_configuration(path, model=tmp_path).modules}["layers.0.v"] == 32
    assert audit_configuration(path, features=32).modules[0].features_in == 32


def test_a_sharded_model_is_read_by_its_index(tmp_path):
    for file, name in (("a.safetensors", "layers.0.q.weight"), ("b.safetensors", "layers.0.v.weight")):
        (tmp_path / file).write_bytes(safetensors({name: np.zeros((24, 32), "f4")}))
    index = {"weight_map": {"layers.0.q.weight": "a.safetensors", "layers.0.v.weight": "b.safetensors"}}
    path, configuration = tmp_path / "model.safetensors.index.json", tmp_path / "adapter_config.json"
    path.write_text(json.dumps(index))
    configuration.write_text(json.dumps({"peft_type": "LORA", "target_modules": ["q", "v"]}))
    assert (
        audit_configuration(configuration, model=tmp_path).overall.modules
        == audit_configuration(configuration, model=path).overall.modules
        == 2
    )
    for wrong, message in (
        ({"weight_map": {"x": "../a.safetensors"}}, "beside the index"),
        ({"weight_map": {"x": "pytorch_model.bin"}}, "beside the index"),
        ({"weight_map": {"x": "a.safetensors"}}, "expected tensor 'x' in a.safetensors, got none"),
        ({"weight_map": [1]}, "expected a weight_map"),
        ({}, "expected a weight_map"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(AuditError, match=message):
            audit_configuration(configuration, model=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": None, "alpha": 1, "features": 8}, "rank: expected a whole number of at least 1, got None"),
        ({"rank": 0, "alpha": 1, "features": 8}, "rank: expected a whole number of at least 1, got 0"),
        ({"rank": 4, "alpha": float("nan"), "features": 8}, "alpha: expected a number between"),
        ({"rank": 4, "alpha": 4, "features": 8.5}, "features: expected a whole number"),
        ({"rank": 4, "alpha": 4, "features": 8, "variance": 0}, "variance: expected a number between"),
        ({"rank": 4, "alpha": 4, "features": 8, "init": "kaiming"}, "init: expected init_lora_weights out of"),
        ({"rank": 4, "alpha": 4, "features": 8, "init": False}, "features_out: expected the outputs m"),
        ({"rank": 9, "alpha": 4, "features": 8, "init": "orthonormal"}, "rank: expected at most 8 orthonormal rows, got 9"),
        ({"rank": 4, "alpha": 4, "features": 8, "dimension": -1}, "dimension: expected a number between"),
        ({"rank": 4, "alpha": 4, "features": 8, "failure": 1}, "failure: expected a probability between 0 and 1, got 1"),
    ],
)
def test_numbers_out_of_range_are_one_line(options, message):
    with pytest.raises(AuditError, match=message):
        audit_numbers(**options)


def test_a_thousand_modules_are_audited_in_seconds(tmp_path):
    names = [f"layers.{i}.{part}" for i in range(1000) for part in "qkv"]
    report = audit_adapter(adapter(tmp_path, names, {"rank_pattern": {f"no{i}": 2 for i in range(50)}}))
    assert report.overall.modules == 3000
    assert len(json.dumps(report.to_dict(), allow_nan=False)) > 3000
    assert str(report).count("layers.*.q ×1000") >= 1


def test_files_that_keep_the_adapters_name_are_read(tmp_path):
    folder = adapter(tmp_path)
    tensors = {"q.lora_B.default.weight": B4, "q.lora_A.default.weight": A4}
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    assert [module.name for module in audit_adapter(folder).modules] == ["q"]


@pytest.mark.parametrize(("r", "n", "m"), [(12, 5, 24), (12, 24, 5), (12, 5, 7), (12, 1, 1), (12, 12, 12)])
def test_a_rank_above_the_width_is_measured_like_any_other(r, n, m, tmp_path):
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((r, n)).astype("f4"), rng.standard_normal((m, r)).astype("f4")
    folder = adapter(tmp_path, ["q"], {"r": r, "lora_alpha": r})
    (folder / "adapter_model.safetensors").write_bytes(safetensors({"q.lora_A.weight": A, "q.lora_B.weight": B}))
    found = only(audit_adapter(folder)).measured
    A, B = A.astype(float), B.astype(float)
    np.testing.assert_allclose(found.value, np.linalg.norm(A, 2) ** 2 + np.linalg.norm(B, 2) ** 2, rtol=1e-12)
    singular = np.linalg.svd(B @ A, compute_uv=False)
    np.testing.assert_allclose(found.norm, singular[0], rtol=1e-7)
    np.testing.assert_allclose(found.stable_rank, (singular**2).sum() / singular[0] ** 2, rtol=1e-6)
    values = np.sort(np.linalg.eigvalsh(A.T @ A) if n < r else np.linalg.eigvalsh(A @ A.T))
    np.testing.assert_allclose(found.eigenvalues, values - 1, atol=1e-10)
