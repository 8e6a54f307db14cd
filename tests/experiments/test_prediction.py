"""Kernel metrics at the start, and how well they rank an outcome."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import reference

from lorantk.experiments.digits import prediction, training
from lorantk.experiments.digits.cell import Cell

CELL = Cell("memorising", "sgd", "clean", "lora", (0.1,), 2, 64, 4, rank=4, scale=1.0, width=16)


def test_padding_the_adapters_does_not_change_the_kernel_and_scale_does():
    one = prediction.start_spectra(CELL, seeds=2, inputs=6)
    assert one.shape == (2, 30)
    assert (one >= 0).all()
    assert (np.diff(one) >= 0).all()
    doubled = prediction.start_spectra(replace(CELL, scale=2.0), seeds=2, inputs=6)
    assert (doubled.sum(axis=1) > one.sum(axis=1)).all()


def test_spectra_are_those_of_automatic_differentiation():
    found, networks = prediction.start_spectra(CELL, seeds=2, inputs=6), training.networks(CELL)
    for k in range(2):
        network = jax.tree.map(lambda leaf, k=k: leaf[k], networks)
        J = np.asarray(reference.jacobian(network, training.task(CELL, k).x[:6]), float).reshape(30, -1)
        np.testing.assert_allclose(found[k], np.linalg.eigvalsh(J @ J.T), rtol=1e-4, atol=1e-5 * found[k].max())


def test_metrics_are_those_of_the_spectrum():
    spectra = np.array([[0.0, 1.0, 1.0], [0.0, 4.0, 4.0]])
    found = prediction.start_metrics(spectra, tau=1.0)
    assert found["trace"] == 5
    assert found["count"] == 2
    assert found["bits"] == pytest.approx(np.log(4) / 2)
    assert found["regularised"] == pytest.approx((np.log(2) + np.log(5)) / 2)
    assert found["renyi"] == pytest.approx(np.log(2))


def test_rank_correlation_has_its_ends_and_its_limits():
    assert prediction.rank_correlation([1, 2, 3, 9], [1, 4, 5, 6])[0] == pytest.approx(1)
    assert prediction.rank_correlation([1, 2, 3, 9], [6, 4, 3, 1])[0] == pytest.approx(-1)
    assert prediction.rank_correlation([1, 1, 1, 1], [6, 4, 3, 1]) == (0.0, 1.0)
    with pytest.raises(ValueError, match="at least four pairs; got 3 and 3"):
        prediction.rank_correlation([1, 2, 3], [1, 2, 3])


def test_kendall_counts_pairs_in_the_same_order():
    assert prediction.kendall([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)  # one of six pairs is turned
    assert prediction.kendall([1, 2, 3, 4], [4, 3, 2, 1]) == -1
    assert prediction.kendall([1, 1, 1, 1], [4, 3, 2, 1]) == 0
    with pytest.raises(ValueError, match="at least four pairs; got 3 and 3"):
        prediction.kendall([1, 2, 3], [1, 2, 3])


def test_determination_is_1_for_a_perfect_and_0_for_a_constant_prediction():
    measured = [0.0, 1.0, 2.0, 5.0]
    assert prediction.determination(measured, measured) == 1
    assert prediction.determination(measured, [2.0] * 4) == pytest.approx(0)
    assert prediction.determination(measured, measured[::-1]) < 0
    with pytest.raises(ValueError, match="numbers that vary; got 4 times 1.0"):
        prediction.determination([1.0] * 4, measured)
