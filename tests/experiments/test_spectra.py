"""The sweep of spectra against the kernels of adapted networks, and what must hold in every row."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.experiments.kernels import spectra
from lorantk.theory import information, kernels
from lorantk.theory.networks import Network

SETTING = spectra.Setting(width=10, depth=3, inputs=5)


def first(networks):
    """Return the first of a stack of networks."""
    return jax.tree.map(lambda leaf: leaf[0], networks)


@pytest.mark.parametrize("pattern", spectra.PATTERNS)
def test_the_swept_kernels_are_those_of_adapted_networks(pattern):
    rng = np.random.default_rng(0)
    networks, x = spectra.draw(SETTING, 2, rng)
    grams = spectra.layer_grams(networks, x)
    adapters = spectra.standard_adapters(grams, 2, rng)
    layers = []
    for layer, role, G in zip(first(networks).layers, spectra.roles(pattern, 3), adapters, strict=True):
        if role == "lora":
            A = jnp.asarray(np.sqrt(0.7 / G.shape[-1]) * G[0])
            layer = replace(layer, A=A, B=jnp.zeros((layer.W.shape[0], 2)), scale=1.0)
        layers.append(replace(layer, role=role))
    truth = kernels.as_matrix(kernels.ntk(Network(tuple(layers), "relu"), x[0], outputs="full"))
    np.testing.assert_allclose(spectra.kernel(grams, pattern, adapters, 0.7)[0], truth, rtol=1e-11, atol=1e-11 * truth.max())


@pytest.mark.parametrize("data", ["gaussian", "digits"])
def test_where_m_delta_is_negative_every_eigenvalue_of_lora_is_the_smaller(data):
    rows = spectra.sweep(
        SETTING._replace(data=data), patterns=spectra.PATTERNS, ranks=(1, 10), qs=(0.1, 1.0, 9.0), draws=6, seed=0
    )
    assert rows["ff"].shape == rows["lora"].shape == (3 * 2 * 3 * 6, 10)
    inside = rows["m_delta"] <= 0
    assert 0 < inside.sum() < len(inside)
    top = rows["ff"][:, -1:]
    assert (rows["least"][inside] > -1e-12).all()
    assert (rows["ff"] - rows["lora"] > -1e-12 * top)[inside].all()
    assert (rows["least"][~inside] < -0.01).any()


def test_a_sweep_repeats_with_its_seed():
    options = {"patterns": ("every layer",), "ranks": (2,), "qs": (1.0,), "draws": 2}
    a, b, c = (spectra.sweep(SETTING, **options, seed=seed)["lora"] for seed in (0, 0, 1))
    assert (a == b).all()
    assert (a != c).any()


def test_training_lowers_the_loss_and_leaves_full_fine_tuning_alone_with_its_kernel():
    options = {"pattern": "all but layer 1", "rank": 2, "q": 0.5, "step": 0.2, "draws": 2, "seed": 0}
    start, end = (spectra.trained_spectra(SETTING, **options, steps=steps) for steps in (0, 20))
    np.testing.assert_allclose(start["ff"], start["same"], rtol=1e-9, atol=1e-9)
    assert (end["loss_lora"] < 1).all()
    assert (end["loss_ff"] < 1).all()
    assert (np.abs(end["ff"] - end["same"]) > 1e-3).any()


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match="pattern must be one of every layer, all but layer 1, head only; got 'all'"):
        spectra.roles("all", 3)


def test_a_survey_lays_settings_end_to_end_and_the_atlas_counts_the_pairs_inside():
    options = {"patterns": ("every layer", "head only"), "ranks": (1, 4), "qs": (0.1, 9.0), "draws": 3}
    rows = spectra.survey(("width 4", "depth 2"), **options, seed=5)
    second = spectra.sweep(spectra.SETTINGS["depth 2"], **options, seed=6)
    assert len(rows["rank"]) == 2 * 2 * 2 * 2 * 3
    np.testing.assert_allclose(rows["ff"].mean(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(rows["lora"][-1] / rows["ff"][-1, -1], second["lora"][-1] / second["ff"][-1, -1], rtol=1e-12)
    assert (rows["inside"] == (rows["m_delta"] <= 0)).all()
    trained = {p: {"same": np.ones((2, 3)), "ff": np.eye(3)[:2], "lora": np.full((2, 3), 0.5)} for p in options["patterns"]}
    readings = {"trace": lambda full, low: full.sum(1) >= low.sum(1), "top below ½": lambda full, low: low[:, -1] < 0.5}
    table = spectra.atlas(rows, trained, readings)
    settings = ("width 4", "depth 2", "trained, same weights", "trained, own weights")
    assert list(table) == [(pattern, setting) for pattern in trained for setting in settings]
    chosen = rows["inside"] & (rows["setting"] == "width 4") & (rows["pattern"] == "every layer")
    assert 0 < chosen.sum() < 12
    assert table["every layer", "width 4"] == [1.0, np.mean(rows["lora"][chosen][:, -1] < 0.5)]
    assert table["head only", "trained, same weights"] == [1.0, 0.0]
    assert table["head only", "trained, own weights"] == [0.0, 0.0]


@pytest.mark.parametrize("pattern", spectra.PATTERNS)
def test_second_moments_are_those_of_sampled_kernels(pattern):
    rng = np.random.default_rng(3)
    grams = spectra.layer_grams(*spectra.draw(SETTING, 1, rng))
    draws = 20000
    adapters = [rng.normal(size=(draws, 3, h.shape[-1])) for h in grams.forward]
    K = spectra.kernel(grams, pattern, adapters, 0.7)
    exact = spectra.second_moments(grams, pattern, 3, 0.7)
    for values, mean in (((K**2).sum((1, 2)), exact.square[0]), (np.trace(K, axis1=1, axis2=2) ** 2, exact.trace[0])):
        assert abs(values.mean() - mean) < 6 * values.std() / np.sqrt(draws)
        assert abs(values.mean() - 1.1 * mean) > 6 * values.std() / np.sqrt(draws)


@pytest.mark.parametrize("pattern", spectra.PATTERNS)
def test_order_two_is_the_mean_of_the_entropies_of_the_drawn_kernels(pattern):
    grams = spectra.layer_grams(*spectra.draw(SETTING, 1, np.random.default_rng(0)))
    cells = spectra.order_two(grams, pattern, ranks=(3,), qs=[0.2], draws=5, rng=np.random.default_rng(1))
    again = np.random.default_rng(1)
    adapters = [again.normal(size=(5, 3, h.shape[-1])) for h in grams.forward]
    full, lora = (np.linalg.eigvalsh(spectra.kernel(grams, pattern, A, 0.2)) for A in (None, adapters))
    for form, entropy in (("printed", information.renyi_as_printed), ("normalised", information.renyi)):
        low, high = (entropy(v.clip(0), order=2, unit="bits").mean() for v in (lora, full))
        np.testing.assert_allclose(cells[form, "measured"], [[low - high]], rtol=1e-9)


def test_with_every_layer_adapted_the_variance_moves_the_printed_form_only():
    grams = spectra.layer_grams(*spectra.draw(SETTING, 1, np.random.default_rng(0)))
    options = {"ranks": (1, 4), "qs": [0.1, 0.4], "draws": 3, "rng": np.random.default_rng(1)}
    cells = spectra.order_two(grams, "every layer", **options)
    for side in ("measured", "closed form"):
        printed, normalised = cells["printed", side], cells["normalised", side]
        np.testing.assert_allclose(printed[1] - printed[0], -4.0, atol=1e-9)  # c grows fourfold: α/(1-α) log₂ 4 = -4
        np.testing.assert_allclose(normalised[1], normalised[0], atol=1e-9)
