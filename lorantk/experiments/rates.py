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


def _fit(log_sizes, log_values):
    centred = log_sizes - log_sizes.mean()
    slope = log_values @ centred / (centred @ centred)
    return slope, log_values.mean(axis=-1) - slope * log_sizes.mean()


def fit_power_law(
    sizes: Sequence[float],
    samples: Sequence[Sequence[float]],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> PowerLaw:
    """Fit ``root mean square of the sample = constant · size^exponent`` by least squares on logarithms.

    The interval is the percentile bootstrap: each sample is redrawn with replacement, on its own. It covers the randomness of
    the samples, not a bend of the true curve.

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
    log_sizes = np.log(sizes)
    values = np.sqrt([s.mean() for s in squares])
    exponent, intercept = _fit(log_sizes, np.log(values))
    redrawn = [s[rng.integers(len(s), size=(resamples, len(s)))].mean(axis=1) for s in squares]
    slopes = _fit(log_sizes, np.log(np.maximum(redrawn, np.finfo(float).tiny)).T / 2)[0]
    low, high = np.quantile(slopes, [(1 - confidence) / 2, (1 + confidence) / 2])
    return PowerLaw(float(exponent), float(np.exp(intercept)), float(low), float(high), values)
