"""The directive ``{beside}``: a new run of a chapter beside the book's, for the page of a single notebook."""

import json
import re
from pathlib import Path

import nbformat
from docutils import nodes

from lorantk.publishing.errors import WordsError
from lorantk.publishing.json_files import RECORD
from lorantk.publishing.notebook.words import GLUE, fill
from lorantk.publishing.site.outline import chapter_topic
from lorantk.publishing.site.sphinx_ext.figures import FigureDirective
from lorantk.publishing.site.sphinx_ext.pieces import badge, comparison, table, text

BOOK = "book"  # the folder, below the build, with the book's records of the chapter
FENCED = re.compile(r"^([ \t]*)(`{3,}|:{3,})\{?.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
MARKER = re.compile(r"^(?:#+|[-*]|\d+\.)\s+")  # of a heading or a list item
SIDES = ["The book", "This run"]


def paragraphs(notebook):
    """The paragraphs and list items of a notebook's text that have computed numbers, outside of directives and tables."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for block in re.split(r"\n\s*\n|\n(?=[-*] |\d+\. )", FENCED.sub("", cell.source)):
                if GLUE.search(block) and not block.lstrip().startswith("|"):
                    yield MARKER.sub("", " ".join(block.split()))


def pieces(record):
    """The evidence and the checks of a record, by claim, key and case."""
    found = [(claim["id"], piece) for claim in record["claims"] for piece in claim["evidence"]]
    found += [("", piece) for piece in record["checks"]]
    return {(name, piece["key"], piece.get("case")): piece for name, piece in found}


class Beside(FigureDirective):
    """What the run of this page's notebook gave, beside what the book's gave: verdicts, evidence, numbers and figures."""

    def content_nodes(self):
        """Tables with two columns, or the words that there is no book to compare with."""
        stem = Path(self.env.docname).name
        record, book = (self.build / place / RECORD for place in (f"executed/records/{stem}", BOOK))
        if not book.is_file():
            command = nodes.literal("", f'make book N="{chapter_topic(stem)}"')
            words = "This checkout has no run at the book's own parameters to set beside this one. "
            return [nodes.paragraph("", "", nodes.Text(words), command, nodes.Text(" makes one; then run this again."))]
        mine, theirs = (json.loads(path.read_bytes()) for path in (record, book))
        notebook = nbformat.read(self.build / f"executed/{stem}.ipynb", as_version=4)
        parts = [self.parameters(theirs, mine), *self.verdicts(theirs, mine), *self.evidence(theirs, mine)]
        return [*parts, *self.numbers(notebook, theirs, mine), *self.figures(theirs, mine)]

    def parameters(self, theirs, mine):
        """What was set differently."""
        names = [name for name in mine["parameters"] if mine["parameters"][name] != theirs["parameters"].get(name)]
        changed = "; ".join(f"{name} = {mine['parameters'][name]} (the book: {theirs['parameters'].get(name)})" for name in names)
        same = "This run has the book's own parameters, so all numbers should agree up to the rounding of another machine."
        return text(f"Set differently: {changed}." if changed else same)

    def verdicts(self, theirs, mine):
        """The verdict on each statement, twice."""
        before = {claim["id"]: claim["verdict"] for claim in theirs["claims"]}
        rows = [
            [[nodes.literal("", claim["id"])], [badge(before.get(claim["id"]))], [badge(claim["verdict"])]]
            for claim in mine["claims"]
        ]
        return [table(["Verdict on", *SIDES], rows, "Verdicts")] if rows else []

    def evidence(self, theirs, mine):
        """Each piece of evidence, with both values."""
        before, rows = pieces(theirs), []
        for key, piece in pieces(mine).items():
            value, bound = comparison(piece)
            other = before.get(key)
            held = [("✓" if entry["passed"] else "✗") if entry else "–" for entry in (other, piece)]
            cells = [comparison(other)[0] if other else "–", value, bound, " → ".join(dict.fromkeys(held))]
            rows.append([self.markdown(piece["name"]), *[[nodes.Text(cell.replace(" ", "\u00a0"))] for cell in cells]])
        return [table(["Evidence", *SIDES, "Bound", "Holds"], rows, "Evidence")] if rows else []

    def numbers(self, notebook, theirs, mine):
        """Each sentence whose numbers differ, twice."""
        rows, same = [], 0
        for paragraph in paragraphs(notebook):
            try:
                filled = [fill(paragraph, record["numbers"]) for record in (theirs, mine)]
            except WordsError:  # the chapter has changed since the book was built
                continue
            same += filled[0] == filled[1]
            if filled[0] != filled[1]:
                rows.append([self.markdown(side) for side in filled])
        shown = [table([f"Text: {side}" for side in SIDES], rows, "Numbers in the text")] if rows else []
        return [*shown, text(f"Paragraphs with computed numbers that read the same: {same}.")] if same else shown

    def figures(self, theirs, mine):
        """Each figure, twice."""
        rows = []
        for figure in mine["figures"]:
            pair = [
                nodes.image(uri=self.path(f"../{BOOK}/figures/{figure['id']}.svg").as_posix(), alt=f"{figure['alt']} The book."),
                nodes.image(uri=self.path(f"{figure['id']}.svg").as_posix(), alt=f"{figure['alt']} This run."),
            ]
            title = [self.number(figure), nodes.Text(f": {figure['title']}")]
            known = figure["id"] in {other["id"] for other in theirs["figures"]}
            rows += [[title], [[pair[0]] if known else [nodes.Text("not drawn")], [pair[1]]]]
        return [table([f"Figures: {side}" for side in SIDES], rows, "Figures")] if rows else []
