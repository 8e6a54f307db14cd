"""Summarise all modules of an adapter."""

import math
import statistics

from lorantk.auditing.report import Finding, Module, Overall, Refused, Report

ROBUSTNESS = (
    "The conditions compare tangent kernels; they do not measure robustness. The step from kernels to attacks and the paper's "
    "five findings are judged separately, each under its own protocols: see the book's scoreboard (`lorantk claims`). This "
    "report is not advice on choosing rank, α or variance against poisoning or backdoors."
)
OUTLYING = 5.0  # robust standard deviations of log κ within modules of one name and shape
FEWEST = 5  # fewest modules that form a group


def deciding(module: Module) -> float | None:
    """Return the value that decides a module: κ of its saved factors, otherwise the condition at the start."""
    return module.measured.value if module.measured else module.condition.value


def _outliers(modules: list[Module]) -> dict[str, str]:
    """Return the modules whose κ stands out among those of the same name and shape, with a note on each."""
    groups = {}
    for module in modules:
        if module.measured and module.measured.value > 0:
            key = (module.name.rpartition(".")[2], module.features_in, module.features_out, module.rank, module.scale)
            groups.setdefault(key, []).append(module)
    found = {}
    for members in groups.values():
        if len(members) < FEWEST:
            continue
        logs = [math.log(member.measured.value) for member in members]
        middle = statistics.median(logs)
        # 1.48 times the median deviation estimates a standard deviation; differences below 1% never stand out.
        spread = max(1.48 * statistics.median(abs(value - middle) for value in logs), 0.01)
        for member, value in zip(members, logs, strict=True):
            if abs(value - middle) > OUTLYING * spread:
                found[member.name] = f"κ is {math.exp(value - middle):.3g} times the median of its {len(members)} similar modules"
    return found


def summarise(
    source: str,
    form: str,
    modules: list[Module],
    notes: list[str],
    *,
    format: str | None = None,
    refused: tuple[Refused, ...] = (),
    consistency: tuple[Finding, ...] = (),
    balances: bool = False,
) -> Report:
    """Return the report on judged modules: the counts, the worst module, and outliers with a note on each."""
    outliers = _outliers(modules)
    modules = [m._replace(notes=(*m.notes, outliers[m.name])) if m.name in outliers else m for m in modules]
    orders = [module.order for module in modules]
    known = [module for module in modules if deciding(module) is not None]
    worst = max(known, key=deciding, default=None)
    sizes = [m.rank * (m.features_in + m.features_out) for m in modules if m.features_out is not None]
    overall = Overall(
        modules=len(modules),
        in_order=orders.count(True),
        not_in_order=orders.count(False),
        undecided=orders.count(None),
        refused=len(refused),
        order=False if False in orders else None if None in orders or refused else True,
        worst=worst and worst.name,
        worst_value=worst and deciding(worst),
        parameters=sum(sizes) if len(sizes) == len(modules) and not refused else None,
        outliers=tuple(outliers),
    )
    return Report(source, form, format, tuple(modules), refused, overall, consistency, tuple(notes), ROBUSTNESS, balances)
