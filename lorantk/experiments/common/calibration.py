"""Check by simulation whether the book's intervals cover the truth as often as they claim.

Each `Case` draws data whose truth is known, of the sizes that the chapters use, and forms the interval with the function that the
chapters call. `measure` counts how often the truth lies inside, with an exact (Clopper-Pearson) interval for the count. It also
counts with every interval shortened, which must be noticed.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from scipy import stats

from lorantk.disk import write_whole
from lorantk.experiments.common.statistics import paired_interval
from lorantk.experiments.kernels.objectives import agreement
from lorantk.theory import lanczos
from lorantk.theory.rates import fit_power, fit_power_known_errors, fit_power_sampled

CONFIDENCE = 1 - 1e-6  # of the interval of a measured coverage


class Case(NamedTuple):
    """One kind of interval.

    Attributes
    ----------
    name, function, setting
        What it is, the function that forms it, and what is simulated, in words.
    chapters
        Numbers of the chapters that show it.
    nominal
        The claimed coverage.
    draw
        From a random generator, ``(low, high, truth)``: three arrays of one shape; all truths of a draw must be covered together.
    replicates
        Number of draws.
    least
        The least coverage that suffices for the chapters; the nominal one if the interval is exact.
    """

    name: str
    function: str
    setting: str
    chapters: tuple[str, ...]
    nominal: float
    draw: Callable
    replicates: int
    least: float


def covered(low: np.ndarray, high: np.ndarray, truth: np.ndarray, *, length: float = 1.0) -> bool:
    """Say whether all truths lie in their intervals, each shortened about its middle to `length` times its own length."""
    middle, half = (np.asarray(low) + high) / 2, length * (np.asarray(high) - low) / 2
    return bool((np.abs(truth - middle) <= half).all())


def count_interval(count: int, trials: int, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of a proportion; its coverage is at least `confidence` at every size."""
    low, high = stats.binomtest(count, trials).proportion_ci(confidence, method="exact")
    return float(low), float(high)


def measure(case: Case, *, seed: int = 0, replicates: int | None = None, shorter: float = 0.7) -> dict:
    """Return how often a case covers, as a record; the control is the same draws with intervals `shorter` times as long."""
    rng, trials = np.random.default_rng(seed), replicates or case.replicates
    draws = [case.draw(rng) for _ in range(trials)]
    count, control = (sum(covered(*draw, length=length) for draw in draws) for length in (1.0, shorter))
    low, high = count_interval(count, trials)
    return {
        **{key: getattr(case, key) for key in ("name", "function", "setting", "nominal", "least")},
        "chapters": list(case.chapters),
        **{"replicates": trials, "seed": seed, "covered": count, "measured": count / trials, "low": low, "high": high},
        "control": {"length": shorter, "measured": control / trials, "high": count_interval(control, trials)[1]},
    }


def student(rng):
    """Twenty paired seeds with normal differences."""
    interval = paired_interval(rng.standard_normal(20))
    return interval.low, interval.high, 0.0


def accuracies(rng):
    """Twenty paired seeds: differences of fractions of 360 test images, with rates that scatter and have a long tail."""
    rates = np.stack([rng.beta(1, 9, 20), rng.beta(1, 4, 20)])
    interval = paired_interval(np.subtract(*rng.binomial(360, rates)) / 360)
    return interval.low, interval.high, 1 / 10 - 1 / 5


def together(rng):
    """Forty independent comparisons of twenty seeds, with simultaneous intervals."""
    found = [paired_interval(values, comparisons=40) for values in rng.standard_normal((40, 20))]
    return np.array([i.low for i in found]), np.array([i.high for i in found]), np.zeros(40)


def bootstrap(rng):
    """Errors at five widths, 16 each, proportional to ``1/√width``."""
    widths = np.array([10, 32, 100, 320, 1000])
    law = fit_power_sampled(widths, rng.standard_normal((5, 16)) / np.sqrt(widths)[:, None], rng=rng)
    return law.low, law.high, -0.5


def regression(rng):
    """A power law in five points with noise on the logarithm."""
    x = np.array([10.0, 32, 100, 320, 1000])
    fit = fit_power(x, x**-0.5 * np.exp(0.1 * rng.standard_normal(5)))
    return fit.low, fit.high, -0.5


def known_errors(rng):
    """A power law in three points, each the mean of draws with a known relative error of 4%."""
    x, error = np.array([10.0, 100, 1000]), 0.04
    y = (1 + error * rng.standard_normal(3)) / x
    fit = fit_power_known_errors(x, y, error / x)
    return fit.low, fit.high, -1.0


def kendall(rng):
    """Kendall's τ of 60 models, ten networks; for normal pairs of correlation ρ the truth is (2/π) arcsin ρ."""
    rho = 0.7
    first, second = rng.standard_normal((2, 10, 60))
    found = agreement(first, rho * first + np.sqrt(1 - rho**2) * second)
    return found.low, found.high, 2 / np.pi * np.arcsin(rho)


def wilson(rng):
    """Wilson's interval of a proportion of 400 draws, the probability anywhere between 0.01 and 0.99."""
    p = rng.uniform(0.01, 0.99)
    return *stats.binomtest(int(rng.binomial(400, p)), 400).proportion_ci(method="wilson"), p


def two_errors(rng):
    """Two standard errors about the mean of 500 squared normal numbers, whose law is skewed."""
    squares = rng.standard_normal(500) ** 2
    half = 2 * stats.sem(squares)
    return squares.mean() - half, squares.mean() + half, 1.0


def band(share, size, method="linear"):
    """A band of the central `share` of `size` draws, by NumPy's quantiles; it covers if one more draw falls inside."""

    def draw(rng):
        values = rng.standard_normal(size + 1)
        low, high = np.quantile(values[1:], [(1 - share) / 2, (1 + share) / 2], method=method)
        return low, high, values[0]

    return draw


SIZE, TAU = 64, 0.1
SPECTRUM = np.arange(1, SIZE + 1) ** -1.5


def lanczos_log_determinant(probes, total):
    """Log determinant of a matrix with known spectrum and random eigenvectors, from some probes and 16 steps."""

    def draw(rng):
        Q = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
        key = jax.random.key(int(rng.integers(2**31)))
        run = {"probes": probes, "depth": 16, "key": key, "parameters": ((Q * SPECTRUM) @ Q.T,), "total": total}
        rule = lanczos.quadrature(lanczos.matrix_product, SIZE, **run)
        found = lanczos.estimate_log_determinant(rule, tau=TAU)
        return found.value - found.error, found.value + found.error, float(np.log1p(SPECTRUM / TAU).sum())

    return draw


KNOWN_TRACE, NO_TRACE = lanczos_log_determinant(16, SPECTRUM.sum()), lanczos_log_determinant(32, None)
SWEEPS = ("30", "31", "32", "33", "34", "35", "37", "38")
CASES = (
    Case("mean of paired differences", "paired_interval", "20 seeds, normal", (*SWEEPS, "27"), 0.95, student, 20000, 0.95),
    Case("mean of differences of accuracies", "paired_interval", "20 seeds, skewed", SWEEPS, 0.95, accuracies, 20000, 0.93),
    Case("intervals that hold together", "paired_interval", "40 comparisons", (*SWEEPS[:4], "38"), 0.95, together, 2000, 0.95),
    Case("exponent, bootstrap", "fit_power_sampled", "5 widths, 16 draws", ("02", "08", "09", "11"), 0.95, bootstrap, 8000, 0.93),
    Case("exponent, regression", "fit_power", "5 points", ("02", "03", "07", "20", "26", "27"), 0.95, regression, 8000, 0.95),
    Case("exponent, known errors", "fit_power_known_errors", "3 points", ("02",), 0.95, known_errors, 8000, 0.95),
    Case("mean of Kendall's τ", "agreement", "10 networks, 60 models", ("14",), 0.95, kendall, 4000, 0.93),
    Case("proportion, Wilson", "binomtest", "400 draws", ("10",), 0.95, wilson, 20000, 0.94),
    Case("bar of two standard errors", "sem", "500 squares", ("02", "27"), 0.954, two_errors, 20000, 0.94),
    Case(
        "log determinant by Lanczos", "lanczos.estimate_trace", "16 probes, known trace", ("40",), 0.95, KNOWN_TRACE, 8000, 0.91
    ),
    Case("log determinant, unknown trace", "lanczos.estimate_trace", "32 probes", ("41",), 0.95, NO_TRACE, 8000, 0.92),
    Case("band of the central 95% of draws", "quantile", "400 draws", ("04", "10"), 0.95, band(0.95, 400), 20000, 0.93),
    Case("band of the central 90% of draws", "quantile", "200 draws", ("13",), 0.9, band(0.9, 200), 20000, 0.88),
    Case("band between the quartiles", "quantile", "24 draws", ("03",), 0.5, band(0.5, 24, "weibull"), 20000, 0.48),
)


def main(destination: str) -> None:
    """Measure every case and write the records as JSON, in the order of `CASES`."""
    records = []
    for case in CASES:
        records.append(measure(case))
        print(f"{case.name}: {records[-1]['measured']:.4f}, nominal {case.nominal}")
    write_whole(Path(destination), (json.dumps(records, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main(sys.argv[1])
