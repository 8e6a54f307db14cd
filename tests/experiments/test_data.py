"""Splits and variants of the digits."""

import numpy as np
import pytest

from lorantk.experiments.digits.data import augment, digits, split

X, Y = digits(normalise=False)


def test_the_parts_are_disjoint_complete_and_balanced():
    parts = split(Y, classes=10, validation=20, test=40, seed=1)
    assert sorted(np.concatenate(parts)) == list(range(len(Y)))
    assert set(np.bincount(Y[parts.validation])) == {20}
    assert set(np.bincount(Y[parts.test])) == {40}
    again, other = (split(Y, classes=10, validation=20, test=40, seed=seed) for seed in (1, 2))
    assert (again.test == parts.test).all()
    assert set(other.test) != set(parts.test)


@pytest.mark.parametrize(("validation", "test"), [(100, 80), (0, 5), (5, 0)])
def test_a_class_that_would_be_empty_is_refused(validation, test):
    with pytest.raises(ValueError, match="every class must have rows in all three parts; got .* rows of class"):
        split(Y, classes=10, validation=validation, test=test, seed=0)
    with pytest.raises(ValueError, match="got 0 rows of class 10"):
        split(Y, classes=11, validation=1, test=1, seed=0)


def test_variants_are_moved_copies_of_their_source():
    variants, source = augment(X[:50], 200, noise=0.0, seed=0)
    assert set(np.bincount(source)) == {4}
    for variant, k in zip(variants, source, strict=True):
        padded = np.pad(X[k].reshape(8, 8), 1)
        moves = [padded[i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
        assert any((move.ravel() == variant).all() for move in moves)
    noisy = augment(X[:50], 200, seed=0)[0]
    assert (source == augment(X[:50], 200, seed=0)[1]).all()
    assert noisy.min() >= 0
    assert noisy.max() <= 16
    # Clipping at 0 only shrinks noise of standard deviation 1; 12 800 pixels.
    assert 0.4 < (noisy - variants).std() < 1.0
