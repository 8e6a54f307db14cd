"""What the README says is so: its table of ideas is the list of modules, as the wings give it; its examples run."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

from lorantk import cli
from lorantk.publishing.execute import find_notebook
from lorantk.publishing.parameters import check_parameters, declared_parameters, parse_parameters

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("wing", ["theory", "auditing"])
def test_every_module_is_an_idea_of_the_readme(wing):
    table = (ROOT / "README.md").read_text().partition(f"| Module of `lorantk.{wing}` |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`.+`) \|", table, flags=re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(rows))
    modules = {path.stem for path in (ROOT / f"lorantk/{wing}").glob("*.py")} - {"__init__", "errors"}
    assert sorted(named) == sorted(modules)


@pytest.mark.parametrize("wing", ["theory", "experiments"])
def test_every_module_is_listed_in_its_wing(wing):
    modules = {path.stem for path in (ROOT / f"lorantk/{wing}").glob("*.py")} - {"__init__"}
    assert sorted(import_module(f"lorantk.{wing}").__all__) == sorted(modules)


def test_the_readmes_example_of_an_audit_works(capsys):
    [numbers] = re.findall(r"^    lorantk (audit --.+)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert cli.main(numbers.split()) == 0
    assert "adapter" in capsys.readouterr().out


def test_the_readmes_example_of_other_parameters_works():
    name, text = re.search(r'make notebook N=(\S+) P="(.+)"', (ROOT / "README.md").read_text()).groups()
    source = find_notebook(name, ROOT / "notebooks")
    check_parameters(parse_parameters(text), declared_parameters(nbformat.read(source, as_version=4)))
