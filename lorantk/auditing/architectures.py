"""What the model classes of Transformers contain, which a checkpoint's names and shapes alone do not tell.

`architectures.json` was read off the classes themselves (`scripts/peft_architectures.py`, renewed by `make peft`). In its names
``*`` stands for a number. Parts that several classes share are written once and referred to by their number.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("architectures.json")


class Architecture(NamedTuple):
    """One class of models.

    Attributes
    ----------
    name, type, prefix
        Of the class; of its configurations (``model_type``); of the model inside it (``base_model_prefix``).
    kinds
        From the pattern of a module's name to letters: ``L`` linear, ``T`` linear with a transposed weight (Conv1D), ``E``
        embedding, ``C`` convolution, ``G`` grouped convolution, ``M`` multi-head attention, ``W`` others with a matrix called
        weight, ``o`` others with parameters, ``-`` others without. Several letters where layers differ.
    input, output
        Names of the embedding and of the output layer, None if it has none.
    tie, tied
        Whether a configuration ties them by default, and the modules that then use one weight, one list for each weight.
    files
        Beginnings of names in a checkpoint, and what loading makes of them.
    made
        Parameters that loading makes of several tensors of a checkpoint, such as the matrices of all experts.
    lost, open
        Tensors of a checkpoint that loading splits or joins in other ways, and modules made of them or of other modules' weights.
    transposed
        Modules whose stacked matrices are inputs by outputs.
    experts
        The rules by which PEFT adapts experts that have become parameters, None if it does not.
    """

    name: str
    type: str
    prefix: str = ""
    kinds: dict[str, str] = {}
    input: str | None = None
    output: str | None = None
    tie: bool = False
    tied: tuple[tuple[str, ...], ...] = ()
    files: dict[str, str] = {}
    made: dict[str, list[str]] = {}
    lost: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    transposed: tuple[str, ...] = ()
    experts: str | None = None


def pattern(name: str) -> str:
    """Return a dotted name with its numbers written as ``*``."""
    return re.sub(r"(?<![^.])[0-9]+(?![^.])", "*", name)


@lru_cache(1)
def _table() -> dict:
    return json.loads(TABLE.read_text(encoding="utf-8"))


def _full(part):
    """Return a part of the table with references replaced by what they refer to."""
    if isinstance(part, int) and not isinstance(part, bool):
        return _full(_table()["shared"][part])
    if isinstance(part, dict):
        return {key: _full(child) for key, child in part.items()}
    return [_full(child) for child in part] if isinstance(part, list) else part


def _kinds(tree, name: str, found: dict[str, str]) -> None:
    """Flatten a tree of modules into `found`."""
    if isinstance(tree, str):
        found[name] = tree
        return
    found[name] = tree.get("", "o")
    for part, child in tree.items():
        if part:
            _kinds(child, f"{name}.{part}" if name else part, found)


@lru_cache(16)
def architecture(name: str) -> Architecture | None:
    """Return what is known of a class of models, None if it is not in the table."""
    if name not in _table()["classes"]:
        return None
    entry, kinds = _full(_table()["classes"][name]), {}
    _kinds(entry.pop("tree"), "", kinds)
    del kinds[""]
    for key in ("tied", "transposed", "lost", "open"):
        entry[key] = tuple(tuple(value) if isinstance(value, list) else value for value in entry.get(key, ()))
    return Architecture(name=name, kinds=kinds, **entry)


def default_targets(kind: str) -> list[str] | str | None:
    """Return what PEFT adapts in models of this type if a configuration has no targets, None if it has no default."""
    return _table()["targets"].get(kind)


@lru_cache(1)
def kinds_by_last_name() -> dict[str, str]:
    """Return, for the last part of a module's name, the letters that modules of this name have in any class."""
    shared, found, seen = _table()["shared"], {}, set()
    waiting = [("", entry["tree"]) for entry in _table()["classes"].values()]
    while waiting:
        last, node = waiting.pop()
        if isinstance(node, int):
            if (last, node) in seen:
                continue
            seen.add((last, node))
            node = shared[node]
        found.setdefault(last, set()).update(node if isinstance(node, str) else node.get("", "o"))
        if isinstance(node, dict):
            waiting.extend((part, child) for part, child in node.items() if part)
    return {last: "".join(sorted(letters)) for last, letters in found.items()}
