"""The two forms of LoRA's kernel in its chapter, against the package's general functions."""

import numpy as np
import pytest

from lorantk.experiments.kernels import lemma
from lorantk.theory import kernels, recursions

X = np.random.default_rng(0).normal(size=(4, lemma.INPUTS))


def test_a_network_starts_at_b_zero_with_peft_s_variance_and_the_main_runs_scale():
    network = lemma.network(400, 8, seed=0)
    assert [layer.role for layer in network.layers] == ["full", "lora", "lora", "lora"]
    for layer in network.layers[1:]:
        assert not layer.B.any()
        assert layer.scale * 8 == 16
        np.testing.assert_allclose(layer.A.var() * 400, 1 / 3, rtol=0.05)


@pytest.mark.parametrize("other", [{"seed": 1}, {"number": 1}, {"width": 9}])
def test_networks_differ_by_seed_number_and_width(other):
    options = {"width": 8, "rank": 2, "seed": 0, "number": 0}
    first, again, changed = (lemma.network(**options | given).layers[0].W for given in ({}, {}, other))
    np.testing.assert_array_equal(first, again)
    assert first.shape != changed.shape or (first != changed).any()


@pytest.mark.parametrize("rank", [3, None])
def test_the_sum_over_layers_is_the_kernel_of_either_network(rank):
    network = lemma.network(12, 3, seed=0)
    states = lemma.states(network, X)
    grams = lemma.grams(network, states, rank)
    found = sum(gram * (delta @ delta.T) for gram, delta in zip(grams, states.deltas, strict=True))
    truth = kernels.ntk(network if rank else kernels.as_full_fine_tuning(network), X, outputs="trace")
    np.testing.assert_allclose(found, truth, rtol=1e-11)


def test_a_lower_rank_takes_the_first_rows_of_a():
    network = lemma.network(12, 3, seed=0)
    states = lemma.states(network, X)
    [first, second, *_] = lemma.grams(network, states, 1)
    h = states.features[1] @ network.layers[1].A[0]
    np.testing.assert_allclose(first, X @ X.T)
    np.testing.assert_allclose(second, lemma.SCALE**2 * np.outer(h, h))


def test_the_means_are_those_of_the_recursions():
    network = lemma.network(12, 3, seed=0)
    states = lemma.states(network, X)
    found = [*lemma.grams(network, states, 3), *states.sigma_dots]
    wanted = [*recursions.sigmas(network, X, X), *recursions.sigma_dots(network, X, X, weight_variance=1.0)]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12)
