"""Rates of convergence: a power law fitted to measurements, with its interval."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class PowerFit(NamedTuple):
    """Result of `fit_power`: ``y ≈ constant · x^exponent``, and the exponent's interval ``[low, high]``."""

    exponent: float
    low: float
    high: float
    constant: float


def fit_power(x: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"], *, level: float = 0.95) -> PowerFit:
    """Fit ``log y = log constant + exponent · log x`` by least squares.

    The interval is the usual one of linear regression, by Student's t with ``k - 2`` degrees of freedom: it takes the scatter
    about the line for independent noise of one size, so that a curve that bends shows as a wide interval.

    Parameters
    ----------
    x, y
        Positive numbers, shape ``(k,)``, ``k ≥ 3``.
    level
        Probability of the interval.

    Raises
    ------
    ValueError
        Fewer than three points, unequal shapes, or numbers that are not positive.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3 or not ((x > 0).all() and (y > 0).all()):
        msg = f"x and y must be at least three positive numbers each; got shapes {x.shape} and {y.shape}"
        raise ValueError(msg)
    line = stats.linregress(np.log(x), np.log(y))
    half = stats.t.ppf((1 + level) / 2, len(x) - 2) * line.stderr
    return PowerFit(*map(float, (line.slope, line.slope - half, line.slope + half, np.exp(line.intercept))))


def fit_power_known_errors(
    x: Float[np.ndarray, " k"], y: Float[np.ndarray, " k"], errors: Float[np.ndarray, " k"], *, level: float = 0.95
) -> PowerFit:
    """Fit as `fit_power`, with an interval from the standard errors of the measurements in place of their scatter about the line.

    To first order ``log y`` has the standard error ``errors / y``, and the fitted slope is a weighted sum of the logarithms; the
    interval is the normal one. It needs no more than two points, and does not show a curve that bends.

    Parameters
    ----------
    x, y
        Positive numbers, shape ``(k,)``, ``k ≥ 2``, the x not all equal.
    errors
        Standard errors of y, independent of each other.
    level
        Probability of the interval.

    Raises
    ------
    ValueError
        Fewer than two points, unequal shapes, or numbers that are not positive.
    """
    x, y, errors = (np.asarray(values, dtype=float) for values in (x, y, errors))
    if not (x.shape == y.shape == errors.shape and x.ndim == 1 and len(set(x.tolist())) > 1 and min(*x, *y, *errors) > 0):
        msg = f"x, y and errors must be at least two positive numbers each; got shapes {x.shape}, {y.shape} and {errors.shape}"
        raise ValueError(msg)
    weights = np.log(x) - np.log(x).mean()
    weights /= weights @ weights
    slope = weights @ np.log(y)
    half = stats.norm.ppf((1 + level) / 2) * np.linalg.norm(weights * errors / y)
    constant = np.exp(np.log(y).mean() - slope * np.log(x).mean())
    return PowerFit(*map(float, (slope, slope - half, slope + half, constant)))
