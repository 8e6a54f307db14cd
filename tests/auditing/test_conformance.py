"""The conformance set: every reader finds the one right s‖BA‖, and the published files are those that were meant."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from auditing import conformance

from lorantk import audit_adapter
from lorantk.auditing.tensors import read_header, read_tensor

SET = Path(__file__).parents[2] / "book/conformance"
INDEX = json.loads((SET / "index.json").read_text())
UPDATE = read_tensor(SET / "update.safetensors", read_header(SET / "update.safetensors")["update"])


def place(case):
    """Return what to audit: PEFT's and MLX's folders, the one file of the others."""
    folder = SET / case["folder"]
    return folder if len(case["files"]) > 1 else folder / case["files"][0]


def test_the_published_files_are_those_that_were_made():
    found = {path.relative_to(SET).as_posix(): path.read_bytes() for path in SET.rglob("*") if path.is_file()}
    assert found == conformance.files()


@pytest.mark.parametrize("case", INDEX["cases"], ids=lambda case: case["folder"])
def test_every_format_gives_the_one_update(case):
    report = audit_adapter(place(case))
    [module] = report.modules
    assert (report.format, module.scale, module.rank) == (case["format"], case["scale"], INDEX["rank"])
    assert [module.features_out, module.features_in] == INDEX["shape"]
    np.testing.assert_allclose(module.measured.norm, INDEX["norm"], rtol=1e-12)
    assert np.linalg.norm(UPDATE, 2) == INDEX["norm"]


def test_scales_differ_so_that_a_loader_with_one_rule_for_all_fails():
    assert len({case["scale"] for case in INDEX["cases"]}) > 4


@pytest.mark.parametrize("case", [case for case in INDEX["cases"] if case["format"] == "GGUF"], ids=lambda case: case["folder"])
def test_llama_cpps_own_package_reads_the_same_update(case):
    reader = gguf.GGUFReader(place(case))
    tensors = {tensor.name[-6:]: gguf.dequantize(tensor.data, tensor.tensor_type).astype(float) for tensor in reader.tensors}
    alpha = reader.get_field("adapter.lora.alpha")
    scale = float(alpha.contents()) / tensors["lora_b"].shape[1] if alpha else 1.0
    np.testing.assert_array_equal(scale * tensors["lora_b"] @ tensors["lora_a"], UPDATE)


def test_the_report_on_rslora_says_what_becomes_of_it_in_gguf():
    [module] = audit_adapter(SET / "peft-rslora").modules
    assert (module.scales.peft, module.scales.vllm, module.scales.llama_cpp) == (2, 2, 1)
