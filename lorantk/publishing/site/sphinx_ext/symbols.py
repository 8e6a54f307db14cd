"""Symbols: links from the first use of each symbol on a page to its row in the table of notation.

The page that has a container of class ``lorantk-symbols`` defines them: the first cell of each row of its table has one
symbol or several.
"""

import hashlib

from docutils import nodes
from sphinx.transforms import SphinxTransform

from lorantk.publishing.site.sphinx_ext.pieces import within

NOT_LINKED = (nodes.title, nodes.reference, nodes.caption, nodes.term)


def symbol_id(tex):
    """The id of a symbol's row."""
    return f"symbol-{hashlib.sha256(tex.encode()).hexdigest()[:8]}"


class NameSymbols(SphinxTransform):
    """Gives each row of the table of symbols an id, and stores which symbols it explains."""

    default_priority = 400

    def apply(self, **options):
        """Name the rows; if a page is read again, its new rows replace the old ones."""
        known = getattr(self.env, "lorantk_symbols", {})
        known = {tex: place for tex, place in known.items() if place[0] != self.env.docname}
        for container in self.document.findall(nodes.container):
            if "lorantk-symbols" in container["classes"]:
                for body in container.findall(nodes.tbody):
                    for row in body.findall(nodes.row):
                        symbols = [math.astext() for math in row.children[0].findall(nodes.math)]
                        row["ids"] = [symbol_id(tex) for tex in symbols[:1]]
                        known |= dict.fromkeys(symbols, (self.env.docname, row["ids"][0]))
        self.env.lorantk_symbols = known


def link_symbols(app, doctree, page):
    """Link the first use of each symbol in the text of a page to its row."""
    if app.builder.format != "html":
        return
    left = {tex: place for tex, place in getattr(app.env, "lorantk_symbols", {}).items() if place[0] != page}
    for math in list(doctree.findall(nodes.math)):
        place = left.get(math.astext())
        if place is None or within(math, NOT_LINKED):
            continue
        uri = f"{app.builder.get_relative_uri(page, place[0])}#{place[1]}"
        reference = nodes.reference("", "", internal=True, refuri=uri, classes=["lorantk-symbol"])
        math.replace_self(reference)
        reference += math
        left = {tex: other for tex, other in left.items() if other != place}
