"""Parameters of notebooks: declared ones, given ones, and errors that name both."""

import pytest
from tiny_tree import notebook

from lorantk.publishing.notebook.parameters import ParameterError, check_parameters, declared_parameters, parse_parameters

DECLARED = {"profile": "default", "seed": 0, "scale": 1.0, "flag": True}


def test_declared_parameters_are_names_with_defaults():
    parameters = "\n".join(f"{name} = {value!r}" for name, value in DECLARED.items())
    assert declared_parameters(notebook(parameters=parameters)) == DECLARED


@pytest.mark.parametrize("count", [0, 2])
def test_exactly_one_parameters_cell(count):
    content = notebook("pass")
    for cell, number in zip(content.cells[1:], range(2), strict=True):
        cell.metadata["tags"] = ["parameters"] if number < count else []
    with pytest.raises(ParameterError, match=f"expected exactly one cell tagged 'parameters', got {count}"):
        declared_parameters(content)


def test_parameters_cell_holds_literals_only():
    with pytest.raises(ParameterError, match=r"got 'seed = len\(\[\]\)'"):
        declared_parameters(notebook(parameters="seed = len([])"))


def test_parse_parameters():
    text = "rank=16 profile=smoke scale=1e-3 name='x'"
    assert parse_parameters(text) == {"rank": 16, "profile": "smoke", "scale": 1e-3, "name": "x"}


@pytest.mark.parametrize("text", ["rank", "=3", "2rank=3"])
def test_malformed_assignments(text):
    with pytest.raises(ParameterError, match="expected parameters as name=value, got"):
        parse_parameters(text)


@pytest.mark.parametrize("parameters", [{}, {"seed": 3}, {"scale": 2}, {"flag": False}, {"profile": "paper"}])
def test_accepted_parameters(parameters):
    check_parameters(parameters, DECLARED)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rank": 3}, r"expected a declared parameter \(profile, seed, scale, flag\), got 'rank'"),
        ({"profile": "huge"}, "expected a profile out of default, paper, smoke, got 'huge'"),
        ({"seed": "x"}, "expected seed of type int, got 'x'"),
        ({"seed": True}, "expected seed of type int, got True"),
        ({"scale": "x"}, "expected scale of type float, got 'x'"),
    ],
)
def test_refused_parameters(parameters, message):
    with pytest.raises(ParameterError, match=message):
        check_parameters(parameters, DECLARED)
