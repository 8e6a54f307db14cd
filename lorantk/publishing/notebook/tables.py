"""Typeset tables: how every chapter shows a data frame.

A chapter shows any data frame by naming it at the end of a cell, and chooses the digits with `typeset`. Numbers stand below each
other with the same decimals, powers of ten and minus signs are as in print, an index that only counts rows is left out, and a
long table is folded after a dozen rows.
"""

import math
import re
from dataclasses import dataclass, field
from html import escape
from itertools import groupby

from lorantk.publishing.notebook.display import number_text

ROWS = 12  # shown before the rest is folded
DIGITS = 3  # significant digits of the smallest number of a column, unless it was rounded before
SMALL, LARGE = 1e-4, 1e6  # beyond these a column is written in powers of ten
MISSING = "–"
INFINITE = "∞"
NUMERAL = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+|\s?%)?")  # as Python writes it
PRINTED = re.compile(
    rf"{MISSING}|−?(?:{INFINITE}|[\d.,]+(?: × 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?\s?%?)(?: \[[−\d., ]+\])?"  # with its interval
)


@dataclass(frozen=True)
class Table:
    """A data frame with the format of its numbers, which the notebook shows as `html` writes it."""

    frame: object
    spec: str | None = None
    columns: dict = field(default_factory=dict)

    def _repr_html_(self):
        return html(self.frame, self.spec, self.columns)


def typeset(frame, spec=None, columns=None):
    """A data frame as a table with chosen digits.

    Parameters
    ----------
    frame : pandas.DataFrame
    spec : str, optional
        The format of each number, such as ``".2f"``; without it each column has the digits that it needs.
    columns : dict of str to str, optional
        Formats of single columns.

    Returns
    -------
    Table
        Which a notebook shows at the end of a cell.
    """
    return Table(frame, spec, columns or {})


def use():
    """Show data frames and series of the running notebook as `html` writes them; outside of a notebook, do nothing."""
    from IPython import get_ipython

    if (shell := get_ipython()) is not None:
        import pandas as pd

        formatter = shell.display_formatter.formatters["text/html"]
        formatter.for_type(pd.DataFrame, html)
        formatter.for_type(pd.Series, lambda series: html(series.to_frame()))


def html(frame, spec=None, columns=None):
    """A data frame as HTML; see `typeset` for the parameters."""
    levels = [] if counts_rows(frame.index) else [frame.index.get_level_values(i) for i in range(frame.index.nlevels)]
    keys = [texts(level) for level in levels]
    body = [texts(frame.iloc[:, i], (columns or {}).get(name, spec)) for i, name in enumerate(frame.columns)]
    numeric = [all(PRINTED.fullmatch(text) for text in column) for column in (*keys, *body)]
    rows = list(zip(*keys, *body, strict=True))
    head = header(frame, len(keys), numeric)
    shown = lines(rows[:ROWS], len(keys), numeric)
    parts = [f'<table class="dataframe">\n{head}<tbody>\n{shown}</tbody>\n</table>']
    if rest := rows[ROWS:]:
        more = f"{len(rest)} more row{'s' * (len(rest) > 1)}"
        folded = f'<table class="dataframe">\n{head}<tbody>\n{lines(rest, len(keys), numeric)}</tbody>\n</table>'
        parts.append(f'<details class="lorantk-disclosure"><summary>{more}</summary>\n{folded}\n</details>')
    return "\n".join(parts)


def counts_rows(index):
    """Whether an index only counts the rows and says nothing about them."""
    counts = hasattr(index, "step") or list(index) == list(range(len(index)))  # a RangeIndex has a step
    return index.name is None and index.nlevels == 1 and counts


def texts(values, spec=None):
    """The texts of a column, written alike."""
    values = [value.item() if hasattr(value, "item") else value for value in values]
    spec = spec or common_spec([value for value in values if is_number(value) and math.isfinite(value)])
    return [text(value, spec) for value in values]


def is_number(value):
    """Whether a value is a number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def text(value, spec):
    """The text of one cell."""
    if value is None or value != value:  # only NaN differs from itself
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_number(value):
        return signed(number_text(value, spec) if math.isfinite(value) else str(value).replace("inf", INFINITE))
    return printed(str(value)) if NUMERAL.fullmatch(str(value)) else str(value)


def printed(numeral):
    """A number that the chapter has written itself, with a power of ten and a minus sign as in print."""
    mantissa, power, _ = numeral.partition("e")
    return signed(number_text(float(numeral), f".{len(mantissa.partition('.')[2])}e") if power else numeral)


def signed(written):
    """A number with a minus sign if it is negative, and without one if it is zero."""
    return written.replace("-", "−" if re.search(rf"[1-9{INFINITE}]", written) else "", 1) if written[0] == "-" else written


def common_spec(numbers):
    """The format in which every number of a column has enough digits, and none more than it was rounded to."""
    sizes = [abs(number) for number in numbers if number]
    if all(isinstance(number, int) for number in numbers):
        return "d"
    if not sizes:
        return ".0f"
    if min(sizes) < SMALL or max(sizes) >= LARGE:
        return f".{DIGITS - (max(sizes) < SMALL)}g"
    rounded = max(len(repr(float(number)).partition(".")[2].rstrip("0")) for number in numbers)
    return f".{max(0, min(rounded, DIGITS - 1 - math.floor(math.log10(min(sizes)))))}f"


def header(frame, depth, numeric):
    """The titles of the columns, below the titles of their groups and the name that the columns have together."""
    levels = [list(map(str, frame.columns.get_level_values(i))) for i in range(frame.columns.nlevels)]
    if levels[-1:] and counts_rows(frame.columns):
        levels = []
    written = []
    named = [name for name in frame.columns.names if name]
    if len(levels) == 1 and named:
        levels.insert(0, [str(named[0])] * len(levels[0]))
    for place, level in enumerate(levels):
        last = place == len(levels) - 1
        names = [str(name or "") for name in frame.index.names][-depth:] if depth and last else [""] * depth
        cells = [heading(name, numeric[i]) for i, name in enumerate(names)]
        if last:
            cells += [heading(title, numeric[depth + i]) for i, title in enumerate(level)]
        else:
            spans = [(title, len(list(group))) for title, group in groupby(level)]
            cells += [f'<th class="group" colspan="{span}">{escape(title)}</th>' for title, span in spans]
        written.append(f"<tr>{''.join(cells)}</tr>\n")
    return f"<thead>\n{''.join(written)}</thead>\n" if written else ""


def heading(title, numeral):
    """The title of a column, above its entries."""
    return f'<th class="number">{escape(title)}</th>' if numeral else f"<th>{escape(title)}</th>"


def lines(rows, depth, numeric):
    """The rows of a table; a key of a group is written once, before its first row."""
    written, last = [], None
    for row in rows:
        keys = list(row[:depth])
        if last is not None:
            same = next((i for i in range(depth - 1) if row[: i + 1] != last[: i + 1]), depth - 1)
            keys[:same] = [""] * same
        cells = [cell("th" if i < depth else "td", entry, numeric[i]) for i, entry in enumerate([*keys, *row[depth:]])]
        written.append(f"<tr>{''.join(cells)}</tr>\n")
        last = row
    return "".join(written)


def cell(tag, content, numeral):
    """One cell; numbers stand at its right end."""
    return f'<{tag} class="number">{content}</{tag}>' if numeral else f"<{tag}>{escape(content)}</{tag}>"
