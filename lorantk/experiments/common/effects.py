"""The parts of the paper's findings, as paired differences of plain numbers.

An `Outcome` says what one configuration did in one setting under one protocol, seed by seed. It may come from any system. The
functions here make `Effect` records from the outcomes of one setting, one record for each part of a finding::

    # every field of an outcome is an array with one number per seed
    found = {arm: Outcome(accuracy, validation_accuracy, drop, lift) for arm in ("full", "lora")}
    effects = of_arms(found["full"], found["lora"], protocol="v", setting="one epoch, AdamW")
    effects += of_ranks({1: ..., 8: ..., 64: ...}, protocol="v", setting="one epoch, AdamW")  # an outcome for each rank
    effects += of_variances({0.001: ..., 1 / 3: ...}, protocol="v", setting="one epoch, AdamW")

With the effects of all settings and protocols in one list, `lorantk.experiments.common.equivalence` judges a finding, for example
``verdict("finding-rank", effects)``. `rows` and `of_table` turn effects into rows of a table and back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from lorantk.experiments.common.statistics import change

# Every part of every finding: a difference that is positive if the finding is right.
PARTS = {
    "arms-drop": "LoRA's drop minus that of full fine-tuning",
    "arms-lift": "lift of full fine-tuning minus LoRA's",
    "rank-drop": "fall of the drop as the rank grows",
    "rank-lift": "rise of the lift as the rank grows",
    "low-rank-lift": "lift at the highest minus lift at the lowest rank that performs",
    "variance-drop": "rise of the drop as the variance grows",
    "variance-lift": "rise of the lift as the variance grows",
}
LEAST_ACCURACY = 0.6  # of clean training, below which a configuration is void
TOLERANCE = 0.01  # of validation accuracy: "performance permitting"


@dataclass(frozen=True)
class Outcome:
    """What one configuration did in one setting, each field an array with one number per seed.

    Attributes
    ----------
    accuracy, validation_accuracy
        After training on clean data, on the test and the validation set; fractions.
    drop
        Test accuracy lost to flipped labels, a fraction.
    lift
        Rise of the share of attacks that succeed, a fraction.
    """

    accuracy: np.ndarray
    validation_accuracy: np.ndarray
    drop: np.ndarray
    lift: np.ndarray

    @property
    def void(self) -> bool:
        """Whether the configuration learnt too little from clean data to be attacked."""
        return bool(np.mean(self.accuracy) < LEAST_ACCURACY)


class Effect(NamedTuple):
    """One part of a finding in one setting.

    Attributes
    ----------
    part
        A key of `PARTS`.
    protocol, setting
        Under which protocol, and where; any words.
    differences
        One number for each seed, a fraction, positive if the finding is right.
    void
        Whether there is too little to compare.
    """

    part: str
    protocol: str
    setting: str
    differences: np.ndarray
    void: bool = False

    @property
    def quantity(self) -> str:
        """``"drop"`` or ``"lift"``."""
        return self.part.rpartition("-")[2]


def of_arms(full: Outcome, lora: Outcome, *, protocol: str, setting: str) -> list[Effect]:
    """Return how much larger LoRA's drop is, and how much smaller its lift, than that of full fine-tuning."""
    void = full.void or lora.void
    return [
        Effect("arms-drop", protocol, setting, lora.drop - full.drop, void),
        Effect("arms-lift", protocol, setting, full.lift - lora.lift, void),
    ]


def changes(found: Mapping[float, Outcome]) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the change of drop and of lift over positions, seed by seed, and whether fewer than three are not void.

    Void configurations are left out, unless too few would remain.
    """
    kept = {place: outcome for place, outcome in found.items() if not outcome.void}
    void = len(kept) < 3
    kept = dict(found) if void else kept
    drop, lift = (np.stack([getattr(outcome, name) for outcome in kept.values()], axis=1) for name in ("drop", "lift"))
    return change(drop, np.array(list(kept))), change(lift, np.array(list(kept))), void


def admissible(found: Mapping[float, Outcome]) -> list[float]:
    """Return the keys of those whose mean validation accuracy is within `TOLERANCE` of the best, in increasing order."""
    accuracy = {key: outcome.validation_accuracy.mean() for key, outcome in found.items()}
    return sorted(key for key, value in accuracy.items() if value >= max(accuracy.values()) - TOLERANCE)


def of_ranks(found: Mapping[int, Outcome], *, protocol: str, setting: str) -> list[Effect]:
    """Return how drop and lift change with the rank, and how much safer the lowest rank that performs is than the highest.

    If a single rank performs, there is nothing to compare and the last effect is void.
    """
    drop, lift, void = changes({np.log2(rank): outcome for rank, outcome in found.items()})
    kept = admissible(found)
    low, high = found[kept[0]], found[kept[-1]]
    return [
        Effect("rank-drop", protocol, setting, -drop, void),
        Effect("rank-lift", protocol, setting, lift, void),
        Effect("low-rank-lift", protocol, setting, high.lift - low.lift, len(kept) == 1 or low.void),
    ]


def of_variances(found: Mapping[float, Outcome], *, protocol: str, setting: str) -> list[Effect]:
    """Return how drop and lift change with the variance of A's entries."""
    drop, lift, void = changes({np.log(variance): outcome for variance, outcome in found.items()})
    return [
        Effect("variance-drop", protocol, setting, drop, void),
        Effect("variance-lift", protocol, setting, lift, void),
    ]


COLUMNS = ("part", "protocol", "setting", "void")


def rows(effects: Iterable[Effect]) -> list[dict]:
    """Return effects as rows of a table: `COLUMNS`, and a number for each seed by its name ``"0"``, ``"1"`` and so on."""
    return [
        dict(zip(COLUMNS, (e.part, e.protocol, e.setting, int(e.void)), strict=True))
        | {str(seed): float(value) for seed, value in enumerate(np.round(e.differences, 6) + 0.0)}
        for e in effects
    ]


def of_table(table: pd.DataFrame) -> list[Effect]:
    """Return the effects whose `rows` a table has.

    Raises
    ------
    ValueError
        A row with an unknown part or an entry that is no number, or a part without some of the settings of another.
    """
    found = []
    for row in table.to_dict("records"):
        part, protocol, setting, void = (row.pop(name) for name in COLUMNS)
        differences = pd.to_numeric(pd.Series(row), errors="coerce").to_numpy(dtype=float)
        if part not in PARTS or void not in (0, 1) or not np.isfinite(differences).all():
            place = " / ".join(map(str, (part, protocol, setting)))
            got = f"{place}, {void} and {[*row.values()]}"
            msg = f"expected a known part, 0 or 1 for void, and a finite number for each seed; got {got[:200]}"
            raise ValueError(msg)
        found.append(Effect(part, protocol, setting, differences, bool(void)))
    places = {part: {(e.protocol, e.setting) for e in found if e.part == part} for part in {e.part for e in found}}
    if len(set(map(frozenset, places.values()))) != 1:
        counts = ", ".join(f"{len(place)} of {part}" for part, place in sorted(places.items()))
        msg = f"expected every part in the same settings and protocols; got {counts or 'no rows'}"
        raise ValueError(msg)
    return found
