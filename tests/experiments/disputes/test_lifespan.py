"""Two phases of training without a break, and the half-life of what the first one left."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lorantk.experiments.digits import training
from lorantk.experiments.digits.poison import stamp_patch
from lorantk.experiments.digits.transfer import normalise
from lorantk.experiments.disputes import lifespan


def one(arm="lora", rank=1):
    """The first cell of an arm and a rank."""
    return next(cell for _, cell in lifespan.parts(seeds=2) if (cell.arm, cell.rank) == (arm, rank))


def test_the_second_phase_is_clean_and_has_images_that_the_first_did_not():
    cell = one()
    task = lifespan.task(cell, 1)
    first, second = task.batches[: lifespan.POISONED_STEPS], task.batches[lifespan.POISONED_STEPS :]
    assert len(second) == lifespan.CLEAN_STEPS
    assert first.max() < cell.rows <= second.min()
    assert len(np.unique(second)) == second.max() - second.min() + 1
    x, y, poisoned, _ = training.training_rows(cell, 1)
    assert 0.1 < poisoned.mean() < 0.3
    np.testing.assert_array_equal(task.x[: cell.rows], normalise(x))
    clean, labels, _, held = training.training_rows(replace(cell, attack="clean", poison=0.0, rows=len(task.y)), 1)
    np.testing.assert_array_equal(task.x[cell.rows :], normalise(clean[cell.rows :]))
    np.testing.assert_array_equal(task.y[cell.rows :], labels[cell.rows :])
    np.testing.assert_array_equal(x[poisoned], stamp_patch(clean[: cell.rows][poisoned]))
    every = np.concatenate([clean, *(rows for rows, _ in held.values())])
    assert len(every) == 896


@pytest.mark.parametrize("rank", lifespan.RANKS)
def test_matched_scales_give_every_rank_the_speed_of_rank_eight(rank):
    speeds = {speed: cell.speeds for speed, cell in lifespan.parts() if cell.rank == rank and cell.arm == "lora"}
    np.testing.assert_allclose(speeds["matched"], 4 * 8 / 3 / 64)
    np.testing.assert_allclose(speeds["common"], rank / 3 / 64)


def test_under_adam_a_third_scale_gives_every_rank_the_step_of_rank_eight():
    cells = [cell for speed, cell in lifespan.parts() if speed == "step"]
    assert {(cell.optimiser, cell.rank) for cell in cells} == {("adam", rank) for rank in lifespan.RANKS}
    assert {cell.scale * cell.rank for cell in cells} == {16.0}


def runs_of(lives):
    """Runs of two seeds whose half-lives at the ranks are given; the second seed's are twice as long."""
    return pd.DataFrame(
        {"rank": rank, "seed": seed, "excess": 0.9, "half_life": life * 2**seed}
        for rank, life in lives.items()
        for seed in range(2)
    )


def test_half_lives_that_halve_with_every_doubling_of_the_rank_fall_by_the_range():
    assert lifespan.fall_with_rank(runs_of({1: 64.0, 2: 32.0, 4: 16.0, 8: 8.0})) == pytest.approx([3, 3])
    assert lifespan.fall_with_rank(runs_of({1: 8.0, 4: 8.0, 32: 8.0})) == pytest.approx([0, 0])


def test_ranks_whose_backdoor_is_not_well_injected_are_left_out_and_two_ranks_are_too_few():
    runs = runs_of({1: 1.0, 2: 32.0, 4: 16.0, 8: 8.0})
    runs.loc[runs["rank"] == 1, "excess"] = 0.4
    assert lifespan.fall_with_rank(runs) == pytest.approx([2, 2])
    runs.loc[runs["rank"] == 2, "excess"] = 0.4
    assert lifespan.fall_with_rank(runs) is None


def test_half_life_is_exact_where_the_record_falls_with_the_logarithm_of_the_steps():
    steps = np.array([0.0, 1, 2, 4, 8, 16])
    excess = np.array([0.75, 0.75, 0.65, 0.55, 0.45, 0.35])  # falls by a tenth in every doubling
    assert lifespan.half_life(excess, steps) == (pytest.approx(2**3.75), False)


def test_half_life_before_the_first_checkpoint_never_and_at_once():
    steps = np.array([0.0, 1, 2])
    assert lifespan.half_life(np.array([0.8, 0.2, 0.0]), steps) == (pytest.approx(2 / 3), False)
    assert lifespan.half_life(np.array([0.8, 0.7, 0.41]), steps) == (2.0, True)
    assert lifespan.half_life(np.array([0.0, 0.0, 0.0]), steps) == (0.0, False)


def test_a_cell_has_a_row_for_every_run_and_a_diverged_run_has_no_backdoor():
    cell = replace(one("full", 8), rates=(1e-3, 1e300))
    rows = lifespan.rows_of("own", cell)
    assert [(row["seed"], row["rate"]) for row in rows] == [(0, 1e-3), (0, 1e300), (1, 1e-3), (1, 1e300)]
    assert all(tuple(row) == lifespan.COLUMNS for row in rows)
    assert [row["diverged"] for row in rows] == [0, 1, 0, 1]
    assert rows[1]["excess"] == 0
    assert rows[1]["half_life"] == lifespan.CLEAN_STEPS
    assert rows[0]["excess"] > 0.2
