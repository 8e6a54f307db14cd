"""How fast a random error falls with size: a power law fitted on logarithmic axes, with a bootstrap interval."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class PowerLaw(NamedTuple):
    """Result of `fit_power_law`.

    Attributes
    ----------
    exponent, constant
        The fitted law is ``constant · size^exponent``.
    low, high
        Ends of the interval for the exponent.
    values
        The root mean square of each sample, in the order of the sizes.
    """

    exponent: float
    constant: float
    low: float
    high: float
    values: np.ndarray


def _log_root_mean_square(squares):
    """Logarithm of the root of the mean along the last axis, and the square of its standard error by the delta method."""
    mean = np.maximum(squares.mean(axis=-1), np.finfo(float).tiny)
    relative = squares.std(axis=-1, ddof=1) / mean
    return np.log(mean) / 2, relative**2 / (4 * squares.shape[-1])


def fit_power_law(
    sizes: Sequence[float],
    samples: Sequence[Sequence[float]],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> PowerLaw:
    """Fit ``root mean square of the sample = constant · size^exponent`` by least squares on logarithms.

    The interval is the symmetric studentised bootstrap: each sample is redrawn with replacement, on its own, and the distance of
    each new exponent is measured in its own standard error, since with few draws the standard error is itself uncertain. The
    interval covers the randomness of the samples, not a bend of the true curve.

    Parameters
    ----------
    sizes
        At least two different positive numbers.
    samples
        For each size, independent errors, at least two and not all zero.
    rng
        Random generator of the bootstrap.
    confidence
        Coverage of the interval.
    resamples
        Number of bootstrap fits.

    Raises
    ------
    ValueError
        Fewer than two different sizes or one that is not positive, samples of another number than the sizes, or a sample
        that is too small, not finite or zero.
    """
    sizes = np.asarray(sizes, dtype=float)
    squares = [np.square(np.asarray(sample, dtype=float)) for sample in samples]
    if len(set(sizes.tolist())) < 2 or (sizes <= 0).any() or len(squares) != len(sizes):
        msg = f"expected at least two different positive sizes, each with a sample; got sizes {sizes} and {len(squares)} samples"
        raise ValueError(msg)
    if any(s.ndim != 1 or len(s) < 2 or not np.isfinite(s).all() or not s.any() for s in squares):
        msg = f"expected samples of at least two finite errors, not all zero; got shapes {[s.shape for s in squares]}"
        raise ValueError(msg)
    centred = np.log(sizes) - np.log(sizes).mean()
    weights = centred / (centred @ centred)
    # Row 0 is the sample itself, the others are redrawn.
    redrawn = [np.concatenate([s[None], s[rng.integers(len(s), size=(resamples, len(s)))]]) for s in squares]
    logs, variances = (np.stack(part) for part in zip(*map(_log_root_mean_square, redrawn), strict=True))
    exponents, errors = weights @ logs, np.sqrt(weights**2 @ variances)
    distance = np.abs(exponents[1:] - exponents[0])
    distance /= np.maximum(errors[1:], np.finfo(float).tiny)  # redrawn samples without spread are far away
    half = np.quantile(distance, confidence) * errors[0]
    exponent, constant = exponents[0], np.exp(logs[:, 0].mean() - exponents[0] * np.log(sizes).mean())
    return PowerLaw(*map(float, (exponent, constant, exponent - half, exponent + half)), np.exp(logs[:, 0]))
