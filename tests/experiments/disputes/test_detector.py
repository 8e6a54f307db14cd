"""Detectors on made-up statistics whose separation is known."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from lorantk.experiments.common.statistics import paired_interval
from lorantk.experiments.disputes import detector


def made_up(shift, *, seeds=60, seed=0):
    """Clean and poisoned statistics that differ by a shift of the first one."""
    rng = np.random.default_rng(seed)
    clean, poisoned = rng.standard_normal((2, seeds, 3))
    return clean, poisoned + [shift, 0, 0]


def test_far_apart_is_told_perfectly():
    far = detector.held_out_scores(*made_up(20))
    assert (detector.auc_by_seed(far) == 1).all()
    assert detector.alarms_at(far, 0.9) == 0


def test_the_mean_over_seeds_is_the_auc_of_scikit_learn():
    scores = detector.held_out_scores(*made_up(1))
    expected = roc_auc_score(np.repeat([0, 1], len(scores.clean)), np.concatenate(scores))
    assert detector.auc_by_seed(scores).mean() == pytest.approx(expected)
    assert 0.5 < expected < 1


def test_ties_count_half():
    assert detector.auc_by_seed(detector.Scores(np.zeros(4), np.zeros(4))).mean() == 0.5


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_intervals_cover_where_there_is_nothing_to_tell(shared):
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(400):
        common, clean, poisoned = rng.standard_normal((3, 30))
        scores = detector.Scores(clean + shared * common, poisoned + shared * common)
        _, low, high, _ = paired_interval(detector.auc_by_seed(scores))
        missed += not low < 0.5 < high
    assert 4 <= missed <= 40  # 5% of 400 are 20, with a standard deviation of 4.4


def test_the_detector_does_not_see_the_seeds_that_judge_it():
    clean, poisoned = made_up(1)
    scores = detector.held_out_scores(clean, poisoned)
    for which, same in ((1, True), (0, False)):
        changed = poisoned.copy()
        changed[which] += 1000
        other = detector.held_out_scores(clean, changed)
        assert np.array_equal(scores.clean, other.clean) is same


def test_a_detector_can_be_put_to_other_adapters():
    fitted, others = made_up(20), made_up(20, seed=1)
    far = (others[0] + [20, 0, 0], others[1] + [20, 0, 0])  # all beyond the threshold
    scores = detector.held_out_scores(*fitted, judged=far)
    assert (scores.clean > 0).mean() > 0.9
    assert detector.auc_by_seed(scores).mean() == 1


def test_roc_runs_from_no_alarm_to_all():
    false, true = detector.roc(detector.held_out_scores(*made_up(1)))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()


def test_too_few_seeds_and_other_shapes_are_refused():
    with pytest.raises(ValueError, match="expected arrays of one shape with at least 8 seeds"):
        detector.held_out_scores(*made_up(1, seeds=7))
    clean, poisoned = made_up(1)
    with pytest.raises(ValueError, match="expected arrays of one shape"):
        detector.held_out_scores(clean, poisoned[:, :2])
