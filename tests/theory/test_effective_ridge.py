"""The scalar equivalent of the head against sampled adapters, the matrix equivalent and another solver of its equation."""

import numpy as np
import pytest

from lorantk.theory import effective_ridge, equivalents, gradient_rows

RNG = np.random.default_rng(0)
FEATURES, Y = RNG.standard_normal((20, 30)), RNG.standard_normal((20, 2))
TEST = RNG.standard_normal((5, 20)) @ FEATURES / 5 + 0.3 * RNG.standard_normal((5, 30))


def sampled(features, test, y, ridge, rank, draws, seed=1):
    """Draw A and return the outputs of the ridge predictor, shape (draws, T, C)."""
    A = np.random.default_rng(seed).standard_normal((draws, rank, features.shape[1])) / np.sqrt(rank)
    projected, at_test = features @ A.transpose(0, 2, 1), test @ A.transpose(0, 2, 1)
    K = projected @ projected.transpose(0, 2, 1) + ridge * np.eye(len(features))
    return at_test @ projected.transpose(0, 2, 1) @ np.linalg.solve(K, np.broadcast_to(y, (draws, *y.shape)))


@pytest.mark.parametrize(("ridge", "rank"), [(1e-8, 3), (1e-8, 30), (0.5, 1), (40.0, 8), (2.0, 1e6)])
def test_the_effective_ridge_is_where_its_own_iteration_ends(ridge, rank):
    c = np.linalg.eigvalsh(FEATURES @ FEATURES.T)
    kappa, last = ridge, 0.0
    while abs(kappa - last) > 1e-13 * kappa:
        kappa, last = ridge + kappa / rank * (c / (c + kappa)).sum(), kappa
    assert effective_ridge.effective_ridge(c, ridge, rank) == pytest.approx(kappa, rel=1e-8)


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_mean_and_variance_are_those_of_sampled_adapters(rank):
    ridge, draws = 3.0, 4000
    outputs = sampled(FEATURES, TEST, Y, ridge, rank, draws)
    found = effective_ridge.head_equivalent(FEATURES, TEST, Y, ridge=ridge, rank=rank)
    size = np.sqrt((outputs.mean(axis=0) ** 2).mean())
    noise = np.sqrt((outputs.var(axis=0) / draws).mean()) / size
    with_outputs = effective_ridge.head_equivalent(FEATURES, TEST, Y, ridge=ridge, rank=2 * rank)  # as if P = rC
    full = effective_ridge.head_equivalent(FEATURES, TEST, Y, ridge=ridge, rank=np.inf)
    right, wrong, same = (np.sqrt(((outputs.mean(axis=0) - e.mean) ** 2).mean()) / size for e in (found, with_outputs, full))
    assert right < 2.5 * noise + 0.1 * same
    assert min(wrong, same) > 3 * right
    variance = outputs.var(axis=0).mean()
    assert variance / (found.scatter[:, None] * np.diag(found.energy)).mean() == pytest.approx(1, abs=0.15)
    assert abs(np.log(variance / (with_outputs.scatter[:, None] * np.diag(with_outputs.energy)).mean())) > 0.2


def test_the_covariance_of_two_outputs_is_that_of_sampled_adapters():
    outputs = sampled(FEATURES, TEST, Y, 3.0, 16, 20_000)
    centred = outputs - outputs.mean(axis=0)
    found = effective_ridge.head_equivalent(FEATURES, TEST, Y, ridge=3.0, rank=16)
    over_inputs = np.einsum("stc,std->cd", centred, centred) / len(centred)
    np.testing.assert_allclose(over_inputs, found.scatter.sum() * found.energy, rtol=0.2)


@pytest.mark.parametrize("rank", [1, 5, 50])
def test_the_head_is_a_case_of_the_matrix_equivalent(rank):
    C = 2
    layers, test = (
        {"W1": gradient_rows.Rows(np.tile(np.eye(C), (len(part), 1)), np.repeat(part, C, axis=0))} for part in (FEATURES, TEST)
    )
    matrix = equivalents.matrix_equivalent(layers, {"W1": rank}, 2.0, tolerance=1e-13)
    predicted = equivalents.predict(matrix, layers, {"W1": rank}, test, Y.ravel(), outputs=C)
    found = effective_ridge.head_equivalent(FEATURES, TEST, Y, ridge=2.0, rank=rank)
    np.testing.assert_allclose(matrix.shares["W1"], 2.0 / found.ridge * np.eye(C), atol=1e-11)
    np.testing.assert_allclose(predicted.mean.reshape(-1, C), found.mean, atol=1e-10)
    np.testing.assert_allclose(predicted.covariance, found.scatter[:, None, None] * found.energy, rtol=1e-6, atol=1e-9)


def test_at_infinite_rank_it_is_full_fine_tuning():
    found = effective_ridge.head_equivalent(FEATURES, TEST, Y, ridge=2.0, rank=np.inf)
    full = TEST @ FEATURES.T @ np.linalg.solve(FEATURES @ FEATURES.T + 2 * np.eye(20), Y)
    np.testing.assert_allclose(found.mean, full, rtol=1e-9)
    assert found.ridge == pytest.approx(2.0)
    assert not found.scatter.any()


@pytest.mark.parametrize("shape", [(12, 30), (60, 10)])
@pytest.mark.parametrize("rank", [4, 32])
def test_the_sensitivity_to_noise_is_that_of_sampled_adapters(shape, rank):
    rng = np.random.default_rng(3)
    features, test = rng.standard_normal(shape), rng.standard_normal((3, shape[1]))
    weights = sampled(features, test, np.eye(len(features)), 1.0, rank, 1500)
    measured = (weights**2).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(effective_ridge.noise_sensitivity(features, test, ridge=1.0, rank=rank), measured, rtol=0.12)


@pytest.mark.parametrize(("ridge", "rank"), [(0.0, 4), (1.0, 0), (-1.0, 4)])
def test_a_ridge_or_rank_that_is_not_positive_is_refused(ridge, rank):
    with pytest.raises(ValueError, match="must be positive; got"):
        effective_ridge.effective_ridge(np.ones(2), ridge, rank)
