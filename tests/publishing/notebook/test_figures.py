"""Figures are saved reproducibly, with exact data, in one style."""

import csv
import io
import re

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from PIL import Image
from tiny_book import DATA, drawing

from lorantk.publishing.errors import FigureError
from lorantk.publishing.notebook import figures, style


@pytest.fixture(autouse=True)
def figure_style():
    """Draw the figures of this file like those of chapters."""
    style.use()


def test_two_drawings_of_the_same_data_are_equal_byte_for_byte():
    first, second = (figures.render("nsd-line", drawing(), DATA) for _ in range(2))
    assert first == second


def test_files_are_of_their_format_and_carry_no_date():
    contents = figures.render("nsd-line", drawing(), DATA)
    assert contents["svg"].startswith(b"<?xml")
    assert contents["pdf"].startswith(b"%PDF")
    assert contents["png"].startswith(b"\x89PNG")
    assert b"<dc:date>" not in contents["svg"]
    assert b"CreationDate" not in contents["pdf"]
    assert len(contents["thumbnail"]) < len(contents["png"])


def test_csv_gives_back_the_same_numbers():
    values = np.random.default_rng(0).standard_normal(50) * 10.0 ** np.arange(-25, 25)
    content = figures.csv_bytes(figures.columns("x", {"value": values, "index": jnp.arange(50)})).decode()
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [float(row["value"]) for row in rows] == values.tolist()
    assert [int(row["index"]) for row in rows] == list(range(50))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "expected the plotted data of figure 'x', got none"),
        ({}, "got none"),
        ({"a": []}, "got none"),
        ({"a": [1, 2], "b": [1]}, r"expected columns of one length .*'a': \(2,\), 'b': \(1,\)"),
        ({"a": np.zeros((2, 2))}, "expected columns of one length"),
        ({"a": 1.0}, "expected columns of one length"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"expected a name of its own for each column .* got \['a', 'a'\]"),
    ],
)
def test_data_that_does_not_fit_is_refused(data, message):
    with pytest.raises(FigureError, match=message):
        figures.columns("x", data)


@pytest.mark.parametrize("name", ["", "NSD", "nsd_line", "nsd line", "-nsd", "nsd-", "nsd--line", "../nsd", None])
def test_an_id_that_is_not_in_kebab_case_is_refused(name):
    with pytest.raises(FigureError, match="expected a figure id in kebab case"):
        figures.check_name(name)


def test_a_figure_wider_than_the_column_is_refused():
    figure = drawing()
    figure.set_size_inches(style.WIDTH + 0.1, 3)
    with pytest.raises(FigureError, match=r"figure 'x' at most 6\.5 inches wide, as the column, got 6\.6"):
        figures.render("x", figure, DATA)


def test_an_svg_is_rounded_and_without_white_space_and_nothing_else_changes():
    svg = b"""<g transform="scale(0.015625)">
  <path d="M 10.123456 -3.9999
L 7.5 2 z
"/>
  <use x="72.00123" y="5.25" style="fill: none"/>
</g>"""
    lean = b'<g transform="scale(0.015625)"><path d="M10.12 -4L7.5 2z"/><use x="72" y="5.25" style="fill: none"/></g>'
    assert figures.lean(svg) == lean


def test_a_heavy_svg_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setattr(figures, "SVG_LIMIT", 100)
    with pytest.raises(FigureError, match="expected an SVG of at most 100 bytes .* rasterized=True"):
        figures.render("nsd-line", drawing(), DATA)


def points(**limits):
    """Return a figure with points at (1, 1), (2, 2) and (3, 3)."""
    figure, axes = plt.subplots()
    axes.scatter([1, 2, 3], [1, 2, 3])
    axes.set(**limits)
    return figure


def on_a_log_axis():
    figure, axes = plt.subplots()
    axes.loglog([0.0, 1.0], [1.0, 1.0], "s")
    return figure


def with_bars():
    figure, axes = plt.subplots()
    axes.errorbar([1, 2], [1, 1], [5, 0.1], fmt="o", capsize=3)
    axes.set_ylim(0, 2)
    return figure


@pytest.mark.parametrize(
    ("draw", "count"),
    [
        (points, 0),
        (lambda: points(xlim=(1, 3), ylim=(1, 3)), 0),
        (lambda: points(xlim=(0, 2.5)), 1),
        (lambda: points(xlim=(1.5, 2.5), ylim=(0, 1.5)), 3),
        (on_a_log_axis, 1),
        (with_bars, 0),
        (drawing, 0),
    ],
)
def test_a_point_outside_its_frame_is_refused(draw, count):
    figure = draw()
    if count:
        with pytest.raises(FigureError, match=f"every marked point of figure 'nsd-line' inside its frame, got {count} outside"):
            figures.render("nsd-line", figure, DATA)
    else:
        figures.render("nsd-line", figure, DATA)
    plt.close(figure)


def explained(*keys, **options):
    """Return a blue line with a dot, an orange dashed line and a green surface, and a legend of these keys."""
    figure, axes = plt.subplots()
    axes.plot([1, 2], [1, 2], "o-", color="C0", label="blue")
    axes.plot([1, 2], [2, 1], "--", color="C1", label="orange")
    axes.fill_between([1, 2], [1, 1], [2, 2], color="C2", alpha=0.3, label="green")
    axes.legend(handles=keys or None, **options)
    return figure


def key(words, color, **look):
    return Line2D([], [], label=words, color=color, **look)


def dots(words, color, marker="o"):
    return key(words, color, marker=marker, linestyle="none")


def with_empty_series():
    figure = points()
    figure.axes[0].plot([1, 2], [np.nan, np.nan], "C1-", label="nothing")
    figure.axes[0].legend()
    return figure


def with_a_line_out_of_sight():
    figure = points(ylim=(0, 4))
    figure.axes[0].plot([1, 2], [5, 6], "C1-", label="above")
    figure.axes[0].set_ylim(0, 4)
    figure.axes[0].legend()
    return figure


def with_a_flat_surface():
    figure, axes = plt.subplots()
    axes.stackplot([0, 1], [[0.5, 0.5], [0.5, 0.4999]], labels=["half", "other half"])
    axes.stackplot([0, 1], [[1, 1], [0, 1e-4]], colors=["C0", "C3"], labels=["", "rest"])
    axes.legend(loc="center")
    return figure


def without_edges():
    """Squares that are all face, and a key for dots beside theirs."""
    figure, axes = plt.subplots()
    axes.plot([1, 2], [1, 2], "s", color="C1", markeredgecolor="none", label="squares")
    axes.legend(handles=[*axes.lines, dots("dots", "C1")])
    return figure


def of_the_figure():
    figure = points()
    figure.legend(handles=[dots("points", "C0"), key("lines", "C0")])
    return figure


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (explained, []),
        (lambda: explained(key("both", "C0", marker="o"), key("orange", "C1", linestyle="--")), []),
        (lambda: explained(dots("dots", "0.4"), key("dashes", "0.4", linestyle="--")), []),
        (lambda: explained(Patch(color="C2", label="green")), []),
        (lambda: explained(key("blue", "C0"), key("red", "C3"), Patch(color="C4", label="pink")), ["red", "pink"]),
        (lambda: explained(key("blue", "C0"), dots("grey dots", "0.4")), ["grey dots"]),
        (lambda: explained(key("solid orange", "C1")), ["solid orange"]),
        (lambda: explained(dots("crosses", "k", "x")), ["crosses"]),
        (with_empty_series, ["nothing"]),
        (with_a_line_out_of_sight, ["above"]),
        (with_a_flat_surface, ["rest"]),
        (without_edges, ["dots"]),
        (of_the_figure, ["lines"]),
        (with_bars, []),
        (drawing, []),
    ],
)
def test_a_legend_that_explains_what_is_not_drawn_is_refused(draw, words):
    figure = draw()
    if words:
        message = f"expected in the legend of figure 'nsd-line' only what is drawn, got {words}"
        with pytest.raises(FigureError, match=re.escape(message)):
            figures.render("nsd-line", figure, DATA)
        figures.render("nsd-line", figure, DATA, tiny=True)
    else:
        figures.render("nsd-line", figure, DATA)
    plt.close(figure)


def test_a_figure_whose_title_is_cut_off_is_refused():
    figure = drawing()
    figure.axes[0].set_title("a title that is far too long for the figure " * 3)
    with pytest.raises(FigureError, match="figure 'nsd-line' to end before its edge"):
        figures.render("nsd-line", figure, DATA)
    plt.close(figure)


def test_a_marker_on_the_frame_is_drawn_whole():
    figure = points(xlim=(1, 3), ylim=(1, 3))  # two of its markers lie on the frame
    before = np.asarray(Image.open(io.BytesIO(figures.drawing_bytes("a", figure, "png"))).convert("L"))
    after = np.asarray(Image.open(io.BytesIO(figures.render("a", figure, DATA)["png"])).convert("L"))
    assert (after < before).sum() > 20  # pixels of the halves outside
    plt.close(figure)


def test_markers_without_a_point_change_no_layout():
    figure = points(xlim=(0, 4), ylim=(0, 4))
    figure.axes[0].plot([], [], "x")
    figure.axes[0].plot([np.nan, 1], [1, np.inf], "o")
    before = figures.drawing_bytes("a", figure, "svg")
    assert figures.render("a", figure, DATA)["svg"].count(b"<use") == before.count(b"<use")
    plt.close(figure)


def test_a_thumbnail_keeps_many_colours_and_is_sharp_at_half_the_column():
    figure, axis = plt.subplots()
    axis.imshow(np.arange(4096).reshape(64, 64), cmap="turbo")
    small = Image.open(io.BytesIO(figures.render("nsd-line", figure, DATA)["thumbnail"]))
    assert small.width >= 450
    assert len(small.convert("RGB").getcolors()) >= 60
    plt.close(figure)


def test_the_palette_is_that_of_seaborn():
    import seaborn

    assert tuple(color.upper() for color in seaborn.color_palette("colorblind").as_hex()) == style.PALETTE


def test_text_is_legible_at_the_width_of_the_column():
    import matplotlib

    assert matplotlib.rcParams["figure.figsize"][0] == style.WIDTH == 6.5
    sizes = ("font.size", "axes.labelsize", "axes.titlesize", "legend.fontsize", "xtick.labelsize", "ytick.labelsize")
    assert all(matplotlib.rcParams[name] >= 9 for name in sizes)


def test_saving_is_silent(caplog):
    figure = drawing()
    figure.axes[0].set(title="$K(x, x')$", yscale="log")  # characters from the font with the early date
    figures.render("nsd-line", figure, DATA)
    assert caplog.records == []
