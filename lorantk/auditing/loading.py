"""Say which parameters of the loaded model the tensors of a checkpoint become: renamed, stacked, or joined in other ways.

Transformers renames tensors when it loads them, adds or drops the prefix of the model inside a class with a head, and makes one
parameter of the matrices of all experts.
"""

from typing import NamedTuple

from lorantk.auditing.architectures import Architecture, pattern

MATRICES = ("weight", "qweight", "weight_packed", "W_q", "in_proj_weight")


class Loading(NamedTuple):
    """What loading makes of a file's tensors.

    Attributes
    ----------
    names
        From each tensor to its parameter, unless it becomes part of another one.
    shapes
        Of each parameter.
    joined, unclear
        Parameters made of several tensors: all of them, and those in a way that the audit does not know.
    strangers
        Number of matrices that the class does not have.
    """

    names: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    joined: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    strangers: int = 0


def _filled(beginning: str, numbers: list[str]) -> str:
    """Return a pattern with its stars replaced by the first of the numbers, in order."""
    left = iter(numbers)
    return ".".join(next(left, part) if part == "*" else part for part in beginning.split("."))


def _candidates(name: str, known: Architecture) -> tuple[str, ...]:
    """Return a tensor's name as it stands, with the prefix of the model inside a class with a head, and without it."""
    return name, f"{known.prefix}.{name}", name.removeprefix(f"{known.prefix}.")


def _loaded(name: str, known: Architecture) -> str | None:
    """Return the parameter that a tensor of the file becomes, None if the class has no such module."""
    for candidate in _candidates(name, known):
        parts, stars = candidate.split("."), pattern(candidate).split(".")
        for length in range(len(parts), 0, -1):
            target = known.files.get(".".join(stars[:length]))
            if target is not None:
                numbers = [part for part, star in zip(parts[:length], stars[:length], strict=True) if star == "*"]
                if target.count("*") == len(numbers):
                    parts[:length] = _filled(target, numbers).split(".")
                break
        if pattern(".".join(parts[:-1])) in known.kinds:
            return ".".join(parts)
    return None


def _stacks(names: list[str], known: Architecture) -> dict[str, dict[str, list[str]]]:
    """Return the parameters that loading makes of several tensors: for each, and each of its sources, the tensors."""
    sources = {source: target for target, every in known.made.items() for source in every}
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        for candidate in _candidates(name, known):
            source = pattern(candidate)
            if source in sources:
                numbers = [part for part, star in zip(candidate.split("."), source.split("."), strict=True) if star == "*"]
                target = _filled(sources[source], numbers)
                found.setdefault(target, {}).setdefault(source, []).append(name)
                break
    return found


def _stacked(sources: dict[str, list[str]], shapes: dict[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return experts, outputs and inputs of a stack of matrices, None if the tensors are something else."""
    first = [{shapes[name] for name in names} for names in sources.values()]
    counts = {len(names) for names in sources.values()}
    if len(counts) > 1 or any(len(every) > 1 or len(next(iter(every))) != 2 for every in first):
        return None
    matrices = [next(iter(every)) for every in first]
    if len({n for _, n in matrices}) > 1:
        return None
    return counts.pop(), sum(m for m, _ in matrices), matrices[0][1]


def loading(own: dict[str, tuple[int, ...]], known: Architecture | None) -> Loading:
    """Return what loading makes of tensors, given their shapes by name.

    Parameters
    ----------
    own
        The shapes in the file.
    known
        The class of the model; without one, names and shapes stay.
    """
    if known is None:
        return Loading({name: name for name in own}, own)
    stacks = _stacks(list(own), known)
    used = {name for sources in stacks.values() for every in sources.values() for name in every}
    used |= {name for name in own if any(pattern(candidate) in known.lost for candidate in _candidates(name, known))}
    loaded = {name: _loaded(name, known) for name in own if name not in used}
    strangers = sum(target is None and name.rpartition(".")[2] in MATRICES for name, target in loaded.items())
    names = {name: target or name for name, target in loaded.items()}
    shapes, unclear = {target: own[name] for name, target in names.items()}, []
    for name, sources in stacks.items():
        shape = _stacked(sources, own) if set(sources) == set(known.made[pattern(name)]) else None
        if shape is None:
            unclear.append(name)
        else:
            shapes[name] = shape
    return Loading(names, shapes, tuple(stacks), tuple(unclear), strangers)
