"""Poison in the kernel regime: the fits against kernels of adapted networks, the effects counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.experiments.digits import linearised, transfer
from lorantk.theory import kernels, networks
from lorantk.theory.adapters import Adapter, adapt


@pytest.fixture(scope="module")
def network():
    return transfer.pretrained((12, 10), seed=0, steps=20)


@pytest.fixture(scope="module")
def task(network):
    return linearised.attack(network, ("W1", "W2", "W3"), rows=12, test=15, flips=(0.3,), patch=0.4, seed=1)


class Fixed:
    """A generator whose draws are given."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def standard_normal(self, shape):
        """Return the next draw, which must have the shape asked for."""
        draw = self.draws.pop(0)
        assert draw.shape == shape
        return draw


def test_a_sampled_fit_is_that_of_the_adapted_networks_kernel(network, task):
    pixels, labels = transfer.transfer_digits()[1]
    chosen = np.random.default_rng(1).choice(len(labels), 27, replace=False)
    x, x_test = (transfer.normalise(pixels[part]) for part in (chosen[:12], chosen[12:]))
    adapted = adapt(network, Adapter(3, 3**-0.5, "gaussian", 1.0), roles=("lora", "full", "frozen"), key=jax.random.key(5))
    A = np.asarray(adapted.layers[0].A)
    # W1 adapted, W2 in full, W3 not at all
    own = task._replace(layers={name: {m: part[m] for m in ("W1", "W2")} for name, part in task.layers.items()})
    outputs = linearised.sampled_outputs(own, {"W1": 3}, 0.5, draws=1, rng=Fixed(A))
    K, k = (kernels.as_matrix(kernels.ntk(adapted, part, jnp.asarray(x), outputs="full")) for part in (jnp.asarray(x), x_test))
    start = np.asarray(networks.forward(network, x_test))
    y = (transfer.one_hot(labels[chosen[:12]]) - 0.2 - np.asarray(networks.forward(network, x))).ravel()
    expected = start + np.reshape(k @ np.linalg.solve(K + 0.5 * np.eye(60), y), start.shape)
    np.testing.assert_allclose(outputs["clean", "test"][0], expected, rtol=1e-9, atol=1e-9)


def test_flips_change_labels_and_the_backdoor_changes_images_too(task):
    clean, flipped, patched = (task.targets[name].reshape(-1, 5) for name in ("clean", "flips 0.3", "patch"))
    changed = (clean != flipped).any(axis=1)
    assert 0 < changed.sum() < len(changed)
    np.testing.assert_allclose((flipped - clean)[changed].sum(axis=1), 0, atol=1e-12)
    same = (task.layers["clean"]["W1"].forward == task.layers["patch"]["W1"].forward).all(axis=1)[::5]
    assert 0 < same.sum() < len(same)
    np.testing.assert_array_equal(clean[same], patched[same])
    assert (task.layers["test"]["W1"].forward != task.layers["stamped"]["W1"].forward).any()


def test_the_equivalent_has_the_mean_of_the_samples_and_scatters_like_them(task):
    ranks, draws, rng = {"W1": 6, "W2": 6}, 600, np.random.default_rng(0)
    sampled = linearised.sampled_outputs(task, ranks, 20.0, draws=draws, rng=rng)
    laws = linearised.equivalent_laws(task, ranks, 20.0)
    assert set(laws) <= set(sampled)
    assert {("clean", "test"), ("flips 0.3", "test"), ("clean", "stamped"), ("patch", "stamped")} == set(laws)
    for key, (mean, covariance) in laws.items():
        truth = sampled[key]
        error = np.sqrt(((truth.mean(axis=0) - mean) ** 2).mean())
        assert error < 0.25 * np.sqrt(truth.var(axis=0).mean())
        assert np.einsum("tcc->tc", covariance).mean() == pytest.approx(truth.var(axis=0).mean(), rel=0.25)


def test_gaussian_outputs_have_the_law_asked_for():
    root = np.random.default_rng(2).standard_normal((3, 5, 5))
    law = linearised.Law(np.arange(15.0).reshape(3, 5), root @ root.transpose(0, 2, 1))
    outputs = linearised.gaussian_outputs({"key": law}, draws=40_000, rng=np.random.default_rng(3))["key"]
    centred = outputs - outputs.mean(axis=0)
    np.testing.assert_allclose(outputs.mean(axis=0), law.mean, atol=0.1)
    np.testing.assert_allclose(np.einsum("stc,std->tcd", centred, centred) / 40_000, law.covariance, atol=0.3)


def test_effects_are_shares_of_images(task):
    truth = task.truth
    right, target = np.eye(5)[truth][None], np.eye(5)[np.full(15, linearised.TARGET)][None]
    outputs = {
        ("clean", "test"): right,
        ("clean", "stamped"): right,
        ("flips 0.3", "test"): target,
        ("patch", "stamped"): target,
    }
    found = linearised.effects(task, outputs)
    assert (found["accuracy"], found["lift"]) == (1, 1)
    assert found["flips 0.3"] == pytest.approx((truth != linearised.TARGET).mean())


def test_a_wrong_matrix_is_refused(network):
    with pytest.raises(KeyError, match="W9"):
        linearised.attack(network, ("W9",), rows=3, test=3, flips=(), patch=0.1, seed=0)
