"""The plots that chapters share explain what they draw, and nothing else."""

import matplotlib.pyplot as plt
import numpy as np

from lorantk.experiments.common import equivalence, plots
from lorantk.experiments.common.effects import PARTS, Effect
from lorantk.experiments.common.equivalence import CONTRADICTED, NEGLIGIBLE, OUTCOMES, VOID, Judgement
from lorantk.experiments.common.statistics import Interval
from lorantk.publishing.notebook import figures, style


def test_the_legend_names_the_outcomes_that_are_drawn_and_no_others():
    style.use()
    for drawn in ([CONTRADICTED], [NEGLIGIBLE, VOID], [*OUTCOMES, VOID]):
        figure, axis = plt.subplots()
        for y, word in enumerate(drawn):
            judged = Judgement("arms-drop", "v", "here", Interval(0.01, 0.0, 0.02, 20), word, directed=True)
            plots.draw_judgement(axis, y, judged)
        plots.outcome_legend(figure)
        figure.canvas.draw()
        assert {text.get_text() for text in figure.legends[0].get_texts()} == set(drawn)
        assert figures.undrawn_keys(figure) == []
        plt.close(figure)


def effects(parts):
    """Return effects of these parts in two settings, each part with a mean of its own."""
    noise = np.linspace(-0.01, 0.01, 10)
    return [
        Effect(part, protocol, setting, k / 50 + noise)
        for k, part in enumerate(parts)
        for protocol in ("iv", "v")
        for setting in ("here", "there")
    ]


def test_the_overview_draws_each_part_of_each_system():
    systems = {"one": effects(PARTS), "other": effects(list(PARTS)[::-1])}
    figure, data = plots.overview(systems, {"a task": 2.0})
    assert data.groupby("system").size().to_dict() == {"one": 2 * len(PARTS), "other": 2 * len(PARTS), "paper": 1}
    for name, found in systems.items():
        means = {100 * equivalence.pooled(part, found).interval.mean for part in PARTS}
        assert set(data[(data.system == name) & (data.protocol == "v")]["mean"]) == means
    # Markers of the means in each panel, two protocols for each part: drop above lift, systems side by side.
    drawn = [sum(line.get_marker() in {look[1] for look in plots.LOOKS.values()} for line in axis.lines) for axis in figure.axes]
    assert drawn == [6, 6, 8, 8]
    plt.close(figure)


def test_the_overview_says_where_there_is_nothing_to_compare():
    found = [e._replace(void=e.part == "low-rank-lift") for e in effects(PARTS)]
    figure, data = plots.overview({"one": found}, {})
    assert len(data) == 2 * (len(PARTS) - 1)
    assert data["mean"].notna().all()
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["nothing to compare"]
    plt.close(figure)


def test_a_panel_names_its_optimiser_only_beside_another():
    places = [("one epoch", "adam"), ("one epoch", "sgd")]
    assert [plots.heading(place, places) for place in places] == ["one epoch, Adam", "one epoch, SGD"]
    assert plots.heading(places[0], places, between="\n") == "one epoch\nAdam"
    assert plots.heading(("memorising", "adam"), [places[0], ("memorising", "adam")]) == "memorising"
