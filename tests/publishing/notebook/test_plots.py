"""Tables of percentages: every share is written where it belongs, and a table with a gap is refused."""

import pytest

from lorantk.publishing.errors import FigureError
from lorantk.publishing.notebook.plots import share_map

SHARES = ([0.0, 0.25], [1.0, 0.504], [0.1, 0.2], [0.3, 0.4])
TABLE = dict(zip([("start", "narrow"), ("start", "wide"), ("end", "narrow"), ("end", "wide")], SHARES, strict=True))


def test_every_share_is_written_in_its_cell():
    figure = share_map(TABLE, ["first", "second"])
    start, end = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["start", "end"]
    assert [label.get_text() for label in start.get_yticklabels()] == ["narrow", "wide"]
    assert [label.get_text() for label in end.get_xticklabels()] == ["first", "second"]
    written = {text.get_position(): text.get_text() for text in start.texts}
    assert written == {(0, 0): "0", (1, 0): "25", (0, 1): "100", (1, 1): "50"}


@pytest.mark.parametrize("table", [{("start", "narrow"): [0.1]}, {k: v for k, v in TABLE.items() if k != ("end", "wide")}])
def test_a_table_with_a_hole_is_refused(table):
    with pytest.raises(FigureError, match="expected 2 shares in every row of every panel"):
        share_map(table, ["first", "second"])
