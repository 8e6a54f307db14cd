"""Cite the book, one of its chapters or a figure: as BibTeX, as text in APA style, or as CSL-JSON.

A *work* is a dict with everything that its citation says. The site's build knows the numbers as printed, so it writes all works
to `site/citations.json`, which `lorantk cite` reads. Authors are in the form of CSL: ``{"family": …, "given": …}`` for a person,
``{"literal": …}`` otherwise.
"""

import json
import unicodedata

from lorantk.publishing.errors import PublishingError

WORKS_FILE = "site/citations.json"  # below the build folder
BOOK = "lorantk"  # the id of the book among the works
_SPECIAL = {character: rf"\{character}" for character in "&%$#_{}"}
_SPECIAL |= {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "’": "'",
    "“": "``",
    "”": "''",
    "−": "$-$",
}
_SPECIAL |= {"α": r"$\alpha$", "β": r"$\beta$", "η": r"$\eta$", "κ": r"$\kappa$", "λ": r"$\lambda$", "σ": r"$\sigma$"}
_SPECIAL |= {"τ": r"$\tau$", "Δ": r"$\Delta$", "Θ": r"$\Theta$", "Σ": r"$\Sigma$"}
_LATEX = str.maketrans(_SPECIAL)
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0327": "c "}


def latex(text):
    """`text` for LaTeX, in ASCII: special characters escaped, accents and Greek letters as commands.

    Raises
    ------
    PublishingError
        If it has another character that is not ASCII.
    """
    return "".join(map(_latex_character, text))


def _latex_character(character):
    """One character for LaTeX."""
    if (written := character.translate(_LATEX)).isascii():
        return written
    letter, *accent = unicodedata.normalize("NFD", character)
    if letter.isascii() and len(accent) == 1 and accent[0] in _ACCENTS:
        return rf"{{\{_ACCENTS[accent[0]]}{letter}}}"
    raise PublishingError(f"expected ASCII, an accent or a Greek letter in what is cited, got {character!r}")


def authors(citation):
    """The authors of a `CITATION.cff`, in the form of CSL."""
    return [
        {"literal": entry["name"]} if "name" in entry else {"family": entry["family-names"], "given": entry["given-names"]}
        for entry in citation["authors"]
    ]


def book_work(citation, year):
    """The book as a work.

    Parameters
    ----------
    citation : dict
        The content of `CITATION.cff`; its `doi`, `url` and `date-released` may be absent.
    year : str
        The year of the book while it has no `date-released`.
    """
    released = str(citation.get("date-released", ""))
    return {
        "id": BOOK,
        "kind": "book",
        "title": citation["title"],
        "number": None,
        "within": None,
        "book": citation["title"],
        "authors": authors(citation),
        "year": int(released[:4] or year),
        "version": str(citation["version"]),
        "commit": None,
        "doi": citation.get("doi"),
        "url": citation.get("url"),
    }


def _edition(work):
    """The state of the book that a work belongs to, in words."""
    commit = work["commit"]
    return ", ".join(filter(None, [f"version {work['version']}", commit and f"commit {commit[:10]}"]))


def _place(work):
    """Where in the book a work is, as printed: ``Figure 10.1 of Chapter 10, When …``; None for the book itself."""
    if work["kind"] == "book":
        return None
    printed = " ".join(filter(None, [work["kind"].capitalize(), work["number"]]))
    return f"{printed} of {work['within']}" if work["within"] else printed


def link(work):
    """The address of a work: the resolver of its DOI, else its page; None while neither is set."""
    return f"https://doi.org/{work['doi']}" if work["doi"] else work["url"]


def bibtex(work):
    """A work as a BibTeX entry, in ASCII."""
    place = _place(work)
    where = place and f"{latex(place)}, in: {{{latex(work['book'])}}}"
    names = (
        f"{{{latex(name['literal'])}}}" if "literal" in name else f"{latex(name['family'])}, {latex(name['given'])}"
        for name in work["authors"]
    )
    fields = {
        "author": " and ".join(names),
        "title": f"{{{latex(work['title'])}}}",  # the second pair of braces keeps capitals
        "howpublished": where,
        "note": latex(_edition(work)),
        "year": str(work["year"]),
        "doi": work["doi"],
        "url": work["url"],
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
    key = BOOK if work["kind"] == "book" else f"{BOOK}-{work['id']}"
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def _apa_name(name):
    """A name as APA style writes it."""
    if "literal" in name:
        return name["literal"]
    return f"{name['family']}, {' '.join(f'{given[0]}.' for given in name['given'].split())}"


def apa(work):
    """The reference of a work as one line of text."""
    *some, last = map(_apa_name, work["authors"])
    names = f"{', '.join(some)}, & {last}" if some else last
    place, edition = _place(work), f"({_edition(work)})."
    title = f"{work['title']} [{place}]. In {work['book']} {edition}" if place else f"{work['title']} {edition}"
    return " ".join(filter(None, [f"{names.removesuffix('.')}. ({work['year']}).", title, link(work)]))


def csl_json(work):
    """The reference of a work as CSL-JSON, which reference managers read."""
    entry = {
        "id": BOOK if work["kind"] == "book" else f"{BOOK}-{work['id']}",
        "type": {"book": "book", "chapter": "chapter", "figure": "figure"}[work["kind"]],
        "title": work["title"],
        "container-title": None if work["kind"] == "book" else work["book"],
        "author": work["authors"],
        "issued": {"date-parts": [[work["year"]]]},
        "number": work["number"],
        "section": work["within"],
        "version": _edition(work),
        "DOI": work["doi"],
        "URL": work["url"],
    }
    return json.dumps([{name: value for name, value in entry.items() if value}], indent=1, ensure_ascii=False)


FORMATS = {"bibtex": bibtex, "apa": apa, "csl-json": csl_json}
