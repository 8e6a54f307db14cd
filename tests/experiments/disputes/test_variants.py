"""Starts from singular vectors, and outcomes of a variant."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from lorantk.experiments.digits import training
from lorantk.experiments.digits.sweeps import cells
from lorantk.experiments.disputes import variants
from lorantk.theory.networks import effective_weight


@pytest.fixture(scope="module")
def network():
    """Plain LoRA's start at seed 0."""
    stacked = training.networks(variants.cell("memorising", "clean", seeds=1))
    return jax.tree.map(lambda leaf: leaf[0], stacked)


@pytest.mark.parametrize("which", list(variants.STARTS))
def test_the_start_computes_what_the_pretrained_network_does(network, which):
    started = variants.start(network, which)
    for before, after in zip(network.layers, started.layers, strict=True):
        np.testing.assert_allclose(effective_weight(before), effective_weight(after), atol=3e-6)
        assert before.role == after.role


def test_the_principal_part_is_the_best_approximation_and_the_minor_part_the_smallest(network):
    layer = network.layers[0]
    sigma = np.linalg.svd(np.asarray(layer.W, dtype=float), compute_uv=False)
    rank = layer.A.shape[0]
    for which, kept in (("principal", sigma[:rank]), ("minor", sigma[-rank:])):
        started = variants.from_singular_vectors(layer, which)
        found = np.linalg.svd(np.asarray(started.scale * started.B @ started.A, dtype=float), compute_uv=False)[:rank]
        np.testing.assert_allclose(found, kept, rtol=1e-3, atol=1e-5)


def test_an_unknown_start_is_refused(network):
    with pytest.raises(ValueError, match="which must be one of principal, minor; got 'middle'"):
        variants.from_singular_vectors(network.layers[0], "middle")


def test_the_cells_are_those_of_the_arms():
    known = [cell for cell in cells("arms", "default") if (cell.arm, cell.optimiser) == ("lora", "adam")]
    for regime in variants.REGIMES:
        for attack in variants.ATTACKS:
            assert variants.cell(regime, attack) in known


def test_a_variant_that_is_none_trains_like_plain_lora_and_a_faster_b_does_not():
    plain = replace(variants.cell("memorising", "clean", seeds=1), steps=8, rates=(1e-3,))
    expected = training.run(plain)
    np.testing.assert_array_equal(variants.run("plain", plain).records["train_loss"], expected.train_loss)
    faster = variants.run("faster B", plain).records["train_loss"]
    assert faster[0, 0, -1] < np.asarray(expected.train_loss)[0, 0, -1]
