"""The style of every figure, and the settings that make saved files equal byte for byte."""

# Seaborn's palette "colorblind", written out so that drawing does not need seaborn.
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
FONT_SIZE = 11  # points at that width: still legible when a phone shows the figure at half its size


def _parameters():
    """The matplotlib parameters of the style."""
    from matplotlib import cycler

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
    """Apply the style to every figure from here on; figures are shown only by the chapter."""
    import logging

    import matplotlib.pyplot as plt

    # One of matplotlib's fonts has a date before 1970, and this library warns whenever a PDF uses that font.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    plt.rcParams.update(_parameters())
    # Otherwise a figure that is drawn in one cell and recorded in the next would be shown twice. The backend is loaded
    # first, because loading it turns interactive mode on.
    plt.switch_backend(plt.get_backend())
    plt.ioff()


def reproducible(salt):
    """Parameters for saving: text as outlines, and ids of SVG elements that depend only on `salt`."""
    return {"svg.hashsalt": salt, "svg.fonttype": "path", "pdf.fonttype": 42, "savefig.bbox": None}
