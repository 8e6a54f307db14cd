"""The first order in 1/r against exact means at finite rank, sampled adapters, and one route against another."""

import numpy as np
import pytest
from scipy import integrate, stats

from lorantk.theory import effective_ridge, laws, rank_expansion
from lorantk.theory.gradient_rows import Rows

ONE = np.ones((1, 1))


def random_rows(seed, M, m, n):
    rng = np.random.default_rng(seed)
    return Rows(rng.standard_normal((M, m)), rng.standard_normal((M, n)) / np.sqrt(n))


LAYERS = {"W1": random_rows(0, 6, 3, 4), "W2": random_rows(1, 6, 2, 3)}
TEST = {"W1": random_rows(2, 2, 3, 4), "W2": random_rows(3, 2, 2, 3)}
Y = np.random.default_rng(4).standard_normal(6)


def over_chi_square(function, rank):
    """``E function(χ²_r/r)`` by quadrature."""
    law = stats.chi2(rank)
    low, high = law.ppf(1e-16), law.isf(1e-16)
    return integrate.quad(lambda x: law.pdf(x) * function(x / rank), low, high, epsabs=0, epsrel=1e-10, limit=200)[0]


def one_example(h):
    return {
        "layers": {"W": Rows(ONE, np.array([[1.0, 0.0]]))},
        "adapted": ["W"],
        "test": {"W": Rows(ONE, np.array([h]))},
        "y": np.ones(1),
        "ridge": 1.0,
    }


def test_one_example_has_the_mean_and_variance_of_quadrature():
    """``φ = (1, 0)``, ``h = (1, 1)``: ``f̂ = (w + v)/(1 + w)``, w = χ²_r/r and v Gaussian of variance w/r given w."""
    rank = 1e4
    mean = over_chi_square(lambda w: w / (1 + w), rank)
    square = over_chi_square(lambda w: (w / (1 + w) - mean) ** 2 + w / rank / (1 + w) ** 2, rank)
    bias, variance = rank * (mean - 0.5), rank * square
    case = one_example([1.0, 1.0])
    assert rank_expansion.mean_expansion(**case).total()[0] == pytest.approx(-1 / 4, abs=1e-14)
    assert rank_expansion.variance_expansion(**case).total()[0] == pytest.approx(3 / 8, abs=1e-14)
    assert bias == pytest.approx(-1 / 4, abs=1e-3)
    assert variance == pytest.approx(3 / 8, abs=1e-3)


def test_signs_have_no_bias_there_and_less_variance():
    """For signs ``w = 1`` always, so ``f̂ = (1 + v)/2`` with ``Var v = 1/r``, exactly at every rank."""
    case = one_example([1.0, 1.0]) | {"kurtosis": laws.excess_kurtosis("rademacher")}
    assert rank_expansion.mean_expansion(**case).total()[0] == pytest.approx(0, abs=1e-14)
    assert rank_expansion.variance_expansion(**case).total()[0] == pytest.approx(1 / 4, abs=1e-14)


def draws_of(law, shape, rng):
    if law == "gaussian":
        return rng.standard_normal(shape)
    return rng.uniform(-np.sqrt(3), np.sqrt(3), shape) if law == "kaiming-uniform" else rng.choice([-1.0, 1.0], shape)


@pytest.mark.parametrize("law", ["gaussian", "kaiming-uniform", "rademacher"])
@pytest.mark.parametrize("adapted", [["W1"], ["W1", "W2"]])
def test_mean_and_variance_are_those_of_sampled_adapters(law, adapted):
    rank, draws, ridge, rng = 200, 20_000, 1.0, np.random.default_rng(5)
    K, k = 0.0, 0.0
    for name, rows in LAYERS.items():
        n = rows.forward.shape[1]
        # AᵀA/r of many draws, as sums over rows in pieces
        G = np.eye(n)[None].repeat(draws, axis=0)
        if name in adapted:
            G = np.zeros((draws, n, n))
            for _ in range(8):
                A = draws_of(law, (draws, rank // 8, n), rng)
                G += A.transpose(0, 2, 1) @ A / rank
        H, D = rows.forward, rows.backward
        K = K + (D @ D.T) * (H @ G @ H.T)
        k = k + (TEST[name].backward @ D.T) * (TEST[name].forward @ G @ H.T)
    weights = np.linalg.solve(K + ridge * np.eye(6), k.transpose(0, 2, 1))
    outputs = np.einsum("sip,i->sp", weights, Y)
    K0, k0 = (
        sum((D1 @ D2.T) * (H1 @ H2.T) for (D1, H1), (D2, H2) in pairs)
        for pairs in ([(LAYERS[n], LAYERS[n]) for n in LAYERS], [(TEST[n], LAYERS[n]) for n in LAYERS])
    )
    full = k0 @ np.linalg.solve(K0 + ridge * np.eye(6), Y)
    case = {"layers": LAYERS, "adapted": adapted, "test": TEST, "y": Y, "ridge": ridge, "kurtosis": laws.excess_kurtosis(law)}
    variance, bias = rank_expansion.variance_expansion(**case), rank_expansion.mean_expansion(**case)
    np.testing.assert_allclose(rank * outputs.var(axis=0), variance.total(), rtol=0.08)
    noise = rank * outputs.std(axis=0) / np.sqrt(draws)
    error = rank * (outputs.mean(axis=0) - full) - bias.total()
    assert (np.abs(error) < 5 * noise + 0.05 * np.abs(bias.total())).all()
    # The first term alone, as the equivalent has it, is visibly off.
    assert np.abs(rank * outputs.var(axis=0) / variance.trace - 1).max() > 0.1


@pytest.mark.parametrize("shape", [(3, 8), (20, 4)])
def test_the_sign_of_the_rank_is_that_of_its_mean_and_variance(shape):
    """S is the sum of ``E f̂²`` over unit labels, so its slope is ``Σ 2f · bias + variance``."""
    rng = np.random.default_rng(6)
    features, test = rng.standard_normal(shape), rng.standard_normal((2, shape[1]))
    layers, at = {"W": Rows(np.ones((shape[0], 1)), features)}, {"W": Rows(np.ones((2, 1)), test)}
    slope, weights = 0.0, test @ features.T @ np.linalg.inv(features @ features.T + 1.5 * np.eye(shape[0]))
    for i, y in enumerate(np.eye(shape[0])):
        case = (layers, ["W"], at, y)
        bias, variance = (
            function(*case, ridge=1.5).total() for function in (rank_expansion.mean_expansion, rank_expansion.variance_expansion)
        )
        slope += (2 * weights[:, i] * bias + variance).sum()
    found = rank_expansion.rank_sign(features, test, ridge=1.5)
    assert found.slope == pytest.approx(slope, rel=1e-9)
    assert np.sign(found.slope) == np.sign(found.raising - found.lowering)


def test_the_counterexample_to_the_equivalents_criterion_by_quadrature():
    rank = 1e4
    S = over_chi_square(lambda w: (w**2 + 0.36 * w / rank) / (1 + w) ** 2, rank)
    found = rank_expansion.rank_sign(np.array([[1.0, 0.0]]), np.array([[1.0, 0.6]]), ridge=1.0)
    assert rank * (S - 1 / 4) == pytest.approx(found.slope, abs=1e-3)
    assert found.slope == pytest.approx(-7 / 200, abs=1e-14)
    assert found.equivalent > 0


def test_the_equivalent_has_the_slope_without_the_second_terms():
    rng = np.random.default_rng(7)
    features, test = rng.standard_normal((200, 20)), rng.standard_normal((50, 20))
    found, rank = rank_expansion.rank_sign(features, test, ridge=30.0), 1e7
    near, far = (effective_ridge.noise_sensitivity(features, test, ridge=30.0, rank=r).sum() for r in (rank, np.inf))
    scale = found.slope / (found.raising - found.lowering)
    assert rank * (near - far) == pytest.approx(scale * found.equivalent, rel=1e-3)


def test_a_test_input_that_the_features_do_not_touch_only_loses():
    found = rank_expansion.rank_sign(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), ridge=1.0)
    assert found.slope == pytest.approx(1 / 4)
    assert rank_expansion.rank_sign(np.array([[1.0, 0.0]]), np.zeros((1, 2)), ridge=1.0).slope == 0


def test_a_ridge_that_is_not_positive_is_refused():
    with pytest.raises(ValueError, match="the ridge must be positive; got 0"):
        rank_expansion.rank_sign(np.ones((1, 2)), np.ones((1, 2)), ridge=0.0)
