"""The README is right: its table of ideas lists the modules of the subpackages, and its examples run."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from lorantk import cli
from lorantk.fingerprint import lazy_names
from lorantk.publishing.notebook.execute import find_notebook
from lorantk.publishing.notebook.parameters import check_parameters, declared_parameters, parse_parameters

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["theory", "auditing"])
def test_every_module_is_an_idea_of_the_readme(package):
    table = (ROOT / "README.md").read_text().partition(f"| Module of `lorantk.{package}` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.+`) \|", table, flags=re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(rows))
    modules = {path.stem for path in (ROOT / f"lorantk/{package}").glob("*.py")} - {"__init__", "errors"}
    assert sorted(named) == sorted(modules)


PACKAGES = [path for name in ("theory", "experiments", "publishing/*") for path in ROOT.glob(f"lorantk/{name}/**/__init__.py")]
PACKAGES = [path for path in PACKAGES if "lazy_loader.attach" in path.read_text()]


@pytest.mark.parametrize("init", PACKAGES, ids=lambda path: path.parent.name)
def test_every_module_is_listed_in_its_package(init):
    modules = {path.stem for path in init.parent.glob("*.py")} | {path.parent.name for path in init.parent.glob("*/__init__.py")}
    listed = set(import_module(".".join(init.relative_to(ROOT).parent.parts)).__all__) - set(lazy_names(init))
    assert sorted(listed) == sorted(modules - {"__init__"})


def test_the_readmes_example_of_an_audit_works(capsys):
    [numbers] = re.findall(r"^    lorantk (audit --.+)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert cli.main(numbers.split()) == 0
    assert "adapter" in capsys.readouterr().out


def test_the_readmes_example_of_other_parameters_works():
    name, text = re.search(r'make notebook N=(\S+) P="(.+)"', (ROOT / "README.md").read_text()).groups()
    source = find_notebook(name, ROOT / "notebooks")
    check_parameters(parse_parameters(text), declared_parameters(nbformat.read(source, as_version=4)))
