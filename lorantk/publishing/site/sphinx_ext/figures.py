"""The directives ``{evidence-figure} ID`` and ``{figure-index}``."""

import os
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives

from lorantk.publishing.json_files import FIGURES_FILE
from lorantk.publishing.site.sphinx_ext.base import BuildDirective
from lorantk.publishing.site.sphinx_ext.pieces import (
    Disclosure,
    cross_reference,
    download,
    facts,
    text,
)
from lorantk.publishing.site.sphinx_ext.works import Cited


class FigureDirective(BuildDirective):
    """A directive that shows figures."""

    def path(self, name):
        """The path of a figure's file, relative to the page."""
        return Path(os.path.relpath(self.build / "figures" / name, Path(self.env.doc2path(self.env.docname)).parent))

    def number(self, figure):
        """The number of a figure, linked to the figure in its chapter."""
        return cross_reference("numref", f"fig-{figure['id']}", "Fig. %s", self.env.docname)

    def downloads(self, figure):
        """Links to a figure's files, separated by dots."""
        links = []
        for extension, file in figure["files"].items():
            links += [nodes.Text(" · "), download(extension.upper(), self.path(file).as_posix())]
        return links[1:]


class EvidenceFigure(FigureDirective):
    """A figure, and how it was made.

    On the page of the notebook that made it, it has its number and its label ``fig-ID``; other pages that show it
    link there. The title, alternative text and caption in the directive are in the list of figures already, which
    it reads.
    """

    required_arguments = 1
    has_content = True
    option_spec = {"title": directives.unchanged_required, "alt": directives.unchanged_required}

    def content_nodes(self):
        """The figure, and below it a folded part."""
        figure = self.entry(FIGURES_FILE)
        image = nodes.image(uri=self.path(f"{figure['id']}.*").as_posix(), alt=figure["alt"])
        caption = self.markdown(figure["caption"])
        if figure["notebook"] == f"{self.env.docname}.ipynb":
            drawn = [self.named(nodes.figure("", image, nodes.caption("", "", *caption)), f"fig-{figure['id']}")]
        else:
            drawn = [image, nodes.paragraph("", "", self.number(figure), nodes.Text(" "), *caption)]
        return [nodes.container("", *drawn, self.made(figure), classes=["lorantk-figure"])]

    def made(self, figure):
        """How a figure was made, its files, and its citation."""
        changed = " with uncommitted changes" if figure["dirty"] else ""
        commit = [nodes.literal("", figure["commit"]), nodes.Text(changed)] if figure["commit"] else "none"
        pairs = [
            ("Figure", [nodes.literal("", figure["id"])]),
            ("Made by", [self.chapter_link(figure["notebook"], figure["notebook"])]),
            ("Cell", [nodes.literal("", figure["cell"])]),
            ("Parameters", ", ".join(f"{name} = {value}" for name, value in figure["parameters"].items())),
            ("Commit", commit),
            ("Versions", ", ".join(f"{name} {number}" for name, number in figure["versions"].items())),
            ("Download", self.downloads(figure)),
        ]
        return Disclosure(
            "", facts(pairs), text("Cite"), Cited("", work=figure["id"]), summary="How this was made, download, cite"
        )


class FigureIndex(FigureDirective):
    """All figures of the book as thumbnails, with number, title, id and data."""

    def content_nodes(self):
        """A list of figures in the book's order."""
        figures = self.entries(FIGURES_FILE).values()
        if not figures:
            return [text("No chapter has made a figure yet.")]
        return [nodes.bullet_list("", *map(self.item, figures), classes=["lorantk-gallery"])]

    def item(self, figure):
        """An entry of the index."""
        thumbnail = self.path(f"thumbnails/{figure['id']}.thumb.png").as_posix()
        # What a picture shows is described where it is large.
        image = nodes.image(uri=thumbnail, alt=figure["title"], loading="lazy")
        title = [self.number(figure), nodes.Text(f": {figure['title']}")]
        data = download("data", self.path(figure["files"]["csv"]).as_posix())
        files = [nodes.literal("", figure["id"]), nodes.Text(" · "), data]
        return nodes.list_item("", image, nodes.paragraph("", "", *title), nodes.paragraph("", "", *files))
