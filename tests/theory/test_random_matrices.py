"""Limit laws against numerical integration, published values and sampled matrices."""

import numpy as np
import pytest
from scipy.integrate import quad, simpson

from lorantk.theory import random_matrices as rm


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0])
def test_the_distribution_function_is_the_integral_of_the_density(ratio):
    a, b = rm.marchenko_pastur_edges(ratio)
    for x in a + (b - a) * np.array([0.2, 0.5, 0.9]):
        value, _ = quad(lambda t: float(rm.marchenko_pastur_density(t, ratio)), a, x, limit=400)
        np.testing.assert_allclose(rm.marchenko_pastur_cdf(x, ratio), value, atol=1e-8)
    np.testing.assert_allclose(rm.marchenko_pastur_cdf(b, ratio), 1.0, rtol=1e-12)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
def test_mean_and_second_moment_are_one_and_one_plus_the_ratio(ratio):
    a, b = rm.marchenko_pastur_edges(ratio)
    for power, moment in ((1, 1.0), (2, 1 + ratio)):
        # For a ratio above 1 the density has mass 1/ratio; the rest lies at 0 and adds nothing to the moments.
        value, _ = quad(lambda t, p=power: t**p * float(rm.marchenko_pastur_density(t, ratio)), a, b, limit=400)
        np.testing.assert_allclose(value, moment, rtol=1e-6)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
def test_the_density_is_zero_outside_its_edges_and_at_them(ratio):
    a, b = rm.marchenko_pastur_edges(ratio)
    assert (rm.marchenko_pastur_density([-1.0, 0.0, a / 2, a, b, b + 1], ratio) == 0).all()


def test_sampled_eigenvalues_follow_the_law():
    G = np.random.default_rng(0).normal(size=(500, 1000))
    values = np.linalg.eigvalsh(G @ G.T / 1000)
    distance = np.abs(rm.marchenko_pastur_cdf(values, 0.5) - (np.arange(500) + 0.5) / 500).max()
    assert distance < 0.01
    wrong = np.abs(rm.marchenko_pastur_cdf(values, 0.6) - (np.arange(500) + 0.5) / 500).max()
    assert wrong > 0.02


def test_the_share_above_one_at_ratio_one_has_its_closed_form():
    np.testing.assert_allclose(1 - rm.marchenko_pastur_cdf(1.0, 1.0), 2 / 3 - np.sqrt(3) / (2 * np.pi), rtol=1e-12)


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.5])
def test_a_ratio_outside_the_unit_interval_is_refused(ratio):
    with pytest.raises(ValueError, match=r"ratio must lie in \(0, 1\]"):
        rm.marchenko_pastur_cdf(1.0, ratio)


def test_tracy_widom_has_its_known_mean_and_standard_deviation():
    s = np.linspace(-9, 9, 181)
    F = np.array([rm.tracy_widom_cdf(t) for t in s])
    mean = s[-1] - simpson(F, x=s)
    second = s[-1] ** 2 - 2 * simpson(s * F, x=s)
    # Published to ten digits (Bornemann 2010): mean -1.2065335746, variance 1.6077810345.
    np.testing.assert_allclose(mean, -1.2065335746, atol=1e-5)
    np.testing.assert_allclose(second - mean**2, 1.6077810345, atol=1e-4)


def test_the_quadrature_has_converged():
    for s in (-9.5, -5.0, -1.0, 0.0, 3.0):
        np.testing.assert_allclose(rm.tracy_widom_cdf(s), rm.tracy_widom_cdf(s, nodes=150), atol=1e-12)


def test_tracy_widom_is_zero_and_one_far_out():
    assert rm.tracy_widom_cdf(-40.0) == 0.0
    assert rm.tracy_widom_cdf(40.0) == 1.0


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_gram_matrices_have_the_moments_of_gaussian_ones(rank):
    draws, n = 20_000, 3
    grams = rm.sample_grams(rank, n, (2, draws // 2), rng=np.random.default_rng(rank)).reshape(draws, n, n)
    np.testing.assert_allclose(grams.mean(axis=0), np.eye(n), atol=6 * np.sqrt(2 / rank / draws))
    # Var (AᵀA)_ij = (1 + [i = j]) / r
    np.testing.assert_allclose(grams.var(axis=0), (1 + np.eye(n)) / rank, rtol=0.2)
    assert (np.linalg.matrix_rank(grams[:20]) == min(rank, n)).all()


def test_gram_matrices_need_a_rank():
    with pytest.raises(ValueError, match="at least 1"):
        rm.sample_grams(0, 3, (2,), rng=np.random.default_rng(0))
