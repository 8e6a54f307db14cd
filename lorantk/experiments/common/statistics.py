"""Paired comparisons over seeds: simultaneous intervals, and changes along a sweep."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats


class Interval(NamedTuple):
    """A mean over seeds and its interval; ``count`` is the number of seeds."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    def points(self, digits: int = 1) -> str:
        """Mean and interval in points (hundredths), as text: ``1.2 [−0.3, 2.7]``; a dash if there are no seeds."""
        return interval_text(*(100 * number for number in self[:3]), digits) if self.count else "–"


def interval_text(mean: float, low: float, high: float, digits: int) -> str:
    """Return a mean and its interval as text: ``1.2 [−0.3, 2.7]``.

    The side of zero on which an end lies decides verdicts. An end that would read as zero has up to two digits more:
    ``−0.6 [−1.2, −0.003]``.
    """
    mean, low, high = (text.replace("-", "−") for text in (f"{mean:z.{digits}f}", _end(low, digits), _end(high, digits)))
    return f"{mean} [{low}, {high}]"


def _end(number: float, digits: int) -> str:
    """An end of an interval, with enough digits to show on which side of zero it lies."""
    texts = (f"{number:z.{digits + more}f}" for more in range(3))
    return next((text for text in texts if float(text)), f"{0:.{digits}f}")


def paired_interval(differences: Float[np.ndarray, " seeds"], *, comparisons: int = 1, confidence: float = 0.95) -> Interval:
    """Return Student's interval for the mean of paired differences, with Bonferroni's correction.

    Parameters
    ----------
    differences
        One number for each seed, at least two, all finite.
    comparisons
        How many intervals must hold together with the given confidence.
    confidence
        Confidence that all of them hold.

    Raises
    ------
    ValueError
        Fewer than two seeds, a number that is not finite, or fewer than one comparison.
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        msg = f"expected at least two finite differences, one for each seed; got {values}"
        raise ValueError(msg)
    if comparisons < 1:
        msg = f"comparisons must be at least 1; got {comparisons}"
        raise ValueError(msg)
    mean, error = values.mean(), values.std(ddof=1) / np.sqrt(len(values))
    half = stats.t.ppf(1 - (1 - confidence) / (2 * comparisons), len(values) - 1) * error
    return Interval(float(mean), float(mean - half), float(mean + half), len(values))


def change(values: Float[np.ndarray, "seeds K"], positions: Float[np.ndarray, " K"]) -> Float[np.ndarray, " seeds"]:
    """Return each seed's least-squares slope over the positions, times the length of their range.

    Raises
    ------
    ValueError
        Fewer than two positions, or all of them equal.
    """
    x = np.asarray(positions, dtype=float)
    if len(x) < 2 or np.ptp(x) == 0:
        msg = f"expected at least two different positions; got {positions}"
        raise ValueError(msg)
    centred = x - x.mean()
    return np.asarray(values) @ centred / (centred @ centred) * np.ptp(x)


def pseudo_values(statistic: Callable[[np.ndarray], float], seeds: int) -> Float[np.ndarray, " seeds"]:
    """Return the jackknife's pseudo-values ``n θ - (n - 1) θ₋ᵢ`` of a statistic of n seeds.

    Their mean is the estimate with its bias of first order removed, and `paired_interval` gives its interval. The statistic
    must be a smooth function of means over seeds, or nearly so.

    Parameters
    ----------
    statistic
        From the indices of the seeds to use, an array, to a number.
    seeds
        Number of seeds n, at least two.

    Raises
    ------
    ValueError
        Fewer than two seeds.
    """
    if seeds < 2:
        msg = f"expected at least two seeds; got {seeds}"
        raise ValueError(msg)
    every = np.arange(seeds)
    whole = statistic(every)
    return np.array([seeds * whole - (seeds - 1) * statistic(np.delete(every, k)) for k in every])
