"""Measures of spectra and objectives of many models, against networks that really have the adapters."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.experiments.kernels import objectives as bridge
from lorantk.experiments.kernels import spectra
from lorantk.theory import fisher, information, objectives
from lorantk.theory.networks import Network, init_network

N, C = 4, 3
NETWORK = init_network((6, 8, 8, C), key=jax.random.key(0))


def batch(seed, inputs=6):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(N, inputs))), jnp.eye(C)[rng.integers(0, C, N)]


def adapted(pattern, rank, q, rng):
    """Return the network with the adapters that `bridge.measure_models` draws from the same generator."""
    layers = []
    for layer, role in zip(NETWORK.layers, spectra.roles(pattern, 3), strict=True):
        G = rng.normal(size=(1, rank, layer.W.shape[1]))[0]
        if role == "lora":
            A = jnp.asarray(np.sqrt(q / G.shape[-1]) * G)
            layer = replace(layer, A=A, B=jnp.zeros((layer.W.shape[0], rank)), scale=1.0)
        layers.append(replace(layer, role=role))
    return Network(tuple(layers), NETWORK.activation)


@pytest.mark.parametrize("pattern", spectra.PATTERNS)
def test_rows_are_those_of_adapted_networks(pattern):
    clean, poison = batch(1), batch(2)
    rng = np.random.default_rng(3)
    rows = bridge.measure_models(NETWORK, clean, {"flipped": poison}, pattern=pattern, settings=[(2, 0.7), (2, 0.1)], rng=rng)
    assert np.isnan(rows["rank"][0])
    assert rows["rank"][1:].tolist() == [2, 2]
    network = adapted(pattern, 2, 0.7, np.random.default_rng(3))
    for form, column, power in (("absolute", "|objective|, flipped", 1), ("cosine", "cos², flipped", 2)):
        wanted = (objectives.objective(network, clean, poison, loss="cross-entropy", form=form) ** power).mean()
        np.testing.assert_allclose(rows[column][1], wanted, rtol=1e-10)
    values = np.linalg.eigvalsh(fisher.exact_by_hessian(network, clean[0], loss="cross-entropy", reduction="mean"))
    np.testing.assert_allclose(rows["½ trace"][1], information.information_bits_as_printed(values), rtol=1e-9)
    wanted = information.renyi(values, order=2, unit="bits")
    np.testing.assert_allclose(rows["normalised, α = 2"][1], wanted, rtol=1e-9)
    assert (rows["½ trace"][0] > rows["½ trace"][2]).all()


def test_the_size_of_a_moves_objectives_and_leaves_cosines_where_every_layer_is_adapted():
    options = {"pattern": "every layer", "settings": [(2, 1.0), (2, 0.25)], "rng": np.random.default_rng(0)}
    network = init_network((8, 8, 8, C), key=jax.random.key(1))
    rows = bridge.measure_models(network, batch(1, 8), {"x": batch(2, 8)}, **options)
    np.testing.assert_allclose(rows["|objective|, x"][2], rows["|objective|, x"][1] / 4, rtol=1e-10)
    np.testing.assert_allclose(rows["cos², x"][2], rows["cos², x"][1], rtol=1e-10)


def test_no_poison_is_refused():
    with pytest.raises(ValueError, match="poisons must contain at least one kind of sample; got none"):
        bridge.measure_models(NETWORK, batch(1), {}, pattern="every layer", settings=[], rng=np.random.default_rng(0))


def test_several_networks_stack_with_the_scale_and_the_rank_of_full_fine_tuning():
    poisons = {"flipped": batch(2)}
    options = {"pattern": "every layer", "settings": [(2, 0.5)]}
    table = bridge.measure_networks([(NETWORK, batch(1), poisons), (NETWORK, batch(3), poisons)], **options, seed=5)
    assert table["rank"].tolist() == [[8, 2]] * 2
    np.testing.assert_allclose(table["scale c"], [[1, 2 * 0.5 / 8]] * 2)
    second = bridge.measure_models(NETWORK, batch(3), poisons, **options, rng=np.random.default_rng(6))
    np.testing.assert_array_equal(table["½ trace"][1], second["½ trace"])


def test_agreement_counts_pairs_alike_less_pairs_opposed():
    predictor = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    assert bridge.agreement(predictor, predictor**3)[:3] == (1, 1, 1)
    found = bridge.agreement(predictor, np.array([[1.0, 3.0, 2.0], [3.0, 2.0, 1.0]]))
    np.testing.assert_allclose(found.mean, (1 / 3 - 1) / 2)
    np.testing.assert_allclose(found.high - found.mean, 12.7062 * 2 / 3, rtol=1e-5)  # Student's t, one degree of freedom


@pytest.mark.parametrize("shape", [(1, 3), (3,), (2, 4)])
def test_agreement_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="expected two arrays of one shape"):
        bridge.agreement(np.zeros((2, 3)) if shape == (2, 4) else np.zeros(shape), np.zeros(shape))
