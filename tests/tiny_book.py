"""Make chapters without running a kernel: what a notebook would display becomes the outputs of an executed notebook."""

import json

import nbformat
import pytest

from lorantk.disk import write_whole
from lorantk.publishing import Chapter
from lorantk.publishing.json_files import RECORD, json_bytes
from lorantk.publishing.notebook import display
from lorantk.publishing.notebook.words import completed

OBJECTS = {"A": [["6/5", "0"]], "n": 2}
CERTIFICATE = {
    "statement": "A matrix $A$ of variance $18/25 < 1/n$ that has $AA^T > 1$.",
    "objects": OBJECTS,
    "check": "$AA^T = 36/25 > 1$.",
    "conclusion": "$A^TA - I$ has the eigenvalue $11/25 > 0$.",
}
TEXTS = {"title": "A parabola", "alt": "A curve that rises from zero to one.", "caption": "The line $y = x^2$."}
DATA = {"x": [0.0, 0.1, 1.0], "y": [0.0, 0.1**2, 1.0]}


def drawing(columns=DATA):
    """Return a small figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot(columns["x"], columns["y"], label="square")
    axes.set(xlabel="x (dimensionless)", ylabel="y (dimensionless)")
    axes.legend()
    return figure


def figure_words(name, **texts):
    """Return the directive that shows a figure."""
    title, alt, caption = (TEXTS | texts).values()
    return f"```{{evidence-figure}} {name}\n:title: {title}\n:alt: {alt}\n\n{caption}\n```\n"


def verdict_words(claim, corrected="", **sentences):
    """Return the directive that shows a verdict; underscores in keys become hyphens."""
    terms = "\n".join(f"{key.replace('_', '-')}\n: {sentence}\n" for key, sentence in sentences.items())
    return f"```{{verdict}} {claim}\n{corrected}\n\n{terms}```\n"


def certificate_words(claim):
    """Return the directive that shows the certificate."""
    terms = "\n".join(f"{part}\n: {text}\n" for part, text in CERTIFICATE.items() if part != "objects")
    return f"```{{certificate}} {claim}\n{terms}```\n"


NSD = "\n".join(
    [
        figure_words("nsd-line"),
        certificate_words("nsd"),
        verdict_words(
            "nsd",
            r"$M_Δ ⪯ 0$ if and only if $s^2\|A\|^2 \le 1$.",
            largest="largest eigenvalue of $M_Δ$",
            largest_bounded=r"the same, where $s^2\|A\|^2 \le 1$",
        ),
    ]
)


def judge_nsd(chapter):
    """Make a chapter on `nsd` that finds it false, with one figure and one number for the prose; its words are `NSD`."""
    chapter.evidence("largest", 0.44, "<=", 0)
    chapter.evidence("largest-bounded", -1e-16, "<=", 1e-12, about="corrected")
    chapter.certificate(OBJECTS)
    chapter.figure(drawing(), "nsd-line", data=DATA)
    chapter.glue(largest=0.44)
    chapter.conclude("fails as printed")


def write_notebook(build, stem, names, run, words, markdown="# A chapter", profile="default"):
    """Write the executed notebook and the records of a chapter below `build`.

    Parameters
    ----------
    build : Path
        The build folder.
    stem : str
        Name of the notebook.
    names : tuple of str
        Claims that the chapter judges.
    run : callable
        Called with the Chapter; each thing that it displays becomes the output of one cell ``cell-0``, ...
    words : str
        Source of the last cell, which shows what the chapter recorded.
    markdown : str
        Source of the first cell.
    profile : str
        Profile of the chapter.
    """
    executed = build / "executed"
    outputs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(display, "_show", lambda data, metadata: outputs.append((data, metadata)))
        patch.setenv("LORANTK_RECORDS", str(executed / "records" / stem))
        run(Chapter(*names, profile=profile, parameters={"seed": 0}))
    hidden = {"tags": ["remove-cell"]}
    parameters = {"tags": ["parameters", "remove-cell"]}
    cells = [
        nbformat.v4.new_markdown_cell(markdown, id="title"),
        nbformat.v4.new_code_cell('profile = "default"\nseed = 0', id="parameters", metadata=parameters),
    ]
    for number, (data, metadata) in enumerate(outputs):
        output = nbformat.v4.new_output("display_data", data, metadata=metadata)
        cells.append(nbformat.v4.new_code_cell("pass", id=f"cell-{number}", outputs=[output], metadata=hidden))
    cells.append(nbformat.v4.new_markdown_cell(words, id="words"))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, executed / f"{stem}.ipynb")
    path = executed / "records" / stem / RECORD
    write_whole(path, json_bytes(completed(json.loads(path.read_bytes()), notebook)))
