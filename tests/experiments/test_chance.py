"""Rates of false alarms against simulation and against closed values."""

import numpy as np
import pytest

from lorantk.experiments.common import chance


def test_skewness_explains_how_often_studentised_means_stray():
    rng, draws, bound = np.random.default_rng(0), 400, 3.5
    squares = rng.standard_normal((20000, draws)) ** 2  # of skewness √8
    z = (squares.mean(axis=1) - 1) / (squares.std(axis=1) / np.sqrt(draws))
    share = (np.abs(z) > bound).mean()
    normal = chance.mean(bound=bound, draws=draws)
    corrected = chance.mean(bound=bound, draws=draws, skewness=8**0.5)
    # About 34 of 20 000 exceed the bound; the normal law expects 10.
    assert share > 2 * normal
    assert corrected / 3 < share < 3 * corrected


def test_laws_give_their_closed_values():
    assert chance.mean(bound=1.959964, tests=2) == pytest.approx(0.1, rel=1e-6)
    assert chance.mean(bound=2.262157, draws=10) == pytest.approx(0.05, rel=1e-6)
    assert chance.kolmogorov(bound=1, tests=3) == pytest.approx(6 * np.exp(-2))
    assert chance.p_value(bound=1e-7, tests=12) == pytest.approx(1.2e-6)
    assert chance.margin(deviations=1.644854) == pytest.approx(0.05, rel=1e-6)
    assert chance.margin(deviations=100) == chance.LEAST
    assert chance.margin(deviations=2.093024, freedom=19, tests=2) == pytest.approx(0.05, rel=1e-6)
    assert chance.stated(failure=1e-7) == 1e-7
