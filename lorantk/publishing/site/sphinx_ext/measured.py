"""Cells tagged ``measured`` are shown like all others, but are left out of the search index.

Their outputs, such as times, differ from build to build. On a page they can be told apart by the tag. The index is one
file for the whole site and would differ too, although nobody searches for a time.
"""

from docutils import nodes

from lorantk.publishing.notebook.normalise import MEASURED


class Unsearched(nodes.Special, nodes.Inline, nodes.Element):
    """HTML, in `html`, that the search index leaves out."""


def visit_unsearched(translator, node):
    """Write the HTML."""
    translator.body.append(node["html"])
    raise nodes.SkipNode


def hide_measured(app, doctree, page):
    """Replace the HTML that measured cells display by `Unsearched`."""
    for cell in doctree.findall(nodes.container):
        if f"tag_{MEASURED}" in cell["classes"]:
            for raw in list(cell.findall(nodes.raw)):
                if "html" in raw.get("format", "").split():
                    raw.replace_self(Unsearched("", html=raw.astext()))
