"""Bring an executed notebook into a form that depends only on its content."""

import copy
import re

VOLATILE = ("papermill", "execution")
# A cell with this tag shows a measurement of the machine, such as a time, which differs in every run and is not compared.
MEASURED = "measured"
# pandas gives a styled table a random name.
STYLED = re.compile(r"\bT_[0-9a-f]{5}(?=[\"_ ])")
# A warning names IPython's file for a cell's code, whose path contains the number of the process.
CODE = re.compile(r"\S*/ipykernel_\d+/\d+\.py(?=:\d)")
# The address of an object in memory, as in Python's default representation.
ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")


def _name(output, cell, number):
    """Replace names in an output that are random or come from the process: of styled tables, objects and the code of a cell."""
    data = output.get("data", {})
    if "text/html" in data:
        data["text/html"] = STYLED.sub(f"T_{cell}-{number}", data["text/html"])
    if "text/plain" in data:
        data["text/plain"] = ADDRESS.sub("", data["text/plain"])
    if "text" in output:
        output.text = ADDRESS.sub("", CODE.sub(cell, output.text))


def normalised(notebook):
    """A copy of an executed notebook without run times, paths and random ids.

    Papermill writes start times and absolute paths into the metadata, and gives the cell of injected
    parameters a random id; without these, two runs of one notebook give equal files. That cell is bookkeeping,
    so it also gets the tag that removes a cell from the page.
    """
    result = copy.deepcopy(notebook)
    result.metadata.pop("papermill", None)
    for cell in result.cells:
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
            cell.metadata["tags"] = [*cell.metadata["tags"], "remove-cell"]
        for number, output in enumerate(cell.get("outputs", [])):
            _name(output, cell.id, number)
    return result


def without_measured(notebook):
    """A copy of a notebook, as JSON, without the outputs of cells that show a measurement of the machine."""
    cells = [cell | {"outputs": []} if MEASURED in cell["metadata"].get("tags", []) else cell for cell in notebook["cells"]]
    return notebook | {"cells": cells}
