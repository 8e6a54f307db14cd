"""Tables of percentages as a drawing: which form of a statement holds how often, over settings."""

from lorantk.publishing.errors import FigureError
from lorantk.publishing.style import FONT_SIZE, WIDTH


def share_map(table, columns, *, font_size=9):
    """Draw shares as coloured tables, one panel beside the other.

    Parameters
    ----------
    table : mapping
        By pair of panel and row, the shares between 0 and 1, one for each column; every panel has the same rows.
    columns : sequence of str
        Names of the columns.
    font_size : number
        Of the percentages, in points.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FigureError
        If a panel lacks a row, or a row has another number of shares than there are columns.
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
