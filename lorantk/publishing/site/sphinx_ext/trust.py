"""Checks of the book itself: ``{trust}`` and ``{coverage-table}`` for what the repository keeps, ``{chance}`` for this build.

The role ``{coverage}`` says in a line of text how often the interval of a given name covered.
"""

import json
from pathlib import Path

from docutils import nodes

from lorantk.publishing.checks.trust import chance_result, percent, read_coverage, read_result
from lorantk.publishing.json_files import RECORD, all_pieces
from lorantk.publishing.notebook.display import number_text
from lorantk.publishing.notebook.tables import ROWS
from lorantk.publishing.site.sphinx_ext.base import BuildDirective
from lorantk.publishing.site.sphinx_ext.pieces import Disclosure, facts, table, text


class Trust(BuildDirective):
    """The outcome of a check in a paragraph and a table, and how it was made.

    The argument is the file of the result, relative to the page.
    """

    required_arguments = 1

    def content_nodes(self):
        """A paragraph, a table, and a folded part with the facts."""
        path = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(str(path))
        if not path.is_file():
            return [text("No result of this check is kept yet.")]
        result = read_result(path)
        device = result["device"]
        made = [
            ("Command", [nodes.literal("", result["command"])]),
            ("Commit", [nodes.literal("", result["commit"]), nodes.Text(f", on {result['date']}")]),
            ("Device", f"{device['platform']}, {device['cores']} cores, {device['processor']}"),
            ("Versions", ", ".join(f"{name} {number}" for name, number in result["versions"].items())),
        ]
        return [*self.shown(result), Disclosure("", facts(made), summary="How this was checked")]

    def shown(self, result):
        """The paragraph and the table, which is folded if it is long."""
        rows = [[self.cell(cell) for cell in row] for row in result["rows"]]
        whole = table(result["columns"], rows, result["title"])
        folded = Disclosure("", whole, summary=f"{result['title']}: {len(rows)} rows") if len(rows) > ROWS else whole
        return [nodes.paragraph("", "", *self.markdown(result["summary"])), folded]

    def cell(self, content):
        """A cell: Markdown, or a number with few digits."""
        if isinstance(content, str):
            return self.markdown(content)
        return [nodes.Text(str(content) if isinstance(content, int) else number_text(content, ".2g"))]


class Coverage(Trust):
    """How often intervals cover, in one paragraph, and its table; the argument is the file, relative to the page."""

    def content_nodes(self):
        """A paragraph and a table."""
        path = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(str(path))
        return self.shown(read_coverage(path))


class Chance(Trust):
    """How likely the checks of this build come out the other way by bad luck: summed from what the chapters recorded."""

    required_arguments = 0

    def content_nodes(self):
        """A paragraph and a table."""
        records = sorted((self.build / "executed/records").glob(f"*/{RECORD}"))
        for path in records:
            self.env.note_dependency(str(path))
        pieces = [piece for path in records for piece in all_pieces(json.loads(path.read_bytes()))]
        return self.shown(chance_result(pieces))


def coverage_role(name, rawtext, content, lineno, inliner, options=None, context=()):
    """How often the interval of this name covers, and how often it says it does, from the ledger of calibration."""
    env = inliner.document.settings.env
    path = Path(env.srcdir, "book/trust/calibration.json")
    env.note_dependency(str(path))
    records = {record["name"]: record for record in json.loads(path.read_bytes())} if path.is_file() else {}
    if content not in records:
        message = inliner.reporter.error(f"expected a name of {path.name}, got {content!r}", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    return [nodes.Text(f"{percent(records[content]['measured'])} ({percent(records[content]['nominal'])} stated)")], []
