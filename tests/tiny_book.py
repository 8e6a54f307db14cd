"""Chapters without a kernel: what a notebook would display becomes the outputs of an executed notebook."""

import nbformat
import pytest

from lorantk.publishing import Chapter, display

CERTIFICATE = {
    "statement": "A matrix $A$ of variance $18/25 < 1/n$ that has $AA^T > 1$.",
    "objects": {"A": [["6/5", "0"]], "n": 2},
    "check": "$AA^T = 36/25 > 1$.",
    "conclusion": "$A^TA - I$ has the eigenvalue $11/25 > 0$.",
}
TEXTS = {"title": "A parabola", "caption": "The line $y = x^2$.", "alt": "A curve that rises from zero to one."}
DATA = {"x": [0.0, 0.1, 1.0], "y": [0.0, 0.1**2, 1.0]}


def drawing(columns=DATA):
    """A small figure."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot(columns["x"], columns["y"], label="square")
    axes.set(xlabel="x (dimensionless)", ylabel="y (dimensionless)")
    axes.legend()
    return figure


def judge_nsd(chapter):
    """A chapter on `nsd` that finds it false, with one figure and one number for the prose."""
    chapter.evidence("largest eigenvalue of $M_Δ$", 0.44, "<=", 0)
    chapter.evidence(r"the same, where $s^2\|A\|^2 \le 1$", -1e-16, "<=", 1e-12, about="corrected")
    chapter.certificate(CERTIFICATE)
    chapter.figure(drawing(), "nsd-line", **TEXTS, data=DATA)
    chapter.glue("largest", 0.44, ".2f")
    chapter.conclude("fails as printed", corrected=r"$M_Δ ⪯ 0$ if and only if $s^2\|A\|^2 \le 1$.")


def write_notebook(build, stem, names, run, markdown="# A chapter", profile="default"):
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
        Is given the Chapter; what it displays becomes the notebook's outputs, one cell ``cell-0``, ... each.
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
    parameters = nbformat.v4.new_code_cell('profile = "default"\nseed = 0', id="parameters", metadata={"tags": ["parameters"]})
    cells = [nbformat.v4.new_markdown_cell(markdown, id="title"), parameters]
    for number, (data, metadata) in enumerate(outputs):
        output = nbformat.v4.new_output("display_data", data, metadata=metadata)
        cells.append(nbformat.v4.new_code_cell("pass", id=f"cell-{number}", outputs=[output]))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), executed / f"{stem}.ipynb")
