"""How A and B start: the expected norms against draws from the laws themselves."""

import numpy as np
import pytest

from lorantk.auditing.errors import AuditError
from lorantk.auditing.starts import KNOWN, check_init, embedding_start, expected_top, start
from lorantk.theory.adapters import adapter
from lorantk.theory.conditions import default_variance

RANK, N, M = 16, 1024, 768


def draw(word, rng):
    """Draw A and B as PEFT describes it, in NumPy."""
    A, B = np.zeros((RANK, N)), np.zeros((M, RANK))
    if word in ("true", "false"):
        A = rng.uniform(-1, 1, A.shape) / np.sqrt(N)
    if word == "false":
        B = rng.uniform(-1, 1, B.shape) / np.sqrt(RANK)
    if word == "gaussian":
        A = rng.standard_normal(A.shape) / RANK
    if word == "orthogonal":
        Q = np.linalg.qr(rng.standard_normal((RANK, RANK)))[0]
        A = Q[0::2].T @ rng.standard_normal((RANK // 2, N)) / 10
        B = rng.standard_normal((M, RANK // 2)) @ Q[1::2] / 10
    if word in ("orthonormal", "eva"):
        A = np.linalg.qr(rng.standard_normal((N, RANK)))[0].T
    if word == "mica":
        B = np.linalg.qr(rng.standard_normal((M, RANK)))[0]
    return A, B


@pytest.mark.parametrize("word", ["true", "false", "gaussian", "orthogonal", "orthonormal", "eva", "mica"])
def test_expected_norms_are_those_of_draws(word):
    begin = start(word, RANK, N)
    A, B = draw(word, np.random.default_rng(0))
    # The largest eigenvalue scatters by n^(-2/3) and lies below its limit, by a few per cent at this size; the seed is fixed.
    np.testing.assert_allclose(expected_top(begin.A, RANK, N), np.linalg.norm(A, 2) ** 2, rtol=0.1)
    np.testing.assert_allclose(expected_top(begin.B, RANK, M), np.linalg.norm(B, 2) ** 2, rtol=0.1)
    assert begin.theory
    assert (begin.B.law == "zero") == (not B.any())


def test_a_wrong_law_would_be_noticed():
    A, _ = draw("gaussian", np.random.default_rng(0))
    assert abs(expected_top(start("true", RANK, N).A, RANK, N) / np.linalg.norm(A, 2) ** 2 - 1) > 0.5


@pytest.mark.parametrize("word", ["olora", "pissa", "pissa_niter_16", "corda", "loftq", "lora_ga"])
def test_starts_from_weights_or_data_are_measured(word):
    begin = start(check_init(word, "x"), RANK, N)
    assert not begin.theory
    assert expected_top(begin.A, RANK, N) is expected_top(begin.B, RANK, M) is None
    assert "W₀" in begin.text


def test_whitened_eva_is_measured():
    assert start("eva", RANK, N).theory
    assert not start("eva", RANK, N, whiten=True).theory


def test_a_given_variance_replaces_the_laws_own():
    assert start("gaussian", RANK, N, variance=0.25).A.variance == 0.25


def test_embeddings_swap_the_roles():
    begin = embedding_start("true")
    assert (begin.A.law, begin.B.law, begin.B.variance) == ("zero", "iid", 1.0)
    assert embedding_start("false").A.law == "iid"
    assert embedding_start("mica").B.law == "orthonormal"


def test_only_the_values_of_peft_are_known():
    for word in (*KNOWN, "pissa_niter_4", True, False, "Gaussian"):
        assert check_init(word, "x") == str(word).lower()
    for word in ("", "kaiming", "pissa_niter_", "pissa_niter_x", "orthonormall", "None"):
        with pytest.raises(AuditError, match="x: expected init_lora_weights out of true, false, gaussian, .*, got"):
            check_init(word, "x")


@pytest.mark.parametrize(("word", "law"), [("true", "kaiming-uniform"), ("gaussian", "gaussian")])
def test_variances_are_those_of_the_adapters_of_the_book(word, law):
    assert start(word, RANK, N).A.variance == default_variance(adapter(RANK, alpha=1, law=law).law, RANK, N)
