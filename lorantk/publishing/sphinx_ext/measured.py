"""Cells tagged ``measured``: shown as all others, but kept out of the index for searching.

What they show, such as a time, differs from build to build. On their page it stands in a part of its own; the index is one
file for the whole site and would differ too, and nobody searches for a time.
"""

from docutils import nodes

from lorantk.publishing.normalise import MEASURED


class Unsearched(nodes.Special, nodes.Inline, nodes.Element):
    """HTML, in `html`, that the index for searching does not read."""


def visit_unsearched(translator, node):
    """Write the HTML."""
    translator.body.append(node["html"])
    raise nodes.SkipNode


def hide_measured(app, doctree, page):
    """Put `Unsearched` in place of the HTML that measured cells display."""
    for cell in doctree.findall(nodes.container):
        if f"tag_{MEASURED}" in cell["classes"]:
            for raw in list(cell.findall(nodes.raw)):
                if "html" in raw.get("format", "").split():
                    raw.replace_self(Unsearched("", html=raw.astext()))
