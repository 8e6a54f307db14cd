"""The stage: a mirror of the repository, written only where it differs."""

from pathlib import Path

import pytest
from tiny_tree import grow

from lorantk.fingerprint import content_hash, files, meaning
from lorantk.publishing.errors import RecordError
from lorantk.publishing.stage import layout, write_stage


@pytest.fixture
def tree(tmp_path):
    """A tiny checkout with its executed notebooks, and one of a source that is gone."""
    tree = grow(tmp_path)
    (tree / "_build/executed/records/01_one").mkdir(parents=True)
    for stem in ("01_one", "02_two", "09_gone"):
        (tree / f"_build/executed/{stem}.ipynb").write_text(stem)
    return tree


def staged(tree):
    """Stage the tree; give how many files were written and removed."""
    return write_stage(layout(tree, tree / "_build"), tree / "_build/stage")


def test_stage_mirrors_the_repository(tree):
    staged(tree)
    stage = tree / "_build/stage"
    assert (stage / "index.md").read_text() == (tree / "book/index.md").read_text()
    assert not (stage / "book/index.md").exists()
    assert (stage / "notebooks/01_one.ipynb").read_text() == "01_one"
    assert not (stage / "notebooks/09_gone.ipynb").exists()
    for name in ("_toc.yml", "_config.yml", "book/references.bib", "_extra/vendor/mathjax/tex-chtml.js"):
        assert (stage / name).is_file(), name
    assert not any(path.is_relative_to(stage / "lorantk") for path in files(stage))


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


def test_content_hash_depends_on_names_and_bytes_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = Path("one"), Path("two")
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    before = content_hash(files("."))
    one.touch()
    Path("__pycache__").mkdir()
    Path("__pycache__/x.pyc").touch()
    assert content_hash(files(".")) == before
    one.write_bytes(b"b")
    two.write_bytes(b"a")
    assert content_hash(files(".")) != before


def test_meaning_leaves_out_comments_docstrings_and_layout(tmp_path):
    module = tmp_path / "module.py"

    def after(text):
        module.write_text(text)
        return meaning(module)

    plain = after('"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n')
    assert after('"""Three."""\n# Four.\ndef f(x):\n    """Five."""\n    return (x\n      + 1)\n') == plain
    assert after('"""One."""\ndef f(x):\n    """Two."""\n    return x + 2\n') != plain
