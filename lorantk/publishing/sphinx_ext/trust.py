"""The directive ``{trust}``: the last result of a check of the book itself, as the repository keeps it."""

from pathlib import Path

from docutils import nodes

from lorantk.publishing.display import number_text
from lorantk.publishing.sphinx_ext.base import BuildDirective
from lorantk.publishing.sphinx_ext.pieces import Disclosure, facts, table, text
from lorantk.publishing.trust import read_result


class Trust(BuildDirective):
    """What a check found, in one paragraph, its table, and how it was made.

    The argument is the file of the result, relative to the page.
    """

    required_arguments = 1

    def content_nodes(self):
        """A paragraph, a table, and a part to open with the facts."""
        path = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(str(path))
        if not path.is_file():
            return [text("No result of this check is kept yet.")]
        result = read_result(path)
        rows = [[self.cell(cell) for cell in row] for row in result["rows"]]
        device = result["device"]
        made = [
            ("Command", [nodes.literal("", result["command"])]),
            ("Commit", [nodes.literal("", result["commit"]), nodes.Text(f", on {result['date']}")]),
            ("Device", f"{device['platform']}, {device['cores']} cores, {device['processor']}"),
            ("Versions", ", ".join(f"{name} {number}" for name, number in result["versions"].items())),
        ]
        summary = nodes.paragraph("", "", *self.markdown(result["summary"]))
        how = Disclosure("", facts(made), summary="How this was checked")
        return [summary, table(result["columns"], rows, result["title"]), how]

    def cell(self, content):
        """A cell: Markdown, or a number in few digits."""
        if isinstance(content, str):
            return self.markdown(content)
        return [nodes.Text(str(content) if isinstance(content, int) else number_text(content, ".2g"))]
