"""The explorer's numbers, against `lorantk`, and what its controls do."""

import json
from urllib.parse import parse_qs

import jax
import numpy as np
import pytest

from lorantk.theory import delta, projection, random_matrices
from lorantk.theory.adapters import adapter
from lorantk.theory.conditions import default_variance
from lorantk.theory.laws import sample_matrix
from lorantk.theory.order import mean_factor

PAGE = "book/explorer.html"
KURTOSIS = {"gaussian": 0.0, "kaiming-uniform": -6 / 5, "rademacher": -2.0}
SETTINGS = [
    {"r": 8, "n": 4096, "alpha": 8, "scale": "alpha/r", "variance": 1 / (3 * 4096), "law": "kaiming-uniform"},
    {"r": 64, "n": 256, "alpha": 100, "scale": "alpha/r", "variance": 1 / 4096, "law": "gaussian"},
    {"r": 100, "n": 128, "alpha": 5, "scale": "alpha/sqrt(r)", "variance": 0.01, "law": "rademacher"},
    {"r": 200, "n": 800, "alpha": 1, "scale": "1", "variance": 1 / 1810, "law": "gaussian"},
]


@pytest.fixture(scope="module")
def explorer(file_visitor):
    """The explorer's page, from the file system."""
    if not (file_visitor.root and file_visitor(PAGE).page.locator(".lorantk-explorer input").count()):
        pytest.fail(f"expected controls on {PAGE}, got none")
    return file_visitor.last


def computed(page, state):
    """Return what the page's script computes for a state."""
    return page.evaluate("state => window.lorantkExplorer.compute(state)", state)


def described(state):
    """Return the adapter that a state describes."""
    scale = {"alpha/r": {"alpha": state["alpha"]}, "alpha/sqrt(r)": {"alpha": state["alpha"], "rslora": True}, "1": {"scale": 1}}
    return adapter(state["r"], law=state["law"], variance=state["variance"], **scale[state["scale"]])


@pytest.mark.parametrize("state", SETTINGS, ids=lambda state: f"{state['law']}-{state['r']}")
def test_numbers_are_those_of_lorantk(explorer, state):
    found, config, n, r = computed(explorer, state), described(state), state["n"], state["r"]
    q = config.scale**2 * state["variance"] * n
    assert found["s"] == pytest.approx(config.scale, rel=1e-14)
    assert found["q"] == pytest.approx(q, rel=1e-14)
    assert found["c"] == pytest.approx(mean_factor(config, n), rel=1e-14)
    assert found["sharp"] == pytest.approx(delta.sharp_value(q, r / n), rel=1e-13)
    assert found["edges"] == pytest.approx([q * edge for edge in random_matrices.marchenko_pastur_edges(r / n)], rel=1e-13)
    assert found["probability"] == pytest.approx(delta.nsd_probability(q, r, n), abs=1e-5)
    h = np.full(n, n**-0.5)
    variance = projection.inner_product_variance(h, h, rank=r, variance=state["variance"], kurtosis=KURTOSIS[state["law"]])
    assert found["spread"] == pytest.approx(config.scale**2 * np.sqrt(variance), rel=1e-13)


def test_the_probability_is_tracy_widoms_between_0_and_1(explorer):
    """Settings with a probability strictly between 0 and 1, as the comparison above might otherwise only compare ones."""
    r, n = 200, 800
    for wanted in (0.05, 0.3, 0.5, 0.8, 0.97):
        low, high = 0.2, 0.8
        for _ in range(60):
            q = (low + high) / 2
            low, high = (q, high) if delta.nsd_probability(q, r, n) > wanted else (low, q)
        state = {"r": r, "n": n, "alpha": 1, "scale": "1", "variance": q / n, "law": "gaussian"}
        assert computed(explorer, state)["probability"] == pytest.approx(wanted, abs=1e-5)


def test_orthonormal_rows_have_one_eigenvalue_and_their_own_spread(explorer):
    r, n, variance = 12, 40, 0.02
    found = computed(explorer, {"r": r, "n": n, "alpha": 1, "scale": "1", "variance": variance, "law": "orthonormal"})
    keys = jax.random.split(jax.random.key(0), 4000)
    draws = jax.vmap(lambda key: sample_matrix("orthonormal", (r, n), variance, key=key))(keys)
    top = np.asarray(delta.m_delta_eigenvalues(draws[0]))[n - r :] + 1
    assert found["edges"] == pytest.approx([top.min(), top.max()], rel=1e-10)
    assert found["sharp"] == pytest.approx(variance * n, rel=1e-12)
    ratios = np.sum(np.asarray(draws)[:, :, 0] ** 2, axis=1)  # |A h|² for a unit vector; every direction has the same law
    assert found["c"] == pytest.approx(ratios.mean(), abs=6 * ratios.std() / np.sqrt(len(ratios)))
    # The relative standard error of a standard deviation from 4000 draws is about 1/√8000 = 1.1 %; six of them.
    assert found["spread"] == pytest.approx(ratios.std(), rel=0.07)


def test_the_drawn_density_is_marchenko_pasturs(explorer):
    state = SETTINGS[1]
    found = computed(explorer, state)
    q, ratio = found["q"], found["ratio"]
    explorer.evaluate("state => { location.hash = new URLSearchParams(state).toString(); }", state)
    there = "r => document.querySelector('output[for=explorer-r]').value === String(r)"
    explorer.wait_for_function(there, arg=state["r"], polling=100)
    points = explorer.locator("#explorer-spectrum-picture polygon").get_attribute("points").split()[1:-1]
    heights = 210 - np.array([float(point.split(",")[1]) for point in points])
    low, high = found["edges"]
    x = low + (high - low) * (1 - np.cos(np.pi * np.arange(241) / 240)) / 2
    expected = random_matrices.marchenko_pastur_density(x / q, ratio) / q
    np.testing.assert_allclose(heights, 160 * expected / expected.max(), atol=0.06)  # drawn to a tenth of a pixel


def test_a_slider_moves_the_numbers_and_the_address(explorer):
    explorer.locator(".lorantk-explorer button", has_text="PEFT").first.click()
    slider = explorer.locator("#explorer-r")
    for _ in range(4):  # to 12, 16, 24, 32
        slider.press("ArrowRight")
    state = {name: values[0] for name, values in parse_qs(explorer.evaluate("location.hash.slice(1)")).items()}
    assert (int(state["r"]), float(state["alpha"]), state["law"]) == (32, 8.0, "kaiming-uniform")
    q = (8 / 32) ** 2 / 3
    shown = explorer.locator("[data-name=sharp]")
    assert float(shown.get_attribute("data-value")) == pytest.approx(delta.sharp_value(q, 32 / 4096), rel=1e-12)
    assert float(shown.inner_text()) == pytest.approx(delta.sharp_value(q, 32 / 4096), rel=1e-3)
    assert "negative semi-definite" in explorer.locator(".lorantk-explorer .verdict").inner_text()


def test_the_address_sets_everything(file_visitor):
    seen = file_visitor(PAGE, anchor="#r=64&n=1024&alpha=16&scale=alpha%2Fsqrt(r)&variance=0.25&law=rademacher&nonsense=1&n=-3")
    assert seen.page.locator("#explorer-law").input_value() == "rademacher"
    assert seen.page.locator("#explorer-scale").input_value() == "alpha/sqrt(r)"
    value = float(seen.page.locator("[data-name=sharp]").get_attribute("data-value"))
    assert value == pytest.approx(delta.sharp_value(4 * 0.25 * 1024, 64 / 1024), rel=1e-12)
    assert seen.page.locator(".verdict").get_attribute("data-holds") == "false"
    assert seen.complaints == []


def test_presets_are_the_libraries_defaults(file_visitor):
    seen = file_visitor(PAGE)
    start, presets = seen.page.evaluate("[window.lorantkExplorer.start, window.lorantkExplorer.presets]")
    assert {json.dumps(sorted(preset)) for preset in presets.values()} >= {"[]"}
    for name, change in presets.items():
        state = start | change
        if name != "the printed condition":
            expected = default_variance(state["law"], state["r"], state["n"])
            assert state["variance"] == pytest.approx(expected, rel=1e-12), name
        seen.page.get_by_role("button", name=name, exact=True).click()
        shown = float(seen.page.locator("[data-name=c]").get_attribute("data-value"))
        assert shown == pytest.approx(mean_factor(described(state), state["n"]), rel=1e-12)
    printed = start | presets["the printed condition"]
    assert printed["variance"] < 1 / printed["n"]
    assert computed(seen.page, printed)["sharp"] > 1  # met, but not sufficient
    assert seen.complaints == []
