"""The rows of the report in the terminal and on the page: similar modules grouped, numbers as text."""

import math
import re
from typing import NamedTuple

from lorantk.auditing.report import Finding, Module, Remedy, Report
from lorantk.auditing.summary import deciding

HEADER = ("module", "type", "r", "α", "n", "s", "variance", "at start", "c", "saved κ", "balanced", "dim", "order")
ANSWERS = {True: "yes", False: "no", None: "undecided"}
MARKS = ANSWERS | {None: ""}  # next to a finding, whose text already says what is undecided
MEANINGS = (
    ("type", "how the factors are stored"),
    ("at start", "s²σ_a²n(1+√(r/n))², or the corresponding value: M_Δ ⪯ 0 below 1"),
    ("c", "s²rσ_a², the expected kernel over that of full fine-tuning"),
    ("saved κ", "s²(‖A‖²+‖B‖²) of the stored numbers: the order holds for all data if it is at most 1"),
    ("balanced", "2s‖sBA‖, the least κ of any factors of the same update"),
    ("dim", "stable rank ‖sBA‖_F²/‖sBA‖², the update's effective dimension"),
)


class Row(NamedTuple):
    """Modules that differ only in their layer's number, represented by the one with the worst value."""

    label: str
    module: Module
    count: int


def _starred(name: str) -> str:
    """Return a name with its numbers written as ``*``."""
    return re.sub(r"(?<![^.\[])\d+(?![^.\]])", "*", name)


def rows(report: Report, every: bool = False) -> list[Row]:
    """Return the report's rows: similar modules grouped, or with `every` one row for each module."""
    if every:
        return [Row(module.name, module, 1) for module in report.modules]
    groups = {}
    for module in report.modules:
        key = (_starred(module.name), module.rank, module.features_in, module.features_out, module.scale, module.order)
        groups.setdefault(key, []).append(module)
    found = []
    for (name, *_), members in groups.items():
        worst = max(members, key=lambda member: deciding(member) or 0.0)
        found.append(Row(name if len(members) > 1 else members[0].name, worst, len(members)))
    return found


def refusals(report: Report) -> list[str]:
    """Return why modules were refused, one text for those that differ only in their numbers."""
    texts: dict[str, list[str]] = {}
    for name, reason in report.refused:
        texts.setdefault(reason.replace(name, _starred(name)), []).append(reason)
    return [f"{text} (×{len(reasons)})" if len(reasons) > 1 else reasons[0] for text, reasons in texts.items()]


def said(entry: Finding) -> str:
    """Return a finding in words: what was found, the first names that it is about, and what to do."""
    names = ", ".join(entry.names[:3]) + (", …" if len(entry.names) > 3 else "")
    text = entry.text
    if names and not any(name in text for name in entry.names):
        text = f"{text[:-1]}; {names})" if text.endswith(")") else f"{text} ({names})"
    return f"{text}. {entry.advice[0].upper()}{entry.advice[1:]}."


def number(value: float | None) -> str:
    """Return a number with three digits, all of them before the point if it is at least 1000, or a dash."""
    if value is None:
        return "–"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def cells(row: Row) -> tuple[str, ...]:
    """Return one row as text, in the order of `HEADER`."""
    module, saved = row.module, row.module.measured
    label = row.label if row.count == 1 else f"{row.label} ×{row.count}"
    return (
        label,
        saved.dtype if saved else "–",
        str(module.rank),
        number(module.alpha),
        str(module.width),
        number(module.scale),
        number(saved.variance if saved else module.variance),
        number(module.condition.value),
        number(module.mean and module.mean.fraction),
        number(saved and saved.value),
        *((number(saved.balanced), number(saved.stable_rank)) if saved and saved.norm else ("–", "–")),
        ANSWERS[module.order],
    )


KEEPS, SHRINKS, STARTS = "without changing the model", "by changing the model", "before training"


def _alpha(bound: float) -> str:
    """Return a bound on α in words; its sign is that of the update and affects no condition."""
    return f"{'α' if bound > 0 else '|α|'} ≤ {at_most(abs(bound))}"


def advice(module: Module, *, balances: bool) -> dict[str, str]:
    """Return what would bring a module into order, under `KEEPS`, `SHRINKS` and `STARTS`."""
    remedy: Remedy = module.remedy
    found = {}
    if remedy.after_training == "balance":
        found[KEEPS] = f"balanced factors of the same update are in order{': lorantk balance' * balances}"
    if remedy.after_training == "scale":
        command = ": lorantk balance --in-order" * balances
        found[KEEPS] = f"balanced factors of the same update are in order once {_alpha(remedy.alpha)}{command}"
    if remedy.shrink is not None:
        frozen = "" if remedy.after_training else ": B is frozen, so κ = s² and only |s| < 1 helps"
        found[SHRINKS] = f"{_alpha(remedy.shrink)} with these factors, for a smaller update{frozen}"
    parts = {
        "alpha": remedy.alpha is not None and _alpha(remedy.alpha),
        "rank": remedy.rank is not None and f"r ≥ {remedy.rank} at the same α",
        "rank_at_scale": remedy.rank_at_scale is not None and f"r ≤ {remedy.rank_at_scale} at the same s",
        "variance": remedy.variance is not None and f"variance of A ≤ {at_most(remedy.variance)}",
    }
    if found:
        return found
    ordered = sorted((name for name in parts if parts[name]), key=lambda name: name != remedy.least)
    texts = [parts[name] + (" (the least change)" if name == remedy.least and len(ordered) > 1 else "") for name in ordered]
    if remedy.orthonormal is not None:
        texts.append(f"orthonormal rows of A times {at_most(remedy.orthonormal)}, exact at every size")
    return {STARTS: "; or ".join(texts)} if texts else {}


def advised(shown: list[Row], *, balances: bool) -> dict[str, dict[str, list[str]]]:
    """Return all advice, by its kind and then by its text, with the labels of the rows that it is for.

    Parameters
    ----------
    shown, balances
        The rows, and whether `lorantk balance` can write a copy of the adapter.
    """
    found = {}
    for row in shown:
        for kind, text in advice(row.module, balances=balances).items():
            found.setdefault(kind, {}).setdefault(text, []).append(row.label)
    return {kind: found[kind] for kind in (KEEPS, SHRINKS, STARTS) if kind in found}


def verdict(report: Report) -> str:
    """Return in a sentence what the theorems say of the adapter, and what they do not."""
    overall, count = report.overall, report.overall.modules
    kernel = f"LoRA's tangent kernel {'as saved' if report.form == 'adapter' else 'at the start'}"
    all_of = "the adapted module" if count == 1 else f"all {count} adapted modules"
    below = "below that of full fine-tuning for all data"
    if overall.in_order == count:
        said = f"In {all_of}, {kernel} lies {below}"
    elif overall.not_in_order == count:
        none = f"In {all_of}, {kernel} does not lie" if count == 1 else f"In none of {count} adapted modules does {kernel} lie"
        said = f"{none} {below}, which is no defect"
    elif overall.undecided == count:
        said = f"In {all_of}, the theorems do not decide whether {kernel} lies {below}"
    else:
        said = f"In {overall.in_order} of {count} adapted modules, {kernel} lies {below}"
        said += f"; in {overall.not_in_order} it does not, which is no defect" if overall.not_in_order else ""
        said += f"; in {overall.undecided} the theorems do not decide" if overall.undecided else ""
    if report.refused:
        said += f"; {len(report.refused)} more cannot be audited"
    return f"{said}; no robustness was measured."


def at_most(value: float) -> str:
    """Return a bound with three digits, rounded down in size so that the printed value satisfies it."""
    if value == 0:
        return "0"
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return number(math.copysign(math.floor(abs(value) / step) * step, value))


def findings(report: Report) -> list[tuple[str, str, bool | None]]:
    """Return what holds, line by line: the condition, what was found, and whether it holds everywhere."""
    overall, modules = report.overall, report.modules
    worst = f"; worst {number(overall.worst_value)} at {overall.worst}" if overall.worst and overall.modules > 1 else ""
    if overall.modules == 1 and overall.worst_value is not None:
        worst = f": {number(overall.worst_value)} against 1"
    undecided = f", {overall.undecided} undecided" if overall.undecided else ""
    lines = [("for all data", f"{overall.in_order} of {overall.modules} in order{undecided}{worst}", overall.order)]
    chances = [m.condition.probability for m in modules if m.condition.probability is not None]
    if chances and report.form != "adapter":
        low, high = min(chances), max(chances)
        words = f"{number(low)} to {number(high)}" if high - low > 1e-3 else number(low)
        words = "above 0.999" if low > 0.999 else "below 0.001" if high < 0.001 else words
        text = f"probability {words} in each module, if A were Gaussian"
        lines.append(("at this size, at start", text, None))
    means = [m.mean for m in modules if m.mean]
    if means:
        low, high = min(m.fraction for m in means), max(m.fraction for m in means)
        spread = max(m.spread for m in means)
        span = number(high) if high - low < 1e-3 * high else f"{number(low)} to {number(high)}"
        lines.append(("in the mean, at start", f"c = {span}, relative spread at most √(2/r) = {number(spread)}", high <= 1))
    grams = [m.gram for m in modules if m.gram]
    if grams:
        capacity, safe = (
            min((getattr(m.gram, name) for m in modules if m.gram and getattr(m.gram, name) < m.width), default=None)
            for name in ("capacity", "safe_capacity")
        )
        limits = ["any dimension" if limit is None else f"up to {limit:.0f} dimensions" for limit in (capacity, safe)]
        text = f"features of {limits[0]}; in all modules at once, of {limits[1]} (--failure)"
        asked = [g for g in grams if g.dimension is not None]
        if asked:
            text = f"{number(max(g.value for g in asked))} against 1 at dimension {number(asked[0].dimension)}; " + text
        lines.append(("on given data, at start", text, all(g.holds for g in asked) if asked else None))
    distances = [m.measured.distance for m in modules if m.measured and m.measured.distance is not None]
    if distances:
        edge = max(m.measured.edge for m in modules if m.measured and m.measured.distance is not None)
        text = f"largest eigenvalue of s²AᵀA − I: {number(edge)}; at most {number(max(distances))} from the Marchenko-Pastur law"
        lines.append(("spectrum, as saved", text, None))
    return lines
