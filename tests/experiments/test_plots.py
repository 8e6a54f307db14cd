"""The plots that chapters share explain what they draw, and nothing else."""

import matplotlib.pyplot as plt

from lorantk.experiments.common import plots
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
