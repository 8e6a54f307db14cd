"""Rates of convergence: a power law fitted to measurements, with its interval."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class PowerFit(NamedTuple):
    """Result of `fit_power`: ``y ≈ constant · x^exponent``.

    Attributes
    ----------
    exponent : float
        The fitted exponent.
    low, high : float
        Ends of its interval.
    constant : float
        The fitted constant.
    """

    exponent: float
    low: float
    high: float
    constant: float


class SampledPowerFit(NamedTuple):
    """Result of `fit_power_sampled`: ``root mean square ≈ constant · size^exponent``.

    Attributes
    ----------
    exponent : float
        The fitted exponent.
    low, high : float
        Ends of its interval.
    constant : float
        The fitted constant.
    values : array (k,)
        Root mean square of each sample.
    """

    exponent: float
    low: float
    high: float
    constant: float
    values: np.ndarray


def fit_power(x: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"], *, level: float = 0.95) -> PowerFit:
    """Fit ``log y = log constant + exponent · log x`` by least squares.

    The interval is the usual one of linear regression, by Student's t with ``k - 2`` degrees of freedom: it takes the scatter
    about the line for independent noise of one size, so a curve that bends shows as a wide interval.

    Parameters
    ----------
    x, y : array (k,)
        Positive numbers, ``k ≥ 3``.
    level : float
        Probability of the interval.

    Returns
    -------
    PowerFit
        Exponent, interval and constant.

    Raises
    ------
    ValueError
        Fewer than three points, unequal shapes, or numbers that are not positive.

    Examples
    --------
    >>> from lorantk.theory import rates
    >>> n = np.array([64.0, 128.0, 256.0, 512.0])
    >>> fit = rates.fit_power(n, 3 / np.sqrt(n))
    >>> round(fit.exponent, 6), round(fit.constant, 6)
    (-0.5, 3.0)
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3 or not ((x > 0).all() and (y > 0).all()):
        msg = f"x and y must be at least three positive numbers each; got shapes {x.shape} and {y.shape}"
        raise ValueError(msg)
    line = stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf((1 + level) / 2, len(x) - 2) * line.stderr
    return PowerFit(*map(float, (line.slope, line.slope - half, line.slope + half, np.exp(line.intercept))))


def _slope_weights(x):
    """Weights of the logarithms of y in the least-squares slope over ``log x``."""
    centred = np.log(x) - np.log(x).mean()
    return centred / (centred @ centred)


def fit_power_known_errors(
    x: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"], errors: Float[np.ndarray, " k"], *, level: float = 0.95
) -> PowerFit:
    """Fit as `fit_power`, with an interval from the standard errors of the measurements instead of their scatter about the line.

    To first order ``log y`` has the standard error ``errors / y``, and the fitted slope is a weighted sum of the logarithms; the
    interval is the normal one. It needs no more than two points, and does not show a curve that bends.

    Parameters
    ----------
    x, y : array (k,)
        Positive numbers, ``k ≥ 2``, the x not all equal.
    errors : array (k,)
        Standard errors of y, independent of each other.
    level : float
        Probability of the interval.

    Returns
    -------
    PowerFit
        Exponent, interval and constant.

    Raises
    ------
    ValueError
        Fewer than two points, unequal shapes, or numbers that are not positive.

    Examples
    --------
    Errors of 1% on both values of a hundredfold range:

    >>> from lorantk.theory import rates
    >>> x, y = np.array([1.0, 100.0]), np.array([1.0, 0.01])
    >>> fit = rates.fit_power_known_errors(x, y, 0.01 * y)
    >>> [round(value, 3) for value in (fit.exponent, fit.low, fit.high)]
    [-1.0, -1.006, -0.994]
    """
    x, y, errors = (np.asarray(values, dtype=float) for values in (x, y, errors))
    if not (x.shape == y.shape == errors.shape and x.ndim == 1 and len(set(x.tolist())) > 1 and min(*x, *y, *errors) > 0):
        msg = f"x, y and errors must be at least two positive numbers each; got shapes {x.shape}, {y.shape} and {errors.shape}"
        raise ValueError(msg)
    weights = _slope_weights(x)
    slope = weights @ np.log(y)
    half = stats.norm.ppf((1 + level) / 2) * np.linalg.norm(weights * errors / y)
    constant = np.exp(np.log(y).mean() - slope * np.log(x).mean())
    return PowerFit(*map(float, (slope, slope - half, slope + half, constant)))


def _log_root_mean_square(squares):
    """Logarithm of the root of the mean along the last axis, and the square of its standard error by the delta method."""
    mean = np.maximum(squares.mean(axis=-1), np.finfo(float).tiny)
    relative = squares.std(axis=-1, ddof=1) / mean
    return np.log(mean) / 2, relative**2 / (4 * squares.shape[-1])


def fit_power_sampled(
    sizes: Sequence[float],
    samples: Sequence[Sequence[float]],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> SampledPowerFit:
    """Fit ``root mean square of the sample = constant · size^exponent`` by least squares on logarithms.

    The interval is the symmetric studentised bootstrap: each sample is redrawn with replacement, independently, and the distance
    of each new exponent is measured in its own standard error, since with few draws that is itself uncertain. The interval
    covers the randomness of the samples, not a bend of the true curve.

    Parameters
    ----------
    sizes : sequence of k numbers
        Positive, at least two of them different.
    samples : sequence of k sequences of numbers
        For each size, independent errors, at least two and not all zero.
    rng : numpy.random.Generator
        Source of the randomness of the bootstrap.
    level : float
        Probability of the interval.
    resamples : int
        Number of bootstrap fits.

    Returns
    -------
    SampledPowerFit
        Exponent, interval, constant, and the root mean square of each sample.

    Raises
    ------
    ValueError
        Fewer than two different sizes or one that is not positive, a number of samples other than that of the sizes, or a
        sample that is too small, not finite or zero.

    Examples
    --------
    >>> from lorantk.theory import rates
    >>> rng, sizes = np.random.default_rng(0), [10, 100, 1000]
    >>> samples = [rng.standard_normal(200) / np.sqrt(n) for n in sizes]
    >>> fit = rates.fit_power_sampled(sizes, samples, rng=rng)
    >>> fit.low < -0.5 < fit.high, round(fit.exponent, 1)
    (True, -0.5)
    """
    sizes = np.asarray(sizes, dtype=float)
    squares = [np.square(np.asarray(sample, dtype=float)) for sample in samples]
    if len(set(sizes.tolist())) < 2 or (sizes <= 0).any() or len(squares) != len(sizes):
        msg = f"expected at least two different positive sizes, each with a sample; got sizes {sizes} and {len(squares)} samples"
        raise ValueError(msg)
    if any(s.ndim != 1 or len(s) < 2 or not np.isfinite(s).all() or not s.any() for s in squares):
        msg = f"expected samples of at least two finite errors, not all zero; got shapes {[s.shape for s in squares]}"
        raise ValueError(msg)
    weights = _slope_weights(sizes)
    # Row 0 is the sample itself, the others are redrawn.
    redrawn = [np.concatenate([s[None], s[rng.integers(len(s), size=(resamples, len(s)))]]) for s in squares]
    logs, variances = (np.stack(part) for part in zip(*map(_log_root_mean_square, redrawn), strict=True))
    exponents, errors = weights @ logs, np.sqrt(weights**2 @ variances)
    distance = np.abs(exponents[1:] - exponents[0])
    distance /= np.maximum(errors[1:], np.finfo(float).tiny)  # redrawn samples without spread are far away
    half = np.quantile(distance, level) * errors[0]
    exponent, constant = exponents[0], np.exp(logs[:, 0].mean() - exponents[0] * np.log(sizes).mean())
    return SampledPowerFit(*map(float, (exponent, exponent - half, exponent + half, constant)), np.exp(logs[:, 0]))
