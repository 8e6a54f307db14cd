"""Poison: what it changes, what it leaves, and what it refuses."""

import numpy as np
import pytest

from lorantk.experiments.common.poison import flip_labels
from lorantk.experiments.digits import poison

LABELS = np.arange(2000) % 5
IMAGES = np.random.default_rng(0).integers(0, 17, (2000, 64)).astype(float)


def flip(rate=0.3, seed=0, labels=LABELS, classes=5):
    return flip_labels(labels, rate=rate, classes=classes, seed=seed)


def plant(rate=0.1, target=2, seed=0, **patch):
    return poison.plant_backdoor(IMAGES, LABELS, rate=rate, target=target, classes=5, seed=seed, **patch)


def test_flipped_labels_are_wrong_and_the_others_untouched():
    labels, poisoned = flip()
    assert (labels[poisoned] != LABELS[poisoned]).all()
    assert (labels[~poisoned] == LABELS[~poisoned]).all()
    assert set(labels) == set(range(5))


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_the_share_of_flipped_labels_is_the_rate(rate):
    assert abs(flip(rate)[1].mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / len(LABELS))


def test_rates_of_zero_and_one_poison_nothing_and_everything():
    assert not flip(0.0)[1].any()
    assert flip(1.0)[1].all()
    assert (plant(0.0)[0] == IMAGES).all()
    assert (plant(1.0)[1] == 2).all()


def test_every_wrong_class_is_equally_likely():
    labels, _ = flip(1.0, labels=np.zeros(10_000, int))
    counts = np.bincount(labels, minlength=5)
    assert counts[0] == 0
    assert (abs(counts[1:] - 2500) < 5 * np.sqrt(2500)).all()


def test_the_patch_changes_its_pixels_only():
    stamped = poison.stamp_patch(IMAGES).reshape(-1, 8, 8)
    assert (stamped[:, 6:, 6:] == 16).all()
    changed = (stamped != IMAGES.reshape(-1, 8, 8)).any(axis=0)
    assert changed.sum() == 4


def test_a_backdoor_stamps_and_labels_the_same_samples():
    images, labels, poisoned = plant()
    assert (images[~poisoned] == IMAGES[~poisoned]).all()
    assert (labels[~poisoned] == LABELS[~poisoned]).all()
    assert (images[poisoned] == poison.stamp_patch(IMAGES[poisoned])).all()
    assert (labels[poisoned] == 2).all()
    assert 0 < poisoned.mean() < 0.2


def plant_clean(rate=0.5, target=2, labels=LABELS, **patch):
    return poison.plant_clean_label(IMAGES, labels, rate=rate, target=target, classes=5, seed=0, **patch)


def test_a_clean_label_backdoor_stamps_only_the_target_class_and_changes_no_label():
    images, labels, poisoned = plant_clean()
    assert (labels == LABELS).all()
    assert (LABELS[poisoned] == 2).all()
    assert 0.4 < poisoned[LABELS == 2].mean() < 0.6  # 400 images: 4 standard deviations of 2.5%
    assert (images[poisoned] == poison.stamp_patch(IMAGES[poisoned])).all()
    assert (images[~poisoned] == IMAGES[~poisoned]).all()


def test_the_same_seed_gives_the_same_poison_and_the_arguments_stay():
    images, labels = IMAGES.copy(), LABELS.copy()
    assert (flip(seed=3)[0] == flip(seed=3)[0]).all()
    assert (flip(seed=3)[1] != flip(seed=4)[1]).any()
    assert (plant(seed=3)[2] != plant(seed=4)[2]).any()
    assert (images == IMAGES).all()
    assert (labels == LABELS).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flip(1.5), r"rate must lie in \[0, 1\]; got 1.5"),
        (lambda: flip(float("nan")), "got nan"),
        (lambda: plant(-0.1), "got -0.1"),
        (lambda: flip(classes=1), "at least 2 classes; got 1"),
        (lambda: flip(classes=3), "between 0 and 2; got 0 to 4"),
        (lambda: plant(target=5), "target must be a class between 0 and 4; got 5"),
        (lambda: plant(target=-1), "got -1"),
        (lambda: plant(row=7), "inside 8 x 8 pixels; got size 2 at row 7, column 6"),
        (lambda: plant(column=-1), "column -1"),
        (lambda: plant(size=0), "size 0"),
        (lambda: plant_clean(rate=2), r"rate must lie in \[0, 1\]; got 2"),
        (lambda: plant_clean(target=7), "target must be a class between 0 and 4; got 7"),
        (lambda: plant_clean(labels=LABELS % 2), "needs images of the target class 2; got none"),
        (lambda: plant_clean(size=9), "inside 8 x 8 pixels"),
        (lambda: poison.stamp_patch(np.zeros((2, 10))), "square number of pixels; got 10"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
