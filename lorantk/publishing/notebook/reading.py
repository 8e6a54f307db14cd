"""How long a chapter takes to read, computed from what its page shows unfolded."""

import re

# A careful reader: 180 words of technical prose a minute; a displayed formula counts as 20 words, a line of code as 4.
WORDS_A_MINUTE, FORMULA, CODE_LINE = 180, 20, 4
STEP = 5  # minutes: a reading time is no more exact than that
# What a first reading leaves out: evidence, which is folded below its verdict, and solutions of exercises.
FOLDED = re.compile(r"^([ \t]*)(`{3,}|:{3,})\{(?:verdict|checks|dropdown)\}.*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
EXERCISES = re.compile(r"^## Exercises\b.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
MARKUP = re.compile(r"^[ \t]*(?:(?:`{3,}|:{3,})\{?[^\n]*|:[a-z]+:[^\n]*)$", re.MULTILINE)
DISPLAYED = re.compile(r"\$\$.+?\$\$", re.DOTALL)


def reading_minutes(notebook):
    """The minutes that a careful first reading of a chapter takes, in steps of five.

    Parameters
    ----------
    notebook : dict
        The notebook, as JSON or from nbformat.
    """
    shown = [cell for cell in notebook["cells"] if "remove-cell" not in cell["metadata"].get("tags", ())]
    sources = {kind: ["".join(cell["source"]) for cell in shown if cell["cell_type"] == kind] for kind in ("markdown", "code")}
    text = "\n\n".join(sources["markdown"])
    for unread in (FOLDED, EXERCISES, MARKUP):
        text = unread.sub("", text)
    words = len(DISPLAYED.sub("", text).split()) + FORMULA * len(DISPLAYED.findall(text))
    lines = sum(len(source.splitlines()) for source in sources["code"])
    return STEP * max(1, round((words + CODE_LINE * lines) / WORDS_A_MINUTE / STEP))
