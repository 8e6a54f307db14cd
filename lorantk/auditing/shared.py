"""Adapted modules that use one matrix W₀: copies by `layer_replication`, or embeddings that a model ties.

The order of a module compares LoRA with full fine-tuning of a W₀ of its own. If every module had one, the order of the sum of
their kernels would follow. Full fine-tuning of one W₀ adds up the gradients of all its uses before it takes products. Two uses
with equal features and opposite gradients, such as ``y = W₀x - W₀x``, give it the kernel 0. LoRA, with factors for each use or
for one of them, has the kernel ``s²(‖A₁x‖² + ‖A₂x‖²)|g|²`` there, and a term for B. So against full fine-tuning of the one matrix
the order fails for some features and gradients, unless all factors are zero.
"""

import re
from collections.abc import Iterable

from lorantk.auditing.report import Finding, Module

LAYER = re.compile(r"(?:^|\.)(?:layers|encoder\.layer|h)\.(\d{1,6})(?=\.)")
NAMED = 3


def replicas(mapping: tuple[tuple[int, int], ...], names: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Return which modules of a replicated model are copies of one module, as tuples of at least two of `names`.

    Parameters
    ----------
    mapping
        `layer_replication`: for each run of layers its first one, and one past its last.
    names
        Modules of the replicated model.
    """
    copies = [old for begin, end in mapping for old in range(begin, end)]
    found: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        match = LAYER.search(name)
        if match is not None and int(match[1]) < len(copies):
            begin, end = match.span(1)
            found.setdefault((name[:begin], str(copies[int(match[1])]), name[end:]), []).append(name)
    return tuple(tuple(group) for group in found.values() if len(group) > 1)


def _is_zero(group: tuple[str, ...], modules: dict[str, Module]) -> bool:
    """Say whether all saved factors of a group are zero."""
    own = [modules[name].measured for name in group if name in modules]
    return all(measured is not None and measured.value == 0 for measured in own)


def shared_matrices(groups: Iterable[tuple[str, ...]], modules: Iterable[Module]) -> list[Finding]:
    """Return a finding on the modules that use one matrix, with the order of the sum of their kernels.

    Parameters
    ----------
    groups
        Names of modules, one tuple for each matrix.
    modules
        The audited modules, which may be some of them.
    """
    by_name, groups = {module.name: module for module in modules}, list(groups)
    failing = [group for group in groups if not _is_zero(group, by_name)]
    if not groups:
        return []
    first = (failing or groups)[0]
    names = ", ".join(first[:NAMED]) + (f" and {len(first) - NAMED} more" if len(first) > NAMED else "")
    others = f" (and {len(groups) - 1} more matrices have several users)" if len(groups) > 1 else ""
    text = f"one matrix W₀ is used by {names}{others}: an order holds against full fine-tuning of a copy for each module"
    text += (
        "; full fine-tuning of the one matrix adds up the gradients of all its uses, which can cancel, and against it the order "
    )
    text += "of the sum fails for some data" if failing else "of the sum holds too, as the factors are zero"
    advice = "compare with untied copies, or do not take the order of each module for that of the model"
    return [Finding("shared-matrix", "note", text, advice, tuple(name for group in failing or groups for name in group)[:20])]
