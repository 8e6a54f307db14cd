"""The real data of the book: scikit-learn's handwritten digits (Alpaydin and Kaynak 1998), which need no download."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


@lru_cache
def _load():
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def digits(*, normalise: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the 1797 images of 8 × 8 pixels and their labels.

    Parameters
    ----------
    normalise
        Subtract each pixel's mean and scale every image to ``|x|² = 64``, the number of pixels, so that entries are of
        order 1; otherwise raw grey values between 0 and 16.

    Returns
    -------
    x
        Images, shape ``(1797, 64)``, float64.
    y
        Labels 0 to 9, shape ``(1797,)``.
    """
    x, y = (array.copy() for array in _load())
    if normalise:
        x = x - x.mean(axis=0)
        x *= np.sqrt(x.shape[1] / (x**2).sum(axis=1, keepdims=True))
    return x, y


class Split(NamedTuple):
    """Rows for training, validation and test: three disjoint arrays of indices."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(labels: Int[np.ndarray, " N"], *, classes: int, validation: int, test: int, seed: int) -> Split:
    """Split rows at random, with the same number of each class for validation and for test and the rest for training.

    Parameters
    ----------
    labels
        Labels ``0 … classes - 1``, shape ``(N,)``.
    classes
        Number of classes.
    validation, test
        Rows *of each class* for validation and for test, each at least 1.
    seed
        Seed of the choice; the order of each part is random too.

    Raises
    ------
    ValueError
        A class would be empty in one of the parts.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    parts = ([], [], [])
    for c in range(classes):
        rows = shuffled[labels[shuffled] == c]
        if min(validation, test) < 1 or len(rows) <= validation + test:
            msg = (
                f"every class must have rows in all three parts; got {len(rows)} rows of class {c} "
                f"for {validation} of validation, {test} of test and the rest for training"
            )
            raise ValueError(msg)
        for part, piece in zip(parts, np.split(rows, [validation, validation + test]), strict=True):
            part.append(piece)
    held, tested, train = (rng.permutation(np.concatenate(part)) for part in parts)
    return Split(train, held, tested)


def augment(
    images: Float[np.ndarray, "N pixels"], rows: int, *, noise: float = 1.0, seed: int
) -> tuple[Float[np.ndarray, "rows pixels"], Int[np.ndarray, " rows"]]:
    """Return ``rows`` variants of 8 × 8 images: each moved by up to one pixel, with Gaussian noise, kept within 0 to 16.

    Parameters
    ----------
    images
        Raw grey values, shape ``(N, 64)``.
    rows
        Number of variants.
    noise
        Standard deviation of the noise, in grey values.
    seed
        Seed of sources, shifts and noise.

    Returns
    -------
    variants
        Shape ``(rows, 64)``.
    source
        Which image each was made from, shape ``(rows,)``; every image is used equally often, to within one.
    """
    rng = np.random.default_rng(seed)
    source = rng.permutation(np.resize(rng.permutation(len(images)), rows))
    padded = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))[source]
    down, right = rng.integers(0, 3, (2, rows, 1, 1))
    moved = padded[np.arange(rows)[:, None, None], np.arange(8)[:, None] + down, np.arange(8) + right]
    noisy = moved + noise * rng.standard_normal(moved.shape)
    return np.clip(noisy, 0, 16).reshape(rows, 64), source
