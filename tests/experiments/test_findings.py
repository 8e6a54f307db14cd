"""Judging the findings on made-up results, for which the answer is known."""

from itertools import product

import numpy as np
import pytest

from lorantk.experiments.common import findings
from lorantk.experiments.common.results import Result
from lorantk.experiments.digits.cell import Cell
from lorantk.experiments.digits.finetune import Trajectory

RATES = (0.01, 0.1, 1.0)
SEEDS = 20


def made_up(attack, arm="lora", *, drop=0.1, lift=0.3, accuracy=0.9, seed=0, optimiser="sgd", **options):
    """Return a cell with the given drop or lift as its outcome, with noise of 0.01 that does not depend on attack or arm."""
    cell = Cell("memorising", optimiser, attack, arm, RATES, SEEDS, 64, 8, poison=0.0 if attack == "clean" else 0.1, **options)
    shape = (SEEDS, len(RATES), len(cell.checkpoints))
    noise = 0.01 * np.random.default_rng(seed).normal(size=(SEEDS, 1, 1))
    flipped = {"flips": drop}.get(attack, 0.0)
    values = dict.fromkeys(Trajectory._fields, 0.5)
    values |= {"test_accuracy": accuracy - flipped + noise * (attack == "flips"), "validation_accuracy": accuracy + 0.03}
    values |= {"success": 0.1 + (lift + noise if attack == "patch" else 0.0), "base": 0.05}
    values["validation_loss"] = np.array([0.5, 0.4, 0.6])[None, :, None]
    return Result(cell, {k: np.broadcast_to(v, shape).astype(np.float32) for k, v in values.items()}, {})


def arms(lora, full, **options):
    attacks = ("clean", "flips", "patch")
    pairs = (("full", full), ("lora", lora))
    return [made_up(attack, arm, seed=k, **outcome, **options) for attack in attacks for k, (arm, outcome) in enumerate(pairs)]


def rates(results):
    return dict.fromkeys(findings.settings(results), 0.1)


def means(found, protocol="v"):
    """The mean of each part under one protocol, in every setting."""
    return {(e.part, e.setting): pytest.approx(e.differences.mean(), abs=0.01) for e in found if e.protocol == protocol}


def test_arms_are_compared_in_every_setting_and_protocol():
    built_in = {"drop": 0.2, "lift": 0.1}, {"drop": 0.1, "lift": 0.4}
    results = [result for optimiser in ("adam", "sgd") for result in arms(*built_in, optimiser=optimiser)]
    found = findings.arm_effects(results, rates(results))
    assert len(found) == 20
    assert {len(effect.differences) for effect in found} == {SEEDS}
    for protocol in ("i", "iii", "iv", "v"):
        assert means(found, protocol) == {
            (part, setting): mean
            for setting in ("memorising, Adam", "memorising, SGD")
            for part, mean in (("arms-drop", 0.1), ("arms-lift", 0.3))
        }
    assert not any(effect.void for effect in found)


def test_arms_with_frozen_a_take_no_part():
    results = arms({"drop": 0.2}, {"drop": 0.1}) + [made_up(a, "lora-fa", drop=0.5) for a in ("clean", "flips", "patch")]
    assert means(findings.arm_effects(results, rates(results)))["arms-drop", "memorising, SGD"] == 0.1


def test_what_has_learnt_nothing_is_void():
    found = arms({}, {}, accuracy=0.55)
    assert all(effect.void for effect in findings.arm_effects(found, rates(found)))


def test_the_reference_rate_is_that_of_full_fine_tuning_on_clean_data():
    assert findings.reference_rates(arms({}, {})) == {("memorising", "sgd"): 0.1}


def sweep(name, values, outcome):
    """Return a sweep over ranks or variances with the outcome that a function gives."""
    attacks = ("clean", "flips", "patch")
    return [made_up(a, seed=k, **{name: v}, **outcome(v)) for a, (k, v) in product(attacks, enumerate(values))]


def test_ranks_and_variances_are_taken_from_the_cells():
    ranks = sweep("rank", (1, 4, 16), lambda r: {"drop": 0.3 - 0.05 * np.log2(r), "lift": 0.1 + 0.05 * np.log2(r)})
    where = "memorising, SGD"
    assert means(findings.rank_effects(ranks, rates(ranks))) == {
        ("rank-drop", where): 0.2,
        ("rank-lift", where): 0.2,
        ("low-rank-lift", where): 0.2,
    }
    variances = sweep("variance", (0.01, 0.1, 1.0), lambda v: {"drop": 0.2 + 0.05 * np.log10(v), "lift": 0.3})
    assert means(findings.variance_effects(variances, rates(variances))) == {
        ("variance-drop", where): 0.1,
        ("variance-lift", where): 0.0,
    }


def test_every_outcome_comes_with_its_cell():
    results = arms({"drop": 0.2, "lift": 0.1}, {"drop": 0.1, "lift": 0.4})
    found = {cell.arm: outcome for cell, outcome in findings.every_outcome("v", results, rates(results))}
    assert found["lora"].drop.mean() == pytest.approx(0.2, abs=0.02)
    assert found["full"].lift.mean() == pytest.approx(0.4, abs=0.02)
    means = {name: np.mean(getattr(found["lora"], name)) for name in ("accuracy", "validation_accuracy", "poisoned_accuracy")}
    assert means == pytest.approx({"accuracy": 0.9, "validation_accuracy": 0.93, "poisoned_accuracy": 0.7}, abs=0.01)
