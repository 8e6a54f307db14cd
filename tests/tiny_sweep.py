"""A small checkout with a notebook that reads a sweep of tiny runs."""

import re
import shutil

import tiny_tree

SWEEP = "interventions"
READ = f"""from lorantk.experiments.common import results
found = results.load({SWEEP!r}, profile)
print(len(found), "cells")"""
ONES = """

def run(cell):
    from types import SimpleNamespace
    return SimpleNamespace(_asdict=lambda: {"loss": np.ones((cell.seeds, len(cell.rates), len(cell.checkpoints)))})
"""


def grow(tree):
    """Make `tree` a checkout with two chapters; the second reads the sweep, in two batches."""
    tiny_tree.grow(tree)
    shutil.copytree(tiny_tree.ROOT / "profiles", tree / "profiles")
    path = tree / "lorantk/experiments/digits/sweeps.py"
    tiny = '"default": {"seeds": 2, "one epoch": (64, 2), "memorising": (32, 3), "batch": 9}'
    text, count = re.subn(r'"default": \{.*\}', tiny, path.read_text())
    assert count == 1
    path.write_text(text)
    reader = tiny_tree.chapter("def-ntk", READ)
    reader.metadata["sweeps"] = [SWEEP]
    tiny_tree.write(tree, "02_two", reader)
    return tree


def untrained(tree):
    """Make `tree` such a checkout with ones instead of training, for tests that do not depend on the values of results."""
    path = grow(tree) / "lorantk/experiments/digits/training.py"
    path.write_text(path.read_text() + ONES)
    return tree
