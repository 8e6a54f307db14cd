"""Staging: a mirror of the repository, of which only differences are written."""

import json
import shutil

import pytest
from tiny_book import NSD, judge_nsd, write_notebook
from tiny_tree import grow

from lorantk.fingerprint import files
from lorantk.publishing.errors import RecordError, WordsError
from lorantk.publishing.site.stage import layout, write_stage


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A tiny checkout with its executed notebooks, one of which has lost its source."""
    tree = grow(tmp_path_factory.mktemp("checkout"))
    for stem in ("01_one", "02_two", "09_gone"):
        write_notebook(tree / "_build", stem, ("nsd",), judge_nsd, NSD, "# Title\n\nAt most {glue:text}`largest:.1f`.")
    return tree


@pytest.fixture
def tree(executed, tmp_path):
    """A copy of it, which a test may change."""
    return shutil.copytree(executed, tmp_path / "checkout")


def staged(tree):
    """Stage the tree; return how many files were written and removed."""
    return write_stage(layout(tree, tree / "_build"), tree / "_build/stage")


def test_stage_mirrors_the_repository(tree):
    staged(tree)
    stage = tree / "_build/stage"
    assert (stage / "index.md").read_text() == (tree / "book/index.md").read_text()
    assert not (stage / "book/index.md").exists()
    assert not (stage / "notebooks/09_gone.ipynb").exists()
    for name in ("_toc.yml", "_config.yml", "book/references.bib", "_extra/vendor/mathjax/tex-chtml.js"):
        assert (stage / name).is_file(), name
    assert not any(path.is_relative_to(stage / "lorantk") for path in files(stage))


def test_a_page_has_its_numbers_and_no_second_figure(tree):
    staged(tree)
    cells = json.loads((tree / "_build/stage/notebooks/01_one.ipynb").read_bytes())["cells"]
    assert cells[0]["source"] == "# Title\n\nAt most 0.4."
    assert [cell.get("outputs", []) for cell in cells if cell["id"].startswith("cell-")] == [[], []]
    executed = json.loads((tree / "_build/executed/01_one.ipynb").read_bytes())["cells"]
    assert sum(len(cell.get("outputs", [])) for cell in executed) == 2


def test_a_number_that_was_not_glued_is_named(tree):
    path = tree / "_build/executed/01_one.ipynb"
    path.write_text(path.read_text().replace("`largest:.1f`", "`smallest`"))
    with pytest.raises(
        WordsError, match=r"expected a number that the notebook glues \(largest, reading_minutes\), got 'smallest'"
    ):
        staged(tree)


def test_a_notebook_that_made_no_chapter_is_named(tree):
    (tree / "_build/executed/records/02_two/chapter.json").unlink()
    with pytest.raises(RecordError, match=r"expected .*02_two.ipynb to make a Chapter, got no records in .*02_two"):
        staged(tree)


def test_second_staging_touches_nothing(tree):
    staged(tree)
    times = {path: path.stat().st_mtime_ns for path in files(tree / "_build/stage")}
    assert staged(tree) == (0, 0)
    assert times == {path: path.stat().st_mtime_ns for path in files(tree / "_build/stage")}


def test_only_what_differs_is_written_and_what_is_gone_removed(tree):
    staged(tree)
    (tree / "book/index.md").write_text("# Other\n")
    (tree / "notebooks/01_one.ipynb").unlink()
    assert staged(tree) == (1, 1)
    assert not (tree / "_build/stage/notebooks/01_one.ipynb").exists()


def test_notebook_that_was_not_executed_is_named(tree):
    (tree / "_build/executed/02_two.ipynb").unlink()
    with pytest.raises(RecordError, match=r"expected .*_build/executed/02_two.ipynb, .* got no such file"):
        staged(tree)
