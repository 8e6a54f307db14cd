"""Which code a result depends on, and what counts as a change to that code."""

import json
from pathlib import Path

import pytest

from lorantk.fingerprint import code_hash, code_of, content_hash, files, meaning, notebook_hash

ATTACH = "import lazy_loader\n__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, {arguments})\n"
PACKAGE = {
    "__init__.py": ATTACH.format(arguments='submodules=["one", "two", "room"]'),
    "one.py": "import numpy\n",
    "two.py": "from lorantk import one\n",
    "late.py": "def f():\n    from lorantk.two import g\n    return g\n",
    "room/__init__.py": ATTACH.format(arguments='submodules=["thing"], submod_attrs={"thing": ["Thing"]}'),
    "room/thing.py": "class Thing:\n    pass\n",
    "busy/__init__.py": "from lorantk.one import x\n",
}


@pytest.fixture
def root(tmp_path):
    """A folder with a small package called lorantk."""
    for name, text in PACKAGE.items():
        path = tmp_path / "lorantk" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path


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
    names = iter("abc")

    def of(text):
        module = tmp_path / f"{next(names)}.py"
        module.write_text(text)
        return meaning(module)

    plain = of('"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n')
    assert of('"""Three."""\n# Four.\ndef f(x):\n    """Five."""\n    return (x\n      + 1)\n') == plain
    assert of('"""One."""\ndef f(x):\n    """Two."""\n    return x + 2\n') != plain


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy", []),
        ("from lorantk import one", ["one"]),
        ("import lorantk\nlorantk.one.x()", ["one"]),
        ("from lorantk.two import g", ["one", "two"]),
        ("import lorantk.late", ["late", "one", "two"]),
        ("from lorantk.room import Thing", ["room/thing"]),
        ("from lorantk.room.thing import Thing", ["room/thing"]),
        ("from lorantk import busy", ["busy/__init__", "one"]),
    ],
)
def test_the_code_of_a_source_is_what_it_imports_and_what_that_imports(root, source, found):
    paths = code_of(sources=[source], root=root)
    assert [path.relative_to(root / "lorantk").with_suffix("").as_posix() for path in paths] == found


def test_a_hash_of_code_depends_on_the_modules_found_alone(root, tmp_path):
    def hashed(change):
        copy = tmp_path / f"copy-{len(list(tmp_path.iterdir()))}"
        for name, text in (PACKAGE | change).items():
            path = copy / "lorantk" / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        return code_hash("lorantk.two", root=copy)

    before = hashed({})
    assert hashed({"late.py": "x = 1\n", "two.py": "# A comment.\nfrom lorantk import one\n"}) == before
    assert hashed({"one.py": "import scipy\n"}) != before


def test_a_notebook_depends_on_its_code_cells_and_on_what_its_metadata_names(root):
    path = root / "10_x.ipynb"

    def hashed(source, runs=()):
        cells = [{"cell_type": "markdown", "source": ["text"]}, {"cell_type": "code", "source": [source]}]
        path.write_text(json.dumps({"cells": cells, "metadata": {"runs": list(runs)}}))
        return notebook_hash(path, root)

    one = hashed("from lorantk import one")
    assert hashed("from lorantk import one\nx = 1") == one  # the notebook's own text is hashed elsewhere
    assert hashed("from lorantk import two") != one
    assert hashed("from lorantk import one", runs=["lorantk.late"]) != one
