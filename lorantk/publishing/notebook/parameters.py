"""What can be passed to a notebook: the parameters that it declares, and the profiles of the book."""

import ast

from lorantk.publishing.errors import PublishingError
from lorantk.publishing.notebook.chapter import PROFILES


class ParameterError(PublishingError):
    """A parameter, profile or notebook that a command cannot use."""


def check_profile(profile):
    """Return `profile`.

    Raises
    ------
    ParameterError
        If there is no such profile.
    """
    if profile not in PROFILES:
        raise ParameterError(f"expected a profile out of {', '.join(PROFILES)}, got {profile!r}")
    return profile


def declared_parameters(notebook):
    """The parameters of a notebook: the name and default of each assignment in its cell tagged `parameters`.

    Raises
    ------
    ParameterError
        If the notebook does not have exactly one such cell, or if the cell contains more than plain assignments.
    """
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ParameterError(f"expected exactly one cell tagged 'parameters', got {len(cells)}")
    declared = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            [target] = statement.targets
            declared[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            raise ParameterError(
                f"expected only lines of the form name = literal in the parameters cell, got {ast.unparse(statement)!r}"
            ) from None
    return declared


def parse_parameters(text):
    """Read `"seed=7 profile=smoke"` as `{"seed": 7, "profile": "smoke"}`.

    Raises
    ------
    ParameterError
        If a word does not have the form name=value.
    """
    parameters = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if not (name.isidentifier() and equals):
            raise ParameterError(f"expected parameters as name=value, got {word!r}")
        try:
            parameters[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parameters[name] = value
    return parameters


def check_parameters(parameters, declared):
    """Check given parameters against the declared ones.

    Raises
    ------
    ParameterError
        If a parameter is not declared, differs in type from its default, or names an unknown profile.
    """
    for name, value in parameters.items():
        if name not in declared:
            raise ParameterError(f"expected a declared parameter ({', '.join(declared)}), got {name!r}")
        if name == "profile":
            check_profile(value)
        default = declared[name]
        allowed = (int, float) if type(default) is float else (type(default),)
        if default is not None and type(value) not in allowed:
            raise ParameterError(f"expected {name} of type {type(default).__name__}, got {value!r}")
