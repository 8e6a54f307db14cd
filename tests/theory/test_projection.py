"""Moments and laws of randomly projected inner products and cosines, against sampling, quadrature and exact sums."""

import numpy as np
import pytest
from scipy import integrate, special, stats

from lorantk.theory import projection

DRAWS = 40_000
RANKS = [1, 2, 5, 16]
RHOS = [0.0, 0.3, -0.7, 0.95]


def pair(rho, n=6, seed=0):
    """Return two vectors with cosine rho and lengths other than 1."""
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, 2)))[0]
    return 2 * Q[:, 0], 0.5 * (rho * Q[:, 0] + np.sqrt(1 - rho**2) * Q[:, 1])


def cosines(rank, rho, seed=1, **options):
    rng = np.random.default_rng(seed)
    return projection.sample_cosines(*pair(rho), rank=rank, draws=DRAWS, rng=rng, **options)


def within(sample, expected, errors=5):
    """Say whether the mean of a sample lies within that many standard errors of its expectation."""
    return abs(sample.mean() - expected) <= errors * sample.std() / np.sqrt(len(sample)) + 1e-12


@pytest.mark.parametrize("rho", RHOS)
@pytest.mark.parametrize("rank", RANKS)
def test_the_means_match_sampling(rank, rho):
    cos = cosines(rank, rho)
    assert within(cos**2, projection.mean_squared_cosine(rank, rho))
    assert within(cos, projection.mean_cosine(rank, rho))
    if rho:
        flip = projection.sign_flip_probability(rank, rho)
        assert abs((cos * rho < 0).mean() - flip) < 5 * np.sqrt(flip * (1 - flip) / DRAWS) + 5 / DRAWS


@pytest.mark.parametrize("rank", [2, 5])
def test_one_degree_of_freedom_less_is_told_apart(rank):
    cos = cosines(rank, 0.3)
    assert not within(cos**2, projection.mean_squared_cosine(rank - 1, 0.3))


@pytest.mark.parametrize(("rank", "rho"), [(2, 0.0), (3, 0.5), (8, -0.9)])
def test_the_law_of_the_squared_cosine_matches_sampling(rank, rho):
    sample = cosines(rank, rho)[:4000] ** 2
    distance, other = (
        stats.kstest(sample, lambda x, r=r: projection.squared_cosine_cdf(x, r, rho)).statistic for r in (rank, rank + 3)
    )
    assert distance < 2.7 / np.sqrt(4000) < other  # false alarm below 1e-6


@pytest.mark.parametrize(("rank", "rho"), [(2, 0.2), (7, 0.6), (30, 0.9)])
def test_the_mean_is_the_integral_of_the_law(rank, rho):
    mean = integrate.quad(lambda x: 1 - projection.squared_cosine_cdf(x, rank, rho), 0, 1, epsabs=1e-12)[0]
    np.testing.assert_allclose(mean, projection.mean_squared_cosine(rank, rho), rtol=1e-9)


def test_rank_two_has_an_elementary_mean():
    x = np.linspace(0.01, 0.99, 20)
    np.testing.assert_allclose(projection.mean_squared_cosine(2, np.sqrt(x)), 1 + (1 - x) * np.log1p(-x) / (2 * x), rtol=1e-13)


@pytest.mark.parametrize("rank", [1, 2, 3, 10, 1000])
def test_the_floor_is_one_over_the_rank_and_is_reached_at_orthogonal_features(rank):
    np.testing.assert_allclose(projection.mean_squared_cosine(rank, 0.0), 1 / rank, rtol=1e-15, atol=0)
    np.testing.assert_allclose(projection.mean_squared_cosine(rank, [1.0, -1.0]), 1)
    rho = np.linspace(0, 1, 101)
    values = projection.mean_squared_cosine(rank, rho)
    assert (values >= 1 / rank - 1e-15).all()
    assert (np.diff(values) >= -1e-15).all()


@pytest.mark.parametrize("rank", [1, 74, 200, 2000, 10**5])
@pytest.mark.parametrize("rho", [0.0, 0.3, -0.75, 0.9])
def test_the_signed_mean_is_its_series_at_every_rank(rank, rho):
    k = np.arange(2000)
    steps = (k + 0.5) ** 2 / ((rank / 2 + 1 + k) * (k + 1)) * rho**2
    series = 1 + np.cumprod(steps).sum()
    ratio = 2 / rank * np.exp(2 * (special.gammaln((rank + 1) / 2) - special.gammaln(rank / 2)))
    np.testing.assert_allclose(projection.mean_cosine(rank, rho), ratio * rho * series, rtol=1e-10)
    assert projection.mean_cosine(rank, 1.0) == pytest.approx(1, rel=1e-9)


def test_a_high_rank_changes_nothing():
    np.testing.assert_allclose(projection.mean_squared_cosine(10**7, 0.4), 0.16, rtol=1e-5)
    np.testing.assert_allclose(projection.mean_cosine(10**7, 0.4), 0.4, rtol=1e-6)


def test_projection_raises_small_cosines_and_lowers_large_ones():
    for rank in (2, 4, 64):
        neutral = projection.neutral_cosine(rank)
        below, above = np.sqrt(neutral - 0.01), np.sqrt(neutral + 0.01)
        assert projection.mean_squared_cosine(rank, below) > below**2
        assert projection.mean_squared_cosine(rank, above) < above**2
    np.testing.assert_allclose(projection.neutral_cosine(10**4), 0.5, atol=1e-4)


def test_the_signed_mean_never_exceeds_the_cosine():
    rho = np.linspace(0, 1, 51)
    for rank in RANKS:
        assert (projection.mean_cosine(rank, rho) <= rho + 1e-15).all()


@pytest.mark.parametrize(("law", "kurtosis"), [("normal", 0.0), ("uniform", -1.2), ("rademacher", -2.0)])
def test_the_variance_of_the_inner_product_matches_sampling(law, kurtosis):
    rng = np.random.default_rng(3)
    h1, h2 = np.array([2.0, 1.0, 0.0]), np.array([1.0, -1.5, 0.2])
    draw = {
        "normal": rng.standard_normal,
        "uniform": lambda shape: rng.uniform(-np.sqrt(3), np.sqrt(3), shape),
        "rademacher": lambda shape: rng.choice([-1.0, 1.0], shape),
    }[law]
    A = 0.7 * draw((DRAWS, 4, 3))
    values = ((A @ h1) * (A @ h2)).sum(1)
    expected = projection.inner_product_variance(h1, h2, rank=4, variance=0.49, kurtosis=kurtosis)
    assert within(values, 4 * 0.49 * h1 @ h2)
    assert within((values - 4 * 0.49 * h1 @ h2) ** 2, expected)


@pytest.mark.parametrize(("rank", "rho"), [(1, 0.0), (1, 0.6), (3, -0.4), (8, 0.9), (8, 1.0), (8, -1.0)])
def test_the_law_of_the_inner_product_matches_sampling(rank, rho):
    rng = np.random.default_rng(5)
    A = rng.normal(size=(4000, rank, 2))
    sample = (A[..., 0] * (rho * A[..., 0] + np.sqrt(1 - rho**2) * A[..., 1])).mean(1)
    distance, other = (
        stats.kstest(sample, lambda x, r=r: projection.inner_product_cdf(x, r, rho)).statistic for r in (rank, rank + 4)
    )
    assert distance < 2.7 / np.sqrt(4000) < other  # false alarm below 1e-6


@pytest.mark.parametrize(("rank", "tolerance"), [(1, 1e-4), (2, 1e-6), (40, 1e-6)])
def test_the_law_of_the_inner_product_is_that_of_a_difference_of_chi_squares(rank, tolerance):
    # (1+ρ)/2 X - (1-ρ)/2 Y with independent X, Y of the χ²_r law: below 0 iff Fisher's ratio is, and the mass at other points.
    np.testing.assert_allclose(
        projection.inner_product_cdf(0.0, rank, 0.3), projection.sign_flip_probability(rank, 0.3), atol=tolerance
    )
    x, rho = 0.37, 0.3
    chi2 = stats.chi2(rank)
    expected = integrate.quad(
        lambda p: chi2.cdf((rank * x + (1 - rho) / 2 * chi2.ppf(p)) * 2 / (1 + rho)), 0, 1, epsabs=1e-10, limit=200
    )[0]
    np.testing.assert_allclose(projection.inner_product_cdf(x, rank, rho), expected, atol=tolerance)


def test_the_bound_on_all_entries_is_kept_and_grows_with_the_logarithm_of_their_number():
    rng = np.random.default_rng(6)
    h = rng.normal(size=(20, 30))
    h /= np.linalg.norm(h, axis=1, keepdims=True)
    epsilon = projection.entry_bound(50, 20, 0.1)
    errors = []
    for _ in range(100):
        projected = h @ rng.normal(size=(50, 30)).T
        errors.append(np.abs(projected @ projected.T / 50 - h @ h.T).max())
    assert np.quantile(errors, 0.9) < epsilon < 3 * np.quantile(errors, 0.9)
    tail = 20**2 * 2 * np.exp(-25 * (epsilon - np.log1p(epsilon)))
    np.testing.assert_allclose(tail, 0.1, rtol=1e-9)
    ratio = projection.entry_bound(10**6, 10**8, 0.1) / projection.entry_bound(10**6, 10**2, 0.1)
    assert 1.5 < ratio < 2


def test_the_relative_spread_is_the_one_of_the_closed_form():
    h1, h2 = pair(0.4)
    variance = projection.inner_product_variance(h1, h2, rank=9, variance=0.3)
    relative = np.sqrt(variance) / (9 * 0.3 * h1 @ h2)
    np.testing.assert_allclose(relative, np.sqrt((1 + 1 / 0.16) / 9), rtol=1e-12)


@pytest.mark.parametrize("sample", ["uniform", "rademacher"])
def test_disjoint_features_reach_the_floor_under_every_symmetric_law(sample):
    rng = np.random.default_rng(4)
    draw = {
        "uniform": lambda shape: rng.uniform(-1, 1, shape),
        "rademacher": lambda shape: rng.choice([-1.0, 1.0], shape),
    }[sample]
    cos = projection.sample_cosines(np.array([1.0, 0]), np.array([0, 1.0]), rank=5, draws=DRAWS, rng=rng, sample=draw)
    assert within(cos**2, 1 / 5)


def test_sampling_depends_on_the_seed_only():
    assert (cosines(3, 0.3) == cosines(3, 0.3)).all()
    assert (cosines(3, 0.3) != cosines(3, 0.3, seed=2)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: projection.mean_squared_cosine(0, 0.1), "rank must be a whole number of at least 1; got 0"),
        (lambda: projection.mean_cosine(2.5, 0.1), "got 2.5"),
        (lambda: projection.sign_flip_probability(3, 1.2), r"must lie in \[-1, 1\]; got 1.2"),
        (lambda: projection.mean_squared_cosine(3, np.nan), "got nan"),
        (lambda: projection.squared_cosine_cdf(0.5, 1, 0.1), "got rank 1 and rho 0.1"),
        (lambda: projection.squared_cosine_cdf(0.5, 3, 1.0), "got rank 3 and rho 1.0"),
        (lambda: projection.neutral_cosine(1), "always 1 at rank 1"),
        (lambda: projection.inner_product_cdf(0.0, 0, 0.1), "got 0"),
        (lambda: projection.inner_product_cdf(0.0, 2, 1.1), "got 1.1"),
        (lambda: projection.entry_bound(4, 0, 0.1), "got 0 and 0.1"),
        (lambda: projection.entry_bound(4, 3, 0.0), "got 3 and 0.0"),
        (lambda: projection.entry_bound(4, 3, -0.5), "got 3 and -0.5"),
        (lambda: projection.entry_bound(4, 3, 1.0), "got 3 and 1.0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_sum_over_j_equals_the_hypergeometric_function():
    for rank, rho in ((3, 0.5), (10, 0.8)):
        j = np.arange(400)
        weights = (
            np.exp(special.gammaln(rank / 2 + j) - special.gammaln(rank / 2) - special.gammaln(j + 1))
            * (1 - rho**2) ** (rank / 2)
            * rho ** (2 * j)
        )
        np.testing.assert_allclose(
            1 - (weights * (rank - 1) / (rank + 2 * j)).sum(), projection.mean_squared_cosine(rank, rho), rtol=1e-12
        )
