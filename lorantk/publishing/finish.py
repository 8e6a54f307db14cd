"""Finish the pages that Sphinx wrote: lighter, usable by keyboard, with what links refer to at hand, running no other script.

Everything here works on the text of a page and needs no other tool, so that a site of many chapters takes a second.
"""

import contextlib
import html as markup
import posixpath
import re
from html.parser import HTMLParser

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.policy import guarded

# Classes of Pygments that the theme draws in the colour of plain code: half of a chapter's markup, and no difference seen.
PLAIN = ("n", "p", "w")
# Operators have a colour, which alone is not worth a tenth of a chapter.
DROPPED = (*PLAIN, "o")
# What the theme and MyST-NB write, and what keyboards and screen readers need in its place.
REPAIRS = (
    # A name that differs from the words shown is not found by speaking them; a summary's own words name it.
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (re.compile(r'(<button class="btn search-button-field search-button__button"[^>]*?) aria-label="[^"]*"'), r"\1"),
    # A part that scrolls must be reachable without a mouse.
    (re.compile(r'<div class="pst-scrollable-table-container">'), '<div class="pst-scrollable-table-container" tabindex="0">'),
    # Entries of a bibliography are no items of a list, so what holds them is none.
    (re.compile(r'<div role="list" class="citation-list">'), '<div class="citation-list">'),
    # The corner of a table of data names nothing.
    (re.compile(r"<th></th>"), "<td></td>"),
)
GREEK = {"Delta": "Δ", "alpha": "α", "sigma": "σ", "Theta": "Θ", "delta": "δ", "theta": "θ", "times": "×", "top": "ᵀ"}
SYMBOL = re.compile(r'(<a class="lorantk-symbol[^>]*)(><span class="math[^>]*>\\\((.*?)\\\)</span>)')
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
LINK = re.compile(r'<a class="[^"]*\breference internal\b[^"]*" href="([^"#]*)#([^"]+)"')
TARGET = re.compile(r'<(?:div class="(?:math|proof|citation)\b|tr class="row-)[^>]*? id="([^"]+)"[^>]*>')
TIP_LIMIT = 2500  # characters: a statement, not a page
TABLE = re.compile(r'<table class="(?:lorantk-table )?table".*?</table>', re.DOTALL)
TITLE = re.compile(r'<th class="head[^>]*>(.*?)</th>', re.DOTALL)
ROW = re.compile(r"<tr.*?</tr>", re.DOTALL)
CELL = re.compile(r'<td(?=[ >])(?! class="lorantk-group")')
DRAWING = re.compile(r'<img (?![^>]*loading=)([^>]*src="([^"]*_images/[^"]+\.svg)"[^>]*)>')
SIZE = re.compile(r'<svg[^>]*? width="(?P<width>[\d.]+)pt" height="(?P<height>[\d.]+)pt"')
PIXELS = 96 / 72  # of a style sheet in a point


def plain_tex(tex):
    """A formula in plain characters."""
    words = re.sub(r"\\([A-Za-z]+)", lambda name: GREEK.get(name[1], name[1]), tex)
    return re.sub(r"[{}$]|(?<=\w)_(?=\w)", "", words).replace("^2", "²").replace("^", "")


def light(page):
    """`page` without the marks of code that are not worth their weight."""
    return re.sub(rf'<span class="(?:{"|".join(DROPPED)})">([^<]*)</span>', r"\1", page)


def accessible(page):
    """`page` with the repairs of `REPAIRS`."""
    for pattern, replacement in REPAIRS:
        page = pattern.sub(replacement, page)
    # A formula alone names no link.
    return SYMBOL.sub(lambda link: f'{link[1]} aria-label="Notation: {plain_tex(link[3])}"{link[2]}', page)


def labelled(page):
    """`page`, each cell of its tables with the title of its column in `data-label`, which phones show in front of the cell."""

    def cells(table):
        titles = [plain_tex(re.sub(r"<[^>]*>|\\[()]", "", title)).replace('"', "&quot;") for title in TITLE.findall(table[0])]

        def row(found):
            names = iter(titles)
            return CELL.sub(lambda _: f'<td data-label="{next(names, "")}"', found[0])

        return ROW.sub(row, table[0])

    return TABLE.sub(cells, page)


def drawn_late(page, folder):
    """`page`, the drawings of which load when they come near, with their size, so that the text does not jump then.

    Parameters
    ----------
    page : str
        The text of a page.
    folder : Path
        Where it lies.
    """

    def late(image):
        size = SIZE.search((folder / image[2]).read_text())
        if size is None:  # not one of ours: its size is its own affair
            return image[0]
        width, height = (round(float(size[name]) * PIXELS) for name in ("width", "height"))
        return f'<img loading="lazy" width="{width}" height="{height}" {image[1]}>'

    return DRAWING.sub(late, page)


class _Element(HTMLParser):
    """Finds where the element ends with which a text begins, and drops links, ids and what only scripts need."""

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.depth, self.out, self.skip = 0, [], 0

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.depth += 1
        classes = dict(attributes).get("class") or ""
        if self.skip or "headerlink" in classes or tag == "button":
            self.skip += tag not in VOID
        elif tag not in ("a", "img"):
            self.out.append(f'<{tag} class="{markup.escape(classes)}">' if classes else f"<{tag}>")

    def handle_endtag(self, tag):
        if self.depth == 0 or tag in VOID:
            return
        self.depth -= 1
        if self.skip:
            self.skip -= 1
        elif tag != "a":
            self.out.append(f"</{tag}>")
        if self.depth == 0:
            raise StopIteration

    def handle_data(self, data):
        if not self.skip:
            self.out.append(data)

    def handle_entityref(self, name):
        self.handle_data(f"&{name};")

    def handle_charref(self, name):
        self.handle_data(f"&#{name};")


def element(text):
    """The element with which `text` begins, as HTML without links and ids that would clash on another page."""
    parser = _Element()
    with contextlib.suppress(StopIteration):
        parser.feed(text)
    return "".join(parser.out)


def targets(page):
    """The equations, statements and references of a page: a dict from id to where their element starts."""
    return {found[1]: found.start() for found in TARGET.finditer(page)}


def tips(name, pages, found):
    """What the links of page `name` refer to on other pages, as hidden templates.

    Parameters
    ----------
    name : str
        A key of `pages`.
    pages : dict of str to str
        Every page by its path.
    found : dict of str to dict
        `targets` of every page.
    """
    wanted = {}
    for path, anchor in LINK.findall(pages[name]):
        other = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
        if path and anchor in found.get(other, {}):
            wanted.setdefault(f"{path}#{anchor}", (other, found[other][anchor]))
    content = {link: element(pages[other][start:]) for link, (other, start) in sorted(wanted.items())}
    templates = [f'<template data-tip="{link}">{tip}</template>' for link, tip in content.items() if len(tip) <= TIP_LIMIT]
    return "".join(templates)


def finish(folder):
    """Finish every page below `folder`, in place.

    Raises
    ------
    PublishingError
        If a page cannot have a policy for its scripts.
    """
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts}
    pages = {
        name: drawn_late(labelled(accessible(light(path.read_text()))), path.parent) for name, path in paths.items()
    }
    found = {name: targets(page) for name, page in pages.items()}
    for name, page in pages.items():
        head, end, tail = page.rpartition("</body>")
        try:
            paths[name].write_text(guarded(head + tips(name, pages, found) + end + tail))
        except PublishingError as error:
            raise PublishingError(f"{name}: {error}") from error
