"""Exact signs of eigenvalues against floating point, and errors for inexact input."""

from fractions import Fraction

import numpy as np
import pytest

from lorantk.theory import certificates


@pytest.mark.parametrize("seed", range(20))
def test_inertia_counts_the_signs_of_the_eigenvalues(seed):
    generator = np.random.default_rng(seed)
    M = generator.integers(-3, 4, size=(5, 5))
    M = M + M.T
    values = np.linalg.eigvalsh(M.astype(float))
    expected = ((values < -1e-9).sum(), (np.abs(values) <= 1e-9).sum(), (values > 1e-9).sum())
    assert certificates.inertia(certificates.rational_matrix(M.tolist())) == expected


def test_zero_eigenvalues_are_counted_exactly():
    assert certificates.inertia(certificates.rational_matrix([[1, 1], [1, 1]])) == (0, 1, 1)
    assert certificates.inertia(certificates.rational_matrix([[0, 0], [0, 0]])) == (0, 2, 0)
    barely = certificates.rational_matrix([["1", "1"], ["1", "1000000000000000000001/1000000000000000000000"]])
    assert certificates.inertia(barely) == (0, 0, 2)


def test_the_pseudo_determinant_is_the_product_of_the_non_zero_eigenvalues():
    certificate = certificates.rational_matrix([["1/4", 0, 0], [0, 0, 0], [0, 0, "-3"]])
    assert certificates.pseudo_determinant(certificate) == Fraction(-3, 4)
    assert certificates.pseudo_determinant(certificates.rational_matrix([[0, 0], [0, 0]])) == 1
    generator = np.random.default_rng(0)
    G = generator.integers(-3, 4, size=(5, 3))
    truth = np.prod(np.linalg.eigvalsh(G.T @ G))
    exact = certificates.pseudo_determinant(certificates.rational_matrix((G @ G.T).tolist()))
    assert float(exact) == pytest.approx(truth, rel=1e-10)


def test_negative_semi_definiteness_is_decided_at_the_edge():
    edge = certificates.m_delta_exact(certificates.rational_matrix([["3/5", "4/5"]]))
    assert certificates.is_nsd(edge)
    over = certificates.m_delta_exact(certificates.rational_matrix([["3/5", "4/5"]]), "1000001/1000000")
    assert not certificates.is_nsd(over)


def test_m_delta_is_exact():
    M = certificates.m_delta_exact(certificates.rational_matrix([["1/3", "1/7"]]), Fraction(1, 2))
    assert certificates.as_strings(M) == [["-35/36", "1/84"], ["1/84", "-195/196"]]


def test_a_float_is_refused():
    with pytest.raises(ValueError, match="entries must be integers, fractions or strings; got 0.5 of type float"):
        certificates.rational_matrix([[0.5]])


@pytest.mark.parametrize("rows", [[], [[]], [[1, 2], [3]]])
def test_ragged_or_empty_rows_are_refused(rows):
    with pytest.raises(ValueError, match="equal length"):
        certificates.rational_matrix(rows)


@pytest.mark.parametrize("rows", [[[1, 2], [3, 4]], [[1, 2]]])
def test_a_matrix_that_is_not_symmetric_is_refused(rows):
    with pytest.raises(ValueError, match="must be symmetric"):
        certificates.inertia(certificates.rational_matrix(rows))


def test_random_gram_matrices_have_their_rank_and_no_negative_eigenvalue():
    rng = np.random.default_rng(0)
    for _ in range(20):
        negative, zero, positive = certificates.inertia(certificates.random_gram(4, 2, rng=rng))
        assert negative == 0
        assert positive <= 2
        assert zero == 4 - positive


def test_random_entries_are_sixths_of_whole_numbers():
    M = certificates.random_rational(np.random.default_rng(0), 2, 3)
    again = certificates.random_rational(np.random.default_rng(0), 2, 3)
    assert (M.nrows(), M.ncols()) == (2, 3)
    assert again == M
    assert all(abs(6 * Fraction(v)) in range(6) for row in certificates.as_strings(M) for v in row)


def test_the_trace_is_the_sum_of_the_diagonal():
    assert certificates.trace(certificates.rational_matrix([["1/2", 7], [0, "1/3"]])) == Fraction(5, 6)
    with pytest.raises(ValueError, match="must be square; got 1 × 2"):
        certificates.trace(certificates.rational_matrix([[1, 2]]))


@pytest.mark.parametrize("C", [1, 2])
def test_the_schur_product_repeats_each_entry_over_a_block(C):
    generator = np.random.default_rng(1)
    D, G = generator.integers(-3, 4, size=(2 * C, 2 * C)), generator.integers(-3, 4, size=(2, 2))
    product = certificates.schur_product(*(certificates.rational_matrix(M.tolist()) for M in (D, G)))
    assert product == certificates.rational_matrix((D * np.kron(G, np.ones((C, C), int))).tolist())


def test_the_schur_product_refuses_sizes_that_do_not_fit():
    matrices = [certificates.rational_matrix(np.eye(size, dtype=int).tolist()) for size in (3, 2)]
    with pytest.raises(ValueError, match="got 3 × 3 and 2 × 2"):
        certificates.schur_product(*matrices)


def test_the_mean_is_exact_and_needs_matrices():
    thirds = [certificates.rational_matrix([[value, 0]]) for value in (1, 0, 0)]
    assert certificates.as_strings(certificates.mean(thirds)) == [["1/3", "0"]]
    with pytest.raises(ValueError, match="at least one matrix"):
        certificates.mean([])
