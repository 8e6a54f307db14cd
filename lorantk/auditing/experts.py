r"""Experts whose matrices are one stacked parameter, which PEFT adapts with `target_parameters`.

For E experts PEFT trains one A with ``rE`` rows and one B with ``rE`` columns. Expert e has ``A_e = A[e·r:(e+1)·r]`` and
``B_e = B[:, e::E]``: the rows of A are grouped by expert, the columns of B by row of A. Its update is ``s B_e A_e`` with
``s = α/r``, so each expert is an adapted matrix of rank r of its own, and the theorems apply to each.

Transformers 5 made parameters of experts that were modules before. In some types of models PEFT therefore turns targets that name
those modules into parameters; `as_parameters` follows its rules (peft 0.21).
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from lorantk.auditing.configuration import Configuration, compiled, settings
from lorantk.auditing.errors import AuditError, quoted
from lorantk.auditing.matching import matcher
from lorantk.auditing.pairs import Pair
from lorantk.auditing.report import Refused
from lorantk.auditing.starts import MEASURED, Start
from lorantk.auditing.tensors import size

EXPERTS_LIMIT = 4096  # of one stack

# By kind of model: what each module of an expert, or the router, has become.
BECAME = {
    "mixtral": {"gate": "gate.weight", "w1": "gate_up_proj", "w3": "gate_up_proj", "w2": "down_proj"},
    "qwen2_moe": {
        "gate": "gate.weight",
        "gate_proj": "gate_up_proj",
        "up_proj": "gate_up_proj",
        "down_proj": "down_proj",
    },
}
JOINED = {"mixtral": ("w1", "w3"), "qwen2_moe": ("gate_proj", "up_proj")}  # into gate_up_proj


def as_parameters(
    configuration: Configuration,
    rules: str,
    linear: Iterable[str],
    names: Iterable[str],
    parameters: Iterable[str],
    matches: Callable[[str], object],
) -> Configuration:
    """Return the configuration with targets that name experts' modules turned into parameters, as PEFT does on loading.

    Parameters
    ----------
    configuration, rules
        The configuration, and the key of `BECAME` for the type of the model.
    linear
        The modules that ``"all-linear"`` selects.
    names, parameters
        All modules and parameters of the model, and its parameters alone.
    matches
        Whether the configuration selects a name.

    Raises
    ------
    AuditError
        Only one of the two matrices that have become one is a target: PEFT refuses.
    """
    became, joined = BECAME[rules], JOINED[rules]
    targets = configuration.targets
    if isinstance(targets, str):
        targets = _resolved(targets, became, linear, names, list(parameters), matches)
        if not targets:
            return configuration
    chosen = {
        target: next((old for old in became if target == old or target.endswith(f".{old}")), None) for target in targets or ()
    }
    present = {old for old in chosen.values() if old in joined}
    if present and present != set(joined):
        missing = " and ".join(sorted(set(joined) - present))
        raise AuditError(
            f"{configuration.where}: expected {missing} among target_modules beside {', '.join(sorted(present))}, as this model "
            "has them in one matrix, got one alone: PEFT refuses"
        )
    ranks, alphas = configuration.ranks, configuration.alphas
    if present:
        ranks = _with(ranks, 2 * configuration.rank, configuration.where)
        alphas = _with(alphas, 2 * configuration.alpha, configuration.where)
    return configuration._replace(
        targets=tuple(target for target, old in chosen.items() if old is None),
        parameters=(*configuration.parameters, *sorted({became[old] for old in chosen.values() if old is not None})),
        ranks=ranks,
        alphas=alphas,
    )


def _with(patterns: tuple, value, where: str) -> tuple:
    """Return patterns with the one that PEFT adds for gate_up_proj, twice the rank and α, in the place of its own key."""
    key = rf".*\.{re.escape('gate_up_proj')}"
    entry = (compiled(rf"(.*\.)?({key})$", where), key, value)
    if any(literal == key for _, literal, _ in patterns):
        return tuple(entry if literal == key else (expression, literal, old) for expression, literal, old in patterns)
    return (*patterns, entry)


def _resolved(targets, became, linear, names, parameters, matches) -> set[str]:
    """Return the last parts of the names that a string of targets selects, those of former modules among them."""
    if targets.lower() == "all-linear":
        return {name.rpartition(".")[2] for name in linear} | set(became)
    found = {name.rpartition(".")[2] for name in names if matches(name)}
    for old, new in became.items():
        inside = {name.rpartition(".")[0] for name in parameters if name.rpartition(".")[2] == new}
        if old not in found and any(matches(f"{module}.{old}") for module in inside):
            found.add(old)
    return found


class Wrapped(NamedTuple):
    """The parameter whose factors a saved module's tensors are.

    Attributes
    ----------
    key
        The parameter's name, by which patterns give its rank and α; None if it is not decided.
    name
        What the report calls it.
    reason
        Why it is not decided.
    """

    key: str | None
    name: str
    reason: str = ""


def wrapped(configuration: Configuration, names: Iterable[str]) -> dict[str, Wrapped]:
    """Return which of the modules in a saved file stand for parameters, and for which ones.

    PEFT saves the factors of a parameter under the name of its module M. For a second parameter of the same module it puts
    another wrapper around the first one, whose factors are then under ``M.base_layer``: the outermost belong to the parameter
    that the model defines last. Of Transformers' experts that is down_proj; other orders are not in the files.
    """
    modules: dict[str, list[str]] = {}
    is_target = matcher(configuration)
    for name in names:
        modules.setdefault(re.sub(r"(\.base_layer)+$", "", name), []).append(name)
    found = {}
    for module, own in modules.items():
        lasts = {
            entry.rpartition(".")[2]
            for entry in configuration.parameters
            if f".{module}.{entry.rpartition('.')[2]}".endswith(f".{entry}")
        }
        if lasts and own == [module] and is_target(module):  # entries without a module's name fit any module
            continue
        own.sort(key=len)
        if not lasts:
            if len(own) > 1 or own[0] != module or module.rpartition(".")[2] == "experts":
                reason = (
                    "its factors look like those of stacked experts, but no target_parameters name a parameter of this module"
                )
                found |= {name: Wrapped(None, name, reason) for name in own}
            continue
        if len(own) != len(lasts):
            reason = f"target_parameters name {len(lasts)} parameters of this module, and the file has factors of {len(own)}"
            found |= {name: Wrapped(None, name, reason) for name in own}
        elif len(lasts) == 1 or lasts == {"gate_up_proj", "down_proj"}:
            keys = (f"{module}.{last}" for last in sorted(lasts))  # down_proj before gate_up_proj: the outermost first
            found |= {name: Wrapped(key, key) for name, key in zip(own, keys, strict=True)}
        else:
            given = {settings(configuration, f"{module}.{last}") for last in lasts}
            several = f"its parameters {', '.join(sorted(lasts))} have several ranks or α"
            reason = f"{several}, and the file does not say whose factors these are"
            key = f"{module}.{min(lasts)}" if len(given) == 1 else None
            found |= {name: Wrapped(key, name, "" if key else reason) for name in own}
    return found


def of_stack(start: Start, word: str, experts: int) -> Start:
    """Return how the factors of one of several experts start, given how those of a module with its shape do.

    PEFT draws the stacked factors as those of one layer. That changes only a random B, which has the inputs of all experts.
    """
    if word == "false":
        return start._replace(B=start.B._replace(variance=start.B.variance / experts))
    if word in ("true", "gaussian"):
        return start
    text = f"{word}: PEFT has no such start for stacked experts; audit the saved A and B"
    return Start(MEASURED, MEASURED, False, text)


def count(A: tuple[int, ...], B: tuple[int, ...], rank: int) -> int:
    """Return the number of experts whose factors of this rank are stacked in an A and a B of these shapes, 0 if there is none."""
    fits = len(A) == 2 and len(B) == 2 and A[0] == B[1] and A[0] % rank == 0
    return A[0] // rank if fits else 0


def unstacked(configuration: Configuration, pairs: Iterable[Pair | Refused]) -> list[Pair | Refused]:
    """Return the pairs of a file, with one pair for each expert in place of a stack, and with the reason where that is open."""
    pairs, found = list(pairs), []
    stands = wrapped(configuration, [pair.name for pair in pairs])
    for pair in pairs:
        key, name, reason = stands.get(pair.name, (None, pair.name, ""))
        if isinstance(pair, Refused) or pair.name not in stands:
            found.append(pair)
        elif key is None:
            found.append(Refused(name, f"{pair.A.path}: module {quoted(name)}: {reason}"))
        else:
            found.extend(_experts(pair._replace(name=name, key=key), settings(configuration, key).rank))
    return found


def _experts(pair: Pair, rank: int) -> list[Pair | Refused]:
    experts = count(pair.A.shape, pair.B.shape, rank)
    if not 1 <= experts <= EXPERTS_LIMIT:
        shapes = f"{list(pair.A.shape)} and {list(pair.B.shape)}"
        at = f"{pair.A.path}: parameter {quoted(pair.key)}"
        return [Refused(pair.name, f"{at}: expected stacks of factors of rank {rank}, got {shapes}")]
    if experts == 1:
        return [pair]
    shape, found = (rank, pair.A.shape[1]), []
    for expert in range(experts):
        start = pair.A.tensor.start + expert * size(pair.A.tensor.dtype, shape)
        A = pair.A._replace(tensor=pair.A.tensor._replace(shape=shape, start=start))
        found.append(Pair(f"{pair.name}[{expert}]", "expert", A, pair.B._replace(columns=(expert, experts)), pair.key, experts))
    return found
