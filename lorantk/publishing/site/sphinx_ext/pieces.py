"""Parts of a page that several directives of the book use."""

from html import escape
from urllib.parse import quote

from docutils import nodes
from sphinx import addnodes

from lorantk.publishing.notebook.display import number_text

NOT_YET = "not yet judged"
# For each verdict its name in the style sheet, and a sign, so that colour is never the only difference.
BADGES = {
    "holds exactly": ("holds", "✓"),
    "holds in the limit": ("limit", "→"),
    "holds under a condition": ("condition", "◐"),
    "deterministic equivalent": ("equivalent", "≈"),
    "fails as printed": ("fails", "✗"),
    "confirmed": ("holds", "✓"),
    "undecided at this power": ("undecided", "?"),
    "no effect of interest": ("limit", "≈"),
    "contradicted": ("fails", "✗"),
    NOT_YET: ("pending", "○"),
}
SIGNS = {"<=": "≤", "<": "<", ">=": "≥", ">": ">", "==": "=", "!=": "≠"}


class Disclosure(nodes.General, nodes.Element):
    """A folded part, which opens without scripts; `summary` is its title."""


class Scrollable(nodes.General, nodes.Element):
    """A part that scrolls sideways if the screen is too narrow; `label` names it."""


def visit_disclosure(translator, node):
    """Open the HTML of a `Disclosure`."""
    translator.body.append(translator.starttag(node, "details", CLASS="lorantk-disclosure"))
    translator.body.append(f"<summary>{translator.encode(node['summary'])}</summary>\n")


def visit_scrollable(translator, node):
    """Open the HTML of a `Scrollable`, which can have the focus, so that it can be scrolled by keyboard."""
    attributes = {"tabindex": "0", "role": "region", "aria-label": node["label"]}
    translator.body.append(translator.starttag(node, "div", CLASS="lorantk-scroll", **attributes))


def closing(tag):
    """A visitor that closes an HTML element."""
    return lambda translator, node: translator.body.append(f"</{tag}>\n")


def text(content):
    """A paragraph of plain text."""
    return nodes.paragraph("", "", nodes.Text(content))


def badge(verdict, claim=None, page=None):
    """A verdict as a coloured badge with sign and words; if `claim` and `page` are given, a link from `page` to the verdict."""
    name, sign = BADGES[verdict or NOT_YET]
    content = f"{sign} {verdict or NOT_YET}"
    inside = cross_reference("ref", f"verdict-{claim}", content, page) if claim and verdict else nodes.Text(content)
    return nodes.inline("", "", inside, classes=["lorantk-badge", f"lorantk-{name}"])


def table(header, rows, label):
    """A table in a `Scrollable`.

    Parameters
    ----------
    header : list of str
        Titles of the columns.
    rows : list of list of list of Node
        Contents by row and cell; a row of one cell spans all columns and is a heading for the rows below.
    label : str
        What the table shows, for readers who cannot see it.
    """
    group = nodes.tgroup("", *[nodes.colspec(colwidth=1) for _ in header], cols=len(header))
    titles = nodes.row("", *[nodes.entry("", text(title)) for title in header])
    body = nodes.tbody()
    for row in rows:
        span = {"morecols": len(header) - 1, "classes": ["lorantk-group"]} if len(row) == 1 else {}
        body += nodes.row("", *[nodes.entry("", nodes.paragraph("", "", *cell), **span) for cell in row])
    group += [nodes.thead("", titles), body]
    return Scrollable("", nodes.table("", group, classes=["lorantk-table"]), label=label)


def facts(pairs):
    """A list of names with values, each a str or a list of nodes."""
    fields = nodes.field_list(classes=["lorantk-facts"])
    for name, value in pairs:
        content = [nodes.Text(value)] if isinstance(value, str) else value
        body = nodes.field_body("", nodes.paragraph("", "", *content))
        fields += nodes.field("", nodes.field_name("", name), body)
    return fields


def code(content, language):
    """A block of code, with the name of its language for Pygments."""
    return nodes.literal_block(content, content, language=language, classes=["lorantk-code"])


def within(node, kinds):
    """Whether a node lies, at any depth, inside a node of one of these classes."""
    while (node := node.parent) is not None:
        if isinstance(node, kinds):
            return True
    return False


def cross_reference(kind, target, content, page):
    """A link to a label (`kind` "ref", "numref") or a page ("doc") of the book; Sphinx warns if there is none.

    If `content` is None, the link has the title of the section with this label.
    """
    options = {"refdomain": "std", "reftype": kind, "reftarget": target, "refdoc": page, "refwarn": True}
    inner = nodes.inline("", target if content is None else content, classes=["std", f"std-{kind}"])
    return addnodes.pending_xref("", inner, refexplicit=kind != "numref" and content is not None, **options)


def download(content, path):
    """A link that downloads a file, given by its path relative to the page."""
    return addnodes.download_reference("", "", nodes.Text(content), reftarget=path)


def download_beside(content, name):
    """A link that downloads a file next to the page, which the build writes later."""
    link = f'<a class="reference download internal" download="" href="{quote(name)}">{escape(content)}</a>'
    return nodes.raw("", link, format="html")


def comparison(piece):
    """The value of a piece of evidence, and its relation with the bound, with enough digits to show whether it holds."""
    value, bound = (entry if isinstance(entry, int) else number_text(entry, ".4g") for entry in _numbers(piece))
    if value == bound and piece["value"] != piece["bound"]:
        value, bound = _numbers(piece)
    value, bound = (str(entry).replace("-", "−") for entry in (value, bound))
    return value, f"{SIGNS[piece['relation']]}\u00a0{bound}"


def _numbers(piece):
    """The value and the bound of a piece of evidence."""
    return piece["value"], piece["bound"]
