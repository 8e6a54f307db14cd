"""The role ``{computed}`TOPIC NAME:FORMAT` ``: a number that a chapter computed, on a page that is not a notebook."""

import json
import re
from pathlib import Path

from docutils import nodes

from lorantk.publishing.errors import WordsError
from lorantk.publishing.json_files import RECORD
from lorantk.publishing.notebook.words import fill

CONTENT = re.compile(r"(?P<topic>\w+) (?P<number>[A-Za-z_]\w*(?::[^`]*)?)")


def computed_role(name, rawtext, content, lineno, inliner, options=None, context=()):
    """The number as the chapter's own text would show it; a number that the chapter did not glue is an error at its line."""
    env = inliner.document.settings.env
    build = Path(env.srcdir, env.config.lorantk_build).resolve()
    found = CONTENT.fullmatch(content)
    records = sorted((build / "executed/records").glob(f"*_{found['topic']}/{RECORD}")) if found else []
    try:
        if len(records) != 1:
            raise WordsError(f"expected 'TOPIC NAME' or 'TOPIC NAME:FORMAT' with the topic of a chapter, got {content!r}")
        env.note_dependency(str(records[0]))
        text = fill(f"{{glue:text}}`{found['number']}`", json.loads(records[0].read_bytes())["numbers"])
    except WordsError as error:
        message = inliner.reporter.error(str(error), line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    return [nodes.Text(text)], []
