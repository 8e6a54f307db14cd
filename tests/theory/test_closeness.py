"""Distances between LoRA and full fine-tuning: moments by direct draws of A, and bounds that hold draw by draw."""

import numpy as np
import pytest
from scipy import special

from lorantk.theory import closeness, linearised

RNG = np.random.default_rng(0)
LAYERS = [(RNG.standard_normal((4, 3)), RNG.standard_normal((4, 5))), (RNG.standard_normal((4, 2)), RNG.standard_normal((4, 6)))]
NEW = [(RNG.standard_normal((2, 3)), RNG.standard_normal((2, 5))), (RNG.standard_normal((2, 2)), RNG.standard_normal((2, 6)))]
Y = RNG.standard_normal(4)
RANK = 10


def kernels(draws, law="gaussian"):
    """K̂ and k̂ for draws of A, from gradients δ ⊗ Ah, and the sizes of K and k."""
    rng = np.random.default_rng(1)
    total = 0.0
    for (D, Phi), (d, h) in zip(LAYERS, NEW, strict=True):
        n = Phi.shape[1]
        A = rng.standard_normal((draws, RANK, n)) if law == "gaussian" else rng.choice([-1.0, 1.0], (draws, RANK, n))
        backward, forward = np.vstack([D, d]), np.vstack([Phi, h])
        rows = np.einsum("pa,sri,pi->spar", backward, A / np.sqrt(RANK), forward).reshape(draws, 6, -1)
        total = total + rows @ rows.swapaxes(1, 2)
    return total[:, :4, :4], total[:, 4:, :4]


def full():
    whole = sum((np.vstack([D, d]) @ np.vstack([D, d]).T) * (np.vstack([P, h]) @ np.vstack([P, h]).T)
                for (D, P), (d, h) in zip(LAYERS, NEW, strict=True))  # fmt: skip
    return whole[:4, :4], whole[4:, :4]


def z_score(values, truth):
    return np.abs((values.mean(axis=0) - truth) / (values.std(axis=0) / np.sqrt(len(values)))).max()


def test_spreads_are_second_moments_of_drawn_kernels():
    (K, k), (Ks, ks) = full(), kernels(6000)
    assert z_score(((Ks - K) ** 2).sum(axis=(1, 2)) * RANK, closeness.kernel_spread(LAYERS)) < 5
    assert z_score(((ks - k) ** 2).sum(axis=2) * RANK, closeness.kernel_spread(LAYERS, NEW)) < 5


def test_signs_spread_less():
    K, Ks = full()[0], kernels(3000, "signs")[0]
    squares = ((Ks - K) ** 2).sum(axis=(1, 2)) * RANK
    assert squares.mean() + 5 * squares.std() / np.sqrt(3000) < closeness.kernel_spread(LAYERS)


def test_ridge_moments_are_those_of_draws_and_below_their_bounds():
    (K, k), (Ks, ks) = full(), kernels(6000)
    ridge = 2.0
    found = closeness.ridge_spread(LAYERS, NEW, K, k, ridge=ridge)
    values, vectors = np.linalg.eigh(K + ridge * np.eye(4))
    S = (vectors / np.sqrt(values)) @ vectors.T
    assert z_score(((S @ (Ks - K) @ S) ** 2).sum(axis=(1, 2)) * RANK, found.kernel) < 5
    # ζ = S G(W - I)g⊥ is made of kernels only: S[(k̂ - k) - (K̂ - K)(K + λ)⁻¹k].
    zeta = S @ ((ks - k).swapaxes(1, 2) - (Ks - K) @ np.linalg.inv(K + ridge * np.eye(4)) @ k.T)
    assert z_score((zeta**2).sum(axis=1) * RANK, found.prediction) < 5
    assert found.kernel < found.kernel_bound
    assert np.all(found.prediction < found.prediction_bound)


def test_ridge_moments_are_those_of_dense_second_moments():
    """Σ M_{ai,bj} M_{bi,aj} and Σ M_{ai,bj} Q_aj Q_bi with M = GᵀRG formed entry by entry."""
    K, k = full()
    R = np.linalg.inv(K + 2.0 * np.eye(4))
    moment, prediction = 0.0, np.zeros(2)
    for (D, Phi), (d, h) in zip(LAYERS, NEW, strict=True):
        G = np.einsum("pa,pi->pai", D, Phi)
        M = np.einsum("pai,pq,qbj->aibj", G, R, G)
        T = np.einsum("aibi->ab", M)
        moment += (T**2).sum() + np.einsum("aibj,biaj->", M, M)
        for t in range(2):
            Q = np.outer(d[t], h[t]) - np.einsum("q,qp,pai->ai", k[t], R, G)
            prediction[t] += np.sum((Q @ Q.T) * T) + np.einsum("aibj,aj,bi->", M, Q, Q)
    found = closeness.ridge_spread(LAYERS, NEW, K, k, ridge=2.0)
    assert found.kernel == pytest.approx(moment, rel=1e-11)
    np.testing.assert_allclose(found.prediction, prediction, rtol=1e-11)


def test_the_ridge_bound_holds_on_its_event():
    (K, k), (Ks, ks) = full(), kernels(500)
    ridge = 60.0
    values, vectors = np.linalg.eigh(K + ridge * np.eye(4))
    S = (vectors / np.sqrt(values)) @ vectors.T
    near = np.linalg.norm(S @ (Ks - K) @ S, ord=2, axis=(1, 2)) <= 0.5
    assert near.sum() > 50
    zeta = S @ ((ks - k).swapaxes(1, 2) - (Ks - K) @ np.linalg.inv(K + ridge * np.eye(4)) @ k.T)
    filter = linearised.ridge_filter(ridge)
    error = linearised.linear_prediction(filter, Ks, ks, Y) - linearised.linear_prediction(filter, K, k, Y)
    bound = 2 * np.linalg.norm(zeta, axis=1) * np.linalg.norm(S @ Y)
    assert np.all(np.abs(error) <= bound, where=near[:, None])


@pytest.mark.parametrize("time", [0.001, 0.01, 0.1])
def test_flow_bounds_hold(time):
    (K, k), (Ks, ks) = full(), kernels(4000)
    bound = closeness.flow_bound(LAYERS, NEW, k, Y, time=time, rank=RANK)
    flow = linearised.flow_filter(time)
    error = linearised.linear_prediction(flow, Ks, ks, Y) - linearised.linear_prediction(flow, K, k, Y)
    assert np.all(np.sqrt((error**2).mean(axis=0)) < bound.root_mean_square)
    assert np.all(np.abs(error.mean(axis=0)) < bound.mean + 5 * error.std(axis=0) / np.sqrt(4000))


@pytest.mark.parametrize(
    ("place", "term"),
    [("as the training row", "root_mean_square"), ("as the training row", "mean"),
     ("unseen by the adapter", "root_mean_square"), ("unseen by the adapter", "mean")],
)  # fmt: skip
def test_each_of_the_four_terms_of_the_flow_bound_is_reached_early(place, term):
    """One training row with ``K̂ = K_0 + w``, w = χ²_r/r; means over w by Gauss's rule, which needs no law of second moments."""
    rank, time, y, one = 8, 1e-3, 2.0, (np.ones((1, 1)), np.ones((1, 1)))
    nodes, weights = special.roots_genlaguerre(12, rank / 2 - 1)
    w, weights = 2 * nodes / rank, weights / weights.sum()

    def fitted(k, K):
        return -np.expm1(-time * K) / K * k * y

    if place == "as the training row":  # the terms in √v_x
        new, k, gap = one, 1.0, fitted(w, w) - fitted(1.0, 1.0)
    else:  # v_x = 0, and its kernel with the training row is that of a layer in full, K_0 = 1.5
        new, k, gap = (np.zeros((1, 1)), np.ones((1, 1))), 3.0, fitted(3.0, 1.5 + w) - fitted(3.0, 2.5)
    truth = np.sqrt(weights @ gap**2) if term == "root_mean_square" else abs(weights @ gap)
    bound = closeness.flow_bound([one], [new], np.array([[k]]), np.array([y]), time=time, rank=rank)
    assert getattr(bound, term)[0] == pytest.approx(truth, rel=1e-2)
    assert getattr(bound, term)[0] > truth


def test_layers_and_new_rows_must_match():
    with pytest.raises(ValueError, match="shorter"):
        closeness.kernel_spread(LAYERS, NEW[:1])
