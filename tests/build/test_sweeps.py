"""Sweeps in the build graph: what trains again, and what does not."""

import re

import pytest
import tiny_tree
from tiny_sweep import SWEEP, untrained


def build(tree):
    """Build the site of the tree; return what ran, and the whole output."""
    status, out, err = tiny_tree.run(tree, "publishing.graph.build", "book")
    assert status == 0, out + err
    return sorted(re.findall(r"\] running (\S+)", out)), out


def results(tree):
    return sorted((tree / "_build/sweeps" / SWEEP).glob("*.npz"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A checkout that was built once."""
    tree = untrained(tmp_path_factory.mktemp("checkout"))
    ran, out = build(tree)
    assert ran == ["01_one", "02_two", f"{SWEEP}-1of2", f"{SWEEP}-2of2", "site"]
    assert len(re.findall("9 of 9 cells computed", out)) == 2
    assert len(results(tree)) == 18
    return tree


def test_a_changed_plot_trains_nothing(tree):
    before = [path.stat().st_mtime_ns for path in results(tree)]
    drawing = tree / "lorantk/experiments/common/plots.py"
    drawing.write_text(drawing.read_text() + "\nREMARK = 1\n")
    assert build(tree)[0] == ["site"]
    assert [path.stat().st_mtime_ns for path in results(tree)] == before


def test_a_missing_and_a_truncated_result_are_named_and_only_they_are_computed(tree):
    missing, truncated = results(tree)[0], results(tree)[-1]
    missing.unlink()
    truncated.write_bytes(truncated.read_bytes()[:500])
    others = {path: path.stat().st_mtime_ns for path in results(tree) if path != truncated}
    ran, out = build(tree)
    assert "02_two" in ran
    assert "01_one" not in ran
    assert f"{missing.relative_to(tree)}: missing" in out
    assert f"{truncated.relative_to(tree)}: truncated or corrupt" in out
    assert sum(int(n) for n in re.findall(r"(\d+) of 9 cells computed", out)) == 2
    assert missing.exists()
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_other_code_trains_everything_anew_and_keeps_the_old_results(tree):
    old = results(tree)
    module = tree / "lorantk/experiments/digits/finetune.py"
    module.write_text(module.read_text() + "\nREMARK = 1\n")
    ran, _ = build(tree)
    assert [name for name in ran if name.startswith(SWEEP)] == [f"{SWEEP}-1of2", f"{SWEEP}-2of2"]
    assert len(results(tree)) == 36
    assert set(old) <= set(results(tree))
