"""What the directives of the book share: reading the lists of a build, parsing Markdown, linking."""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.json_files import read_list
from lorantk.publishing.site.sphinx_ext.pieces import cross_reference


class BuildDirective(SphinxDirective):
    """A directive that reads the lists of a build."""

    def run(self):
        """The nodes of the directive; a missing or broken list is an error at its line."""
        try:
            return self.content_nodes()
        except (PublishingError, FileNotFoundError) as error:
            raise self.error(str(error)) from error

    @property
    def build(self):
        """The build folder."""
        return Path(self.env.srcdir, self.config.lorantk_build).resolve()

    def entries(self, name):
        """A list of the build, by id; when it changes, the page is read again."""
        path = self.build / name
        self.env.note_dependency(str(path))
        return {entry["id"]: entry for entry in read_list(path)}

    def entry(self, name):
        """The object of a list that the directive's argument names; if there is none, an error at its line."""
        entries = self.entries(name)
        if self.arguments[0] not in entries:
            raise self.error(f"expected an id of {name}, got {self.arguments[0]!r}")
        return entries[self.arguments[0]]

    def markdown(self, content):
        """The inline nodes of a line of Markdown."""
        found, messages = self.state.inline_text(content, self.lineno)
        return found + messages

    def named(self, node, label):
        """`node` as the target of a label."""
        node["names"].append(label)
        self.state.document.note_explicit_target(node, node)
        return node

    def chapter_link(self, notebook, content):
        """A link to a chapter's page, or plain text if the book has no such page."""
        page = notebook.removesuffix(".ipynb")
        if page not in self.env.found_docs:
            return nodes.Text(content)
        return cross_reference("doc", f"/{page}", content, self.env.docname)
