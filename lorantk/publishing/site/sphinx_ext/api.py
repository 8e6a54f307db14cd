"""The directive ``{api} NAME``: the public functions, classes and names of a module, from its docstrings."""

import inspect
import re
from importlib import import_module
from itertools import chain

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

PACKAGE = "lorantk.theory"
SETTINGS = Config(napoleon_use_param=False, napoleon_use_rtype=False, napoleon_custom_sections=[("Attributes", "params_style")])
NAME = re.compile(r"(?<!`)`([\w.]+)`(?!`)")


def members(module):
    """What a module defines for others: a dict from name to value, in the order of its code."""
    found = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = {name: value for name, value in found.items() if getattr(value, "__module__", None) == module.__name__}
    # Tuples and dicts of the words that arguments take.
    words = set(re.findall(r"^([A-Z_]+) = [({]", inspect.getsource(module), flags=re.MULTILINE))
    return {name: found[name] for name in found if name in words} | {
        name: value for name, value in own.items() if callable(value)
    }


def linked(text, module):
    """`text` of a docstring of `module` in which names of this package are links, as reStructuredText; others are code.

    Parameters
    ----------
    text : str
        With names in single backticks.
    module : module
        To which names without dots belong.
    """

    def link(found):
        path, _, last = (found[1] if "." in found[1] else f"{module.__name__}.{found[1]}").rpartition(".")
        if not path.startswith(PACKAGE):
            return f"``{found[1]}``"
        if path == PACKAGE or last in members(import_module(path)):
            shown = found[1].removeprefix(f"{PACKAGE}.")
            return f":py:obj:`{shown} <{path}.{last}>`"
        return f"``{found[1]}``"

    return NAME.sub(link, text)


def described(name, value, module):
    """Lines of reStructuredText that describe one member of a module, with the name under which chapters call it."""
    name = f"{module.__name__.removeprefix(f'{PACKAGE}.')}.{name}"
    if isinstance(value, tuple | dict):
        head, text = f".. py:data:: {name}", ", ".join(f'``"{word}"``' for word in value)
    else:
        kind = "class" if inspect.isclass(value) else "function"
        signature = stringify_signature(inspect.signature(value), show_annotation=False, show_return_annotation=False)
        head, text = f".. py:{kind}:: {name}{signature}", inspect.getdoc(value)
    lines = NumpyDocstring(linked(text, module), SETTINGS, what="function").lines()
    return [head, "", *(f"   {line}" if line else "" for line in lines), ""]


class Module(SphinxDirective):
    """A module of the theory: what it is about, and each of its public members with its text and its example."""

    required_arguments = 1

    def run(self):
        """Nodes of the module; an error at the line of the directive where there is no such module."""
        try:
            module = import_module(f"{PACKAGE}.{self.arguments[0]}")
        except ModuleNotFoundError as error:
            raise self.error(f"expected a module of {PACKAGE}, got {self.arguments[0]!r}") from error
        self.env.note_dependency(module.__file__)
        lines = [f".. py:module:: {module.__name__}", f".. py:currentmodule:: {PACKAGE}", ""]
        lines += [*linked(inspect.getdoc(module), module).splitlines(), ""]
        lines += chain.from_iterable(described(name, value, module) for name, value in members(module).items())
        node = nodes.Element(document=self.state.document)
        source = StringList(["```{eval-rst}", *lines, "```"], self.get_source_info()[0])
        self.state.nested_parse(source, self.content_offset, node)
        return node.children
