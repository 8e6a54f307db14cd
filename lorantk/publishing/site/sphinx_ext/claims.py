"""Directives about statements, such as ``{verdict} ID`` and ``{scoreboard}``, and the role ``{judged}`ID` ``."""

import json
import re
from pathlib import Path

from docutils import nodes

from lorantk.publishing.json_files import CLAIMS_FILE, RECORD, read_list
from lorantk.publishing.notebook.claims import OTHER, OWN
from lorantk.publishing.site.sphinx_ext.base import BuildDirective
from lorantk.publishing.site.sphinx_ext.pieces import (
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

OUTCOMES = ("no effect of interest", "confirmed", "contradicted")
FEW = 6  # up to so many failing pieces of evidence are listed in the verdict
ABOUT = {
    "printed": "as printed",
    "limit": "limit",
    "condition": "under a condition",
    "equivalent": "equivalent",
    "no effect of interest": "too small to matter",
    "confirmed": "for the finding",
    "contradicted": "against the finding",
    "corrected": "corrected statement",
    "control": "control",
}


class Verdict(BuildDirective):
    """The verdict on one statement, with label ``verdict-ID``: what holds, which evidence fails, and a folded table of all of it.

    The words in its body are in the list of statements already, which this directive reads.
    """

    required_arguments = 1
    has_content = True

    def content_nodes(self):
        """The badge, what holds, the evidence, and a link to the certificate."""
        claim = self.entry(CLAIMS_FILE)
        name = claim["id"]
        head = nodes.paragraph("", "", nodes.strong("", f"{claim['title']}: "), badge(claim["verdict"]))
        block = nodes.container("", head, classes=["lorantk-verdict"])
        if claim["corrected"]:
            block += nodes.paragraph("", "", nodes.Text("What holds: "), *self.markdown(claim["corrected"]))
        if claim["evidence"]:
            block += evidence_nodes(self, claim["evidence"], f"Evidence on {name}", "The evidence")
        if "certificate" in claim:
            link = cross_reference("ref", f"certificate-{name}", "the certificate", self.env.docname)
            block += nodes.paragraph("", "", nodes.Text("To check by hand: "), link, nodes.Text("."))
        if in_errata(claim):
            link = cross_reference("ref", f"erratum-{name}", None, self.env.docname)
            block += nodes.paragraph("", "", nodes.Text("Printed words beside what holds: "), link, nodes.Text("."))
        return [self.named(block, f"verdict-{name}")]


class Certificate(BuildDirective):
    """The certificate of one statement, with label ``certificate-ID``, which a reader can check by hand."""

    required_arguments = 1
    has_content = True

    def content_nodes(self):
        """What is shown, the objects, how to check it, and what follows."""
        claim = self.entry(CLAIMS_FILE)
        if "certificate" not in claim:
            raise self.error(f"expected a certificate of {claim['id']!r} in {CLAIMS_FILE}, got none")
        parts = claim["certificate"]
        lines = {
            role: nodes.paragraph("", "", nodes.strong("", f"{title}: "), *self.markdown(parts[role]))
            for role, title in (("statement", "Certificate"), ("check", "Check"), ("conclusion", "So"))
        }
        content = [lines["statement"], code(objects_text(parts["objects"]), "text"), lines["check"], lines["conclusion"]]
        block = nodes.container("", *content, classes=["lorantk-certificate"])
        return [self.named(block, f"certificate-{claim['id']}")]


class Checks(BuildDirective):
    """The checks that a chapter made independently of any statement."""

    has_content = True

    def content_nodes(self):
        """How many hold, and the folded table."""
        path = self.build / "executed" / "records" / Path(self.env.docname).name / RECORD
        self.env.note_dependency(str(path))
        if not path.is_file():
            raise self.error(f"expected {path}, which `make book` writes, got no such file")
        return evidence_nodes(self, json.loads(path.read_bytes())["checks"], "Checks", "The checks")


def in_errata(claim):
    """Whether the errata must list a statement: one of the paper's that its chapter corrects. A finding has a verdict instead."""
    return bool(claim["corrected"]) and claim["source"] != OWN and claim["kind"] != "finding"


def objects_text(objects):
    """The objects of a certificate, one in each line; fractions are stored as text, and shown without quotation marks."""
    lines = (f"{name} = {json.dumps(entry, ensure_ascii=False)}" for name, entry in objects.items())
    return "\n".join(lines).replace('"', "")


def how_much_holds(pieces):
    """How many pieces of evidence hold, in words, and the names of those that do not, if they are few.

    The comparisons that decide a finding exclude each other, so for them the words only say how they decide.
    """
    if any(piece.get("about") in OUTCOMES for piece in pieces):
        return "Each part is decided by the first of its comparisons that holds, and undecided if none does.", []
    failing = [piece["name"] for piece in pieces if not piece["passed"]]
    held = len(pieces) - len(failing)
    if not failing:
        return f"All {held} checks hold." if held > 1 else "The only check holds.", []
    some = f"{held} of {len(pieces)} checks hold{'s' if held == 1 else ''}" if held else "No check holds"
    if len(failing) > FEW:
        return f"{some}; those that fail are in the table.", []
    return f"{some}; {'these fail' if len(failing) > 1 else 'this one fails'}:", failing


def evidence_nodes(directive, pieces, label, summary):
    """How many pieces of evidence hold, those that do not, and a folded table of all."""
    words, failing = how_much_holds(pieces)
    found = [text(words)]
    if failing:
        items = [nodes.list_item("", nodes.paragraph("", "", *directive.markdown(name))) for name in failing]
        found.append(nodes.bullet_list("", *items))
    order = {about: place for place, about in enumerate(OUTCOMES)}
    # Otherwise as written: a sentence may refer to the one before.
    ordered = sorted(pieces, key=lambda piece: (piece.get("part", ""), order.get(piece["about"], 3)))
    rows = [evidence_row(directive, piece) for piece in ordered]
    head = ["Evidence", "Speaks of", "Value", "Bound", "Holds"]
    return [*found, Disclosure("", table(head, rows, label), summary=summary)]


def evidence_row(directive, piece):
    """One row of the table of evidence."""
    value, bound = comparison(piece)
    unit = "" if piece["unit"] == "1" else f" {piece['unit']}"
    about = ABOUT[piece["about"]] + (f": {piece['part']}" if "part" in piece else "")
    cells = [about, value + unit, bound + unit, "✓ yes" if piece["passed"] else "✗ no"]
    return [directive.markdown(piece["name"]), *[[nodes.Text(cell)] for cell in cells]]


def judged_role(name, rawtext, content, lineno, inliner, options=None, context=()):
    """The badge of one statement in a line of text, linked to its verdict if it has one."""
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
        """A table in four groups: the paper's statements, its findings, claims of other papers, our own results."""
        titles = ("Definitions and statements of the paper", "Its findings", "Claims of other papers", "Results of this book")
        groups = {title: [] for title in titles}
        statements, findings, others, own = groups.values()
        for claim in self.entries(CLAIMS_FILE).values():
            rows = own if claim["source"] == OWN else findings if claim["kind"] == "finding" else statements
            rows = others if claim["source"].startswith(OTHER) else rows
            rows.append(self.row(claim))
        rows = [row for title, group in groups.items() if group for row in ([[nodes.strong("", title)]], *group)]
        return [table(["Statement", "Verdict", "What holds", "Evidence"], rows, "Scoreboard")]

    def row(self, claim):
        """One row of the scoreboard."""
        name, title, page = claim["id"], claim["title"], self.env.docname
        link = self.chapter_link(claim["notebook"], title) if claim["notebook"] else nodes.Text(title)
        source = nodes.inline("", f"{claim['kind']} · {claim['source']}", classes=["lorantk-source"])
        evidence = []
        if claim["verdict"]:
            passed = sum(piece["passed"] for piece in claim["evidence"])
            of = len(claim["evidence"])
            content = f"{of} comparisons" if claim["kind"] == "finding" else f"{passed} of {of} passed"
            evidence = [cross_reference("ref", f"verdict-{name}", content, page)]
        if "certificate" in claim:
            evidence += [nodes.Text(", "), cross_reference("ref", f"certificate-{name}", "certificate", page)]
        corrected = self.markdown(claim["corrected"]) if claim["corrected"] else []
        return [[link, nodes.Text(" "), source], [badge(claim["verdict"])], corrected, evidence]


class Tally(BuildDirective):
    """How many statements have each verdict, in one line."""

    def content_nodes(self):
        """A badge and a number for each verdict that occurs."""
        verdicts = [claim["verdict"] or NOT_YET for claim in self.entries(CLAIMS_FILE).values()]
        counts = [(verdict, verdicts.count(verdict)) for verdict in BADGES if verdict in verdicts]
        parts = [part for verdict, count in counts for part in (badge(verdict), nodes.Text(f" {count}  "))]
        return [nodes.paragraph("", "", *parts, classes=["lorantk-tally"])]


class Errata(BuildDirective):
    """What the paper prints beside what holds, wherever a chapter found a difference.

    A section for each erratum, with label ``erratum-ID``. The body has its number and its statement, what is printed, what
    holds instead, and, for a statement without a certificate, a counterexample::

        E11 lora-lemma
        : $K^l = K^{l-1} + 1$
        : $K^l = K^{l-1} + s^2$

    Verdict, certificate and the whole corrected statement are those of the chapter.
    """

    has_content = True

    def content_nodes(self):
        """The sections, in the order of the body; a corrected statement of the paper without one is an error."""
        claims = self.entries(CLAIMS_FILE)
        blocks = [block for block in re.split(r"\n\s*\n", "\n".join(self.content)) if block.strip()]
        errata = [self.parsed(block) for block in blocks]
        for what, found in (("number", [number for number, *_ in errata]), ("statement", [name for _, name, _ in errata])):
            if repeated := sorted({entry for entry in found if found.count(entry) > 1}):
                raise self.error(f"expected each {what} of an erratum once, got {', '.join(repeated)} again")
        listed = [name for _, name, _ in errata]
        if unknown := [name for name in listed if name not in claims]:
            raise self.error(f"expected errata of ids in {CLAIMS_FILE}, got {', '.join(unknown)}")
        corrected = [name for name, claim in claims.items() if in_errata(claim)]
        if missing := [name for name in corrected if name not in listed]:
            raise self.error(f"expected an erratum for each corrected statement of the paper, got none for {', '.join(missing)}")
        if bare := [name for _, name, terms in errata if len(terms) < 3 and "certificate" not in claims[name]]:
            raise self.error(f"expected a counterexample for each erratum without a certificate, got none for {', '.join(bare)}")
        sections = [self.section(number, claims[name], terms) for number, name, terms in errata]
        return sections or [text("No chapter has recorded a correction yet.")]

    def parsed(self, block):
        """The number, the statement and the terms of one erratum."""
        head, *terms = re.split(r"\n:[ \t]+", block.strip())
        found = re.fullmatch(r"(E\d+)[ \t]+([a-z0-9-]+)", head)
        if not found or len(terms) not in (2, 3):
            form = "'E1 ID', ': printed', ': what holds' and perhaps ': counterexample'"
            raise self.error(f"expected an erratum as {form}, got {block!r}")
        return found[1], found[2], [" ".join(term.split()) for term in terms]

    def section(self, number, claim, terms):
        """One erratum: where it is printed, the two formulas, a counterexample, the whole statement."""
        name, source = claim["id"], claim["source"]
        section = nodes.section("", nodes.title("", f"{number} · {claim['title']}"), classes=["lorantk-erratum"])
        where = nodes.Text(f"{source[:1].upper()}{source[1:]} ")
        section += nodes.paragraph("", "", where, badge(claim["verdict"], name, self.env.docname))
        sides = [
            nodes.container("", text(title), nodes.paragraph("", "", *self.markdown(term)))
            for title, term in zip(("Printed", "What holds"), terms[:2], strict=True)
        ]
        section += nodes.container("", *sides, classes=["lorantk-sides"])
        section += self.counterexample(claim, terms[2] if len(terms) > 2 else None)
        if claim["corrected"]:
            whole = nodes.paragraph("", "", *self.markdown(claim["corrected"]))
            section += Disclosure("", whole, summary="The corrected statement in full")
        return self.named(section, f"erratum-{name}")

    def counterexample(self, claim, term):
        """The counterexample of the body, or else the certificate of the chapter."""
        title = nodes.strong("", "Counterexample: ")
        if term:
            return [nodes.paragraph("", "", title, *self.markdown(term))]
        if "certificate" not in claim:
            return []
        parts = claim["certificate"]
        link = cross_reference("ref", f"certificate-{claim['id']}", "certificate", self.env.docname)
        check = [nodes.strong("", "Check: "), *self.markdown(parts["check"]), nodes.Text(" ("), link, nodes.Text(")")]
        return [
            nodes.paragraph("", "", title, *self.markdown(parts["conclusion"])),
            code(objects_text(parts["objects"]), "text"),
            nodes.paragraph("", "", *check),
        ]
