"""Docstrings of the theory: each public function documents arguments, results and errors, and has an example that runs."""

import ast
import doctest
import inspect
import re
import textwrap
from collections import Counter
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk import theory

NAMES = {"jax": jax, "jnp": jnp, "np": np}  # names that the examples assume to be imported
SECTION = re.compile(r"^(\w+)\n-+$", re.MULTILINE)


def public(module):
    """Return the public functions and classes that a module defines, by name."""
    found = {name: value for name, value in vars(module).items() if not name.startswith("_") and callable(value)}
    return {name: value for name, value in found.items() if getattr(value, "__module__", None) == module.__name__}


def sections(function):
    """Return the sections of a docstring by title; the text before the first one has the title ``""``."""
    first, *rest = SECTION.split(inspect.getdoc(function) or "")
    return {"": first} | dict(zip(rest[::2], rest[1::2], strict=True))


def faults(function):
    """Return what is missing from the docstring of a public function."""
    found = sections(function)
    wanted = {"", "Examples", "Returns"}
    entries = re.findall(r"^(\S.*?) :", found.get("Parameters", ""), flags=re.MULTILINE)
    described = {name for entry in entries for name in entry.split(", ")}
    missing = set(inspect.signature(function).parameters) - described
    # A function that only checks, or returns nothing, needs no Returns section.
    code = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    if not any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(code)):
        wanted.remove("Returns")
    # A plain `raise` passes on an error that is documented where it comes from.
    raised = {ast.unparse(node.exc).split("(")[0] for node in ast.walk(code) if isinstance(node, ast.Raise) and node.exc}
    return [
        *(f"no section {title}" for title in sorted(wanted - {title for title, text in found.items() if text.strip()})),
        *(f"no parameter {name}" for name in sorted(missing)),
        *(f"no {error} in Raises" for error in sorted(raised) if error not in found.get("Raises", "")),
    ]


def test_no_public_name_has_two_meanings():
    names = [name for module in theory.__all__ for name in public(import_module(f"lorantk.theory.{module}"))]
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("name", theory.__all__)
def test_every_public_function_says_what_it_takes_gives_and_raises(name):
    members = public(import_module(f"lorantk.theory.{name}"))
    found = {key: faults(value) for key, value in members.items() if not inspect.isclass(value)}
    assert found
    assert {key: missing for key, missing in found.items() if missing} == {}


@pytest.mark.parametrize("name", theory.__all__)
def test_the_examples_give_what_they_show(name):
    parser, runner, said = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False), []
    for key, value in public(import_module(f"lorantk.theory.{name}")).items():
        example = parser.get_doctest(inspect.getdoc(value), dict(NAMES), f"{name}.{key}", None, None)
        assert inspect.isclass(value) or any(step.want for step in example.examples), f"{key} shows no result"
        runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


def test_a_wrong_example_and_a_missing_part_are_noticed():
    def double(x):
        """Return ``2 x``.

        Examples
        --------
        >>> 1 + 1
        3
        """
        if x < 0:
            raise ValueError(x)
        return 2 * x

    assert faults(double) == ["no section Returns", "no parameter x", "no ValueError in Raises"]
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(double), {}, "double", None, None)
    assert doctest.DocTestRunner(verbose=False).run(example, out=lambda text: None).failed == 1
