"""Save a figure: drawings, data and checksums under one stable id."""

import csv
import hashlib
import io
import re

from lorantk.publishing.errors import FigureError
from lorantk.publishing.notebook import style

FORMATS = ("svg", "pdf", "png", "csv")
KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
DPI = 200
THUMBNAIL_DPI = 70  # of a figure 455 pixels wide, shown at half the width of the column
THUMBNAIL_COLORS = 64
SVG_LIMIT = 1_000_000  # bytes
# Coordinates in an SVG, in points: paths and positions, but not factors or angles.
PLACES = re.compile(rb'(?<= d=")[^"]*|(?<= [xy]=")[^"]*')
LONG = re.compile(rb"\d+\.\d{3,}")
# Markers that stand for points; the others are the caps of error bars.
MARKS = set("ov^<>8s*pPhH+xXdD.")
# White space that is not needed: between two elements, and around the letters of a path.
BETWEEN = re.compile(rb"(?<=>)\s+(?=<)")
AROUND_LETTERS = re.compile(rb"\s*([A-Za-z])\s*")
_NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


def check_name(name):
    """Refuse a figure id that is not in kebab case.

    Raises
    ------
    FigureError
        If it is not.
    """
    if not (isinstance(name, str) and KEBAB_CASE.fullmatch(name)):
        raise FigureError(f"expected a figure id in kebab case, such as 'nsd-phase-diagram', got {name!r}")


def columns(name, data):
    """The plotted data as a dict from column name to a list of plain Python values.

    Parameters
    ----------
    name : str
        The figure's id, for messages.
    data : mapping or DataFrame
        Columns of equal length; arrays of NumPy or JAX, lists and pandas series all do.

    Raises
    ------
    FigureError
        If there are no data, two columns have the same name, or the columns are not vectors of equal length.
    """
    import numpy as np

    entries = [] if data is None else [(str(key), np.asarray(column)) for key, column in data.items()]
    table = dict(entries)
    if len(table) < len(entries):
        raise FigureError(f"expected a name of its own for each column of figure {name!r}, got {[key for key, _ in entries]}")
    shapes = {key: column.shape for key, column in table.items()}
    if not any(column.size for column in table.values()):
        raise FigureError(f"expected the plotted data of figure {name!r}, got none")
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        raise FigureError(f"expected columns of one length for figure {name!r}, got shapes {shapes}")
    return {key: column.tolist() for key, column in table.items()}


def csv_bytes(table):
    """A table as CSV; reading it back gives exactly the same floating-point numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode()


def lean(svg):
    """An SVG without what makes it larger and cannot be seen.

    Coordinates are rounded to hundredths of a point, and white space that is not needed is removed.
    """

    def rounded(number):
        return f"{float(number[0]):.2f}".rstrip("0").rstrip(".").encode()

    def shortened(places):
        return AROUND_LETTERS.sub(rb"\1", LONG.sub(rounded, places[0]))

    return BETWEEN.sub(b"", PLACES.sub(shortened, svg))


def drawing_bytes(name, figure, extension, dpi=DPI):
    """A figure in one format; the same figure gives the same bytes on every call.

    A thumbnail has few colours, because the index shows many at once.
    """
    import matplotlib
    from PIL import Image

    stream = io.BytesIO()
    with matplotlib.rc_context(style.reproducible(name)):
        figure.savefig(stream, format=extension, dpi=dpi, metadata=_NO_DATE[extension])
    if extension == "png" and dpi <= THUMBNAIL_DPI:
        small = Image.open(stream).convert("RGB").quantize(THUMBNAIL_COLORS, dither=Image.Dither.NONE)
        stream = io.BytesIO()
        small.save(stream, format="PNG", optimize=True)
    return lean(stream.getvalue()) if extension == "svg" else stream.getvalue()


def marked(figure):
    """The markers of a figure: for each artist with markers, the axes, the artist, its points and their transform."""
    from matplotlib.collections import PathCollection

    for axes in figure.axes:
        for art in axes.collections:
            if isinstance(art, PathCollection):
                yield axes, art, art.get_offsets(), art.get_offset_transform()
        for art in axes.lines:
            if art.get_marker() in MARKS:
                yield axes, art, art.get_xydata(), art.get_transform()


def hidden_points(figure):
    """How many markers of a drawn figure lie outside the frame of their axes and are not visible."""
    import numpy as np

    count = 0
    for axes, art, points, transform in marked(figure):
        frame = axes.bbox.padded(1)  # pixel
        points = np.ma.filled(np.ma.asarray(points, dtype=float), np.nan)
        points = points[np.isfinite(points).all(axis=1)]
        if art.get_visible() and art.get_clip_on() and len(points):
            places = transform.transform(points)
            count += int((~((frame.min <= places) & (places <= frame.max)).all(axis=1)).sum())
    return count


def render(name, figure, data):
    """All files of a figure.

    Returns
    -------
    dict of str to bytes
        Content by extension (`FORMATS`), and under `"thumbnail"` a small PNG.

    Raises
    ------
    FigureError
        If the data do not fit (see `columns`), the figure is wider than the text column, a marker lies outside its frame, or
        the SVG is too large for a page.
    """
    width = figure.get_size_inches()[0]
    if width > style.WIDTH + 1e-9:
        raise FigureError(f"expected figure {name!r} at most {style.WIDTH} inches wide, as the column, got {width:g}")
    contents = {"csv": csv_bytes(columns(name, data))}
    figure.canvas.draw()
    if count := hidden_points(figure):
        raise FigureError(
            f"expected every marked point of figure {name!r} inside its frame, got {count} outside: widen the limits, or draw "
            "only what is meant to be seen"
        )
    for _, art, *_ in marked(figure):
        art.set(clip_on=False, in_layout=False)  # a marker on the frame is drawn whole, and moves no frame
    contents |= {extension: drawing_bytes(name, figure, extension) for extension in ("svg", "pdf", "png")}
    if len(contents["svg"]) > SVG_LIMIT:
        raise FigureError(
            f"expected an SVG of at most {SVG_LIMIT} bytes for figure {name!r}, got {len(contents['svg'])}: "
            "draw what has many points with rasterized=True"
        )
    return contents | {"thumbnail": drawing_bytes(name, figure, "png", THUMBNAIL_DPI)}


def file_names(name):
    """The names of a figure's files, by extension."""
    return {extension: f"{name}.{extension}" for extension in FORMATS}


def checksum(content):
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
