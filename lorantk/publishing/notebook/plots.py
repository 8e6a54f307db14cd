"""Tables of numbers as a drawing: shares over settings, and signed numbers about 0."""

from lorantk.publishing.errors import FigureError
from lorantk.publishing.notebook.style import FONT_SIZE, WIDTH


def share_map(table, columns, *, font_size=9):
    """Draw shares as coloured tables, in panels side by side.

    Parameters
    ----------
    table : mapping
        For each pair of panel and row, a share between 0 and 1 for each column; every panel has the same rows.
    columns : sequence of str
        Names of the columns.
    font_size : number
        Size of the percentages, in points.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        If a panel lacks a row, or the number of shares in a row is not the number of columns.
    """
    import matplotlib.pyplot as plt
    import numpy as np

    panels, rows = (list(dict.fromkeys(key[i] for key in table)) for i in (0, 1))
    expected = {(panel, row): len(columns) for panel in panels for row in rows}
    found = {key: len(shares) for key, shares in table.items()}
    if found != expected:
        raise FigureError(f"expected {len(columns)} shares in every row of every panel, got {found}")
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 0.34 * len(rows) + 2.1), sharey=True, squeeze=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        shares = np.array([table[panel, row] for row in rows])
        ax.imshow(shares, vmin=-0.3, vmax=1, aspect="auto")
        for (i, j), share in np.ndenumerate(shares):
            colour = "black" if share > 0.45 else "white"
            ax.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=font_size, color=colour)
        ax.set_xticks(range(len(columns)), columns, rotation=90)
        ax.set_yticks(range(len(rows)), rows)
        ax.set_title(panel, fontsize=FONT_SIZE - 1)
        ax.grid(visible=False)
        ax.tick_params(length=0)
    return figure


def signed_map(axis, values, span, *, write="{:.1f}".format, origin="upper", font_size=8):
    """Draw a table of signed numbers, orange above 0 and purple below, with each number in its cell.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where to draw; its ticks stand at the whole numbers.
    values : array of shape (rows, columns)
        The numbers; NaN leaves a cell without colour, with a dot.
    span : number
        The absolute value at which the colours end.
    write : callable
        From a number to its text; a minus and a zero with a sign are mended.
    origin : str
        ``"upper"`` or ``"lower"``: where the first row stands.
    font_size : number
        Of the numbers, in points.
    """
    import numpy as np

    axis.imshow(values, origin=origin, aspect="auto", cmap="PuOr_r", vmin=-span, vmax=span)
    for (row, column), value in np.ndenumerate(values):
        text = "·" if np.isnan(value) else write(value)
        if not any(digit in text for digit in "123456789"):
            text = text.lstrip("-")
        colour = "white" if abs(value) > 0.6 * span else "black"
        words = {"ha": "center", "va": "center", "fontsize": font_size, "color": colour}
        axis.text(column, row, text.replace("-", "−"), **words)
    axis.grid(visible=False)
    axis.tick_params(length=0)
