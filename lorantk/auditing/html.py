"""Render the report as a self-contained page, and as the fragment that a notebook shows."""

import re
from html import escape

from lorantk.auditing.drawings import spectrum, values
from lorantk.auditing.report import Report
from lorantk.auditing.table import HEADER, MARKS, MEANINGS, advised, cells, findings, refusals, rows, said, verdict

STYLE = """
.lorantk-audit{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:62rem}
.lorantk-audit table{border-collapse:collapse;margin:1em 0;display:block;overflow-x:auto}
.lorantk-audit td,.lorantk-audit th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}
.lorantk-audit td:first-child,.lorantk-audit th:first-child{text-align:left}
.lorantk-audit .words td{text-align:left;vertical-align:top}
.lorantk-audit .yes{color:#00664a;font-weight:600}.lorantk-audit .no{color:#a33c00;font-weight:600}
.lorantk-audit .undecided{color:#666;font-weight:600}
.lorantk-audit h1,.lorantk-audit p{overflow-wrap:anywhere}
.lorantk-audit figure{margin:1em 0}.lorantk-audit figcaption{color:#444}.lorantk-audit svg{max-width:100%;height:auto}
"""
# The dots in names of modules, and not those in numbers.
DOT = re.compile(r"(?<=\w)\.(?=[a-z_]|\d+\.[a-z])")


def _table(head, lines, kind="") -> str:
    top = "<tr>" + "".join(f"<th scope='col'>{escape(cell)}</th>" for cell in head) + "</tr>" if head else ""
    body = "".join(
        "<tr>" + "".join(f"<td{_class(cell)}>{_breakable(cell, kind)}</td>" for cell in line) + "</tr>" for line in lines
    )
    # A table wider than the page scrolls, and whatever scrolls must be reachable by keyboard.
    return f"<table class='{kind}' tabindex='0'>{top}{body}</table>"


def _breakable(cell: str, kind: str) -> str:
    """Return the text of a cell; among words, a long name may go on in the next line after a dot."""
    return DOT.sub(".<wbr/>", escape(cell)) if kind == "words" else escape(cell)


def _class(cell: str) -> str:
    return f" class='{cell}'" if cell in ("yes", "no", "undecided") else ""


def fragment(report: Report, every: bool = False, figures: str = "") -> str:
    """Return the report as HTML to put into another page: the answer, what holds, figures, the table, remedies and notes."""
    shown = rows(report, every)
    held = _table((), [(name, MARKS[holds], text) for name, text, holds in findings(report)], "words")
    count, kind = report.overall.modules, f", {report.format}" if report.format else ""
    where = f"{report.source}: {count} adapted module{'s' * (count > 1)}{kind}"
    parts = [f"<p><strong>{escape(verdict(report))}</strong></p><p>{escape(where)}</p>", held, figures]
    parts.append(_table(HEADER, [cells(row) for row in shown]))
    for kind, remedies in advised(shown, balances=report.balances).items():
        lines = [(", ".join(labels[:3]) + (" …" if len(labels) > 3 else ""), text) for text, labels in remedies.items()]
        parts.append(f"<p>What would bring modules into order {kind}:</p>" + _table((), lines, "words"))
    besides = [(entry.level, said(entry)) for entry in report.consistency]
    besides += [("not audited", reason) for reason in refusals(report)]
    if besides:
        parts.append("<p>What the files say besides:</p>" + _table((), besides, "words"))
    notes = [f"{module.name}: {note}" for module in report.modules for note in module.notes]
    meanings = [f"{name}: {meaning}" for name, meaning in MEANINGS]
    items = "".join(f"<li>{escape(note)}</li>" for note in [*report.notes, *notes, *meanings])
    parts.append(f"<ul>{items}</ul><p>{escape(report.robustness)}</p>")
    return f"<style>{STYLE}</style><div class='lorantk-audit'>{''.join(parts)}</div>"


def page(report: Report) -> str:
    """Return the whole page, with figures and a row for each module, and without scripts, links or external fonts."""
    drawings = [drawing for drawing in (values(report), spectrum(report)) if drawing]
    figures = "".join(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in drawings)
    title = escape(f"Audit of {report.source}")
    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        f"<title>{title}</title></head><body><div class='lorantk-audit'><h1>{title}</h1></div>"
        f"{fragment(report, every=True, figures=figures)}</body></html>\n"
    )
