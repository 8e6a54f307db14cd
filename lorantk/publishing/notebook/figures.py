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
SURFACE = 10  # square pixels: a thinner surface cannot be seen
EDGE = 2  # pixels of a PNG
NOTHING = ("None", "none", " ", "", None)  # no marker, or no line
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


def looks(art):
    """How an artist looks: triples of a colour, a kind, and for a line or its markers their style."""
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.colors import same_color, to_rgba, to_rgba_array
    from matplotlib.lines import Line2D

    if isinstance(art, Line2D):
        edge, face = art.get_markeredgecolor(), art.get_markerfacecolor()
        marker = face if same_color(edge, "none") else edge
        parts = [(marker, "marker", art.get_marker()), (art.get_color(), "line", art.get_linestyle())]
        parts = [part for part in parts if part[-1] not in NOTHING]
    else:
        kind = {PathCollection: "marker", LineCollection: "line"}.get(type(art), "surface")
        parts = [(color, kind, None) for colors in (art.get_facecolor(), art.get_edgecolor()) for color in to_rgba_array(colors)]
    shades = [(to_rgba(color), *rest) for color, *rest in parts]
    return {(tuple(round(part, 3) for part in shade[:3]), *rest) for shade, *rest in shades if shade[3]}


def is_drawn(axes, art):
    """Whether something of a line, a surface or points can be seen inside the frame."""
    import numpy as np
    from matplotlib.collections import PathCollection, PolyCollection
    from matplotlib.lines import Line2D

    if isinstance(art, PolyCollection):
        polygons = [polygon for path in art.get_paths() for polygon in path.to_polygons(art.get_transform())]
        areas = [abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) / 2 for x, y in (polygon.T for polygon in polygons)]
        return art.get_visible() and sum(areas) > SURFACE
    if isinstance(art, Line2D):
        points, transform = art.get_xydata(), art.get_transform()
    elif isinstance(art, PathCollection):
        points, transform = art.get_offsets(), art.get_offset_transform()
    else:
        return art.get_visible()
    places = transform.transform(np.ma.filled(np.ma.asarray(points, dtype=float), np.nan).reshape(-1, 2))
    places = places[np.isfinite(places).all(axis=1)]
    frame = axes.bbox.padded(1)  # pixel
    inside = len(places) and (places.min(axis=0) <= frame.max).all() and (places.max(axis=0) >= frame.min).all()
    return art.get_visible() and bool(inside)


def undrawn_keys(figure):
    """The words of legends beside which stands the look of nothing that a drawn figure shows.

    A legend in a single shade of grey is about markers and dashes, whatever their colours.
    """
    arts = [(axes, art) for axes in figure.axes for art in (*axes.lines, *axes.collections, *axes.patches)]
    drawn = {look for axes, art in arts if is_drawn(axes, art) for look in looks(art)}
    found = []
    for legend in filter(None, [*figure.legends, *(axes.get_legend() for axes in figure.axes)]):
        keys = [looks(handle) for handle in legend.legend_handles]
        colors = {color for key in keys for color, *_ in key}
        plain = len(colors) == 1 and len(set(*colors)) == 1

        def seen(color, kind, style, plain=plain):
            alike = [other for shade, also, other in drawn if kind == also and (plain or shade == color)]
            return any(other == style or None in (other, style) for other in alike)

        words = [text.get_text() for text in legend.get_texts()]
        found += [word for key, word in zip(keys, words, strict=True) if not all(seen(*look) for look in key)]
    return found


def cut_off(png):
    """Whether something is drawn at the edge of a drawing, which cuts it off or nearly does."""
    import numpy as np
    from PIL import Image

    ink = np.asarray(Image.open(io.BytesIO(png)).convert("L")) < 200
    return bool(ink[:EDGE].any() or ink[-EDGE:].any() or ink[:, :EDGE].any() or ink[:, -EDGE:].any())


def render(name, figure, data, *, tiny=False):
    """All files of a figure.

    Parameters
    ----------
    name : str
        The figure's id.
    figure : matplotlib.figure.Figure
        The drawing.
    data : mapping or DataFrame
        What is plotted, see `columns`.
    tiny : bool
        Whether the sizes are so small that a series may be empty; then the legends are not checked.

    Returns
    -------
    dict of str to bytes
        Content by extension (`FORMATS`), and under `"thumbnail"` a small PNG.

    Raises
    ------
    FigureError
        If the data do not fit (see `columns`), the figure is wider than the text column, a marker lies outside its frame, a
        legend explains what is not drawn, something is cut off at the edge, or the SVG is too large for a page.
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
    if words := [] if tiny else undrawn_keys(figure):
        raise FigureError(
            f"expected in the legend of figure {name!r} only what is drawn, got {words}: leave these out, or draw what they "
            "name so that it can be seen"
        )
    for _, art, *_ in marked(figure):
        art.set(clip_on=False, in_layout=False)  # a marker on the frame is drawn whole, and moves no frame
    contents |= {extension: drawing_bytes(name, figure, extension) for extension in ("svg", "pdf", "png")}
    if cut_off(contents["png"]):
        raise FigureError(
            f"expected figure {name!r} to end before its edge, got ink there: shorten the title or label that reaches it"
        )
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
