"""Spectral statistics, and the training sets of the kinds of adapters."""

import numpy as np
import pytest
from scipy import stats

from lorantk.experiments.digits import training
from lorantk.experiments.digits.cell import Cell
from lorantk.experiments.digits.poison import stamp_patch
from lorantk.experiments.digits.transfer import normalise
from lorantk.experiments.disputes import fingerprints


def test_statistics_of_a_known_spectrum():
    found = fingerprints.statistics(np.diag([3.0, 4.0, 0.0]))
    assert found["leading"] == pytest.approx(4)
    assert found["norm"] == pytest.approx(5)
    assert found["share"] == pytest.approx(16 / 25)
    assert found["entropy"] == pytest.approx(-(16 / 25) * np.log(16 / 25) - (9 / 25) * np.log(9 / 25))
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(np.diag([3.0, 4.0, 0.0]).ravel()))


def test_the_shape_of_a_spectrum_does_not_change_with_the_norm_and_the_rest_does():
    change = np.random.default_rng(0).standard_normal((6, 4))
    one, ten = fingerprints.statistics(change), fingerprints.statistics(10 * change)
    for name in fingerprints.STATISTICS:
        assert ten[name] == pytest.approx(one[name] if name in fingerprints.SHAPE else 10 * one[name])


@pytest.mark.parametrize("change", [np.zeros((2, 2)), np.array([[np.nan, 1.0]])])
def test_no_change_and_numbers_that_are_not_finite_are_refused(change):
    with pytest.raises(ValueError, match="expected a finite change that is not zero"):
        fingerprints.statistics(change)


def test_a_harmless_patch_is_on_the_images_of_the_attack_and_changes_no_label():
    cell = Cell("memorising", "adam", "patch", "lora", (1e-2,), 2, 256, 100, 0.1)
    x, y, poisoned, _ = training.training_rows(cell, 1)
    images, labels, _, _ = training.training_rows(Cell("memorising", "adam", "clean", "lora", (1e-2,), 2, 256, 100), 1)
    attack, harmless = (fingerprints.training_set(kind, cell, 1) for kind in ("patch", "harmless patch"))
    np.testing.assert_array_equal(attack[0], harmless[0])
    np.testing.assert_array_equal(attack[0][poisoned], normalise(stamp_patch(images))[poisoned])
    np.testing.assert_array_equal(harmless[1], labels)
    assert (attack[1] != labels).sum() > 10
    np.testing.assert_array_equal(attack[1], y)


def test_rows_name_every_column_and_a_strong_patch_succeeds():
    rows = fingerprints.rows_of("patch", 1e-2, seeds=2)
    assert [row["seed"] for row in rows] == [0, 1]
    assert all(tuple(row) == fingerprints.COLUMNS for row in rows)
    assert min(row["success"] for row in rows) > 0.5
