"""The study's sweeps, from made-up runs."""

import numpy as np
import pytest

from lorantk.experiments.common import findings
from lorantk.experiments.language import kept, study, sweeps
from lorantk.experiments.language.packages import LanguageError


def table(folder, cells):
    """Keep a run for every seed and rate: each doubling of the rank costs a point of drop, each decade of variance 5 of lift."""
    place = kept.Place(root=folder)
    for cell in cells:
        for one in cell.runs:
            doublings, decades = np.log2(one.rank), np.log10(one.variance)
            accuracy = 0.85 if one.attack == "clean" else 0.7 - 0.01 * doublings
            record = dict.fromkeys(
                ("train_loss", "validation_loss", "poison_loss", "poison_fit"), 0.4 + abs(np.log(one.rate / 1e-4))
            )
            record |= {"test_accuracy": accuracy + 1e-4 * one.seed, "validation_accuracy": 0.8, "base": 0.1}
            record["success"] = 0.1 if one.attack == "clean" else 0.5 + 0.05 * decades
            place.store(one, [{"step": s} | record for s in one.checkpoints], 1.0)
    place.collect()
    return kept.Place(root=folder)


def cells_of(without=()):
    arms = [cell for cell in study.arms() if cell.arm in ("full", "lora")]
    return [cell for sweep in (arms, study.ranks(), study.variances()) for cell in sweep if cell not in without]


def test_each_effect_has_its_sweep_its_seeds_and_its_size(tmp_path):
    found = sweeps.load(table(tmp_path, cells_of()))
    token = findings.select(found.variances, regime="memorising", attack="token")
    assert [r.cell.variance for r in token] == [0.001, 1 / 3, 10.0]
    effects = sweeps.effects(found)
    count = {"arms": (5, 10, 20), "rank": (3, 10, 10), "low": (3, 10, 10), "variance": (3, 10, 10)}
    for part in {e.part for e in effects}:
        mine = [e for e in effects if e.part == part]
        of, drop_seeds, lift_seeds = count[part.split("-")[0]]
        assert len(mine) == 2 * of
        assert {len(e.differences) for e in mine} == {drop_seeds if part.endswith("drop") else lift_seeds}
    tuned = {(e.part, e.setting): e.differences for e in effects if e.protocol == "v"}
    np.testing.assert_allclose(tuned["rank-drop", "one epoch, Adam"], -0.06, atol=1e-12)  # six doublings, and more drop at each
    np.testing.assert_allclose(tuned["rank-lift", "one epoch, Adam"], 0, atol=1e-12)
    np.testing.assert_allclose(tuned["variance-lift", "memorising, Adam"], 0.2, atol=1e-12)  # four decades
    np.testing.assert_allclose(tuned["variance-drop", "memorising, Adam"], 0, atol=1e-12)


def test_a_missing_cell_is_named(tmp_path):
    lacking = study.ranks()[3]
    place = table(tmp_path, cells_of(without=[lacking]))
    with pytest.raises(LanguageError, match=f"got none for {len(list(lacking.runs))}"):
        sweeps.load(place)
