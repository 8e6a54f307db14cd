"""Directives on statements: ``{scoreboard}``, ``{verdict} ID``, ``{errata}``; the role ``{judged}`ID` ``."""

import json
from pathlib import Path

from docutils import nodes

from lorantk.publishing.claims import OWN
from lorantk.publishing.files import CLAIMS_FILE, read_list
from lorantk.publishing.sphinx_ext.base import BuildDirective
from lorantk.publishing.sphinx_ext.pieces import (
    BADGES,
    NOT_YET,
    Disclosure,
    badge,
    code,
    comparison,
    cross_reference,
    table,
    text,
)

ABOUT = {
    "printed": "as printed",
    "limit": "limit",
    "condition": "under a condition",
    "replicated": "finding",
    "corrected": "corrected statement",
    "control": "control",
}


class Verdict(BuildDirective):
    """The verdict on one statement, with label ``verdict-ID``, all evidence and the certificate."""

    required_arguments = 1

    def content_nodes(self):
        """Badge, what holds, evidence, certificate."""
        claim = self.entry(CLAIMS_FILE)
        name = claim["id"]
        head = nodes.paragraph("", "", nodes.strong("", f"{claim['title']}: "), badge(claim["verdict"]))
        block = nodes.container("", head, classes=["lorantk-verdict"])
        if claim["corrected"]:
            block += nodes.paragraph("", "", nodes.Text("What holds: "), *self.markdown(claim["corrected"]))
        if claim["evidence"]:
            rows = [self.row(piece) for piece in claim["evidence"]]
            block += table(["Evidence", "Speaks of", "Value", "Bound", "Holds"], rows, f"Evidence on {name}")
        if "certificate" in claim:
            block += self.named(self.certificate(claim["certificate"]), f"certificate-{name}")
        return [self.named(block, f"verdict-{name}")]

    def row(self, piece):
        """One row of the table of evidence."""
        value, bound = comparison(piece)
        unit = "" if piece["unit"] == "1" else f" {piece['unit']}"
        about = ABOUT[piece["about"]] + (f": {piece['protocol']}" if "protocol" in piece else "")
        cells = [about, value + unit, bound + unit, "✓ yes" if piece["passed"] else "✗ no"]
        return [self.markdown(piece["name"]), *[[nodes.Text(cell)] for cell in cells]]

    def certificate(self, certificate):
        """A certificate that a reader can check by hand."""
        objects = "\n".join(f"{name} = {json.dumps(entry)}" for name, entry in certificate["objects"].items())
        lines = [
            nodes.paragraph("", "", nodes.strong("", f"{role.capitalize()}: "), *self.markdown(certificate[role]))
            for role in ("statement", "check", "conclusion")
        ]
        return Disclosure("", lines[0], code(objects, "text"), *lines[1:], summary="Certificate")


def judged_role(name, rawtext, content, lineno, inliner, options=None, context=()):
    """The badge of one statement in a line of text, linked to its verdict; plain where it is not judged yet."""
    env = inliner.document.settings.env
    path = Path(env.srcdir, env.config.lorantk_build, CLAIMS_FILE).resolve()
    env.note_dependency(str(path))
    verdicts = {claim["id"]: claim["verdict"] for claim in read_list(path)}
    if content not in verdicts:
        message = inliner.reporter.error(f"expected an id of {CLAIMS_FILE}, got {content!r}", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    return [badge(verdicts[content], content, env.docname)], []


class Scoreboard(BuildDirective):
    """Every statement with its verdict, linked to chapter, evidence and certificate."""

    def content_nodes(self):
        """A table in groups: the paper's statements, its findings, our own results."""
        groups = {"Definitions and statements of the paper": [], "Its findings": [], "Results of this book": []}
        statements, findings, own = groups.values()
        for claim in self.entries(CLAIMS_FILE).values():
            rows = own if claim["source"] == OWN else findings if claim["kind"] == "finding" else statements
            rows.append(self.row(claim))
        rows = [row for title, group in groups.items() if group for row in ([[nodes.strong("", title)]], *group)]
        return [table(["Statement", "Verdict", "What holds instead", "Evidence"], rows, "Scoreboard")]

    def row(self, claim):
        """One row of the scoreboard."""
        name, title, page = claim["id"], claim["title"], self.env.docname
        link = self.chapter_link(claim["notebook"], title) if claim["notebook"] else nodes.Text(title)
        source = nodes.inline("", f"{claim['kind']} · {claim['source']}", classes=["lorantk-source"])
        evidence = []
        if claim["verdict"]:
            passed = sum(piece["passed"] for piece in claim["evidence"])
            content = f"{passed} of {len(claim['evidence'])} passed"
            evidence = [cross_reference("ref", f"verdict-{name}", content, page)]
        if "certificate" in claim:
            evidence += [nodes.Text(", "), cross_reference("ref", f"certificate-{name}", "certificate", page)]
        corrected = self.markdown(claim["corrected"]) if claim["corrected"] else []
        return [[link, nodes.Text(" "), source], [badge(claim["verdict"])], corrected, evidence]


class Tally(BuildDirective):
    """How many statements have which verdict, in one line."""

    def content_nodes(self):
        """A badge and a number for each verdict that occurs."""
        verdicts = [claim["verdict"] or NOT_YET for claim in self.entries(CLAIMS_FILE).values()]
        counts = [(verdict, verdicts.count(verdict)) for verdict in BADGES if verdict in verdicts]
        parts = [part for verdict, count in counts for part in (badge(verdict), nodes.Text(f" {count}  "))]
        return [nodes.paragraph("", "", *parts, classes=["lorantk-tally"])]


class Errata(BuildDirective):
    """What the paper prints against what holds, wherever a chapter found a difference."""

    def content_nodes(self):
        """A table, or a line that says that there is nothing to list."""
        claims = [
            claim for claim in self.entries(CLAIMS_FILE).values() if claim["corrected"] and claim["source"] != OWN
        ]
        if not claims:
            return [text("No chapter has recorded a correction yet.")]
        rows = [self.row(claim) for claim in claims]
        return [table(["Printed", "Verdict", "What holds instead"], rows, "Errata")]

    def row(self, claim):
        """One row: where it is printed, the verdict, the correction."""
        link = cross_reference("ref", f"verdict-{claim['id']}", claim["title"], self.env.docname)
        printed = [nodes.Text(f"{claim['source'][:1].upper() + claim['source'][1:]}: "), link]
        return [printed, [badge(claim["verdict"])], self.markdown(claim["corrected"])]
