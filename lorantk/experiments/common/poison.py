"""Poison that does not depend on the kind of data: which rows are poisoned, and flipped labels.

Pure functions on arrays: the same seed gives the same poison, and the arguments are not modified.
"""

import numpy as np
from jaxtyping import Bool, Int


def check_labels(labels: Int[np.ndarray, " N"], classes: int) -> None:
    """Raise ValueError if there are fewer than two classes, or a label that is not one of them."""
    if classes < 2:
        msg = f"poisoning labels needs at least 2 classes; got {classes}"
        raise ValueError(msg)
    if ((labels < 0) | (labels >= classes)).any():
        msg = f"labels must lie between 0 and {classes - 1}; got {labels.min()} to {labels.max()}"
        raise ValueError(msg)


def draw_rows(count: int, *, rate: float, rng: np.random.Generator) -> Bool[np.ndarray, " N"]:
    """Return which of ``count`` rows are poisoned, each with probability ``rate``; ValueError if it is outside ``[0, 1]``."""
    if not 0 <= rate <= 1:
        msg = f"rate must lie in [0, 1]; got {rate}"
        raise ValueError(msg)
    return rng.random(count) < rate


def flip_labels(
    labels: Int[np.ndarray, " N"], *, rate: float, classes: int, seed: int
) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Flip each label with the given probability to another class, uniformly at random: untargeted poison.

    Parameters
    ----------
    labels
        Labels ``0 … classes - 1``, shape ``(N,)``.
    rate
        Probability of a flip, in ``[0, 1]``.
    classes
        Number of classes, at least 2.
    seed
        Seed of the choice.

    Returns
    -------
    labels
        Labels after poisoning, shape ``(N,)``.
    poisoned
        Which were flipped, shape ``(N,)``.

    Raises
    ------
    ValueError
        Rate outside ``[0, 1]``, fewer than two classes, or a label that is not one of them.
    """
    check_labels(labels, classes)
    rng = np.random.default_rng(seed)
    poisoned = draw_rows(len(labels), rate=rate, rng=rng)
    shift = rng.integers(1, classes, len(labels))
    return np.where(poisoned, (labels + shift) % classes, labels), poisoned
