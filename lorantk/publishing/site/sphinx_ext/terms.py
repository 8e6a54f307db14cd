"""Terms: links from the first use of each term of the glossary on a page to its definition."""

import re

from docutils import nodes

from lorantk.publishing.site.sphinx_ext.pieces import within

SKIPPED = (
    nodes.title,
    nodes.reference,
    nodes.caption,
    nodes.citation,
    nodes.term,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.raw,
)


def pattern(terms):
    """A pattern that finds each term as a word of its own, also in the plural.

    The verbs in ``drops``, ``lifts`` and ``drop out`` are no terms, and rates that are ``the same rate`` are no protocol.
    """
    longest_first = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
    return re.compile(
        rf"(?<![\w-])(?<!the (?=same rate))(?!(?:drops|lifts)\b)(?P<term>{longest_first})s?(?![\w-])(?! out\b)", re.IGNORECASE
    )


def first_use(text, uses, left):
    """The first of the `uses`, a `pattern`, in a text that is of a term `left`; a part of a longer term is no use."""
    return next((found for found in uses.finditer(text) if found["term"].lower() in left), None)


def linked(text, found, uri):
    """The nodes of a text whose part `found` is a link to a definition."""
    link = nodes.reference("", found[0], internal=True, refuri=uri, classes=["lorantk-term"])
    around = (text[: found.start()], link, text[found.end() :])
    return [nodes.Text(part) if isinstance(part, str) else part for part in around if part]


def link_terms(app, doctree, page):
    """Link the first use of each term in the paragraphs of a page, except on the page that defines it."""
    if app.builder.format != "html":
        return
    places = {name: place for (kind, name), place in app.env.get_domain("std").objects.items() if kind == "term"}
    terms = {name.lower(): place for name, place in places.items()}
    left = {name: place for name, place in terms.items() if place[0] != page}
    uses = pattern(terms)
    for text in list(doctree.findall(nodes.Text)):
        if not left or within(text, SKIPPED) or not isinstance(text.parent, nodes.paragraph | nodes.emphasis | nodes.strong):
            continue
        if found := first_use(text, uses, left):
            document, anchor = left[found["term"].lower()]
            uri = f"{app.builder.get_relative_uri(page, document)}#{anchor}"
            text.parent.replace(text, linked(str(text), found, uri))
            left = {name: place for name, place in left.items() if place != (document, anchor)}
