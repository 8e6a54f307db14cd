"""Plots that several chapters share: a finding in all its settings."""

from collections.abc import Iterable, Sequence
from textwrap import fill

import numpy as np

from lorantk.experiments.common.effects import Effect
from lorantk.experiments.common.equivalence import (
    CONFIRMED,
    CONTRADICTED,
    NEGLIGIBLE,
    OUTCOMES,
    PRIMARY,
    SMALLEST,
    UNDECIDED,
    VOID,
    Judgement,
    pooled,
)
from lorantk.experiments.common.findings import OPTIMISERS, outcomes, select, settings
from lorantk.experiments.common.protocols import PROTOCOLS, diverged, usable
from lorantk.experiments.common.results import Result
from lorantk.experiments.common.statistics import paired_interval

# How each outcome looks: colour and marker.
LOOKS = {
    CONFIRMED: ("C0", "o"),
    CONTRADICTED: ("C3", "X"),
    NEGLIGIBLE: ("C2", "s"),
    UNDECIDED: ("0.45", "o"),
    VOID: ("0.8", "."),
}
ARMS = {"full": ("C0", "full fine-tuning"), "lora": ("C1", "LoRA"), "lora-fa": ("C2", "LoRA, A frozen")}


def draw_judgement(axis, y: float, judged: Judgement, *, width: float = 1.4) -> None:
    """Draw the interval of one judgement, in points, in the colour of its outcome."""
    color, marker = LOOKS[judged.outcome]
    mean, low, high = (100 * end for end in judged.interval[:3])
    axis.plot([low, high], [y, y], color=color, linewidth=width, solid_capstyle="butt")
    axis.plot(mean, y, marker, color=color, markersize=5)


def draw_smallest(axis, smallest: float) -> None:
    """Shade the effects that are too small to be of interest, in points, and mark zero."""
    axis.axvspan(-100 * smallest, 100 * smallest, color="0.93", zorder=0, linewidth=0)
    axis.axvline(0, color="k", linewidth=0.8)
    axis.grid(axis="y", visible=False)


def draw_settings(axes: Sequence, judgements: list[Judgement], titles: dict[str, str]) -> None:
    """Draw the interval of every setting, in points, one panel for each part of `titles`; panels share their vertical axis.

    The five protocols of each setting are drawn from top to bottom, the primary one in bold. Effects that are too small to be of
    interest are shaded.
    """
    groups = list(dict.fromkeys(j.setting for j in judgements))
    protocols = list(dict.fromkeys(j.protocol for j in judgements))
    height = len(protocols) + 1
    for axis, (part, title) in zip(axes, titles.items(), strict=True):
        here = [j for j in judgements if j.part == part]
        for j in here:
            y = groups.index(j.setting) * height + protocols.index(j.protocol)
            draw_judgement(axis, y, j, width=3.2 if j.protocol == PRIMARY else 1.4)
        draw_smallest(axis, here[0].smallest)
        axis.set_title(title)
    ticks = [g * height + p for g in range(len(groups)) for p in range(len(protocols))]
    axes[0].set_yticks(ticks, [PROTOCOLS[p] for _ in groups for p in protocols], fontsize=8)
    axes[0].set_ylim(len(groups) * height - 1, -1)
    for g, setting in enumerate(groups):
        axes[0].annotate(
            setting.replace(", ", "\n"), (0, g * height + (len(protocols) - 1) / 2), (-106, 0),
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="center", va="center", rotation=90,
            fontsize=9, annotation_clip=False,
        )  # fmt: skip


# What each part of the findings says, by quantity.
SAYS = {
    "drop": {
        "arms-drop": "LoRA loses more than full fine-tuning",
        "rank-drop": "a higher rank loses less",
        "variance-drop": "a larger variance loses more",
    },
    "lift": {
        "arms-lift": "full fine-tuning's succeeds more than LoRA's",
        "rank-lift": "a higher rank's succeeds more",
        "low-rank-lift": "the highest good rank's succeeds more",
        "variance-lift": "a larger variance's succeeds more",
    },
}
TITLES = {"drop": "accuracy lost to flipped labels", "lift": "success of a backdoor"}


def overview(systems: dict[str, Sequence[Effect]], reported: dict[str, float]):
    """Draw every part of the findings on average over settings, in points: a column for each system, the drop above the lift.

    Thick intervals are under the primary protocol, thin ones at equal training loss; a void part says so in words. Ticks are
    differences of accuracy that the paper reports, by task, for the first part.

    Returns
    -------
    figure, data
        The figure, and the plotted numbers as a data frame.
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    shape = (len(TITLES), len(systems))
    wide = 50 if len(systems) == 1 else 30  # letters in a line of a label
    heights = [len(parts) for parts in SAYS.values()]
    figure, axes = plt.subplots(*shape, figsize=(6.5, 4.6), height_ratios=heights, sharex="row", sharey="row", squeeze=False)
    rows, beside = [], {"textcoords": "offset points", "color": "0.45"}
    for (quantity, parts), line in zip(SAYS.items(), axes, strict=True):
        for axis, (name, effects) in zip(line, systems.items(), strict=True):
            for y, (part, words) in enumerate(parts.items()):
                for protocol, width, shift in ((PRIMARY, 5, 0), ("iv", 1.4, 0.26)):
                    judged = pooled(part, effects, protocol=protocol)
                    if judged.outcome == VOID:
                        if protocol == PRIMARY:
                            axis.annotate("nothing to compare", (0, y), (4, 0), va="center", fontsize=9, **beside)
                        continue
                    draw_judgement(axis, y + shift, judged, width=width)
                    ends = [100 * end for end in judged.interval[:3]]
                    rows.append((name, words, protocol, *ends, judged.outcome))
            draw_smallest(axis, SMALLEST[quantity])
            axis.set_yticks(range(len(parts)), [fill(words, wide) for words in parts.values()], fontsize=9)
        line[0].set_ylim(len(parts) - 0.35, -0.65)
        line[0].set_title(TITLES[quantity], fontsize=10, loc="left")
    for axis, name in zip(axes[0], systems, strict=True):
        axis.plot(list(reported.values()), [-0.35] * len(reported), "k|", markersize=8)
        if len(systems) > 1:
            above = {"textcoords": "offset points", "xycoords": "axes fraction", "ha": "center", "annotation_clip": False}
            axis.annotate(name, (0.5, 1), (0, 22), fontsize=11, weight="bold", **above)
    rows += [("paper", task, "reported", value, "", "", "") for task, value in reported.items()]
    for axis in axes[-1]:
        axis.set_xlabel("points; the finding says: right of 0" if len(systems) == 1 else "points")
    outcome_legend(figure, OUTCOMES[::-1])
    names = ["system", "effect", "protocol", "mean", "low", "high", "outcome"]
    return figure, pd.DataFrame(rows, columns=names)


def outcome_legend(figure, outcomes: Sequence[str] = tuple(LOOKS)) -> None:
    """Explain below the figure the colours of those outcomes that are drawn."""
    from matplotlib.lines import Line2D

    drawn = {(line.get_color(), line.get_marker()) for axis in figure.axes for line in axis.lines}
    shown = [word for word in outcomes if LOOKS[word] in drawn]
    handles = [Line2D([], [], color=LOOKS[word][0], marker=LOOKS[word][1], label=word) for word in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)


def heading(place: tuple[str, str], places: Iterable[tuple[str, str]], *, between: str = ", ") -> str:
    """Return what stands above the panel of a setting: its regime, and its optimiser if not all panels have the same."""
    regime, optimiser = place
    return regime if len({each for _, each in places}) == 1 else f"{regime}{between}{OPTIMISERS[optimiser]}"


def by_rate(result: Result, record: str) -> dict[str, list]:
    """Return a record after the last step against the learning rate: mean, pointwise 95% interval, runs diverged."""
    values = usable(result)[record][:, :, -1]
    intervals = [paired_interval(column) for column in values.T]
    return {
        "rate": list(result.cell.rates),
        "mean": [i.mean for i in intervals],
        "low": [i.low for i in intervals],
        "high": [i.high for i in intervals],
        "diverged": diverged(result)[:, :, -1].sum(axis=0).tolist(),
    }


def draw_by_rate(axis, result: Result, record: str, **style) -> dict[str, list]:
    """Draw `by_rate` as a line with a band, and a cross where at least half of the runs diverged; return its columns."""
    columns = by_rate(result, record)
    [line] = axis.semilogx(columns["rate"], columns["mean"], **{"marker": "o", "markersize": 3.5} | style)
    axis.fill_between(columns["rate"], columns["low"], columns["high"], color=line.get_color(), alpha=0.2, linewidth=0)
    lost = np.array(columns["diverged"]) >= result.cell.seeds / 2
    axis.plot(np.array(columns["rate"])[lost], np.array(columns["mean"])[lost], "x", color=line.get_color(), markersize=9)
    count, cell = len(columns["rate"]), result.cell
    names = {"regime": cell.regime, "optimiser": cell.optimiser, "attack": cell.attack, "arm": cell.arm, "record": record}
    return {name: [word] * count for name, word in names.items()} | columns


def rate_panels(arms: list[Result], lines: Sequence[tuple[str, str, str, str]], label: str):
    """Draw records after the last step against the learning rate: a panel for each setting, a colour for each arm of the sweep.

    Parameters
    ----------
    arms
        The sweep.
    lines
        For each line of an arm (attack, record, dash, its name with ``{arm}`` for the arm's, or "" for no legend entry).
    label
        Label of the vertical axis.

    Returns
    -------
    figure, data
        The figure, and the plotted numbers as a data frame.
    """
    import matplotlib.pyplot as plt
    import pandas as pd

    places = settings(arms)
    rows = 2 if len(places) > 2 else 1
    figure, axes = plt.subplots(rows, 2, figsize=(6.5, 0.9 + 2.25 * rows), sharey=True, sharex="col", squeeze=False)
    data = []
    for axis, (regime, optimiser) in zip(axes.flat, places, strict=True):
        here = select(arms, regime=regime, optimiser=optimiser)
        drawn = {result.cell.arm for result in here}
        for arm, (color, name) in ((arm, look) for arm, look in ARMS.items() if arm in drawn):
            for attack, record, dash, words in lines:
                [found] = select(here, arm=arm, attack=attack)
                style = {"color": color, "linestyle": dash, "label": words.format(arm=name) or None}
                data.append(pd.DataFrame(draw_by_rate(axis, found, record, **style)))
        axis.set_title(heading((regime, optimiser), places), fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel("learning rate (dimensionless)")
    figure.supylabel(label, fontsize=11)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure, pd.concat(data)


def draw_intervals(axis, positions: Sequence, table, *, horizontal: bool = False, factor: float = 1, **style) -> None:
    """Draw the columns mean, low and high of a table as points with bars, along the vertical or the horizontal axis."""
    mean, low, high = (factor * np.asarray(table[name], float) for name in ("mean", "low", "high"))
    bars = [mean - low, high - mean]
    if horizontal:
        axis.errorbar(mean, positions, xerr=bars, **{"fmt": "o", "capsize": 3} | style)
    else:
        axis.errorbar(positions, mean, yerr=bars, **{"fmt": "o-", "capsize": 3} | style)


# The protocols for which a sweep's curves are drawn, and their style.
CURVES = {"i": ("C1", "--", "same rate"), "v": ("C0", "-", "tuned rate and step")}
QUANTITIES = {"accuracy": "clean accuracy (%)", "drop": "drop (points)", "lift": "lift (points)"}


def draw_sweep(axes, sweep: list[Result], arms: list[Result], rates: dict, position: str, curves=CURVES) -> dict[str, list]:
    """Draw clean accuracy, drop and lift (rows) against one attribute of the cells in every setting (columns).

    `curves` has color, dash and name by protocol, as `CURVES`. Thin horizontal lines show full fine-tuning under the same
    protocols. Returns the plotted data as columns.
    """
    rows, places = [], settings(sweep)
    for column, (regime, optimiser) in zip(np.transpose(axes), places, strict=True):
        here = select(sweep, regime=regime, optimiser=optimiser)
        full = [r for r in select(arms, regime=regime, optimiser=optimiser, arm="full") if r.cell.attack != "clean label"]
        x = [getattr(r.cell, position) for r in select(here, attack="clean")]
        for protocol, (color, dash, name) in curves.items():
            found = outcomes(protocol, here, rate=rates[regime, optimiser])
            [reference] = outcomes(protocol, full, rate=rates[regime, optimiser])
            for axis, quantity in zip(column, QUANTITIES, strict=True):
                intervals = [paired_interval(getattr(outcome, quantity)) for outcome in found]
                low, high = ([getattr(i, end) for i in intervals] for end in ("low", "high"))
                mean = [i.mean for i in intervals]
                middle, *band = 100 * np.array([mean, low, high])
                axis.semilogx(x, middle, dash, color=color, marker="o", markersize=3, label=f"LoRA, {name}")
                axis.fill_between(x, *band, color=color, alpha=0.2, linewidth=0)
                level = float(getattr(reference, quantity).mean())
                axis.axhline(100 * level, color=color, linestyle=dash, linewidth=0.9, label=f"full fine-tuning, {name}")
                rows += [
                    (regime, optimiser, protocol, quantity, *numbers, outcome.diverged, level)
                    for *numbers, outcome in zip(x, mean, low, high, found, strict=True)
                ]
        column[0].set_title(heading((regime, optimiser), places, between="\n"), fontsize=9)
    for row, label in zip(axes, QUANTITIES.values(), strict=True):
        row[0].set_ylabel(label)
        for axis in row:
            axis.tick_params(labelsize=8)
            axis.minorticks_off()  # in so many panels they add little and make up most of the file
    names = ("regime", "optimiser", "protocol", "quantity", position, "mean", "low", "high", "diverged", "full fine-tuning")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
