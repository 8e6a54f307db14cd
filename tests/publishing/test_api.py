"""The API reference has every public function of the theory once, with its text and its example, and no broken reference."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from lorantk import theory
from lorantk.publishing.site.sphinx_ext.api import linked, members

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "book/api").glob("*.md"))
# Sphinx keeps suffixes of earlier projects in one process, so they are given here.
CONFIG = """
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb"}
extensions = ["myst_nb", "lorantk.publishing.site.sphinx_ext"]
html_theme, nitpicky = "basic", True
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The text of the reference's pages by name, and the warnings, with one for every doubtful reference."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    (source / "conf.py").write_text(CONFIG)
    (source / "index.md").write_text("# Front\n\n```{toctree}\n:glob:\n*\n```\n")
    for page in PAGES:
        (source / page.name).write_text(page.read_text())
    said = source / "warnings.txt"
    with said.open("w") as warning, docutils_namespace():
        Sphinx(source, source, out, out / "doctrees", "html", status=None, warning=warning).build()
    pages = {page.stem: BeautifulSoup((out / f"{page.stem}.html").read_text(), "html.parser") for page in PAGES}
    return pages, said.read_text()


def test_every_module_is_on_one_page_of_the_reference():
    named = [name for page in PAGES for name in re.findall(r"^```\{api\} (\w+)$", page.read_text(), flags=re.MULTILINE)]
    assert sorted(named) == sorted(theory.__all__)
    front, contents = (ROOT / "book/api.md").read_text(), (ROOT / "_toc.yml").read_text()
    assert all(f"`{name}`" in front for name in theory.__all__)
    assert all(f"book/api/{page.stem}`" in front and f"book/api/{page.stem}\n" in contents for page in PAGES)


def test_the_pages_build_without_a_warning(built):
    assert built[1] == ""


def test_every_member_has_its_text_and_every_function_its_example(built):
    entries = {
        term["id"]: entry
        for page in built[0].values()
        for entry in page.select("dl.py.function, dl.py.class, dl.py.data")
        for term in entry.select("dt[id]")
    }
    for name in theory.__all__:
        for key, value in members(import_module(f"lorantk.theory.{name}")).items():
            entry = entries.pop(f"lorantk.theory.{name}.{key}")
            assert entry.dt.get_text().split("(")[0].split("¶")[0].strip().removeprefix("class ") == f"{name}.{key}"
            assert len(entry.dd.get_text().split()) >= (1 if isinstance(value, tuple | dict) else 10), key
            assert isinstance(value, type | tuple | dict) or ">>>" in entry.select("pre")[-1].get_text(), key
    assert not entries


def test_names_in_docstrings_lead_to_their_entries(built):
    for page, name, target in (
        ("kernels", "ntk_of_chain", "#lorantk.theory.blocks.ntk_in_blocks"),
        ("networks", "init_network", "#lorantk.theory.laws.LAWS"),
        ("limits", "mean_factors", "orders.html#lorantk.theory.order.mean_factor"),
    ):
        links = {link["href"] for link in built[0][page].select(f'dl:has(> dt[id$=".{name}"]) a.internal')}
        assert target in links, name


def test_a_name_that_is_not_listed_is_shown_as_code():
    from lorantk.theory import kernels

    assert linked("see `ntk` and `jax.vmap`", kernels) == "see :py:obj:`ntk <lorantk.theory.kernels.ntk>` and ``jax.vmap``"
    assert linked("`_symmetric`, `lorantk.theory.kernels.HALVINGS`", kernels) == (
        "``_symmetric``, ``lorantk.theory.kernels.HALVINGS``"
    )
