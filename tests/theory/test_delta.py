"""M_Δ: its spectrum, the sharp condition, and probabilities at finite size against sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import delta
from lorantk.theory.laws import sample_matrix


@pytest.mark.parametrize(("rank", "features"), [(1, 5), (3, 8), (6, 6), (9, 4)])
def test_the_eigenvalues_are_those_of_the_matrix(rank, features):
    A = sample_matrix("gaussian", (rank, features), 0.7, key=jax.random.key(0))
    values = delta.m_delta_eigenvalues(A, scale=1.5)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(np.asarray(delta.m_delta(A, scale=1.5))), atol=1e-12)
    assert (np.asarray(values) == -1).sum() >= features - rank


def test_the_printed_spectrum_is_not_that_of_m_delta():
    A = sample_matrix("gaussian", (3, 50), 0.5 / 50, key=jax.random.key(0))
    values = np.asarray(delta.m_delta_eigenvalues(A))
    assert not np.isclose(values[:, None], [0.5, 0.0], atol=1e-6).any()


@pytest.mark.parametrize(("law", "kurtosis"), [("gaussian", 0.0), ("kaiming-uniform", -1.2), ("rademacher", -2.0)])
@pytest.mark.parametrize(("rank", "features", "factor"), [(6, 6, 1.0), (3, 9, 1.0), (4, 5, 0.4)])
def test_the_mean_square_norm_is_that_of_sampled_matrices(law, kurtosis, rank, features, factor):
    keys = jax.random.split(jax.random.key(3), 4000)
    A = jax.vmap(lambda key: sample_matrix(law, (rank, features), factor / rank, key=key))(keys)
    squares = jnp.sum(jax.vmap(delta.m_delta)(A) ** 2, axis=(1, 2))
    expected = delta.mean_square_norm(rank, features, mean_factor=factor, kurtosis=kurtosis)
    # 5.5 standard errors: the probability that one of the nine cases fails by bad luck is below 1e-6.
    assert abs(squares.mean() - expected) < 5.5 * squares.std() / np.sqrt(len(squares))


def test_the_mean_square_norm_at_full_rank_grows_with_the_size():
    assert delta.mean_square_norm(7, 7) == 8
    with pytest.raises(ValueError, match="kurtosis must be at least -2; got -3"):
        delta.mean_square_norm(7, 7, kurtosis=-3)
    with pytest.raises(TypeError, match="positional"):
        delta.mean_square_norm(7, 7, 1.0)


@pytest.mark.parametrize("q", [0.3, 0.6, 0.9])
def test_sharp_ratio_is_where_the_sharp_value_crosses_one(q):
    np.testing.assert_allclose(delta.sharp_value(q, delta.sharp_ratio(q)), 1.0, rtol=1e-14)


def test_no_ratio_is_allowed_for_q_of_at_least_one():
    assert delta.sharp_ratio(1.0) == 0.0
    assert delta.sharp_ratio(4 / 3) == 0.0


def test_the_default_of_peft_with_alpha_equal_to_r_holds_up_to_its_ratio():
    np.testing.assert_allclose(delta.sharp_ratio(1 / 3), (np.sqrt(3) - 1) ** 2, rtol=1e-14)


@pytest.mark.parametrize(("rank", "features", "draws"), [(8, 64, 4000), (16, 256, 2000), (30, 30, 20_000)])
def test_the_probability_at_finite_size_matches_sampling(rank, features, draws):
    generator = np.random.default_rng(5)
    q = 1 / (1 + np.sqrt(rank / features)) ** 2
    G = generator.normal(size=(draws, rank, features))
    top = np.linalg.eigvalsh(G @ G.transpose(0, 2, 1))[:, -1]
    for factor in (0.95, 1.0, 1.05, 1.15):
        measured = (q * factor * top / features <= 1).mean()
        # 5 standard errors of sampling and the bias of the approximation at these sizes, below 0.01.
        assert abs(measured - delta.nsd_probability(q * factor, rank, features)) < 0.01 + 5 * np.sqrt(0.25 / draws)


def test_the_restricted_condition_decides_the_order_on_the_data():
    A = sample_matrix("gaussian", (4, 30), 1 / 30, key=jax.random.key(0))
    features = jax.random.normal(jax.random.key(1), (3, 30))
    gram = features @ delta.m_delta(A, 0.9) @ features.T
    top = delta.restricted_top(A, features, 0.9)
    assert (top <= 1) == bool(jnp.linalg.eigvalsh(gram)[-1] <= 1e-12)
    scale = 0.9 * float(1 / jnp.sqrt(top))
    for factor, expected in ((0.999, True), (1.001, False)):
        gram = features @ delta.m_delta(A, scale * factor) @ features.T
        assert bool(jnp.linalg.eigvalsh(gram)[-1] <= 1e-12) is expected


def test_features_that_span_everything_restrict_nothing():
    A = sample_matrix("gaussian", (4, 10), 0.1, key=jax.random.key(0))
    features = jax.random.normal(jax.random.key(1), (25, 10))
    np.testing.assert_allclose(delta.restricted_top(A, features), delta.m_delta_eigenvalues(A)[-1] + 1, rtol=1e-12)


def test_repeated_rows_do_not_change_the_restricted_value():
    A = sample_matrix("gaussian", (4, 30), 1 / 30, key=jax.random.key(0))
    features = jax.random.normal(jax.random.key(1), (3, 30))
    twice = jnp.concatenate([features, 2 * features])
    np.testing.assert_allclose(delta.restricted_top(A, twice), delta.restricted_top(A, features), rtol=1e-12)
