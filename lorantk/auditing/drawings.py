"""Draw the figures of the HTML report as SVG directly, so that a report needs no plotting library."""

import math
from html import escape

import numpy as np

from lorantk.auditing.report import Report

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 300, 64, 16, 16, 48
BLUE, ORANGE, GREY = "#0173B2", "#D55E00", "#666666"  # distinguishable with every kind of colour vision
SYMBOLS = {"at start, expected": BLUE, "saved κ": ORANGE}


class Axes:
    """A frame with a linear x axis and a linear or logarithmic y axis, to which marks are added."""

    def __init__(self, x_range, y_range, x_label, y_label, *, log=False):
        self.x_range, self.log = x_range, log
        self.y_range = tuple(map(math.log10, y_range)) if log else y_range
        self.marks = []
        self._text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 8, x_label, "middle")
        turned = f"rotate(-90 14 {TOP + (HEIGHT - TOP - BOTTOM) / 2})"
        self._text(14, TOP + (HEIGHT - TOP - BOTTOM) / 2, y_label, "middle", f" transform='{turned}'")

    def x(self, value):
        """Return the horizontal position of an x value."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        """Return the vertical position of a y value."""
        low, high = self.y_range
        value = math.log10(value) if self.log else value
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def _text(self, x, y, text, anchor, more=""):
        self.marks.append(f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' font-size='13'{more}>{escape(text)}</text>")

    def line(self, x1, y1, x2, y2, colour, more=""):
        """Add a straight line between two positions."""
        self.marks.append(f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}'{more}/>")

    def ticks(self, x_ticks, y_ticks):
        """Add ticks with labels, given as dicts from values to texts."""
        for value, text in x_ticks.items():
            self.line(self.x(value), HEIGHT - BOTTOM, self.x(value), HEIGHT - BOTTOM + 5, GREY)
            self._text(self.x(value), HEIGHT - BOTTOM + 19, text, "middle")
        for value, text in y_ticks.items():
            self.line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value), "#dddddd")
            self._text(LEFT - 6, self.y(value) + 4, text, "end")

    def svg(self, alt):
        """Return the drawing; `alt` describes it."""
        head = f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' role='img' font-family='sans-serif'"
        return f"{head} aria-label='{escape(alt, True)}'><title>{escape(alt)}</title>{''.join(self.marks)}</svg>"


def _decades(low, high):
    return {10.0**k: f"{10.0**k:g}" for k in range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)}


def values(report: Report) -> tuple[str, str] | None:
    """Return a drawing of the value that decides each module, expected at the start and as saved, and a caption."""
    points = [
        (i, value, name)
        for i, module in enumerate(report.modules, 1)
        for value, name in (
            (module.condition.value, "at start, expected"),
            (module.measured and module.measured.value, "saved κ"),
        )
        if value
    ]
    if not points:
        return None
    low = 10 ** math.floor(math.log10(min(0.5, *(value for _, value, _ in points))))
    high = 10 ** math.ceil(math.log10(max(2.0, *(value for _, value, _ in points))))
    count = len(report.modules)
    axes = Axes((0.5, count + 0.5), (low, high), "module, in the order of the table", "value (order below 1)", log=True)
    step = max(1, 10 ** math.ceil(math.log10(count / 12))) if count > 12 else 1
    axes.ticks({i: str(i) for i in range(step, count + 1, step)}, _decades(low, high))
    axes.line(LEFT, axes.y(1), WIDTH - RIGHT, axes.y(1), "#000000", " stroke-width='1.5'")
    for i, value, name in points:
        x, y, colour = axes.x(i), axes.y(value), SYMBOLS[name]
        if name == "saved κ":
            axes.marks.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{colour}'/>")
        else:
            axes.line(x - 4, y, x + 4, y, colour, " stroke-width='2.5'")
    caption = (
        "The value that decides the order in each module. Dashes: expected at the start. Dots: κ of the saved factors. "
        "Below the black line at 1 the order holds for all data."
    )
    worst = max(points, key=lambda point: point[1])
    return axes.svg(f"Values of {count} modules on a logarithmic axis with a line at 1; the largest is {worst[1]:.3g}."), caption


def spectrum(report: Report) -> tuple[str, str] | None:
    """Return a drawing of the saved eigenvalues of ``s²AᵀA - I`` for the most common shape, and a caption.

    If the adapter is fresh, the drawing also shows the law of the configured start.
    """
    groups = {}
    for module in report.modules:
        if module.measured and len(module.measured.eigenvalues) > 1:
            key = (module.rank, module.width, module.scale, module.init, module.measured.fresh)
            groups.setdefault(key, []).append(module)
    if not groups:
        return None
    (rank, width, scale, _, fresh), members = max(groups.items(), key=lambda item: (len(item[1]), item[0][0]))
    found = np.concatenate([member.measured.eigenvalues for member in members])
    variance = members[0].variance
    law = fresh and variance is not None and members[0].measured.distance is not None
    edges = [-1.0, 0.0, float(found.min()), float(found.max())]
    if law:
        from lorantk.theory.random_matrices import marchenko_pastur_density, marchenko_pastur_edges

        q, ratio = scale**2 * variance * width, min(rank, width) / max(rank, width)
        a, b = marchenko_pastur_edges(ratio)
        edges += [q * b - 1]
    low, high = min(edges), max(edges)
    low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    counts, bins = np.histogram(found, bins=min(40, max(8, len(found) // 8)), range=(low, high), density=True)
    peak = float(counts.max())
    if law:
        grid = np.linspace(q * a - 1, q * b - 1, 200)[1:-1]
        density = marchenko_pastur_density((grid + 1) / q, ratio) / q
        peak = max(peak, float(np.sort(density)[int(0.95 * len(density))]))
    axes = Axes((low, high), (0, 1.1 * peak), "eigenvalue of s²AᵀA − I (for a drawn B, of s²BBᵀ − I)", "density")
    tick = 10 ** math.floor(math.log10(high - low)) / 2
    x_ticks = {k * tick: f"{k * tick:g}" for k in range(math.ceil(low / tick), math.floor(high / tick) + 1)}
    while len(x_ticks) > 12:
        x_ticks = dict(list(x_ticks.items())[::2])
    axes.ticks(x_ticks, {})
    for count, left, right in zip(counts, bins, bins[1:], strict=False):
        x, y = axes.x(left), axes.y(count)
        size = f"width='{axes.x(right) - x - 1:.1f}' height='{HEIGHT - BOTTOM - y:.1f}'"
        axes.marks.append(f"<rect x='{x:.1f}' y='{y:.1f}' {size} fill='{BLUE}' fill-opacity='0.55'/>")
    if law:
        path = " ".join(f"{axes.x(x):.1f},{axes.y(min(y, 1.1 * peak)):.1f}" for x, y in zip(grid, density, strict=True))
        axes.marks.append(f"<polyline points='{path}' fill='none' stroke='{ORANGE}' stroke-width='2'/>")
    axes.line(axes.x(0), TOP, axes.x(0), HEIGHT - BOTTOM, "#000000", " stroke-width='1.5'")
    axes.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, GREY)
    caption = (
        f"Saved eigenvalues of {len(members)} module{'s' * (len(members) > 1)} of rank {rank} on n = {width}; the other n − r "
        "are −1. To the right of the black line at 0 the matrix is not negative semi-definite."
    )
    if law:
        caption += " Orange: the Marchenko-Pastur law of the configured start."
    return axes.svg(f"Histogram of eigenvalues from {found.min():.3g} to {found.max():.3g}, with a line at 0."), caption
