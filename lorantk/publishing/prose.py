"""Hold the prose of the notebooks and pages to what is computed: no typed number where a result belongs.

    python -m lorantk.publishing.prose notebooks/*.ipynb book/*.md

A number beside a unit, or after a sign of "about", looks like a measured one. Measured numbers come from `Chapter.glue`.
Statements and proofs (`prf:` directives), quotations of code and displayed formulas may hold any number; a number that
is part of a setting or of a derivation in the text is listed in `notebooks/typed-numbers.txt`, with its words.
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
    rf"|(?<![\w.^_{{]){NUMBER}\$?\s*(?:{UNITS})(?![\w])"  # beside a unit
)
# What may hold numbers, blanked out before the search so that lines keep their places: blocks of code and of statements,
# displayed formulas, code and roles in a line, links, and the line on reading time that ends a first cell.
STATEMENT = re.compile(r"^([ \t]*)(`{3,}|:{3,})\{prf:.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"^([ \t]*)(`{3,})(?!\{)[^\n]*\n.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
EXEMPT = (
    STATEMENT,
    CODE,
    re.compile(r"^\$\$.*?\$\$", re.MULTILINE | re.DOTALL),
    re.compile(r"(?:\{[\w:-]+\})?`[^`]*`"),
    re.compile(r"\]\([^)]*\)"),
    re.compile(r"^About \d+ minutes", re.MULTILINE),
)


def blank(text):
    """`text` with everything replaced by blanks that may hold any number; line breaks stay."""
    for pattern in EXEMPT:
        text = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    return text


def typed_numbers(text, accepted=()):
    """Numbers typed where a computed one belongs: pairs of a line's number and the words found.

    Parameters
    ----------
    text : str
        Markdown.
    accepted : collection of str
        Phrases, each of which may stand in a line with its numbers.
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
    """The Markdown of a file: pairs of a place, as a prefix for line numbers, and the text."""
    if path.suffix == ".ipynb":
        notebook = nbformat.read(path, as_version=4)
        return [(f"{path}:{cell.id}", cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    return [(str(path), path.read_text())]


def read_accepted(path):
    """The accepted phrases by name of file; lines are ``stem: phrase``, and comments begin with #.

    Raises
    ------
    ValueError
        If a line is of another form.
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
    """Run from the command line; 0 where nothing is found, 1 where a number is typed."""
    parser = argparse.ArgumentParser(prog="lorantk.publishing.prose", description=__doc__.splitlines()[0])
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
