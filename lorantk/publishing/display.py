"""Show things in the running notebook, in a form for Jupyter and one for the book.

The book's form is a MyST directive as Markdown, which the book's Sphinx prefers; Jupyter prefers the HTML.
"""

import base64
from html import escape

GLUE = "application/papermill.record/"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number_text(value, spec):
    """`value` formatted by `spec`, powers of ten as a reader writes them: ``1.2 × 10⁻⁹``, not ``1.2e-09``."""
    text = format(value, spec)
    mantissa, _, exponent = text.partition("e")
    if not exponent.lstrip("+-").isdigit():
        return text
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def _show(data, metadata):
    """Display a bundle of representations; outside of a notebook, do nothing."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is not None:
        display(data, raw=True, metadata=metadata)


def _directive(name, argument):
    """A directive of the book, as Markdown."""
    return f"```{{{name}}} {argument}\n```"


def show_verdict(claim, verdict):
    """Show a verdict; in the book, with all its evidence."""
    html = f"<p>{escape(claim)}: <strong>{escape(verdict)}</strong></p>"
    data = {"text/plain": f"{claim}: {verdict}", "text/html": html, "text/markdown": _directive("verdict", claim)}
    _show(data, {"lorantk": {"verdict": claim}})


def show_checks(checks):
    """Show checks that a chapter made beside any claim, as a table."""
    rows = [
        (piece["name"], number_text(piece["value"], ".4g"), f"{piece['relation']} {number_text(piece['bound'], '.4g')}")
        for piece in checks
    ]
    head = ("Check", "Value", "Bound")
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in (head, ("---",) * 3, *rows)]
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in (head, *rows))
    data = {"text/plain": f"{len(checks)} checks hold", "text/html": f"<table>{cells}</table>", "text/markdown": "\n".join(lines)}
    _show(data, {"lorantk": {"checks": len(checks)}})


def show_figure(name, title, alt, png):
    """Show a figure; in the book, numbered, with its caption and how it was made."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    html = f'<img src="{source}" alt="{escape(alt)}" style="width: 100%; max-width: 650px">'
    data = {"text/plain": f"{title} ({name})", "text/html": html, "text/markdown": _directive("evidence-figure", name)}
    _show(data, {"lorantk": {"figure": name}})


def glue(name, text):
    """Hand a text to the prose of the notebook's page, as myst_nb.glue does, without showing it."""
    _show({f"{GLUE}text/plain": text}, {"scrapbook": {"name": name, "mime_prefix": GLUE}})
