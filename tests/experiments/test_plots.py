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


def test_the_overview_draws_each_part_that_a_system_has():
    systems = {"whole": effects(PARTS), "begun": effects(["arms-drop", "arms-lift"])}
    figure, data = plots.overview(systems, {"a task": 2.0})
    assert data.groupby("system").size().to_dict() == {"whole": 2 * len(PARTS), "begun": 4, "paper": 1}
    parts = [(part, found) for found in systems.values() for part in {effect.part for effect in found}]
    means = {100 * equivalence.pooled(part, found).interval.mean for part, found in parts}
    assert set(data[data.protocol == "v"]["mean"]) == means
    # Markers of the means in each panel, two protocols for each part: drop above lift, systems side by side.
    drawn = [sum(line.get_marker() in {look[1] for look in plots.LOOKS.values()} for line in axis.lines) for axis in figure.axes]
    assert drawn == [6, 2, 8, 2]
    plt.close(figure)
