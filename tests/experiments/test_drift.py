"""Stacks of trained networks, against single networks with real adapters."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from lorantk.experiments.kernels.drift import FRACTION, Scheme, flow_distances, journeys, sample_networks
from lorantk.theory.dynamics import STATUS
from lorantk.theory.laziness import kernel_change
from lorantk.theory.networks import Network

FULL, FROZEN = Scheme(), Scheme(adapted=(2,), ratio=lambda n: 0.0)
BOTH = Scheme(adapted=(2,), ratio=lambda n: 1 / n)
X = jax.random.normal(jax.random.key(0), (3, 64))
Y = jnp.array([[1.0], [-1.0], [1.0]])


def one(stack, i):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[i]), stack)


def test_networks_of_a_width_are_shared_by_schemes_and_have_the_variances_that_are_asked_for():
    full, adapted = (sample_networks(scheme, 32, count=50, seed=0, rank=4) for scheme in (FULL, FROZEN))
    for left, right in zip(full.layers, adapted.layers, strict=True):
        np.testing.assert_array_equal(left.W, right.W)
    assert [layer.role for layer in adapted.layers] == ["frozen", "lora", "lora"]
    assert adapted.layers[2].scale.tolist() == [0.0] * 50
    np.testing.assert_allclose([layer.W.var() * layer.W.shape[-1] for layer in full.layers], 2, rtol=0.05)
    np.testing.assert_allclose(adapted.layers[1].A.var(), 1 / 96, rtol=0.05)
    assert not adapted.layers[1].B.any()


def test_journeys_are_those_of_single_networks_with_adapters_where_they_are_asked_for():
    found = journeys(FROZEN, 16, X, Y, step=0.5, count=2, seed=1, rank=3, rows=5)
    assert set(found.status.tolist()) == {STATUS.index("reached")}
    stack = sample_networks(FROZEN, 16, count=2, seed=1, rank=3, rows=5)
    for i in range(2):
        first, second, third = one(stack, i).layers
        second = replace(second, A=second.A[:3], B=second.B[:, :3], role="lora-fa")
        network = Network((first, second, replace(third, A=None, B=None, scale=None, role="frozen")), "relu")
        expected = kernel_change(network, X, Y, relative={"B": 1.0}, step=0.5, fraction=FRACTION, steps=1000)
        np.testing.assert_allclose([part[i] for part in found], expected, rtol=1e-9)


def test_rates_follow_the_ratio_of_the_scheme():
    slow, frozen = (journeys(scheme, 16, X, Y, step=0.2, count=3, seed=2, rank=4) for scheme in (BOTH, FROZEN))
    assert (slow.ratio > 0).all()
    assert (slow.raw > frozen.raw).all()
    assert BOTH.relative_rates(16) == {"W": 1.0, "A": 1 / 16, "B": 1.0}


def test_gradient_descent_tends_to_the_flow_and_the_linear_model_to_it_as_the_step_and_the_kernel_allow():
    found = flow_distances(FROZEN, 16, X, Y, steps=(0.2, 0.1), number=0, seed=3, rank=4)
    np.testing.assert_allclose(found.descent[1] / found.descent[0], 0.5, atol=0.1)
    wide = flow_distances(FULL, 256, X, Y, steps=(), number=0, seed=3, rank=4)
    narrow = flow_distances(FULL, 8, X, Y, steps=(), number=0, seed=3, rank=4)
    assert wide.linear < narrow.linear / 2
