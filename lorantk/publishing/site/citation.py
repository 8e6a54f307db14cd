"""Cite a figure: as BibTeX, as text in APA style, or as CSL-JSON."""

import json

AUTHOR = "The lorantk authors"
BOOK = "Does LoRA lower robustness? Each statement, derived and checked"
YEAR = 2026
_LATEX = str.maketrans({character: rf"\{character}" for character in "&%$#_{}"})


def _edition(figure):
    """The state of the book that a figure comes from, in words."""
    commit = figure["commit"]
    parts = [f"version {figure['versions'].get('lorantk', 'unknown')}", commit and f"commit {commit[:10]}"]
    return ", ".join(part for part in parts if part)


def bibtex(figure):
    """A BibTeX entry for a figure, which is an object of figures/index.json."""
    fields = {
        "author": f"{{{AUTHOR}}}",
        "title": figure["title"].translate(_LATEX),
        "howpublished": f"Figure {figure['id']} of: {BOOK}".translate(_LATEX),
        "note": f"{_edition(figure)}, {figure['notebook']}".translate(_LATEX),
        "year": str(YEAR),
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items()]
    return "\n".join([f"@misc{{lorantk-{figure['id']},", *lines, "}"])


def apa(figure):
    """The reference of a figure as one line of text."""
    return f"{AUTHOR}. ({YEAR}). {figure['title']} [Figure {figure['id']}]. In {BOOK} ({_edition(figure)})."


def csl_json(figure):
    """The reference of a figure as CSL-JSON, which reference managers read."""
    entry = {
        "id": f"lorantk-{figure['id']}",
        "type": "figure",
        "title": figure["title"],
        "container-title": BOOK,
        "author": [{"literal": AUTHOR}],
        "issued": {"date-parts": [[YEAR]]},
        "number": figure["id"],
        "version": _edition(figure),
        "source": figure["notebook"],
    }
    return json.dumps([entry], indent=1, ensure_ascii=False)


FORMATS = {"bibtex": bibtex, "apa": apa, "csl-json": csl_json}
