"""The small pictures with sliders in chapters: their numbers, against `lorantk`, and what a slider does."""

import numpy as np
import pytest

from lorantk.theory import projection, random_matrices
from lorantk.theory.adapters import adapter
from lorantk.theory.effective_ridge import effective_ridge
from lorantk.theory.order import mean_factor

PAGES = {"edge": "10_nsd", "cosines": "24_cosine_floor", "pace": "27_matched_rate", "ridge": "29_effective_ridge"}


@pytest.fixture
def computed(file_visitor):
    """What the script on a kind's page computes for a state."""

    def of(kind, state):
        seen = file_visitor(f"notebooks/{PAGES[kind]}.html")
        return seen.page.evaluate("([kind, state]) => window.lorantkWidgets[kind](state)", [kind, state])

    return of


@pytest.mark.parametrize(("rank", "rho"), [(1, 0.3), (2, 0.0), (2, 0.9), (8, 0.5), (64, 0.95), (128, 0.0)])
def test_the_mean_square_of_projected_cosines(computed, rank, rho):
    found = computed("cosines", {"rank": rank, "rho": rho})
    assert found["meanSquare"] == pytest.approx(float(projection.mean_squared_cosine(rank, rho)), rel=1e-9)
    if rank > 2:  # the drawn density, against the distribution function of the square
        x, y = np.array(found["xs"]), np.array(found["ys"])
        inside = np.trapezoid(np.where(x**2 <= 0.25, y, 0), x)
        assert inside == pytest.approx(float(projection.squared_cosine_cdf(0.25, rank, rho)), abs=0.02)


def test_the_edges_of_the_spectrum(computed):
    found = computed("edge", {"q": 0.7, "r": 64})
    assert found["edges"] == pytest.approx([0.7 * edge for edge in random_matrices.marchenko_pastur_edges(64 / 1024)])


def test_the_pace_of_the_mean_kernel(computed):
    found = computed("pace", {"rank": 8, "alpha": 4, "times": 30})
    c = mean_factor(adapter(8, alpha=4, law="kaiming-uniform", variance=1 / (3 * 1024)), 1024)
    assert [found["c"], found["pace"], found["matched"]] == pytest.approx([c, 30 * c, 1 / c])


@pytest.mark.parametrize(("rank", "small", "decay"), [(1, 1e-4, 1.0), (8, 0.01, 0.0), (64, 0.1, 2.0)])
def test_the_effective_ridge(computed, rank, small, decay):
    values = np.arange(1, 65.0) ** -decay
    found = computed("ridge", {"rank": rank, "ridge": small, "decay": decay})
    assert found["kappa"] == pytest.approx(effective_ridge(values, small, rank), rel=1e-9)
    assert found["lora"] == pytest.approx(values / (values + found["kappa"]))


def exponential(found):
    times = np.arange(121) / 40
    return times, 100 * np.exp(-found["pace"] * times)


# Kinds with a curve: the state at the start, and the curve of LoRA from what the script computes.
CURVES = {
    "cosines": ({"rank": 8, "rho": 0}, lambda found: (found["xs"], found["ys"])),
    "pace": ({"rank": 8, "alpha": 16, "times": 1}, exponential),
    "ridge": ({"rank": 8, "ridge": 0.01, "decay": 1}, lambda found: (np.arange(1, 65), 100 * np.array(found["lora"]))),
}
SCALES = """root => {
    const ticks = (name, place) => [...root.querySelectorAll(`.${name} text`)]
        .filter(text => text.previousElementSibling?.tagName === 'line' && !isNaN(Number(text.textContent.replace('−', '-'))))
        .map(text => [Number(text.previousElementSibling.getAttribute(place)), Number(text.textContent.replace('−', '-'))]);
    const points = root.querySelector('.curve.lora').getAttribute('points').split(' ').map(point => point.split(',').map(Number));
    return {across: ticks('across', 'x1'), upright: ticks('upright', 'y1'), points};
}"""


@pytest.mark.parametrize("kind", CURVES)
def test_a_curve_stands_where_the_scales_of_its_axes_say(file_visitor, computed, kind):
    state, curve = CURVES[kind]
    expected = curve(computed(kind, state))
    seen = file_visitor(f"notebooks/{PAGES[kind]}.html").page.locator(f".lorantk-widget.{kind}").evaluate(SCALES)
    for place, (name, numbers) in enumerate(zip(("across", "upright"), expected, strict=True)):
        ticks = np.array(seen[name])
        assert len(ticks) >= 3, name
        per_unit, start = np.polyfit(*ticks.T, 1)
        drawn = per_unit * np.array(seen["points"])[:, place] + start
        np.testing.assert_allclose(drawn, numbers, atol=abs(per_unit), err_msg=name)  # to a unit of the drawing


@pytest.mark.parametrize("kind", PAGES)
def test_a_slider_changes_the_words_and_the_picture(file_visitor, kind):
    page = file_visitor(f"notebooks/{PAGES[kind]}.html").page
    root = page.locator(f".lorantk-widget.{kind}")
    before = root.locator(".said").inner_text(), root.locator("svg").inner_html()
    slider = root.locator("input").first
    slider.focus()
    slider.press("ArrowRight")
    assert root.locator(".said").inner_text() != before[0]
    assert root.locator("svg").inner_html() != before[1]
    assert root.locator("svg").get_attribute("aria-label") == root.locator(".said").inner_text()


@pytest.mark.parametrize("kind", PAGES)
def test_without_scripts_the_page_names_a_figure(plain_visitor, kind):
    root = plain_visitor(f"notebooks/{PAGES[kind]}.html").page.locator(f".lorantk-widget.{kind}")
    assert "Without scripts" in root.inner_text()
