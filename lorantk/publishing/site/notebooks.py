"""Each chapter's executed notebook in plain Markdown, which any Jupyter can show, published next to the chapter's page.

The text of a chapter has directives, such as theorems, and roles, such as references to figures, which only the book can
show. `plain` turns directives into Markdown, `spoken` asks Sphinx for the text of each role, and `write_notebooks` does both
for every chapter when the pages are built.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from docutils import nodes
from docutils.frontend import get_default_settings
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.util.docutils import new_document, sphinx_domains

from lorantk.disk import write_whole
from lorantk.publishing.errors import PublishingError
from lorantk.publishing.json_files import RECORD, json_bytes
from lorantk.publishing.notebook.claims import claim
from lorantk.publishing.notebook.words import filled
from lorantk.publishing.site.sphinx_ext.claims import how_much_holds, objects_text

ROLE = re.compile(r"\{(?P<name>[a-z][\w:-]*)\}(?P<ticks>`+)(?P<content>.+?)(?P=ticks)(?!`)", re.DOTALL)
FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|:{3,}|~{3,})(?:\{(?P<name>[\w:-]+)\})?[ \t]*(?P<argument>.*)")
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)")
# What plain Markdown would show literally: a label of the next block, a comment, a break between cells.
UNSEEN = re.compile(r"\([\w:-]+\)=[ \t]*|%.*|\+\+\+.*")
LABELLED = re.compile(r"(?P<formula>\$\$[^$]*?)\s*\$\$[ \t]*\((?P<label>[\w:-]+)\)[ \t]*$", re.MULTILINE)
NUMBER = "equation-number"  # our own role, for the number without words
NOTES = ("note", "tip", "hint", "important", "warning", "caution", "attention", "danger", "seealso", "admonition")
TRANSPARENT = ("container", "div")


@dataclass
class Directive:
    """A MyST directive: its name, its argument, its options and the lines inside."""

    name: str
    argument: str
    options: dict = field(default_factory=dict)
    body: list = field(default_factory=list)


def parts(lines):
    """The parts of some Markdown lines: each `Directive` with its indentation, and everything else as str."""
    lines = list(lines)
    while lines:
        line = lines.pop(0)
        opening = FENCE.fullmatch(line)
        if opening is None:
            yield "", line
            continue
        inside = []
        end = re.compile(rf"[ \t]*{opening['fence'][0]}{{{len(opening['fence'])},}}[ \t]*")
        while lines and not end.fullmatch(lines[0]):
            inside.append(lines.pop(0))
        closing = lines.pop(0) if lines else None
        if not opening["name"]:  # a block of code
            yield "", "\n".join([line, *inside, *filter(None, [closing])])
            continue
        indent = opening["indent"]
        body = [text.removeprefix(indent) for text in inside]
        directive = Directive(opening["name"], opening["argument"].strip())
        while body and (option := OPTION.fullmatch(body[0])):
            directive.options[option[1]] = option[2].strip()
            body.pop(0)
        directive.body = body
        yield indent, directive


def plain(source, record):
    """A part of a chapter's text with its directives written as Markdown.

    Parameters
    ----------
    source : str
        The source of a Markdown cell, with its numbers filled in.
    record : dict
        What the chapter recorded, with its words.

    Raises
    ------
    PublishingError
        If it has a directive that this module does not know.
    """
    written = []
    for indent, part in parts(source.splitlines()):
        if isinstance(part, str):
            if not UNSEEN.fullmatch(part):
                written.append(part)
            continue
        text = shown(part, record)
        if written and written[-1].strip():
            written.append("")
        written += [f"{indent}{line}".rstrip() for line in text.strip("\n").split("\n")] + [""]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(written)).strip("\n")
    return LABELLED.sub(lambda found: f"{found['formula']}\n\\tag{{{{{NUMBER}}}`{found['label']}`}}\n$$", text)


def shown(directive, record):
    """A directive as Markdown; references are left as roles."""
    name, title, options = directive.name, directive.argument, directive.options
    if name == "verdict":
        return verdict_text(by_id(record["claims"], title))
    if name == "certificate":
        return certificate_text(by_id(record["claims"], title)["certificate"])
    if name == "checks":
        return evidence_text(record["checks"])
    body = plain("\n".join(directive.body), record).strip("\n")
    if name == "evidence-figure":
        return f"**{{numref}}`fig-{title}`.** {body}"
    if name.startswith("prf:"):
        numbered = "label" in options and "nonumber" not in options and name != "prf:proof"
        head = f"{{prf:ref}}`{options['label']}`" if numbered else name.removeprefix("prf:").title()
        head = f"**{head} ({title}).**" if title else f"**{head}.**"
        return f"{head} {body}" if name == "prf:proof" else f"{head}\n\n{body}"
    if name == "dropdown":
        return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
    if name == "math":
        label = f" ({options['label']})" if "label" in options else ""
        return f"$$\n{body}\n$${label}"
    if name in NOTES:
        head = title if name == "admonition" else name.title()
        return "\n".join(f"> {line}".rstrip() for line in f"**{head}.** {body}".split("\n"))
    if name in TRANSPARENT:
        return body
    raise PublishingError(f"expected a directive that Markdown can stand for, got {{{name}}}: see {__name__}")


def by_id(entries, name):
    """The entry of a list that has a given id.

    Raises
    ------
    PublishingError
        If there is none.
    """
    found = next((entry for entry in entries if entry["id"] == name), None)
    if found is None:
        raise PublishingError(f"expected one of {', '.join(entry['id'] for entry in entries)}, got {name!r}")
    return found


def evidence_text(pieces):
    """How much of the evidence holds, and what does not."""
    summary, failing = how_much_holds(pieces)
    return "\n".join([summary, "", *(f"- {name}" for name in failing)]).strip()


def verdict_text(judgement):
    """A verdict in a few lines."""
    lines = [f"**{claim(judgement['id']).title}: {judgement['verdict']}.**"]
    if judgement["corrected"]:
        lines.append(f"What holds: {judgement['corrected']}")
    return "\n\n".join([*lines, evidence_text(judgement["evidence"])])


def certificate_text(certificate):
    """A certificate in a few lines."""
    statement, check, conclusion = (certificate[role] for role in ("statement", "check", "conclusion"))
    objects = f"```text\n{objects_text(certificate['objects'])}\n```"
    return "\n\n".join([f"**Certificate:** {statement}", objects, f"**Check:** {check}", f"**So:** {conclusion}"])


def resolved(text, words):
    """`text` with each role replaced by its words.

    Parameters
    ----------
    text : str
        Markdown.
    words : dict of str to str
        The words for each role, by its source.
    """

    def said(role):
        if role["name"] == NUMBER:
            return words[f"{{eq}}`{role['content']}`"].partition("(")[2].rstrip(")")
        title = role["name"] == "doc" and "<" not in role["content"]
        return f"*{words[role[0]]}*" if title else words[role[0]]

    return ROLE.sub(said, text)


def roles(text):
    """The roles in a text that Sphinx knows, as written in the source: a list without repetition."""
    found = (f"{{eq}}`{role['content']}`" if role["name"] == NUMBER else role[0] for role in ROLE.finditer(text))
    return list(dict.fromkeys(found))


def spoken(app, page, asked):
    """The text that Sphinx writes on a page for each of some roles: a dict from a role's source to its text.

    Parameters
    ----------
    app : Sphinx
        After it has read every page.
    page : str
        Name of the page.
    asked : list of str
        Roles, as written in Markdown.
    """
    env = app.env
    env.prepare_settings(page)
    parser = MystParser()
    parser.set_application(app)
    document = new_document(env.doc2path(page), get_default_settings(parser))
    for name, value in {**env.settings, "env": env}.items():
        setattr(document.settings, name, value)
    with sphinx_domains(env):
        parser.parse("\n\n".join(asked), document)
    env.resolve_references(document, page, app.builder)
    env.temp_data.clear()
    for math in list(document.findall(nodes.math)):
        math.replace_self(nodes.Text(f"${math.astext()}$"))
    texts = [" ".join(paragraph.astext().split()) for paragraph in document.findall(nodes.paragraph)]
    return dict(zip(asked, texts, strict=True))


def readable(notebook, record, speak):
    """A copy of an executed notebook in plain Markdown.

    Parameters
    ----------
    notebook : dict
        The executed notebook, as JSON.
    record : dict
        What the chapter recorded, with its words.
    speak : callable
        Takes a list of roles and returns a dict from each role to its words.
    """
    cells = [
        cell | {"source": plain(cell["source"], record)} if cell["cell_type"] == "markdown" else cell
        for cell in filled(notebook, record["numbers"])["cells"]
    ]
    words = speak(roles("\n\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")))
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = resolved(cell["source"], words)
    return notebook | {"cells": [cell for cell in cells if cell["cell_type"] != "markdown" or cell["source"].strip()]}


def sources(app, page):
    """The executed notebook and the record of a chapter's page; None where there are none."""
    executed = Path(app.srcdir, app.config.lorantk_build, "executed").resolve()
    path = executed / f"{Path(page).name}.ipynb"
    record = executed / "records" / path.stem / RECORD
    return (path, record) if page.startswith("notebooks/") and record.is_file() else None


def write_notebooks(app, exception):
    """Write the readable notebook of each chapter next to its page, and delete Sphinx's copy of its source."""
    if exception is not None or app.builder.name != "html":
        return
    for page in sorted(app.env.found_docs):
        if found := sources(app, page):
            notebook, record = (json.loads(path.read_bytes()) for path in found)
            made = readable(notebook, record, lambda asked, page=page: spoken(app, page, asked))
            write_whole(Path(app.outdir, f"{page}.ipynb"), json_bytes(made))
            Path(app.outdir, "_sources", f"{page}.ipynb").unlink(missing_ok=True)


def offer_notebook(app, page, template, context, doctree):
    """Point the theme's button for the source of a chapter's page to the notebook next to the page."""
    if sources(app, page):
        for group in context.get("header_buttons", ()):
            for button in group.get("buttons", ()):
                if button["label"] == "download-source-button":
                    button["url"] = f"{Path(page).name}.ipynb"
