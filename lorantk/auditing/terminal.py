"""Render the report as text for a terminal."""

import os
import shutil
import sys
import textwrap
import time

from lorantk.auditing.report import Report
from lorantk.auditing.table import HEADER, MARKS, MEANINGS, advised, cells, findings, refusals, rows, said, verdict

COLOURS = {True: "32", False: "31", None: "33"}  # green, red, yellow; the words say the same
ROWS = 40
WIDTH = 80
SHORTEST = 16  # characters of a name that a narrow terminal keeps
DROPPED = ("dim", "variance", "c", "balanced", "at start")  # columns that a narrow terminal does without, the first first


def wants_colour(stream) -> bool:
    """Say whether to use colours on this stream: a terminal with colours, and no NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def progress(modules: list):
    """Yield modules while a line on standard error shows the progress of the audit, if that is a terminal."""
    start, interactive = time.monotonic(), sys.stderr.isatty()
    for done, module in enumerate(modules):
        yield module
        if interactive and time.monotonic() - start > 1:
            print(f"\r{done + 1} of {len(modules)} modules", end="", file=sys.stderr, flush=True)
    if interactive:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _widths(table: list[list[str]]) -> list[int]:
    return [max(len(line[column]) for line in table) for column in range(len(table[0]))]


def _fitted(table: list[list[str]]) -> tuple[list[list[str]], list[str]]:
    """Return a table that fits the terminal, and what was left out of it: columns, then the beginnings of long names.

    `COLUMNS` sets the width.
    """
    room, left_out = shutil.get_terminal_size((WIDTH, 0)).columns, []

    def excess() -> int:
        widths = _widths(table)
        return sum(widths) + 2 * (len(widths) - 1) - room

    for name in DROPPED:
        if excess() <= 0:
            break
        if name in table[0]:
            at = table[0].index(name)
            table = [line[:at] + line[at + 1 :] for line in table]
            left_out.append(name)
    if (over := excess()) > 0:
        width = max(_widths(table)[0] - over, SHORTEST)
        table = [[line[0] if len(line[0]) <= width else f"…{line[0][1 - width :]}", *line[1:]] for line in table]
        left_out.append("the beginnings of names")
    return table, left_out


def render(report: Report, colour: bool = False, every: bool = False) -> str:
    """Return the report as text: the answer in a sentence, a table, what holds, what would change it, what the files say, notes.

    Parameters
    ----------
    report
        The audit.
    colour
        Whether to use ANSI colours; see `wants_colour`.
    every
        Show one row for each module, instead of grouping similar modules and showing at most `ROWS`.
    """
    every_row = rows(report, every)
    shown = every_row if every else every_row[:ROWS]
    table = [HEADER, *[cells(row) for row in shown]]
    empty = [column for column in range(len(HEADER)) if all(line[column] == "–" for line in table[1:])]
    table = [[cell for column, cell in enumerate(line) if column not in empty] for line in table]
    table, left_out = _fitted(table)
    widths = _widths(table)
    out = [_paint(line, "1", colour) for line in textwrap.wrap(verdict(report), WIDTH)]
    count, kind = report.overall.modules, f", {report.format}" if report.format else ""
    out += ["", f"{report.source}: {count} adapted module{'s' * (count > 1)}{kind}", ""]
    for line, row in zip(table, [None, *shown], strict=True):
        padded = [line[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]]
        code = "1" if row is None else COLOURS[row.module.order]
        out.append("  ".join(padded[:-1] + [_paint(padded[-1], code, colour)]))
    if left_out:
        out += ["", _wrapped(f"left out for want of width: {', '.join(left_out)}; COLUMNS=140 or --json shows them", "")]
    if len(shown) < len(every_row):
        out.append(f"… and {len(every_row) - len(shown)} further rows: --all shows every module")
    out += ["", "The order LoRA ⪯ full fine-tuning holds"]
    for name, text, holds in findings(report):
        mark = MARKS[holds]
        out.append(textwrap.fill(f"  {name:24}{mark:4}{text}", WIDTH, subsequent_indent=" " * 30))
        if mark:
            out[-1] = out[-1].replace(f"{mark:4}", _paint(f"{mark:4}", COLOURS[holds], colour), 1)
    for kind, remedies in advised(every_row, balances=report.balances).items():
        out += ["", f"What would bring modules into order {kind}"]
        for text, labels in list(remedies.items())[:ROWS]:
            more = f" and {len(labels) - 3} more" if len(labels) > 3 else ""
            out.append(_wrapped(f"{', '.join(labels[:3])}{more}: {text}", "  "))
    if report.consistency or report.refused:
        out += ["", "What the files say besides"]
        out += [_wrapped(said(entry), "  ") for entry in report.consistency]
        spoilt = [entry.reason for entry in report.refused] if every else refusals(report)
        out += [_wrapped(f"not audited: {reason}", "  ") for reason in (spoilt if every else spoilt[:ROWS])]
        if len(spoilt) > ROWS and not every:
            out.append(f"  … and {len(spoilt) - ROWS} further reasons: --all shows them")
    notes = [f"{module.name}: {note}" for module in report.modules for note in module.notes]
    if len(notes) > ROWS and not every:
        notes = [*notes[:ROWS], f"… and {len(notes) - ROWS} further notes on modules: --all shows them"]
    meanings = [f"{name}: {meaning}" for name, meaning in MEANINGS if name in table[0]]
    out += ["", *[_wrapped(note, "  ") for note in [*report.notes, *notes, *meanings, report.robustness]]]
    return "\n".join(out)
