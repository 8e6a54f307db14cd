"""The protocols on made-up trajectories, for which the answer is known."""

import numpy as np
import pytest

from lorantk.experiments.common import protocols
from lorantk.experiments.common.results import Result
from lorantk.experiments.digits.cell import Cell
from lorantk.experiments.digits.finetune import Trajectory

CELL = Cell("memorising", "sgd", "clean", "full", (0.1, 1.0), 2, 64, 8)
STEPS = CELL.checkpoints  # 0, 2, 3, 4, 6, 8


def made_up(cell=CELL, **records):
    """Return a result whose records are 0.5 unless given, broadcast to (seeds, rates, checkpoints)."""
    shape = (cell.seeds, len(cell.rates), len(cell.checkpoints))
    full = {name: np.full(shape, 0.5, np.float32) for name in Trajectory._fields}
    full |= {name: np.broadcast_to(np.asarray(value, np.float32), shape) for name, value in records.items()}
    return Result(cell, full, {})


def falling(scale):
    """Return a loss that falls from `scale` to `scale/6` in equal steps."""
    return scale * np.linspace(1, 1 / 6, 6)


def test_same_rate_is_the_last_step_at_that_rate():
    accuracy = np.arange(24).reshape(2, 2, 6)
    point = protocols.at_rate(made_up(test_accuracy=accuracy), 1.0)
    assert point.records["test_accuracy"].tolist() == [11, 23]
    assert point.step.tolist() == [8, 8]
    assert point.rate.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"one of the grid \(0.1, 1\); got 0.5"):
        protocols.at_rate(made_up(), 0.5)


def test_each_seed_tunes_for_itself():
    loss = np.full((2, 2, 6), 3.0)
    loss[0, 1, -1], loss[1, 0, -1] = 1.0, 1.0
    loss[0, 0, 2] = 0.5  # better, but not at the last step
    result = made_up(validation_loss=loss)
    assert protocols.tuned_rate(result).rate.tolist() == [1, pytest.approx(0.1)]
    both = protocols.tuned(result)
    assert both.step.tolist() == [STEPS[2], STEPS[-1]]
    assert both.rate.tolist() == pytest.approx([0.1, 0.1])


def test_the_reference_rate_is_the_best_on_average():
    loss = np.array([[1.0, 2.0], [3.0, 1.5]])[:, :, None]
    assert protocols.best_rate(made_up(validation_loss=loss)) == 1.0


def test_a_run_that_diverged_counts_as_guesses_and_is_never_chosen():
    loss = np.full((2, 2, 6), 0.4)
    loss[:, 1, :3] = 0.1
    loss[0, 1, 1] = np.nan  # finite afterwards, but still diverged
    result = made_up(validation_loss=loss, test_accuracy=0.9)
    assert protocols.diverged(result)[0, 1].tolist() == [False, True, True, True, True, True]
    assert protocols.at_rate(result, 1.0).records["test_accuracy"].tolist() == pytest.approx([0.2, 0.9])
    assert protocols.at_rate(result, 1.0).diverged.tolist() == [True, False]
    chosen = protocols.tuned(result)
    assert chosen.step[0] == 0  # before it diverged
    assert not chosen.diverged.any()
    assert protocols.best_rate(result) == pytest.approx(0.1)
    assert all(not np.isnan(array).any() for array in protocols.usable(result).values())


def test_no_rate_without_divergence_is_an_error():
    with pytest.raises(ValueError, match="at least one rate must train without divergence"):
        protocols.best_rate(made_up(validation_loss=np.inf))


def test_equal_progress_stops_both_at_the_level_that_both_reach():
    fast = made_up(train_loss=falling(0.6), test_accuracy=np.linspace(0, 1, 6))  # 0.6, 0.5, … 0.1
    slow = made_up(train_loss=falling(1.5), test_accuracy=np.linspace(0, 1, 6))  # 1.5, 1.25, … 0.25
    one, other = protocols.equal_progress([fast, slow])
    np.testing.assert_allclose(other.records["test_accuracy"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(one.records["train_loss"], 0.25, rtol=1e-6)
    np.testing.assert_allclose(one.records["test_accuracy"], 0.7, rtol=1e-6)  # half-way between checkpoints 3 and 4
    np.testing.assert_allclose(one.step, 5, rtol=1e-6)


def test_equal_progress_follows_each_seeds_tuned_rate_to_its_lowest_loss():
    rates = np.array([[0.4, 0.5], [0.5, 0.4]])[:, :, None]  # validation loss: the seeds tune to different rates
    train = np.array([0.9, 0.7, 0.2, 0.3, 0.4, 0.5]) + np.array([0.0, 1.0])[:, None]  # lowest at the third checkpoint
    slow = made_up(validation_loss=rates, train_loss=np.array([[0.8], [1.9]]) * np.ones(6))
    found, _ = protocols.equal_progress([made_up(validation_loss=rates, train_loss=train), slow])
    np.testing.assert_allclose(found.records["train_loss"], [0.8, 1.9], rtol=1e-6)
    assert found.rate.tolist() == [pytest.approx(0.1), 1]
    lone, _ = protocols.equal_progress([made_up(train_loss=train[0]), made_up(train_loss=0.0)])
    assert lone.step.tolist() == [STEPS[2]] * 2


def test_a_level_that_is_reached_at_the_start_or_never():
    assert protocols.crossing(np.array([0.1, 0.05]), 0.2) == (0, 0.0)
    assert protocols.crossing(np.array([3.0, 2.0, 2.5]), 1.0) == (1, 0.0)
    k, w = protocols.crossing(np.array([3.0, 2.0, 1.0]), 1.25)
    assert (k, w) == (1, 0.75)


def test_going_back_finds_the_last_time_at_a_level():
    assert protocols.last_crossing(np.array([1.0, 3.0, 2.0, 0.5]), 1.25) == (2, 0.5)
    assert protocols.last_crossing(np.array([1.0, 0.5]), 2.0) == (0, 0.0)
    assert protocols.last_crossing(np.array([1.0, 0.5, 0.7]), 0.7) == (2, 0.0)


def test_tenfold_is_for_the_adapters_only():
    full = made_up()
    lora = made_up(Cell("memorising", "sgd", "clean", "lora", (0.1, 1.0), 2, 64, 8))
    found = protocols.points("ii", [full, lora], rate=0.1)
    assert [point.rate.tolist() for point in found] == [pytest.approx([0.1, 0.1]), [1, 1]]
    with pytest.raises(ValueError, match="protocol must be one of i, ii, iii, iv, v; got 'vi'"):
        protocols.points("vi", [full], rate=0.1)


@pytest.mark.parametrize("rate", [1.0, None])
def test_a_difference_that_is_all_fit_leaves_no_rest(rate):
    validation = np.zeros((2, 2, 6))
    validation[[0, 1], [0, 1]] = 1.0  # so that the seeds are tuned to different rates

    def arm(speed):
        loss = np.linspace(2, 2 - speed, 6)
        loss = np.stack([loss + 0.1, loss] if rate is None else [loss, loss])
        return made_up(poison_loss=loss, success=1 - loss / 2, validation_loss=validation)  # success depends on the fit alone

    for pair in ([arm(1.5), arm(0.5)], [arm(0.5), arm(1.5)]):
        fast, slow = sorted(protocols.equal_fit(pair, rate), key=lambda point: point.step[0])
        np.testing.assert_allclose(fast.records["poison_loss"], 1.5 if rate else [1.5, 1.6], rtol=1e-6)
        np.testing.assert_allclose(fast.records["success"], slow.records["success"], rtol=1e-6)
        assert slow.step.tolist() == [8, 8]


def test_a_difference_at_equal_fit_is_all_rest():
    loss = np.linspace(2, 0.5, 6)
    one, other = made_up(poison_loss=loss, success=0.8), made_up(poison_loss=loss, success=0.5)
    found = protocols.equal_fit([one, other], 1.0)
    assert [point.step.tolist() for point in found] == [[8, 8], [8, 8]]
    np.testing.assert_allclose(found[0].records["success"] - found[1].records["success"], 0.3, rtol=1e-6)
