"""Balanced copies: the same update, the least κ, and nothing else changed."""

import json

import ml_dtypes
import numpy as np
import pytest
from auditing.written import adapter, safetensors

from lorantk import audit_adapter, cli
from lorantk.auditing.balance import balance_adapter, balanced
from lorantk.auditing.errors import AuditError
from lorantk.auditing.tensors import read_header, read_tensor


def updates(folder):
    """Return ``s B A`` of each module of an adapter, by dense products of what the file holds."""
    path = folder / "adapter_model.safetensors"
    tensors = {name: read_tensor(path, tensor) for name, tensor in read_header(path).items()}
    scales = {module.name: module.scale for module in audit_adapter(folder).modules}
    found = {}
    for name, scale in scales.items():
        A, B = (
            tensors.get(f"base_model.model.{name}.lora_{x}.weight", tensors.get(f"base_model.model.{name}.lora_embedding_{x}"))
            for x in "AB"
        )
        found[name] = scale * B.reshape(len(B), -1) @ A.reshape(len(A), -1)
    return found


@pytest.mark.parametrize(("r", "n", "m"), [(4, 32, 24), (8, 5, 24), (8, 32, 5), (1, 1, 1)])
def test_balanced_factors_have_the_same_product_and_equal_gram_matrices(r, n, m):
    rng = np.random.default_rng(0)
    A, B = 10 * rng.standard_normal((r, n)), rng.standard_normal((m, r))
    new_A, new_B = balanced(A, B)
    assert (new_A.shape, new_B.shape) == (A.shape, B.shape)
    np.testing.assert_allclose(new_B @ new_A, B @ A, atol=1e-12 * np.abs(B @ A).max())
    np.testing.assert_allclose(new_A @ new_A.T, new_B.T @ new_B, atol=1e-11 * np.linalg.norm(B @ A, 2))
    assert np.abs(A @ A.T - B.T @ B).max() > 0.1  # they were not balanced before


BOUNDS = {"float64": 1e-13, "float32": 1e-6, "float16": 5e-3, "bfloat16": 4e-2}


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_copy_has_the_same_updates_to_rounding_and_the_least_kappa(dtype, in_order, tmp_path):
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    rng = np.random.default_rng(0)
    tensors = {
        "base_model.model.embed.lora_embedding_A": rng.standard_normal((4, 50)).astype(kind),
        "base_model.model.embed.lora_embedding_B": rng.standard_normal((24, 4)).astype(kind),
        "base_model.model.conv.lora_A.weight": rng.standard_normal((4, 8, 3, 3)).astype(kind),
        "base_model.model.conv.lora_B.weight": rng.standard_normal((16, 4, 1, 1)).astype(kind),
        "base_model.model.lm_head.weight": np.ones((3, 3), "f4"),
    }
    options = {"alpha_pattern": {"layers.0.v": 2}, "init_lora_weights": False}
    folder = adapter(tmp_path / "a", configuration=options, tensors=tensors, B=1.0, dtype=kind)
    done = balance_adapter(folder, tmp_path / "b", in_order=in_order)
    before, after = updates(folder), updates(tmp_path / "b")
    assert done.modules == len(before) == len(after) == 4
    for name in before:
        size = np.linalg.norm(before[name])
        assert np.linalg.norm(after[name] - before[name]) <= BOUNDS[dtype] * size
        assert dtype == "float64" or np.linalg.norm(after[name] - before[name]) <= 2 * done.change * size + 1e-7 * size
    old, new = audit_adapter(folder), audit_adapter(tmp_path / "b")
    for one, other in zip(old.modules, new.modules, strict=True):
        np.testing.assert_allclose(other.measured.value, done.factor * one.measured.balanced, rtol=3 * BOUNDS[dtype] + 1e-6)
        assert other.measured.value < one.measured.value * done.factor
    assert (new.overall.order is True) is in_order
    assert (done.factor < 1) is in_order
    same = ("base_model.model.lm_head.weight",)
    for name in same:
        paths = [place / "adapter_model.safetensors" for place in (folder, tmp_path / "b")]
        assert len({read_tensor(path, read_header(path)[name]).tobytes() for path in paths}) == 1


def test_modules_without_an_update_are_left_alone(tmp_path):
    folder = adapter(tmp_path / "a")
    done = balance_adapter(folder, tmp_path / "b")
    assert (done.modules, done.left) == (0, 2)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "b" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_dora": True}, "expected plain LoRA, .* got: DoRA"),
        ({"lora_bias": True}, "expected plain LoRA, .* got: lora_bias"),
        ({"init_lora_weights": "mica"}, "MiCA, which freezes B: lower alpha instead"),
        ({"rank_pattern": {"q": 8}}, r"expected rank 8 as configured, so shape \(8, n\)"),
    ],
)
def test_what_cannot_be_balanced_is_refused_and_nothing_is_written(options, message, tmp_path):
    folder = adapter(tmp_path / "a", configuration=options, B=1.0)
    with pytest.raises(AuditError, match=message):
        balance_adapter(folder, tmp_path / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_exists_is_not_written_to(tmp_path):
    folder = adapter(tmp_path / "a", B=1.0)
    with pytest.raises(AuditError, match="expected a folder that does not exist yet"):
        balance_adapter(folder, folder)
    (tmp_path / "kohya.safetensors").write_bytes(
        safetensors({"x.lora_down.weight": np.ones((1, 2), "f4"), "x.lora_up.weight": np.ones((2, 1), "f4")})
    )
    with pytest.raises(AuditError, match="expected a folder that PEFT saved"):
        balance_adapter(tmp_path / "kohya.safetensors", tmp_path / "b")


def test_balanced_weights_that_a_type_cannot_hold_leave_nothing_behind(tmp_path):
    A, B = np.full((4, 8), 6e4, "f2"), np.full((8, 4), 6e4, "f2")
    folder = adapter(tmp_path / "a", ["q"], {"lora_alpha": 4})
    tensors = {"base_model.model.q.lora_A.weight": A, "base_model.model.q.lora_B.weight": B}
    (folder / "adapter_model.safetensors").write_bytes(safetensors(tensors))
    with pytest.raises(AuditError, match="expected balanced weights that fit F16"):
        balance_adapter(folder, tmp_path / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


def test_the_command_says_what_it_did(tmp_path, capsys):
    folder = adapter(tmp_path / "a", configuration={"lora_alpha": 8}, B=1.0)
    assert cli.main(["balance", str(folder), str(tmp_path / "b"), "--in-order"]) == 0
    out = capsys.readouterr().out
    assert "2 modules balanced, alpha times" in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines() if " " in line.strip())  # a path is never broken
    alpha = json.loads((tmp_path / "b/adapter_config.json").read_text())["lora_alpha"]
    assert 0 < alpha < 8
    assert cli.main(["audit", str(tmp_path / "b"), "--check"]) == 0
    assert cli.main(["balance", str(folder), str(tmp_path / "b")]) == 2
    assert "expected a folder that does not exist yet" in capsys.readouterr().err
