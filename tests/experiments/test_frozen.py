"""Tables of training with A frozen: what they say of results, how they are kept, and how a slice is held to them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lorantk.experiments.common import results
from lorantk.experiments.common.results import Result
from lorantk.experiments.digits import frozen, sweeps
from lorantk.experiments.digits.cell import Cell
from lorantk.experiments.digits.finetune import Trajectory

CELL = Cell("memorising", "sgd", "clean", "full", (0.1, 0.3), 3, 64, 4, rank=8, scale=2.0)


def result(cell, **records):
    """A result whose records are 0.5 everywhere except where given: numbers, or arrays (seeds, rates, checkpoints)."""
    shape = cell.seeds, len(cell.rates), len(cell.checkpoints)
    return Result(cell, {name: np.broadcast_to(records.get(name, 0.5), shape) for name in Trajectory._fields}, {})


def trained(cell=CELL, lost=0.1, gained=0.3):
    """Clean, flipped and patched results of a configuration."""
    seeds = np.arange(cell.seeds).reshape(-1, 1, 1) / 100
    return [
        result(replace(cell, attack="clean"), test_accuracy=0.9, success=0.2),
        result(replace(cell, attack="flips"), test_accuracy=0.9 - lost - seeds),
        result(replace(cell, attack="patch"), success=0.2 + gained),
    ]


def test_drop_and_lift_are_differences_from_the_clean_run_in_points():
    found = frozen.last_step(trained())
    assert list(found["quantity"]) == ["drop", "lift", "loss"] * 2
    assert list(found["rate"]) == [0.1] * 3 + [0.3] * 3
    np.testing.assert_allclose(frozen.values(found, quantity="drop", rate=0.1), [10, 11, 12])
    np.testing.assert_allclose(frozen.values(found, quantity="lift", rate=0.3), 30)
    np.testing.assert_allclose(frozen.values(found, quantity="loss", rate=0.3), 50)
    assert list(found["accuracy"]) == pytest.approx([0.9] * 6)
    assert frozen.usable(found).all()
    with pytest.raises(ValueError, match="expected entries that one row has; got 2 rows with {'quantity': 'drop'}"):
        frozen.values(found, quantity="drop")


def test_tables_of_two_models_meet_by_configuration():
    cell = replace(CELL, variance=1 / 3)
    found = frozen.last_step(trained(cell)).replace({"variance": {1 / 3: 0.333333}})  # as a file has it
    other = frozen.last_step(trained(replace(cell, model="linearised")))
    one, two = (frozen.by_configuration(part, "drop") for part in (found, other))
    assert list(one.index) == list(two.index)
    np.testing.assert_allclose(one.to_numpy(float), two.to_numpy(float))
    with pytest.raises(ValueError, match="expected each configuration once; got"):
        frozen.by_configuration(pd.concat([found, other]), "lift")


def test_configurations_without_the_patch_have_no_last_step():
    assert len(frozen.last_step(trained()[:2])) == 0


def test_a_run_that_diverged_guesses_and_is_counted():
    clean, flips, patch = trained()
    loss = np.where(np.arange(3).reshape(-1, 1, 1) == 1, np.nan, 0.5)
    found = frozen.last_step([clean, result(flips.cell, test_accuracy=0.8, validation_loss=loss), patch])
    assert set(found["diverged"]) == {1}
    np.testing.assert_allclose(frozen.values(found, quantity="drop", rate=0.1), [10, 70, 10])
    assert not frozen.usable(found).any()
    assert frozen.usable(found, diverged=1).all()


def test_the_gap_is_lora_at_c_1_minus_full_fine_tuning():
    arms = [replace(CELL, arm="full", match=""), replace(CELL, arm="lora-fa", match="scale", scale=1.0)]
    every = []
    for cell, loses, lifts in zip(arms, (0.1, 0.3), (0.6, 0.2), strict=True):
        every += [
            result(replace(cell, attack="clean", poison=0.0), test_accuracy=0.9),
            result(replace(cell, attack="flips"), test_accuracy=0.9 - loses),
            result(replace(cell, attack="patch"), test_accuracy=0.9, success=lifts),
        ]
    found = frozen.last_step(every)
    np.testing.assert_allclose(frozen.gap(found, "drop", CELL.rank, 0.1), 20)
    np.testing.assert_allclose(frozen.gap(found, "lift", CELL.rank, 0.1), -40)
    with pytest.raises(ValueError, match="expected entries that one row has"):
        frozen.gap(found, "drop", CELL.rank, 0.1, arm="lora")


def test_equal_fit_takes_each_arm_where_it_last_had_the_poison_loss_of_the_slowest():
    steps = len(CELL.checkpoints)
    falling = np.linspace(1, 0, steps)  # of the fast arm, whose accuracy falls alike
    arms = []
    for arm, match in frozen.STEPS:
        cell = replace(CELL, arm=arm, match=match)
        fast = (arm, match) == ("full", "")
        arms += [
            result(cell, test_accuracy=0.9),
            result(
                replace(cell, attack="flips"),
                poison_loss=falling if fast else 0.5,
                test_accuracy=0.2 + 0.6 * falling if fast else 0.7,
            ),
        ]
    found = frozen.equal_fit(arms)
    values = found[frozen.seeds(found)].to_numpy(float)
    assert values.shape == (4 * 2, 3)
    np.testing.assert_allclose(values[[0, 4]], 40)  # half way: 0.9 - 0.5, where its end would be 70
    np.testing.assert_allclose(np.delete(values, [0, 4], axis=0), 20)
    assert len(frozen.table("trade-off", arms)) == 8
    assert len(frozen.table("frozen-grid", arms)) == 0


def test_a_table_survives_the_file_and_a_wrong_number_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "kept_path", lambda sweep: tmp_path / "kept.csv")
    found = frozen.last_step(trained())
    frozen.write(tmp_path / "kept.csv", found)
    kept = frozen.read("trade-off")
    assert list(kept.columns) == list(found.columns)
    few = found.drop(columns=2)
    assert frozen.distances(few, kept).shape == (6, 2)
    assert frozen.distances(few, kept).max() == pytest.approx(0, abs=1e-9)
    kept.loc[1, 0] += 3
    assert frozen.distances(few, kept)[1, 0] == pytest.approx(3)
    with pytest.raises(ValueError, match="expected .* / 0.3 / drop to be kept once; got it 0 times"):
        frozen.distances(few, kept.drop(index=3))


@pytest.mark.parametrize("damage", [lambda text: text.replace("rank", "rang"), lambda text: text.replace("30.0", "many")])
def test_a_table_that_cannot_be_used_says_what_makes_it(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(frozen, "kept_path", lambda sweep: tmp_path / "kept.csv")
    frozen.write(tmp_path / "kept.csv", frozen.last_step(trained()))
    text = (tmp_path / "kept.csv").read_text()
    (tmp_path / "kept.csv").write_text(damage(text))
    assert damage(text) != text
    with pytest.raises(ValueError, match="`python -m lorantk.experiments.digits.frozen` makes it"):
        frozen.read("trade-off")


def test_missing_results_are_named_in_one_line_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(frozen, "kept_path", lambda sweep: tmp_path / sweep)
    monkeypatch.setattr(results, "folder", lambda *_: tmp_path)
    assert frozen.main([]) == 1
    assert "results cannot be used" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_sweeps_have_what_the_plan_names():
    kept = sweeps.cells("trade-off", "kept")
    assert {cell.pretraining for cell in kept} == {"varied"}
    assert {cell.rank for cell in kept if cell.match == "scale"} == {1, 2, 4, 8, 16, 32, 64}
    assert {len(cell.rates) for cell in kept} == {3}
    places = {(c.regime, c.optimiser, c.model, c.arm, c.match, c.scale, c.rank, c.attack) for c in kept}
    assert len(places) == len(kept)
    for cell in sweeps.cells("trade-off", "default"):
        assert replace(cell, seeds=sweeps.SIZES["kept"]["seeds"]) in kept
    grid = sweeps.cells("frozen-grid", "kept")
    assert {replace(cell, model="network") for cell in grid} == {cell for cell in grid if cell.model == "network"}
    assert len(grid) == len(set(grid)) == 2 * (144 + 72)
    assert set(sweeps.cells("frozen-grid", "default")) < set(grid)
