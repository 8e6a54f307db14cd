"""The matrix equivalent against every sign matrix A, sampled adapters and finite differences."""

import itertools

import numpy as np
import pytest

from lorantk.theory import equivalents
from lorantk.theory.gradient_rows import Rows, layer_kernel


def random_rows(seed, M, m, n):
    rng = np.random.default_rng(seed)
    return Rows(rng.standard_normal((M, m)) / np.sqrt(m), rng.standard_normal((M, n)) / np.sqrt(n))


LAYERS = {"W1": random_rows(0, 9, 3, 20), "W2": random_rows(1, 9, 2, 12), "W3": random_rows(2, 9, 2, 5)}
TEST = {"W1": random_rows(3, 4, 3, 20), "W2": random_rows(4, 4, 2, 12), "W3": random_rows(5, 4, 2, 5)}
RANKS = {"W1": 6, "W2": 3}
Y = np.random.default_rng(6).standard_normal(9)


def sampled(layers, ranks, test, y, ridge, draws, seed=0):
    """Draw each A and return the outputs on the test inputs, shape (draws, P)."""
    rng, outputs = np.random.default_rng(seed), []
    for _ in range(draws):
        K, k = 0.0, 0.0
        for name, rows in layers.items():
            n = rows.forward.shape[1]
            A = rng.standard_normal((ranks[name], n)) / np.sqrt(ranks[name]) if name in ranks else np.eye(n)
            h, at = rows.forward @ A.T, test[name].forward @ A.T
            K = K + (rows.backward @ rows.backward.T) * (h @ h.T)
            k = k + (test[name].backward @ rows.backward.T) * (at @ h.T)
        outputs.append(k @ np.linalg.solve(K + ridge * np.eye(len(K)), y))
    return np.array(outputs)


def equations(layers, ranks, ridge, X):
    """The map of which the resolvent is the fixed point, from the definition."""
    K = ridge * np.eye(len(X))
    for name, rows in layers.items():
        D, H = rows
        E = np.eye(D.shape[1])
        if name in ranks:
            T = sum(X[a, b] * (H[a] @ H[b]) * np.outer(D[a], D[b]) for a in range(len(D)) for b in range(len(D)))
            E = np.linalg.inv(E + T / ranks[name])
        K = K + (D @ E @ D.T) * (H @ H.T)
    return np.linalg.inv(K)


def thompson(X, Y):
    """Thompson's distance of two positive definite matrices."""
    C = np.linalg.cholesky(X)
    return np.abs(np.log(np.linalg.eigvalsh(np.linalg.solve(C, np.linalg.solve(C, Y).T)))).max()


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 5.0])
def test_the_solution_solves_the_equations_and_is_reached_from_anywhere(ridge):
    found = equivalents.matrix_equivalent(LAYERS, RANKS, ridge, tolerance=1e-12)
    X = 1e-4 / ridge * np.eye(9)
    for _ in range(500):
        X = equations(LAYERS, RANKS, ridge, X)
    np.testing.assert_allclose(found.resolvent, X, rtol=1e-6, atol=1e-9 / ridge)
    for E in found.shares.values():
        values = np.linalg.eigvalsh(E)
        assert values[0] > 0
        assert values[-1] <= 1


@pytest.mark.parametrize("ridge", [0.05, 1.0])
def test_the_equations_contract_in_thompsons_metric(ridge):
    K = sum(layer_kernel(LAYERS[name], LAYERS[name]) for name in RANKS)
    factor, rng = np.linalg.norm(K, 2) / (np.linalg.norm(K, 2) + ridge), np.random.default_rng(0)
    for _ in range(20):
        X, Z = (M @ M.T + 0.01 * np.eye(9) for M in rng.standard_normal((2, 9, 9)))
        after = [equations(LAYERS, RANKS, ridge, part) for part in (X, Z)]
        assert thompson(*after) <= factor * thompson(X, Z) * (1 + 1e-9)


def every_sign(rows, test, y, rank, ridge):
    """Mean and largest variance of the resolvent, and the mean outputs, over every sign matrix A, exactly."""
    n, resolvents, outputs = rows.forward.shape[1], [], []
    for signs in itertools.product([-1.0, 1.0], repeat=rank * n):
        A = np.reshape(signs, (n, rank)) / np.sqrt(rank)
        h, at = rows.forward @ A, test.forward @ A
        resolvents.append(np.linalg.inv((rows.backward @ rows.backward.T) * (h @ h.T) + ridge * np.eye(len(h))))
        outputs.append((test.backward @ rows.backward.T) * (at @ h.T) @ resolvents[-1] @ y)
    return np.mean(resolvents, axis=0), np.var(resolvents, axis=0).max(), np.mean(outputs, axis=0)


@pytest.mark.parametrize(("rank", "ridge"), [(4, 4.0), (4, 8.0), (5, 4.0)])
def test_mean_and_scatter_over_every_sign_matrix_lie_within_the_bounds(rank, ridge):
    rows, test, y, ranks = (
        random_rows(7, 5, 2, 2),
        random_rows(8, 3, 2, 2),
        np.random.default_rng(9).standard_normal(5),
        {"W": rank},
    )
    bound = equivalents.mean_bound({"W": rows}, ranks, ridge)
    found = equivalents.matrix_equivalent({"W": rows}, ranks, ridge, tolerance=1e-13)
    mean, variance, outputs = every_sign(rows, test, y, rank, ridge)
    distance = thompson(found.resolvent, mean)
    assert 1e-5 < distance <= bound.distance < 0.5
    norm = np.linalg.norm(layer_kernel(rows, rows), 2) / ridge
    assert variance <= 3 * norm**2 / (rank * ridge**2)
    error = np.abs(outputs - equivalents.predict(found, {"W": rows}, ranks, {"W": test}, y).mean)
    size = np.linalg.norm(y) * np.sqrt(np.diag(layer_kernel(test, test)) / ridge)
    assert (error <= bound.outputs * size).all()
    assert error.max() > 1e-6


def test_two_adapted_layers_beside_one_in_full_lie_within_the_bound():
    """Every pair of 3 × 2 sign matrices."""
    layers = {name: random_rows(seed, 6, 2, 2) for seed, name in enumerate(("W1", "W2", "W3"))}
    ranks, ridge = {"W1": 3, "W2": 3}, 16.0
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=6))).reshape(-1, 2, 3) / np.sqrt(3)
    parts = [layers[name].forward @ signs for name in ranks]
    K1, K2 = (
        (layers[name].backward @ layers[name].backward.T) * (h @ h.transpose(0, 2, 1))
        for name, h in zip(ranks, parts, strict=True)
    )
    fixed = layer_kernel(layers["W3"], layers["W3"]) + ridge * np.eye(6)
    mean = np.linalg.inv(K1[:, None] + K2[None] + fixed).mean(axis=(0, 1))
    found = equivalents.matrix_equivalent(layers, ranks, ridge, tolerance=1e-14)
    distance, bound = thompson(found.resolvent, mean), equivalents.mean_bound(layers, ranks, ridge).distance
    assert 1e-6 < distance <= bound < 1
    alone = equivalents.matrix_equivalent({name: layers[name] for name in ranks}, ranks, ridge)  # without the one in full
    assert thompson(alone.resolvent, mean) > bound


def test_the_bound_by_hand_where_its_norms_differ():
    """Two layers whose kernels are 4 I and ``J``, all ones, at λ = 2: ρ = (4 + 2)/2, F² = (5² + 5² + 1 + 1)/4 = 13."""
    ones, eye = np.ones((2, 1)), np.eye(2)
    found = equivalents.mean_bound({"W1": Rows(ones, 2 * eye), "W2": Rows(ones, ones)}, {"W1": 900, "W2": 2500}, 2.0)
    defect = 3 / 900 * (np.sqrt(6 * 13) + 3 + 39 * (1 / 30 + 1 / 900))
    assert found.defect == pytest.approx(defect)
    assert np.exp(-found.distance) == pytest.approx((1 - defect) ** 4)
    assert found.outputs == pytest.approx(defect / np.sqrt(3) + (1 + np.sqrt(3)) * ((1 - defect) ** -4 - 1))


def test_the_bound_falls_with_the_rank_and_says_nothing_where_the_defect_reaches_one():
    bounds = [equivalents.mean_bound(LAYERS, {"W1": r, "W2": r}, 2.0).distance for r in (1, 100, 10_000, 1_000_000)]
    assert bounds[0] == np.inf
    assert bounds[1] > 20 * bounds[2] > 20 * 50 * bounds[3] > 0


@pytest.mark.parametrize("ridge", [0.1, 1.0])
def test_mean_and_covariance_are_those_of_sampled_adapters(ridge):
    draws = 4000
    outputs = sampled(LAYERS, RANKS, TEST, Y, ridge, draws)
    found = equivalents.matrix_equivalent(LAYERS, RANKS, ridge)
    predicted = equivalents.predict(found, LAYERS, RANKS, TEST, Y, outputs=2)
    full = sampled(LAYERS, {}, TEST, Y, ridge, 1)[0]
    error = np.abs(outputs.mean(axis=0) - predicted.mean).max()
    assert error < 0.35 * np.abs(outputs.mean(axis=0) - full).max()
    pairs = outputs.reshape(draws, -1, 2)
    covariance = np.einsum("stc,std->tcd", pairs - pairs.mean(axis=0), pairs - pairs.mean(axis=0)) / draws
    assert np.linalg.norm(covariance - predicted.covariance) < 0.2 * np.linalg.norm(covariance)


@pytest.mark.parametrize("ranks", [{"W1": 6}, RANKS, {"W1": 2, "W2": 9, "W3": 1}])
def test_the_variance_is_the_derivative_when_the_test_input_joins_the_data(ranks):
    """``λ d/dθ² yᵀR̄y`` at θ = 0, the test row with weight θ and label 0, less the squared mean."""
    ridge, weight = 0.3, 1e-4

    def form(square):
        joined = {
            name: Rows(
                np.vstack([rows.backward, np.sqrt(square) * TEST[name].backward[:1]]),
                np.vstack([rows.forward, TEST[name].forward[:1]]),
            )
            for name, rows in LAYERS.items()
        }
        y = np.append(Y, 0.0)
        return y @ equivalents.matrix_equivalent(joined, ranks, ridge, tolerance=1e-14).resolvent @ y

    slope = ridge * (-3 * form(0.0) + 4 * form(weight) - form(2 * weight)) / (2 * weight)
    found = equivalents.matrix_equivalent(LAYERS, ranks, ridge, tolerance=1e-14)
    mean, covariance = equivalents.predict(found, LAYERS, ranks, TEST, Y)
    assert slope - mean[0] ** 2 == pytest.approx(covariance[0, 0, 0], rel=1e-4)


def test_without_adapters_it_is_full_fine_tuning_without_scatter():
    found = equivalents.matrix_equivalent(LAYERS, {}, 0.5)
    K = sum(layer_kernel(rows, rows) for rows in LAYERS.values())
    np.testing.assert_allclose(found.resolvent, np.linalg.inv(K + 0.5 * np.eye(9)), rtol=1e-10)


def test_isotropic_backward_vectors_have_one_effective_ridge():
    m, n, N = 3, 40, 8
    H = np.random.default_rng(8).standard_normal((N, n))
    rows = Rows(np.tile(np.eye(m), (N, 1)), np.repeat(H, m, axis=0))
    share = equivalents.matrix_equivalent({"W": rows}, {"W": 5}, 2.0).shares["W"]
    np.testing.assert_allclose(share, share[0, 0] * np.eye(m), atol=1e-12)
    uneven = equivalents.matrix_equivalent({"W": LAYERS["W1"]}, {"W": 5}, 0.1).shares["W"]
    assert np.ptp(np.linalg.eigvalsh(uneven)) > 0.01


@pytest.mark.parametrize(
    ("ranks", "ridge", "words"),
    [({"W9": 2}, 1.0, "among W1, W2, W3; got W9"), ({"W1": 0}, 1.0, "must be positive"), ({"W1": 2}, 0.0, "must be positive")],
)
def test_bad_arguments_are_refused(ranks, ridge, words):
    for function in (equivalents.matrix_equivalent, equivalents.mean_bound):
        with pytest.raises(ValueError, match=words):
            function(LAYERS, ranks, ridge)


def test_too_few_steps_and_a_singular_system_are_reported():
    with pytest.raises(ValueError, match="to settle to 1e-10 within 2 steps"):
        equivalents.matrix_equivalent(LAYERS, RANKS, 0.1, iterations=2)
    found = equivalents.matrix_equivalent(LAYERS, RANKS, 0.1)
    with pytest.raises(ValueError, match="to be solved to 0"):
        equivalents.scatter_matrices(found, LAYERS, RANKS, Y, tolerance=0)
