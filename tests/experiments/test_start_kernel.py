"""Measured effects beside predictions and baselines."""

import numpy as np
import pandas as pd
import pytest

from lorantk.experiments.digits import start_kernel

RATES = (0.01, 0.1)


def table(arm, drops, *, diverged=0, noise=0.0):
    """A table of one arm: a drop for each rank and rate, with noise by seed that averages to zero."""
    rows = []
    for (rank, rate), drop in drops.items():
        place = {"regime": "memorising", "optimiser": "sgd", "model": "network", "arm": arm, "match": "", "rank": rank}
        place |= {"scale": 1.0, "variance": 0.333333, "rate": rate, "diverged": diverged * (rank == 1), "accuracy": 0.9}
        for quantity, value in (("drop", drop), ("loss", -drop)):
            rows.append(place | {"quantity": quantity} | {k: value + noise * (k - 1) for k in range(3)})
    return pd.DataFrame(rows)


DROPS = {(rank, rate): rank + 100 * rate for rank in range(1, 13) for rate in RATES}


def test_only_configurations_that_trained_everywhere_are_compared():
    found = start_kernel.beside(table("lora-fa", DROPS), {"guess": table("full", DROPS, diverged=1)}, "drop")
    assert len(found) == 22
    assert set(found.columns.get_level_values(0)) == {"measured", "guess", "final training loss"}
    assert {rate: len(rows) for rate, rows in start_kernel.complete_rates(found)} == {}
    [(place, rows)] = start_kernel.settings(found)
    assert place == ("memorising", "sgd")
    assert len(rows) == 22


def test_order_is_of_means_over_the_seeds_that_are_asked_for():
    found = start_kernel.beside(table("lora-fa", DROPS, noise=3.0), {"guess": table("full", DROPS)}, "drop")
    tau = start_kernel.taus(found)
    assert tau["guess"] == pytest.approx(1)
    assert tau["final training loss"] == pytest.approx(-1)
    assert start_kernel.means(found, [0])["measured"].iloc[0] == pytest.approx(DROPS[1, 0.01] - 3)
    assert start_kernel.taus(found, [0, 2])["guess"] == pytest.approx(1)
    assert start_kernel.determinations(found, ["guess"])["guess"] == pytest.approx(1)
    assert len(list(start_kernel.complete_rates(found))) == 2


def test_baselines_are_those_of_the_configuration():
    found = start_kernel.beside(table("lora-fa", DROPS), {}, "drop")
    known = start_kernel.known(found)
    np.testing.assert_allclose(known["c"], found.index.get_level_values("rank") * 0.3333 / 64)
    np.testing.assert_allclose(known["c η"], known["c"] * found.index.get_level_values("rate"))


def test_a_shuffled_prediction_keeps_only_what_the_rate_says():
    within = {place: place[0] for place in DROPS}  # the rate says nothing
    found = start_kernel.beside(table("lora-fa", within), {"guess": table("full", within)}, "drop")
    assert start_kernel.taus(found)["guess"] == pytest.approx(1)
    assert abs(start_kernel.shuffled_tau(found, "guess", np.random.default_rng(1), times=200)) < 0.1
    between = {place: 1000 * place[1] + place[0] for place in DROPS}  # half of the pairs have different rates
    found = start_kernel.beside(table("lora-fa", between), {"guess": table("full", between)}, "drop")
    assert start_kernel.shuffled_tau(found, "guess", np.random.default_rng(1)) == pytest.approx(0.52, abs=0.15)
