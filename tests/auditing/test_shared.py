"""Modules that share W₀: the order of each, and of the sum, against kernels of explicit gradients."""

import json

import numpy as np
import pytest
from auditing.headers import model
from auditing.written import CONFIGURATION, adapter

from lorantk import audit_adapter, audit_configuration
from lorantk.auditing.shared import replicas

M, N, R = 5, 7, 2
COPIES = ["model.layers.1.q", "model.layers.2.q", "model.layers.0.q", "model.layers.3.q"]


def kernels(x, g, A, B, s, shared):
    """Return the tangent kernels of LoRA and of full fine-tuning of a matrix that is used twice.

    Row i of `x` and `g` has, for each of the two uses, the features and the gradient with respect to the outputs of one datum.
    """
    gradients = np.einsum("iua,iub->iuab", g, x)  # of W at each use
    lora = 0
    for use in range(2):
        by_A = s * np.einsum("iab,ar->irb", gradients[:, use], B[use]).reshape(len(x), -1)
        by_B = s * np.einsum("iab,rb->iar", gradients[:, use], A[use]).reshape(len(x), -1)
        lora = lora + by_A @ by_A.T + by_B @ by_B.T
    rows = gradients.sum(1).reshape(len(x), -1) if shared else gradients.reshape(len(x), -1)
    return lora, rows @ rows.T


def top(difference):
    return np.linalg.eigvalsh(difference)[-1]


def test_the_order_of_each_copy_gives_that_of_the_sum_only_without_sharing():
    rng = np.random.default_rng(0)
    A, B, s = rng.standard_normal((2, R, N)), rng.standard_normal((2, M, R)), 1.0
    s = 0.99 / np.sqrt(max(np.linalg.norm(A[u], 2) ** 2 + np.linalg.norm(B[u], 2) ** 2 for u in range(2)))  # κ < 1 in both
    x, g = rng.standard_normal((40, 2, N)), rng.standard_normal((40, 2, M))
    lora, full = kernels(x, g, A, B, s, shared=False)
    assert top(lora - full) <= 1e-9
    cancelling = np.repeat(x[:, :1], 2, axis=1), np.stack([g[:, 0], -g[:, 0]], axis=1)  # y = Wx - Wx
    lora, full = kernels(*cancelling, A, B, s, shared=True)
    assert np.abs(full).max() < 1e-12
    assert top(lora) > 0.1
    lora, full = kernels(*cancelling, A, B, s, shared=False)
    assert top(lora - full) <= 1e-9
    lora, _ = kernels(*cancelling, 0 * A, 0 * B, s, shared=True)
    assert np.abs(lora).max() == 0.0


def test_copies_of_one_layer_are_found_by_their_numbers():
    mapping = ((0, 2), (1, 3))  # layers 0, 1, 1, 2
    assert replicas(mapping, COPIES) == (("model.layers.1.q", "model.layers.2.q"),)
    assert replicas((), COPIES) == ()
    assert replicas(mapping, ["model.layers.1.q", "model.layers.2.v", "model.layers.9.q"]) == ()
    assert replicas(mapping, ["encoder.layer.1.q", "encoder.layer.2.q"]) == (("encoder.layer.1.q", "encoder.layer.2.q"),)


def shared(report):
    return [entry for entry in report.consistency if entry.id == "shared-matrix"]


@pytest.mark.parametrize("B", [0.0, 0.01])
def test_an_adapter_of_replicated_layers_is_in_order_against_copies_alone(B, tmp_path):
    folder = adapter(tmp_path, COPIES, {"layer_replication": [[0, 2], [1, 3]], "target_modules": ["q"], "lora_alpha": 2}, B=B)
    report = audit_adapter(folder)
    assert report.overall.order is True
    [found] = shared(report)
    assert set(found.names) == {"model.layers.1.q", "model.layers.2.q"}
    assert "against it the order of the sum fails for some data" in found.text
    assert found.text in str(report).replace("\n  ", " ")
    assert shared(audit_adapter(adapter(tmp_path / "plain", COPIES, {"target_modules": ["q"]}))) == []


def test_an_adapter_without_a_kernel_is_in_order_against_anything(tmp_path):
    zero = {f"base_model.model.{name}.lora_A.weight": np.zeros((4, 32), "f4") for name in COPIES}
    configuration = {"layer_replication": [[0, 2], [1, 3]], "target_modules": ["q"]}
    [found] = shared(audit_adapter(adapter(tmp_path, COPIES, configuration, tensors=zero)))
    assert "the order of the sum holds too, as the factors are zero" in found.text


def test_a_configuration_of_tied_embeddings_says_so(tmp_path):
    tensors = {"model.embed_tokens.weight": (48, 16), "model.layers.0.self_attn.q_proj.weight": (16, 16)}
    folder = model(tmp_path, tensors, {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True})
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(CONFIGURATION | {"target_modules": ["q_proj", "lm_head"], "lora_alpha": 1}))
    report = audit_configuration(path, model=folder)
    assert report.overall.order is True
    [found] = shared(report)
    assert set(found.names) == {"model.embed_tokens", "lm_head"}
    path.write_text(json.dumps(CONFIGURATION | {"target_modules": ["q_proj"]}))
    assert shared(audit_configuration(path, model=folder)) == []
