"""The law of an adapted head without a ridge: direct draws of A, and label flips enumerated one by one."""

import itertools

import numpy as np
import pytest
from scipy import stats

from lorantk.theory import head_law

RNG = np.random.default_rng(1)
PHI, NEW = RNG.standard_normal((4, 9)), RNG.standard_normal((2, 9))
Y = np.array([1.0, -1.0, -1.0, 1.0])


def drawn(rank, draws, *, rows="gaussian", features=PHI, y=Y, seed=2):
    """Least-norm predictions of an adapted head for draws of A, shape (draws, T, ...)."""
    A = np.random.default_rng(seed).standard_normal((draws, rank, features.shape[1]))
    if rows == "orthonormal":
        A = np.linalg.qr(A.swapaxes(1, 2))[0].swapaxes(1, 2)
    return NEW @ A.swapaxes(1, 2) @ np.linalg.pinv(features @ A.swapaxes(1, 2), rcond=1e-10) @ y


@pytest.mark.parametrize("rank", [4, 5, 8, 20])
def test_predictions_follow_students_law(rank):
    law = head_law.head_law(PHI, NEW, Y, rank)
    values = drawn(rank, 3000)
    for j in range(2):
        z = (values[:, j] - law.mean[j]) / law.scale[j]
        # DKW: a distance above 2.3/√3000 has a chance of 5e-5. The laws with 1 and 4 degrees of freedom lie 0.09 apart.
        bound = 2.3 / np.sqrt(3000)
        assert stats.kstest(z, stats.t(law.freedom).cdf).statistic < bound
        if rank == 4:
            assert stats.kstest(z, stats.t(law.freedom + 3).cdf).statistic > bound


def test_the_mean_is_full_fine_tunings_interpolator():
    law = head_law.head_law(PHI, NEW, Y, 7)
    np.testing.assert_allclose(law.mean, NEW @ np.linalg.pinv(PHI) @ Y, rtol=1e-11)


def test_a_rank_deficient_phi_counts_with_its_rank():
    features = np.vstack([PHI[:3], PHI[0] - PHI[1]])
    law = head_law.head_law(features, NEW, Y, 6)
    assert law.freedom == 6 - 3 + 1
    z = (drawn(6, 3000, features=features) - law.mean) / law.scale
    assert stats.kstest(z[:, 0], stats.t(4).cdf).statistic < 2.3 / np.sqrt(3000)


@pytest.mark.parametrize(("rows", "rank"), [("gaussian", 12), ("orthonormal", 8), ("orthonormal", 9)])
def test_the_covariance_of_inputs_and_outputs(rows, rank):
    labels = np.stack([Y, np.arange(4.0)], axis=1)
    cov = head_law.head_covariance(PHI, NEW, labels, rank, rows=rows)
    values = drawn(rank, 8000, rows=rows, y=labels) - NEW @ np.linalg.pinv(PHI) @ labels
    products = np.einsum("sic,sjd->sicjd", values, values)
    error = products.std(axis=0) / np.sqrt(8000)
    assert np.all(np.abs(products.mean(axis=0) - cov) <= 6 * error + 1e-12)
    if rank == 9:
        assert np.abs(cov).max() < 1e-12


def test_all_orthonormal_rows_but_one_leave_out_a_uniform_direction():
    """At r = n - 1, ``AᵀA = I - uuᵀ`` with u uniform on the sphere, so that no A is drawn; one training row."""
    phi, h, y = RNG.standard_normal(8), RNG.standard_normal(8), 1.5
    u = RNG.standard_normal((200_000, 8))
    u /= np.linalg.norm(u, axis=1)[:, None]
    outputs = y * (h @ phi - (u @ h) * (u @ phi)) / (phi @ phi - (u @ phi) ** 2)
    cov = head_law.head_covariance(phi[None], h[None], np.array([[y]]), 7, rows="orthonormal")
    # The kurtosis is 12 in the worst case, for h orthogonal to φ: a standard error of 0.7 percent.
    assert cov.item() == pytest.approx(outputs.var(), rel=0.05)


def test_variance_and_students_law_agree():
    law = head_law.head_law(PHI, NEW, Y, 11)
    cov = head_law.head_covariance(PHI, NEW, Y[:, None], 11, rows="gaussian")
    np.testing.assert_allclose(law.scale**2 * law.freedom / (law.freedom - 2), np.einsum("icic->i", cov), rtol=1e-11)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_excess_under_flips_is_the_mean_over_all_flips(share):
    def spread(y):
        return np.einsum("icic->i", head_law.head_covariance(PHI, NEW, y[:, None], 8, rows="gaussian"))

    mean = 0.0
    for flips in itertools.product((1.0, -1.0), repeat=4):
        chance = np.prod([share if flip < 0 else 1 - share for flip in flips])
        mean = mean + chance * spread(Y * np.array(flips))
    excess = head_law.flip_excess(PHI, NEW, Y, 8, share=share, rows="gaussian")
    np.testing.assert_allclose(excess, mean - spread(Y), rtol=1e-9, atol=1e-13)


def test_noise_energy_is_the_mean_over_coin_tosses():
    energies = [head_law.label_energies(PHI, np.array(y))[0] for y in itertools.product((1.0, -1.0), repeat=4)]
    assert head_law.label_energies(PHI, Y)[1] == pytest.approx(np.mean(energies), rel=1e-11)


def test_flips_may_help_labels_that_are_harder_than_coin_tosses():
    Phi = np.hstack([np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]])), np.zeros((2, 1))])
    new = np.array([[0.0, 0.0, 1.0]])
    hard, easy = (
        head_law.flip_excess(Phi, new, np.array(y), 6, share=0.5, rows="gaussian")[0] for y in ([1.0, -1.0], [1.0, 1.0])
    )
    assert hard == pytest.approx((8 / 3 - 4) / 3)
    assert easy == pytest.approx((8 / 3 - 4 / 3) / 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: head_law.head_law(PHI, NEW, Y, 3), "got r=3 and q=4"),
        (lambda: head_law.head_law(PHI, NEW[:, :5], Y, 5), r"got \(4, 9\), \(2, 5\) and \(4,\)"),
        (lambda: head_law.spread_factor(5, 4, 9, rows="gaussian"), "needs r >= q \\+ 2; got r=5 and q=4"),
        (lambda: head_law.spread_factor(10, 4, 9, rows="orthonormal"), "r <= n; got r=10 and n=9"),
        (lambda: head_law.spread_factor(8, 4, 9, rows="signs"), "got 'signs'"),
        (lambda: head_law.flip_excess(PHI, NEW, 2 * Y, 8, share=0.1, rows="gaussian"), "labels of 1 and -1"),
        (lambda: head_law.flip_excess(PHI, NEW, Y, 8, share=1.5, rows="gaussian"), "share between 0 and 1"),
    ],
)
def test_wrong_input_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
