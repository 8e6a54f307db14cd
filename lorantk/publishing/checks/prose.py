"""Check that no result is typed by hand in the text of the notebooks and pages.

    python -m lorantk.publishing.checks.prose notebooks/*.ipynb book/*.md

A number next to a unit, or after a sign for "about", looks like a measurement. Measured numbers come from `Chapter.glue`.
Statements and proofs (`prf:` directives), code and displayed formulas may contain any number. A number in the text that
belongs to a setting or a derivation is listed in `notebooks/typed-numbers.txt` with the words around it.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat

ACCEPTED = Path("notebooks/typed-numbers.txt")
NUMBER = r"[-−+]?\d[\d.,]*(?:\s*[×·]\s*10\S*)?"
UNITS = (
    r"\\?%|per ?cent|percent|ms|sec|seconds?|min|minutes?|hours?|[kMG]i?B|bytes|bits?|nats?|times|-?fold|dB|px|degrees?|°|"
    "(?:standard )?(?:deviations?|errors?)|decades?|orders of magnitude|(?<= )[sh]"
)
TYPED = re.compile(
    rf"(?:≈|\\approx|~|\\sim)\s*\$?\s*{NUMBER}"  # about
    rf"|(?<![\w.^_{{]){NUMBER}\$?\s*(?:{UNITS})(?![\w])"  # next to a unit
)
# What may contain numbers is blanked out before the search, so that lines keep their places: blocks of code, statements,
# displayed formulas, code and roles within a line, and links.
STATEMENT = re.compile(r"^([ \t]*)(`{3,}|:{3,})\{prf:.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^([ \t]*)(`{3,})(?!\{)[^\n]*\n.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
EXEMPT = (
    STATEMENT,
    CODE,
    re.compile(r"^\$\$.*?\$\$", re.MULTILINE | re.DOTALL),
    re.compile(r"(?:\{[\w:-]+\})?`[^`]*`"),
    re.compile(r"\]\([^)]*\)"),
)


def blank(text):
    """`text` with blanks for everything that may contain any number; line breaks stay."""
    for pattern in EXEMPT:
        text = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    return text


def typed_numbers(text, accepted=()):
    """Numbers typed where a computed one belongs: pairs of a line number and the words found.

    Parameters
    ----------
    text : str
        Markdown.
    accepted : collection of str
        Phrases whose numbers may stand.
    """
    for number, (line, seen) in enumerate(zip(text.splitlines(), blank(text).splitlines(), strict=True), start=1):
        for phrase in accepted:
            at = line.find(phrase)
            while at >= 0:
                seen = seen[:at] + " " * len(phrase) + seen[at + len(phrase) :]
                at = line.find(phrase, at + 1)
        for found in TYPED.finditer(seen):
            yield number, line[found.start() : found.end()].strip()


def pieces(path):
    """The Markdown of a file: pairs of a place, to which line numbers are added, and the text."""
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        return [(f"{path}:{cell.id}", cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    return [(str(path), path.read_text())]


def read_accepted(path):
    """The accepted phrases of each file; lines are ``stem: phrase``, and comments begin with #.

    Raises
    ------
    ValueError
        If a line has another form.
    """
    accepted = {}
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else [], start=1):
        if line.strip() and not line.startswith("#"):
            stem, colon, phrase = line.partition(": ")
            if not (colon and phrase.strip()):
                raise ValueError(f"{path}:{number}: expected 'stem: phrase', got {line!r}")
            accepted.setdefault(stem, []).append(phrase)
    return accepted


def main(arguments=None):
    """Run from the command line; 0 if nothing is found, 1 if a number is typed."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.checks.prose", description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--accepted", type=Path, default=ACCEPTED)
    options = parser.parse_args(arguments)
    accepted, count = read_accepted(options.accepted), 0
    for path in options.files:
        for place, text in pieces(path):
            for line, words in typed_numbers(text, accepted.get(path.stem, ())):
                print(f"{place}:{line}: expected a computed number (chapter.glue), got typed {words!r}")
                count += 1
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
