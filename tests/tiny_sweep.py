"""A checkout in small whose one notebook reads a sweep of tiny runs."""

import re
import shutil

import tiny_tree

SWEEP = "interventions"
READ = f"""from lorantk.experiments import results
found = results.load({SWEEP!r}, profile)
print(len(found), "cells")"""


def grow(tree):
    """Make `tree` a checkout with two chapters; the second reads the sweep, in two batches."""
    tiny_tree.grow(tree)
    shutil.copytree(tiny_tree.ROOT / "profiles", tree / "profiles")
    path = tree / "lorantk/experiments/sweeps.py"
    tiny = '"default": {"seeds": 2, "one epoch": (64, 2), "memorising": (32, 3), "batch": 9}'
    text, count = re.subn(r'"default": \{.*\}', tiny, path.read_text())
    assert count == 1
    path.write_text(text)
    reader = tiny_tree.chapter("def-ntk", READ)
    reader.metadata["sweeps"] = [SWEEP]
    tiny_tree.write(tree, "02_two", reader)
    return tree
