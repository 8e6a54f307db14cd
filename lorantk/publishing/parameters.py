"""What may be passed to a notebook: the parameters that it declares, and the profiles of the book."""

import ast

from lorantk.publishing.chapter import PROFILES
from lorantk.publishing.errors import PublishingError


class UsageError(PublishingError):
    """A parameter, profile or notebook that a command cannot work with."""


def check_profile(profile):
    """Return `profile`.

    Raises
    ------
    UsageError
        If there is no such profile.
    """
    if profile not in PROFILES:
        raise UsageError(f"expected a profile out of {', '.join(PROFILES)}, got {profile!r}")
    return profile


def declared_parameters(notebook):
    """The parameters of a notebook: name and default of each assignment in its cell tagged `parameters`.

    Raises
    ------
    UsageError
        If the notebook has no such cell or several, or if the cell holds more than plain assignments.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise UsageError(f"expected exactly one cell tagged 'parameters', got {len(cells)}")
    declared = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            [target] = statement.targets
            declared[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            raise UsageError(
                f"expected only lines of the form name = literal in the parameters cell, got {ast.unparse(statement)!r}"
            ) from None
    return declared


def parse_parameters(text):
    """Read `"seed=7 profile=smoke"` as `{"seed": 7, "profile": "smoke"}`.

    Raises
    ------
    UsageError
        If a word is not of the form name=value.
    """
    parameters = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not (name.isidentifier() and equals):
            raise UsageError(f"expected parameters as name=value, got {word!r}")
        try:
            parameters[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parameters[name] = value
    return parameters


def check_parameters(parameters, declared):
    """Hold given parameters to the declared ones.

    Raises
    ------
    UsageError
        If a parameter is not declared, has another type than its default, or names an unknown profile.
    """
    for name, value in parameters.items():
        if name not in declared:
            raise UsageError(f"expected a declared parameter ({', '.join(declared)}), got {name!r}")
        if name == "profile":
            check_profile(value)
        default = declared[name]
        allowed = (int, float) if type(default) is float else (type(default),)
        if default is not None and type(value) not in allowed:
            raise UsageError(f"expected {name} of type {type(default).__name__}, got {value!r}")
