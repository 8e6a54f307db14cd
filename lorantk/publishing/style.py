"""The one style of every figure, and what makes saved files equal byte for byte."""

# seaborn's palette "colorblind", written out so that drawing does not need seaborn.
PALETTE = (
    "#0173B2",
    "#DE8F05",
    "#029E73",
    "#D55E00",
    "#CC78BC",
    "#CA9161",
    "#FBAFE4",
    "#949494",
    "#ECE133",
    "#56B4E9",
)
WIDTH = 6.5  # inches: the width of the text column
FONT_SIZE = 11  # points at that width: legible when a phone shows the figure at half its size


def _parameters():
    """The matplotlib parameters of the style."""
    from cycler import cycler

    return {
        "axes.axisbelow": True,
        "axes.edgecolor": "#444444",
        "axes.facecolor": "white",
        "axes.grid": True,
        "axes.labelsize": FONT_SIZE,
        "axes.prop_cycle": cycler(color=PALETTE),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": FONT_SIZE,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "white",
        "figure.figsize": (WIDTH, 4.0),
        "font.family": "DejaVu Sans",  # ships with matplotlib: the same glyphs on every machine
        "font.size": FONT_SIZE,
        "grid.color": "#DDDDDD",
        "grid.linewidth": 0.6,
        "image.cmap": "cividis",
        "legend.fontsize": FONT_SIZE - 1,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "savefig.facecolor": "white",
        "xtick.labelsize": FONT_SIZE - 1,
        "ytick.labelsize": FONT_SIZE - 1,
    }


def use():
    """Apply the style to every figure made from here on, and leave it to the chapter to show them."""
    import logging

    import matplotlib.pyplot as plt

    # A font of matplotlib's has a date before 1970, of which this library warns whenever a PDF holds a sign of that font.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    plt.rcParams.update(_parameters())
    # Else a figure that is drawn in one cell and recorded in the next would show twice, the first time without
    # caption. The backend comes first: loading it turns interactive mode on.
    plt.switch_backend(plt.get_backend())
    plt.ioff()


def reproducible(salt):
    """Parameters for saving: text as outlines, and element ids in SVG files that depend on `salt` alone."""
    return {"svg.hashsalt": salt, "svg.fonttype": "path", "pdf.fonttype": 42, "savefig.bbox": None}
