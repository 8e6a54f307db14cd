"""The directive ``{releases}``: which figures have other data than in the release before."""

import json
from pathlib import Path

from docutils import nodes

from lorantk.publishing.files import FIGURES_FILE
from lorantk.publishing.release import DATA, changes, data_hashes, releases
from lorantk.publishing.sphinx_ext.base import BuildDirective
from lorantk.publishing.sphinx_ext.pieces import cross_reference, text

WORDS = {"new": "New", "changed": "With other data", "removed": "Removed"}


class Releases(BuildDirective):
    """A section for what is not released yet and one for each release, newest first.

    The argument is the folder with the lists of releases, relative to the page.
    """

    required_arguments = 1

    def content_nodes(self):
        """Sections, each with the figures that differ from the release before."""
        figures = self.entries(FIGURES_FILE)
        folder = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        states = [("start", {})]
        for version, path in releases(folder):
            self.env.note_dependency(str(path))
            states.append((version, json.loads(path.read_bytes())))
        reference = Path(self.env.srcdir, self.config.lorantk_sources).resolve().parent / DATA
        for path in reference.glob("*.csv"):
            self.env.note_dependency(str(path))
        states.append(("this site", data_hashes(reference)))
        sections = []
        for (old, before), (new, after) in zip(states, states[1:], strict=False):
            title = f"Since {old}" if new == "this site" else f"Version {new}"
            title = "Not yet released" if (old, new) == ("start", "this site") else title
            label = nodes.make_id(f"release {new}")
            differences = self.differences(changes(before, after), figures)
            sections.append(nodes.section("", nodes.title("", title), *differences, ids=[label], names=[label]))
        return sections[::-1]

    def differences(self, found, figures):
        """Paragraphs on what is new, changed and removed; figures of this site are linked."""
        if not any(found.values()):
            return [text("Every figure has the data that it had before.")]
        paragraphs = []
        for kind, names in found.items():
            links = [part for name in names for part in (nodes.Text(", "), self.figure(name, figures))]
            if links:
                paragraphs.append(nodes.paragraph("", "", nodes.strong("", f"{WORDS[kind]}: "), *links[1:]))
        return paragraphs

    def figure(self, name, figures):
        """A link to a figure, or its id where this site has no such figure."""
        if name not in figures:
            return nodes.literal("", name)
        return cross_reference("ref", f"fig-{name}", figures[name]["title"], self.env.docname)
