"""What schema.org says of the linked data in the head of a page: its types, their properties, and what these may be."""

import json
import re

import msgspec_schemaorg.models as models

# What JSON's plain values may stand for.
PLAIN = {str: {"str", "URL", "date", "datetime"}, bool: {"bool"}, int: {"int", "float"}, float: {"float"}}


def objects(page):
    """Return the objects that a parsed page describes; there is one script with all of them."""
    [script] = page.select('head script[type="application/ld+json"]')
    content = json.loads(script.string)
    assert content["@context"] == "https://schema.org"
    return content["@graph"]


def properties(kind):
    """Return the properties of a type: a dict from name to the names of the types that may stand for it."""
    types = {}
    for base in reversed(kind.__mro__):
        for name, annotation in vars(base).get("__annotations__", {}).items():
            types[name] = set(re.findall(r"\w+", str(annotation)))
    return types


def complaints(value, place="page"):
    """Say what schema.org does not know in an object and in the objects inside."""
    if isinstance(value, list):
        for entry in value:
            yield from complaints(entry, place)
    if not isinstance(value, dict):
        return
    kind = getattr(models, value.get("@type", ""), None)
    if kind is None:
        yield f"{place}: no type {value.get('@type')!r}"
        return
    known = properties(kind)
    for name, content in value.items():
        if name == "@type":
            continue
        if name not in known:
            yield f"{place}: {kind.__name__} has no property {name!r}"
            continue
        for entry in content if isinstance(content, list) else [content]:
            if isinstance(entry, dict):
                names = {base.__name__ for base in getattr(models, entry.get("@type", ""), object).__mro__}
            else:
                names = PLAIN[type(entry)]
            if not names & known[name]:
                yield f"{place}: {kind.__name__}.{name} cannot be {entry!r}"
        yield from complaints(content, f"{place}.{name}")
