"""Data frames as typeset tables."""

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lorantk.publishing.notebook import tables
from lorantk.publishing.notebook.tables import ROWS, html, typeset


def cells(frame, *options):
    """Return the texts of a table, row by row, with its head."""
    [table, *_] = BeautifulSoup(html(frame, *options), "html.parser").select("table")
    return [[cell.text for cell in row.select("th, td")] for row in table.select("tr")]


def column(values, *options):
    """Return the texts of one column below its title."""
    return [row[0] for row in cells(pd.DataFrame({"x": values}), *options)[1:]]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1, 20, 3_000_000], ["1", "20", "3000000"]),
        ([0.19004, 0.0498, -0.2251], ["0.1900", "0.0498", "−0.2251"]),
        ([0.5, 0.25, 1.0], ["0.50", "0.25", "1.00"]),
        ([153.0, 79.0], ["153", "79"]),
        ([3.2e-16, 3e-15, 0.0], ["3.2 × 10⁻¹⁶", "3 × 10⁻¹⁵", "0"]),
        ([0.25, 3e-9], ["0.25", "3 × 10⁻⁹"]),
        ([0.5, np.nan, -np.inf], ["0.5", "–", "−∞"]),
        ([-0.0, 1.0], ["0", "1"]),
        (["3e-16", "-1.5", "12%", None], ["3 × 10⁻¹⁶", "−1.5", "12%", "–"]),
        ([True, False], ["yes", "no"]),
        (["one-off", "128 × 64", "<b>"], ["one-off", "128 × 64", "<b>"]),
        (pd.Series([np.float32(0.5), np.float32(1.5)], dtype=object), ["0.5", "1.5"]),
        ([], []),
    ],
)
def test_a_column_is_written_alike(values, texts):
    assert column(values) == texts


def test_a_chapter_chooses_the_digits():
    frame = pd.DataFrame({"a": [0.125, 2.0], "share": [0.5, 0.25]})
    assert cells(frame, ".1f", {"share": ".0%"})[1:] == [["0.1", "50%"], ["2.0", "25%"]]
    assert typeset(frame, ".1f", {"share": ".0%"})._repr_html_() == html(frame, ".1f", {"share": ".0%"})


def test_an_index_is_shown_if_it_says_something():
    frame = pd.DataFrame({"a": range(4)})
    assert cells(frame[::2]) == [["a"], ["0"], ["2"]]
    assert cells(frame.set_axis([10, 20, 30, 40]))[1] == ["10", "0"]
    assert cells(frame.rename_axis("seed"))[:2] == [["seed", "a"], ["0", "0"]]


def test_groups_are_named_once_and_columns_have_their_common_name():
    frame = pd.DataFrame({"k": ["u", "u", "v"], "l": [1, 8, 1], "x": [1, 2, 3]})
    assert cells(frame.set_index(["k", "l"])) == [["k", "l", "x"], ["u", "1", "1"], ["", "8", "2"], ["v", "1", "3"]]
    wide = frame.pivot(index="k", columns="l", values="x")
    assert cells(wide) == [["", "l"], ["k", "1", "8"], ["u", "1", "2"], ["v", "3", "–"]]
    both = pd.concat({"first": wide, "second": wide}, axis=1)
    assert cells(both)[0][-2:] == ["first", "second"]


def test_an_inner_key_is_named_again_in_the_next_group():
    index = pd.MultiIndex.from_tuples([("u", "a", 1), ("u", "a", 2), ("v", "a", 1)], names=["k", "m", "l"])
    assert [row[:2] for row in cells(pd.DataFrame({"x": [1, 2, 3]}, index))[1:]] == [["u", "a"], ["", ""], ["v", "a"]]


def test_numbers_stand_at_the_right_and_words_at_the_left():
    page = html(pd.DataFrame({"word": ["a", "b"], "value": [1.5, np.nan], "points": ["−1.0 [−2.5, 0.5]", "–"]}))
    page = BeautifulSoup(page, "html.parser")
    assert [cell.text for cell in page.select(".number")] == ["value", "points", "1.5", "−1.0 [−2.5, 0.5]", "–", "–"]


def test_a_notebook_shows_every_frame_and_series_like_this():
    from IPython.testing.globalipapp import start_ipython

    shell = start_ipython()
    formatter = shell.display_formatter.formatters["text/html"]
    formatter.enabled = True  # which it is in a notebook
    tables.use()
    frame = pd.DataFrame({"a": [1.5, -2.0]})
    for shown in (frame, frame["a"]):
        assert formatter(shown) == html(frame)


def test_a_long_table_is_folded():
    page = BeautifulSoup(html(pd.DataFrame({"a": range(ROWS + 3)})), "html.parser")
    assert len(page.select("table")[0].select("tbody tr")) == ROWS
    assert page.summary.text == "3 more rows"
    assert [row.text for row in page.select("details td")] == ["12", "13", "14"]
    assert "details" not in html(pd.DataFrame({"a": range(ROWS)}))
