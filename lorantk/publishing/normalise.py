"""Bring an executed notebook into a form that depends on nothing but its content."""

import copy
import re

VOLATILE = ("papermill", "execution")
# A cell with this tag shows what the machine measured, such as a time: no two runs give the same, and none is compared.
MEASURED = "measured"
# pandas names a styled table at random.
STYLED = re.compile(r"\bT_[0-9a-f]{5}(?=[\"_ ])")
# IPython's file of a cell's code, which a warning names, has the number of the process in its path.
CODE = re.compile(r"\S*/ipykernel_\d+/\d+\.py(?=:\d)")
# Where an object lies in memory, as Python shows one that has no better form.
ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>)")


def _name(output, cell, number):
    """Name in an output what its program named at random or by its process: a styled table, an object, the code of a cell."""
    data = output.get("data", {})
    if "text/html" in data:
        data["text/html"] = STYLED.sub(f"T_{cell}-{number}", data["text/html"])
    if "text/plain" in data:
        data["text/plain"] = ADDRESS.sub("", data["text/plain"])
    if "text" in output:
        output.text = ADDRESS.sub("", CODE.sub(cell, output.text))


def normalised(notebook):
    """A copy of an executed notebook without run times, paths and random ids.

    papermill notes start times and absolute paths in the metadata and gives the cell of injected
    parameters a random id; without these, two runs of one notebook give equal files.
    """
    result = copy.deepcopy(notebook)
    result.metadata.pop("papermill", None)
    for cell in result.cells:
        for key in VOLATILE:
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.id = "injected-parameters"
        for number, output in enumerate(cell.get("outputs", [])):
            _name(output, cell.id, number)
    return result


def without_measured(notebook):
    """A copy of a notebook, as JSON gives it, without the outputs of cells that show what the machine measured."""
    cells = [
        cell | {"outputs": []} if MEASURED in cell["metadata"].get("tags", []) else cell for cell in notebook["cells"]
    ]
    return notebook | {"cells": cells}
