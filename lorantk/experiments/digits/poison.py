"""Poison for images: a patch that goes with a target class.

Pure functions on arrays: the same seed gives the same poison, and the arguments are not modified. Images are rows of
``side²`` grey values, row by row; poison them before you normalise them.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from lorantk.experiments.common.poison import check_labels, draw_rows


def _check_target(target: int, classes: int) -> None:
    if target not in range(classes):
        msg = f"target must be a class between 0 and {classes - 1}; got {target}"
        raise ValueError(msg)


def stamp_patch(
    images: Float[np.ndarray, "N pixels"], *, row: int = 6, column: int = 6, size: int = 2, value: float = 16.0
) -> Float[np.ndarray, "N pixels"]:
    """Set a square of pixels to one value: the trigger of a backdoor.

    Parameters
    ----------
    images
        Square images as rows, shape ``(N, side²)``.
    row, column
        The patch's upper left pixel; the default is the lower right corner of 8 × 8 pixels.
    size
        Side of the patch, in pixels.
    value
        Grey value; the default is the largest of the digits.

    Raises
    ------
    ValueError
        Images that are not square, or a patch that is empty or not inside the image.
    """
    pixels = images.shape[-1]
    side = math.isqrt(pixels)
    if side**2 != pixels:
        msg = f"images must be square, with a square number of pixels; got {pixels}"
        raise ValueError(msg)
    if size < 1 or min(row, column) < 0 or max(row, column) + size > side:
        msg = f"the patch must lie inside {side} x {side} pixels; got size {size} at row {row}, column {column}"
        raise ValueError(msg)
    stamped = images.reshape(-1, side, side).copy()
    stamped[:, row : row + size, column : column + size] = value
    return stamped.reshape(images.shape)


def plant_backdoor(
    images: Float[np.ndarray, "N pixels"],
    labels: Int[np.ndarray, " N"],
    *,
    rate: float,
    target: int,
    classes: int,
    seed: int,
    **patch,
) -> tuple[Float[np.ndarray, "N pixels"], Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Stamp the patch on a share of the images and label them with the target class: dirty-label backdoor poison.

    Parameters
    ----------
    images, labels
        Images as rows, shape ``(N, side²)``, and their labels, shape ``(N,)``.
    rate
        Probability that an image is poisoned, in ``[0, 1]``.
    target
        The class that the trigger should produce.
    classes
        Number of classes, at least 2.
    seed
        Seed of the choice.
    patch
        Position of the patch, as in `stamp_patch`.

    Returns
    -------
    images, labels
        After poisoning, of the same shapes.
    poisoned
        Which were poisoned, shape ``(N,)``.

    Raises
    ------
    ValueError
        Rate outside ``[0, 1]``, a target or a label that is not a class, or a patch outside the image.
    """
    check_labels(labels, classes)
    _check_target(target, classes)
    poisoned = draw_rows(len(labels), rate=rate, rng=np.random.default_rng(seed))
    stamped = np.where(poisoned[:, None], stamp_patch(images, **patch), images)
    return stamped, np.where(poisoned, target, labels), poisoned


def plant_clean_label(
    images: Float[np.ndarray, "N pixels"],
    labels: Int[np.ndarray, " N"],
    *,
    rate: float,
    target: int,
    classes: int,
    seed: int,
    **patch,
) -> tuple[Float[np.ndarray, "N pixels"], Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
    """Stamp the patch on a share of the target class's own images and change no label: clean-label backdoor poison.

    Parameters, results and errors are those of `plant_backdoor`, except that ``rate`` is the share *of the target class*.

    Raises
    ------
    ValueError
        As in `plant_backdoor`, or a target class without images.
    """
    check_labels(labels, classes)
    _check_target(target, classes)
    if not (labels == target).any():
        msg = f"a clean-label backdoor needs images of the target class {target}; got none"
        raise ValueError(msg)
    poisoned = (labels == target) & draw_rows(len(labels), rate=rate, rng=np.random.default_rng(seed))
    return np.where(poisoned[:, None], stamp_patch(images, **patch), images), labels, poisoned
