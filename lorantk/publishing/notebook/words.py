"""The words of a chapter, read from its Markdown cells: what a figure shows, what each piece of evidence says.

Code records numbers under short keys; the sentences are in the notebook's text, in four directives:

    ```{evidence-figure} ID          title and alt as options, the caption as the body
    ```{verdict} CLAIM               the statement that holds, then ``key`` / ``: sentence`` for each piece of evidence
    ```{certificate} CLAIM           ``statement``, ``check`` and ``conclusion``, each followed by ``: sentence``
    ```{checks}                      ``key`` / ``: sentence`` for each check of a chapter

As in the rest of the text, computed numbers are written as ``{glue:text}`KEY` `` or ``{glue:text}`KEY:.2f` ``.
`completed` joins these words with what the code recorded, and refuses a chapter in which either is missing.
"""

import re
from dataclasses import dataclass, field

from lorantk.publishing.errors import FigureError, WordsError
from lorantk.publishing.notebook.claims import claim
from lorantk.publishing.notebook.display import number_tex, number_text
from lorantk.publishing.notebook.reading import reading_minutes

DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>evidence-figure|verdict|certificate|checks)\}[ \t]*(?P<argument>\S*)[ \t]*\n"
    r"(?P<body>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
OPTION = re.compile(r":([a-z]+):[ \t]*(.*)")
TERM = re.compile(r"^([a-z0-9]+(?:-[a-z0-9]+)*)[ \t]*\n:[ \t]+(.*?)(?=\n[ \t]*\n|\Z)", re.MULTILINE | re.DOTALL)
GLUE = re.compile(r"\{glue:text\}`(?P<key>[A-Za-z_]\w*)(?::(?P<format>[^`]*))?`")
# What decides how a number is written: as TeX in a formula. Code and escaped characters do not start a formula.
PIECE = re.compile(
    GLUE.pattern
    + r"""
    | (?P<skipped> \\[^a-zA-Z] | (?<!`)`(?!`)[^`\n]+`(?!`) )
    | (?P<formula> \$\$.+?\$\$ | \$(?:\\.|[^$\\])+\$ | \\begin\{(?P<name>\w+\*?)\}.+?\\end\{(?P=name)\} )""",
    re.DOTALL | re.VERBOSE,
)


@dataclass
class Words:
    """What the Markdown cells of one notebook say.

    Attributes
    ----------
    figures : dict
        Title, caption and alternative text by figure.
    corrected : dict
        The statement that holds, by claim; empty if none is given.
    sentences : dict
        By claim (None for checks), the sentence of each key.
    certificates : dict
        Statement, check and conclusion, by claim.
    """

    figures: dict = field(default_factory=dict)
    corrected: dict = field(default_factory=dict)
    sentences: dict = field(default_factory=dict)
    certificates: dict = field(default_factory=dict)


def fill(text, numbers):
    """`text` with every glue role replaced by the number it names.

    Raises
    ------
    WordsError
        If the chapter did not glue the number, or the format does not fit it.
    """

    def number(role, write):
        key, spec = role["key"], role["format"] or ""
        if key not in numbers:
            raise WordsError(f"expected a number that the notebook glues ({', '.join(numbers) or 'none'}), got {key!r}")
        try:
            return write(numbers[key], spec)
        except ValueError as error:
            raise WordsError(f"expected a format that fits {key} = {numbers[key]!r}, got {spec!r} ({error})") from error

    def plain(value, spec):
        text = number_text(value, spec)
        return text if isinstance(value, str) else text.replace("-", "−")

    def piece(found):
        if found["formula"]:
            return GLUE.sub(lambda role: number(role, number_tex), found[0])
        return number(found, plain) if found["key"] else found[0]

    return PIECE.sub(piece, text)


def one_line(text):
    """`text` with each run of white space replaced by one space."""
    return " ".join(text.split())


def _options(body):
    """The options of a directive, and the rest of its body."""
    options, lines = {}, body.splitlines()
    while lines and (found := OPTION.fullmatch(lines[0])):
        options[found[1]] = found[2].strip()
        lines.pop(0)
    return options, "\n".join(lines)


def _new(found, key, what):
    if key in found:
        raise WordsError(f"expected {what} once, got it twice")
    return key


def read_words(notebook):
    """Read the words of a notebook.

    Raises
    ------
    WordsError
        If two directives are about the same thing, or two sentences of a directive have the same key.
    """
    words = Words()
    for cell in notebook.cells:
        for found in DIRECTIVE.finditer(cell.source) if cell.cell_type == "markdown" else ():
            name, argument = found["name"], found["argument"] or None
            options, body = _options(found["body"])
            terms = {}
            for key, sentence in TERM.findall(body):
                terms[_new(terms, key, f"the sentence {key!r} of {name} {argument or ''}".rstrip())] = one_line(sentence)
            if name == "evidence-figure":
                words.figures[_new(words.figures, argument, f"figure {argument!r}")] = options | {"caption": one_line(body)}
            elif name == "certificate":
                words.certificates[_new(words.certificates, argument, f"certificate {argument!r}")] = terms
            else:
                words.sentences[_new(words.sentences, argument, f"{name} {argument or ''}".rstrip())] = terms
                if name == "verdict":
                    words.corrected[argument] = one_line(TERM.sub("", body))
    return words


def _same(what, wanted, given, also=False):
    """Refuse words that are missing or, unless `also`, that nothing needs."""
    if missing := [name for name in wanted if name not in given]:
        raise WordsError(f"expected words for {what} {', '.join(missing)} in a Markdown cell, got none")
    unused = [name for name in given if name not in wanted]
    if unused and not also:
        raise WordsError(f"expected {what} {', '.join(map(str, unused))} to be recorded by the code, got only the words")


def _sentences(pieces, sentences, what, numbers, also):
    """`pieces` of evidence with their sentences as names, in the order of the sentences, which may say "the same"."""
    _same(what, dict.fromkeys(piece["key"] for piece in pieces), sentences, also)
    place, named = {key: number for number, key in enumerate(sentences)}, []
    for piece in sorted(pieces, key=lambda piece: place[piece["key"]]):
        sentence = fill(sentences[piece["key"]], numbers)
        named.append({"name": f"{piece['case']}: {sentence}" if "case" in piece else sentence} | piece)
    return named


def completed(record, notebook):
    """A chapter's record with the words of its notebook.

    Parameters
    ----------
    record : dict
        What the code recorded, see `lorantk.publishing.notebook.chapter`.
    notebook : NotebookNode
        The notebook, executed or not.

    Raises
    ------
    WordsError
        If words are missing or left over, or use a number that was not glued.
    FigureError
        If a text of a figure is empty or not printable.
    """
    words, numbers = read_words(notebook), record["numbers"]
    tiny = record["parameters"]["profile"] == "smoke"  # at which some evidence is not recorded
    _same("verdict", [entry["id"] for entry in record["claims"]], [name for name in words.sentences if name])
    _same("certificate", [entry["id"] for entry in record["claims"] if "certificate" in entry], words.certificates)
    _same("figure", [figure["id"] for figure in record["figures"]], words.figures)
    drawn = {figure["id"]: figure for figure in record["figures"]}
    return record | {
        "claims": [_judged(entry, words, numbers, tiny) for entry in record["claims"]],
        "checks": _sentences(record["checks"], words.sentences.get(None, {}), "check", numbers, tiny),
        "figures": [_drawn(drawn[name], texts, numbers) for name, texts in words.figures.items()],  # as numbered on the page
    }


def _judged(entry, words, numbers, also):
    """What was recorded about one claim, with its words."""
    name = entry["id"]
    pieces = _sentences(entry["evidence"], words.sentences[name], f"evidence of {name}", numbers, also)
    corrected = fill(words.corrected[name], numbers) or None
    carrying = [piece for piece in pieces if piece["about"] not in ("printed", "control") and piece["passed"]]
    printed = claim(name).kind != "finding"  # an undecided finding has a sentence too
    if corrected and printed and entry["verdict"] and not carrying:
        raise WordsError(f"expected passing evidence for the corrected statement of {name} (about 'corrected'), got none")
    entry = entry | {"corrected": corrected, "evidence": pieces}
    if "certificate" not in entry:
        return entry
    _same(f"certificate {name}:", ("statement", "check", "conclusion"), words.certificates[name])
    parts = {part: fill(text, numbers) for part, text in words.certificates[name].items()}
    return entry | {"certificate": {"statement": parts["statement"], "objects": entry["certificate"]} | parts}


def _drawn(figure, texts, numbers):
    """What was recorded about one figure, with its words."""
    texts = {role: fill(text, numbers) for role, text in texts.items()}
    _same(f"figure {figure['id']}: its", ("title", "alt", "caption"), texts)
    check_text(figure["id"], **texts)
    return figure | texts


def check_text(name, **texts):
    """Refuse a figure with a text that is empty or contains a control character.

    Raises
    ------
    FigureError
        If there is such a text.
    """
    for role, text in texts.items():
        if not text.strip():
            raise FigureError(f"expected a {role} for figure {name!r}, got {text!r}")
        if not text.replace("\n", " ").isprintable():
            raise FigureError(f"expected a printable {role} for figure {name!r}, got {text!r}")


def filled(notebook, numbers):
    """A copy of a notebook with the numbers in its text filled in, and `reading_minutes`, the time that it takes to read.

    Raises
    ------
    WordsError
        As in `fill`.
    """
    numbers = numbers | {"reading_minutes": reading_minutes(notebook)}
    cells = [
        cell if cell["cell_type"] == "code" else cell | {"source": fill("".join(cell["source"]), numbers)}
        for cell in notebook["cells"]
    ]
    return notebook | {"cells": cells}
