"""Match names of modules as PEFT does (peft 0.21): lists and expressions of targets, what is excluded, layers by number."""

from collections.abc import Callable, Iterable
from functools import partial

from lorantk.auditing.configuration import Configuration, compiled


def ends(name: str, parts: Iterable[str]) -> bool:
    """Say whether a name is one of `parts` (a set) or ends with a dot and one of them."""
    return name in parts or any(name[i + 1 :] in parts for i, character in enumerate(name) if character == ".")


def expression(configuration: Configuration, text: str, key: str):
    """Return a regular expression of a configuration."""
    return compiled(text, f"{configuration.where}: {key}", configuration.clock)


def matcher(configuration: Configuration) -> Callable[[str], bool]:
    """Return a function that says whether a configuration whose targets are a list or an expression selects a name.

    Raises
    ------
    AuditError
        An invalid expression.
    """
    targets, exclude, layers = configuration.targets, configuration.exclude, configuration.layers
    if isinstance(exclude, str):
        excluded = expression(configuration, exclude, "exclude_modules").fullmatch if exclude else lambda name: None
    else:
        excluded = partial(ends, parts=frozenset(exclude))
    saved = [expression(configuration, rf"(^|.*\.){part}($|\..*)", "modules_to_save") for part in configuration.to_save]
    if isinstance(targets, str):
        chosen = expression(configuration, targets, "target_modules").fullmatch
    else:
        chosen = partial(ends, parts=frozenset(targets or ()))
    patterns = [rf"(?:^|.*?\.){pattern}\.(\d+)\." for pattern in configuration.layers_pattern] or [r".*?\.[^.]*\.(\d+)\."]
    numbers = [expression(configuration, pattern, "layers_pattern") for pattern in patterns if layers]

    def in_layers(name: str) -> bool:
        """Say whether `layers_to_transform` keeps a name, by the first number after a dotted name or after `layers_pattern`."""
        found = next((match for expression in numbers if (match := expression.match(name))), None)
        return found is not None and int(found.group(1)) in layers

    def is_target(name: str) -> bool:
        if excluded(name) or any(expression.match(name) for expression in saved) or not chosen(name):
            return False
        return isinstance(targets, str) or not layers or name in targets or in_layers(name)

    return is_target


def starts(name: str) -> list[int]:
    """Return where the parts of a dotted name begin."""
    return [0, *(i + 1 for i, character in enumerate(name) if character == ".")]


def condensed(targets: tuple[str, ...], names: Iterable[str]) -> tuple[str, ...]:
    """Return the shortest ends of names that tell the targets from other modules, as PEFT does for long lists."""
    every = set(targets)
    others = {name[i:] for name in names if not ends(name, every) for i in starts(name)}
    found: set[str] = set()
    for target in sorted(every, key=lambda target: [target[i:] for i in reversed(starts(target))]):
        for end in (target[i:] for i in reversed(starts(target))):
            if end in found or end in others:
                continue
            if not any(target.endswith(f".{other}") for other in found):
                found.add(end)
                break
    return tuple(found) if found and len(found) < len(every) else targets
