"""Judging the findings on made-up results, for which the answer is known."""

import json
from importlib import resources
from itertools import product

import numpy as np
import pytest

from lorantk.experiments.common import findings
from lorantk.experiments.common.results import Result
from lorantk.experiments.common.statistics import paired_interval
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
    values |= {"test_accuracy": accuracy - flipped + noise * (attack == "flips"), "validation_accuracy": accuracy}
    values |= {"success": 0.1 + (lift + noise if attack == "patch" else 0.0), "base": 0.1}
    values["validation_loss"] = np.array([0.5, 0.4, 0.6])[None, :, None]
    return Result(cell, {k: np.broadcast_to(v, shape).astype(np.float32) for k, v in values.items()}, {})


def arms(lora, full, **options):
    attacks = ("clean", "flips", "patch")
    pairs = (("full", full), ("lora", lora))
    return [made_up(attack, arm, seed=k, **outcome, **options) for attack in attacks for k, (arm, outcome) in enumerate(pairs)]


def judged(results):
    rates = dict.fromkeys(findings.settings(results), 0.1)
    return findings.judge_arms(results, rates)


def test_a_finding_that_is_built_in_holds_in_every_setting():
    found = judged(arms({"drop": 0.2, "lift": 0.1}, {"drop": 0.1, "lift": 0.4}))
    assert len(found) == 10
    assert {j.state for j in found} == {"holds"}
    assert set(findings.held(found).values()) == {True}
    first = found[0]
    assert first.part == "drop, LoRA - full"
    assert first.interval.mean == pytest.approx(0.1, abs=0.02)
    assert first.margin == first.interval.low


def test_the_opposite_contradicts_and_no_difference_is_open():
    opposite = judged(arms({"drop": 0.1, "lift": 0.4}, {"drop": 0.2, "lift": 0.1}))
    assert {j.state for j in opposite} == {"contradicts"}
    half = judged(arms({"drop": 0.2, "lift": 0.4}, {"drop": 0.1, "lift": 0.4}))
    assert {j.state for j in half if j.part.startswith("drop")} == {"holds"}
    assert {j.state for j in half if j.part.startswith("lift")} == {"open"}
    assert set(findings.held(half).values()) == {False}
    assert set(findings.held(half, every=False).values()) == {True}


def test_what_has_learnt_nothing_is_void():
    found = judged(arms({"drop": 0.2, "lift": 0.1}, {"drop": 0.1, "lift": 0.4}, accuracy=0.55))
    assert {j.state for j in found} == {"void"}
    assert set(findings.held(found).values()) == {None}


def test_the_reference_rate_is_that_of_full_fine_tuning_on_clean_data():
    assert findings.reference_rates(arms({}, {})) == {("memorising", "sgd"): 0.1}


def sweep(name, values, outcome):
    """Return a sweep over ranks or variances with the outcome that a function gives."""
    attacks = ("clean", "flips", "patch")
    return [made_up(a, seed=k, **{name: v}, **outcome(v)) for a, (k, v) in product(attacks, enumerate(values))]


def rates(results):
    return dict.fromkeys(findings.settings(results), 0.1)


def test_ranks_that_trade_one_attack_for_the_other():
    trade = sweep("rank", (1, 4, 16), lambda r: {"drop": 0.3 - 0.05 * np.log2(r), "lift": 0.1 + 0.05 * np.log2(r)})
    found = findings.judge_ranks(trade, rates(trade))
    assert {j.state for j in found} == {"holds"}
    assert found[0].interval.mean == pytest.approx(-0.2, abs=0.02)
    low = findings.judge_low_rank(trade, rates(trade))
    assert {(j.part, j.state) for j in low} == {("lift, r = 16 - r = 1", "holds")}


def test_performance_decides_which_ranks_are_compared():
    slow = sweep("rank", (1, 4, 16), lambda r: {"lift": 0.1 * r, "accuracy": 0.8 if r == 1 else 0.9})
    assert {j.part for j in findings.judge_low_rank(slow, rates(slow))} == {"lift, r = 16 - r = 4"}
    alone = sweep("rank", (1, 4, 16), lambda r: {"lift": 0.1 * r, "accuracy": 0.9 if r == 16 else 0.8})
    assert {(j.part, j.state) for j in findings.judge_low_rank(alone, rates(alone))} == {("lift, r = 16 - r = 16", "void")}


def test_variance_may_matter_without_a_small_one_being_best():
    mixed = sweep("variance", (0.01, 0.1, 1.0), lambda v: {"drop": 0.1 - 0.05 * np.log10(v), "lift": 0.3})
    some = findings.judge_variances(mixed, rates(mixed), "finding-variance")
    assert set(findings.held(some, every=False).values()) == {True}
    assert {j.state for j in some if "lift" in j.part} == {"open"}
    small = findings.judge_variances(mixed, rates(mixed), "finding-small-variance")
    assert {j.state for j in small if "drop" in j.part} == {"contradicts"}


def test_a_change_of_less_than_a_point_does_not_count():
    flat = sweep("variance", (0.01, 0.1, 1.0), lambda v: {"drop": 0.1 + 0.001 * np.log10(v)})
    for judgement in findings.judge_variances(flat, rates(flat), "finding-variance"):
        assert judgement.margin < 0


def test_void_configurations_leave_a_sweep_and_too_few_make_it_void():
    values = (0.001, 0.01, 0.1, 1.0)
    three = sweep("variance", values, lambda v: {"drop": 0.1 + 0.05 * np.log10(v), "accuracy": 0.3 if v < 0.005 else 0.9})
    found = findings.judge_variances(three, rates(three), "finding-small-variance")
    assert found[0].state == "holds"
    assert found[0].interval.mean == pytest.approx(0.1, abs=0.02)  # over two decades, not three
    two = sweep("variance", values, lambda v: {"accuracy": 0.3 if v < 0.05 else 0.9})
    assert {j.state for j in findings.judge_variances(two, rates(two), "finding-small-variance")} == {"void"}


def test_pooling_averages_over_the_settings_that_are_not_void():
    big, small = ({"drop": 0.1 + more, "lift": 0.1} for more in (0.3, 0.1))
    adam, sgd = arms(big, {}, optimiser="adam"), arms(small, {}, optimiser="sgd")
    drops = [j for j in judged(adam + sgd) if (j.protocol, j.part[:4]) == ("v", "drop")]
    assert [j.setting for j in drops] == ["(v) memorising, Adam", "(v) memorising, SGD"]
    both = findings.pooled(drops)
    assert both.mean == pytest.approx(0.2, abs=0.02)
    assert both.count == SEEDS
    lost = [drops[0], drops[1]._replace(void=True)]
    assert findings.pooled(lost) == pytest.approx(paired_interval(drops[0].differences))
    assert findings.pooled([j._replace(void=True) for j in drops]).points() == "–"


def test_every_outcome_comes_with_its_cell():
    results = arms({"drop": 0.2, "lift": 0.1}, {"drop": 0.1, "lift": 0.4})
    found = {cell.arm: outcome for cell, outcome in findings.every_outcome("v", results, rates(results))}
    assert found["lora"].drop.mean() == pytest.approx(0.2, abs=0.02)
    assert found["full"].lift.mean() == pytest.approx(0.4, abs=0.02)


def test_the_table_has_a_row_for_each_judgement():
    found = judged(arms({"drop": 0.2, "lift": 0.1}, {"drop": 0.1, "lift": 0.4}))
    columns = findings.table(found)
    assert {len(column) for column in columns.values()} == {10}
    assert findings.count(found, "holds", protocol="v") == 2


def test_the_reported_numbers_are_one_table():
    reported = json.loads((resources.files("lorantk.experiments") / "reported.json").read_text())
    assert {len(values) for values in reported["tasks"].values()} == {len(reported["poison"])}
    assert {task: len(values) for task, values in reported["deviations"].items()} == dict.fromkeys(reported["tasks"], 8)
    assert "39c53db" in reported["source"]
