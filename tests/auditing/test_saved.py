"""The audit on adapters that the real PEFT saved (scripts/peft_adapters.py), against numbers by PyTorch."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lorantk import audit_adapter, audit_configuration
from lorantk.auditing.starts import embedding_start, start
from lorantk.auditing.tensors import read_header, read_tensor

ROOT = Path(__file__).parents[2]
RANK, N = 4, 64
CONFIGURED = ("default", "all-linear", "patterns", "regular-expression", "one-layer", "head", "embedding", "rslora")


@pytest.fixture(scope="session")
def adapters():
    """The folder of adapters that PEFT saved."""
    return ROOT / "expected/adapters"


@pytest.fixture(scope="session")
def made(adapters):
    """The values that PyTorch found for each adapter."""
    return json.loads((adapters / "reference.json").read_text())["adapters"]


@pytest.fixture(scope="session")
def draws(adapters):
    """A and B of one layer for a hundred seeds, by start."""
    path = adapters / "draws.safetensors"
    return {name: read_tensor(path, tensor) for name, tensor in read_header(path).items()}


def test_every_adapter_is_read_as_peft_made_it(adapters, made):
    assert len(made) > 20
    for name, modules in made.items():
        found = {module.name: module for module in audit_adapter(adapters / name).modules}
        assert found.keys() == modules.keys()
        for key, torch in modules.items():
            module, s = found[key], torch["scale"]
            assert (module.rank, module.scale) == (torch["rank"], s)
            np.testing.assert_allclose(module.measured.top_A, s**2 * torch["top_A"], rtol=1e-9, atol=1e-30)
            np.testing.assert_allclose(module.measured.top_B, s**2 * torch["top_B"], rtol=1e-9, atol=1e-30)
            rounding = 2e-6 * s * np.sqrt(torch["top_A"] * torch["top_B"])
            np.testing.assert_allclose(module.measured.norm, s * torch["update"], rtol=1e-6, atol=rounding)
            if module.measured.norm:
                np.testing.assert_allclose(module.measured.stable_rank, torch["stable_rank"], rtol=1e-6)


@pytest.mark.parametrize("name", [*CONFIGURED, "fan-in-fan-out"])
def test_a_configuration_with_shapes_gives_the_modules_that_peft_adapts(name, adapters):
    folder = adapters / "fresh" / name
    model = folder / "base" if name == "fan-in-fan-out" else adapters / "base"
    configured, saved = audit_configuration(folder / "adapter_config.json", model=model), audit_adapter(folder)
    for facts in (lambda m: (m.name, m.kind, m.rank, m.scale, m.features_in, m.features_out), lambda m: (m.name, m.condition)):
        assert sorted(map(facts, configured.modules)) == sorted(map(facts, saved.modules))


ENTRIES = {
    "true.A": (stats.uniform, start("true", RANK, N).A),
    "gaussian.A": (stats.norm, start("gaussian", RANK, N).A),
    "false.A": (stats.uniform, start("false", RANK, N).A),
    "false.B": (stats.uniform, start("false", RANK, N).B),
    "embedding.B": (stats.norm, embedding_start("true").B),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_follow_the_law_of_the_start(name, draws):
    family, factor = ENTRIES[name]
    sd = np.sqrt(factor.variance)
    law = family(-np.sqrt(3) * sd, 2 * np.sqrt(3) * sd) if family is stats.uniform else family(0, sd)
    entries = draws[name].ravel()
    assert stats.kstest(entries, law.cdf).pvalue > 1e-7  # the seeds are fixed
    assert stats.kstest(entries * 1.3, law.cdf).pvalue < 1e-7  # and a wrong law would be noticed
    assert not draws[name[:-1] + {"A": "B", "B": "A"}[name[-1]]].any() or name.startswith("false")


def test_orthogonal_is_two_rotated_gaussian_factors_of_half_the_rank(draws):
    A, B = draws["orthogonal.A"], draws["orthogonal.B"]
    begin = start("orthogonal", RANK, N)
    assert np.abs(B @ A).max() < 1e-5
    for factor, matrices in ((begin.A, A), (begin.B, np.swapaxes(B, 1, 2))):
        singular = np.linalg.svd(matrices, compute_uv=False)
        assert singular[:, factor.rank :].max() < 1e-5
        rng, width = np.random.default_rng(0), matrices.shape[2]
        gaussian = rng.standard_normal((2000, factor.rank, width)) * np.sqrt(factor.variance)
        expected = np.linalg.svd(gaussian, compute_uv=False)[:, 0]
        assert stats.ks_2samp(singular[:, 0], expected).pvalue > 1e-7
        assert stats.ks_2samp(singular[:, 0], 1.2 * expected).pvalue < 1e-7


def test_starts_from_the_weights_are_what_the_report_says(draws):
    s = 2.0
    norm = {name: np.linalg.norm(draws[name], 2, axis=(1, 2)) for name in ("pissa.A", "pissa.B", "pissa.W", "olora.A")}
    np.testing.assert_allclose(s**2 * (norm["pissa.A"] ** 2 + norm["pissa.B"] ** 2), 2 * s * norm["pissa.W"], rtol=1e-5)
    assert (norm["olora.A"] > 0).all()
    for name in ("olora.B", "mica.B"):
        gram = np.swapaxes(draws[name], 1, 2) @ draws[name]
        np.testing.assert_allclose(gram, np.broadcast_to(np.eye(RANK), gram.shape), atol=1e-5)
    assert not draws["mica.A"].any()


# The sixteen values of NF4: appendix E of the QLoRA paper, arXiv:2305.14314.
NF4 = np.array(
    [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334]
    + [-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
    + [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
)


def nf4(weight):
    """Replace each entry by the nearest of 16 multiples of the largest entry in its block of 64."""
    blocks = weight.reshape(-1, 64, 1)
    top = np.abs(blocks).max(1, keepdims=True)
    nearest = np.abs(blocks / top - NF4).argmin(2)
    return (NF4[nearest] * top[:, :, 0]).reshape(weight.shape)


def test_loftq_takes_its_factors_from_the_error_of_the_quantisation(draws, adapters):
    A, B = draws["loftq.A"], draws["loftq.B"]
    U, S, Vt = np.linalg.svd(draws["loftq.W"] - np.stack([nf4(W) for W in draws["loftq.W"]]), full_matrices=False)
    leading = U[:, :, :RANK] * S[:, None, :RANK] @ Vt[:, :RANK]
    # PyTorch's decomposition is in float32, and the fourth and fifth singular values are close to each other.
    assert np.abs(B @ A - leading).max() < 1e-4 * S.max()
    np.testing.assert_allclose(np.linalg.norm(A, 2, axis=(1, 2)) ** 2, S[:, 0], rtol=1e-5)  # without the scale s = 2
    np.testing.assert_allclose(np.linalg.norm(B, 2, axis=(1, 2)) ** 2, S[:, 0], rtol=1e-5)
    coarse = np.round(draws["loftq.W"][0] * 8) / 8
    assert np.abs(np.linalg.svd(draws["loftq.W"][0] - coarse, compute_uv=False)[0] / S[0, 0] - 1) > 0.1
    base = read_header(adapters / "base/model.safetensors")
    for module in audit_adapter(adapters / "fresh/loftq").modules:
        W = read_tensor(adapters / "base/model.safetensors", base[f"{module.name}.weight"])
        error = np.linalg.norm(W - nf4(W), 2)
        # In float32 an entry half-way between two levels may go to either one, which changes the norm by about 1e-3.
        np.testing.assert_allclose(module.measured.value, 2 * error, rtol=1e-2)


def test_the_files_are_those_that_were_made(adapters):
    hashes = json.loads((adapters / "reference.json").read_text())["sha256"]
    found = {
        path.relative_to(adapters).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in adapters.rglob("*")
        if path.is_file() and path.name != "reference.json"
    }
    assert found == hashes


@pytest.mark.parametrize(
    ("name", "order"),
    [("fresh/default", True), ("fresh/twice", False), ("fresh/loftq", True)]
    + [("fresh/dora", None), ("trained/dora", None), ("trained/twice", False)]
    + [("trained/gentle", True), ("fresh/convolution", True)],
)
def test_the_answer_on_known_cases(name, order, adapters):
    report = audit_adapter(adapters / name)
    assert report.overall.order is order
    assert name.startswith("trained") or not any(module.notes for module in report.modules)


@pytest.mark.parametrize("name", ["fresh/eva", "fresh/mica", "trained/mica"])
def test_an_orthonormal_factor_that_was_stored_may_exceed_one_by_its_rounding_and_the_report_says_so(name, adapters):
    for module in audit_adapter(adapters / name).modules:
        assert abs(module.measured.value - 1) < 2e-6
        assert module.order is (module.measured.value <= 1 + 1e-13)
        assert any("no more than rounding to F32 does" in note for note in module.notes) is not module.order


@pytest.mark.parametrize(
    ("name", "dtype", "bound"), [("float16", "F16", 1e-3), ("bfloat16", "BF16", 8e-3), ("float8", "F8_E4M3", 0.13)]
)
def test_low_precision_is_read_as_pytorch_rounded_it(name, dtype, bound, adapters):
    exact = {module.name: module.measured.value for module in audit_adapter(adapters / "fresh/default").modules}
    for module in audit_adapter(adapters / "fresh" / name).modules:
        assert module.measured.dtype == dtype
        assert 0 < abs(module.measured.value / exact[module.name] - 1) < bound
