"""The order in the rank in exact arithmetic: all sign matrices, the theorem, and every way to break it."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from lorantk.theory import certificates, rank_order
from lorantk.theory.certificates import inertia, mean, rational_matrix

ONES = rational_matrix([[1], [1]])
WIDE = rational_matrix([[1, 2, 0], ["1/2", -1, 3]])
TWO_LAYERS = [
    (rational_matrix([[1, 0], [1, 1]]), rational_matrix([[1, 2], [0, 1]])),
    (ONES, rational_matrix([[1, -1], [2, 1]])),
]
HELD = rational_matrix([["1/4", 0], [0, "1/2"]])


def mean_responses(layers, ridge, ranks, **options):
    """Mean responses by rank, then full fine-tuning's."""
    kernels = {rank: rank_order.sign_kernels(layers, rank, **options) for rank in ranks}
    found = [mean([rank_order.ridge_response(K, ridge) for K in kernels[rank]]) for rank in ranks]
    return [*found, rank_order.ridge_response(mean(kernels[ranks[0]]), ridge)]


def entry(matrix):
    return Fraction(str(matrix[0, 0]))


def test_kernels_are_those_of_every_sign_matrix():
    """Against floating point over all 2⁶ matrices, each row's sign included."""
    D, Phi = np.array([[1.0, 0], [1, 1]]), np.array([[1.0, 2, 0], [0.5, -1, 3]])
    found = []
    for entries in itertools.product((1.0, -1.0), repeat=6):
        A = np.array(entries).reshape(2, 3)
        found.append((D @ D.T) * (Phi @ A.T @ A @ Phi.T) / 2)
    exact = rank_order.sign_kernels([(TWO_LAYERS[0][0], WIDE)], 2)
    as_floats = [[float(Fraction(str(K[i, j]))) for i in range(2) for j in range(2)] for K in exact]
    found = np.sort(np.array(found).reshape(64, 4), axis=0)
    np.testing.assert_allclose(found, np.sort(np.repeat(as_floats, 4, axis=0), axis=0), atol=1e-12)


def test_the_mean_kernel_is_full_fine_tunings():
    held = rank_order.sign_kernels(TWO_LAYERS, 2, fixed=HELD)
    full = [certificates.schur_product(Phi * Phi.transpose(), D * D.transpose()) for D, Phi in TWO_LAYERS]
    assert mean(held) == full[0] + full[1] + HELD


@pytest.mark.parametrize(("layers", "options"), [([(ONES, WIDE)], {}), (TWO_LAYERS, {"fixed": HELD})])
@pytest.mark.parametrize("ridge", ["1/10", 1, 7])
def test_responses_rise_with_the_rank_and_stay_below_full_fine_tuning(layers, options, ridge):
    found = mean_responses(layers, ridge, (1, 2, 3), **options)
    for lower, higher in itertools.pairwise(found):
        assert inertia(higher - lower) == (0, 0, 2)


def test_the_example_by_hand():
    head = [(rational_matrix([[1]]), rational_matrix([[1, 1]]))]
    found = [entry(H) for H in mean_responses(head, 2, (1, 2, 3, 4))]
    assert found == [Fraction(1, 3), Fraction(5, 12), Fraction(47, 105), Fraction(37, 80), Fraction(1, 2)]


def test_a_scale_that_falls_with_the_rank_reverses_the_order():
    head = [(rational_matrix([[1]]), rational_matrix([[1, 1]]))]
    means = [mean([rank_order.ridge_response(K / r, 2) for K in rank_order.sign_kernels(head, r)]) for r in (1, 2, 3)]
    assert [entry(H) for H in means] == [Fraction(1, 3), Fraction(7, 24), Fraction(167, 715)]


def test_equality_occurs():
    found = mean_responses([(rational_matrix([[1]]), rational_matrix([[3]]))], 1, (1, 2))
    assert [entry(H) for H in found] == [Fraction(9, 10)] * 3


def test_other_fits_are_not_ordered():
    ones = rational_matrix([[1], [1]])
    lora, full = mean_responses([(ONES, rational_matrix([[1, 0], [2, 1]]))], 1, (1,))
    assert entry(lora * ones) == Fraction(17, 33) > entry(full * ones) == Fraction(1, 2)


def test_the_squared_misfit_is_not_ordered():
    Phi, y = rational_matrix([[3, 2], [1, 1]]), rational_matrix([[1], [-1]])

    def misfit(K):
        left = y - rank_order.ridge_response(K, 1) * y
        return entry(left.transpose() * left)

    lora = [misfit(K) for K in rank_order.sign_kernels([(ONES, Phi)], 1)]
    assert sum(lora) / len(lora) == Fraction(147, 100) < misfit(Phi * Phi.transpose()) == Fraction(25, 17)


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
def test_gradient_descent_orders_the_trace_and_at_two_steps_the_matrix_but_not_every_row(steps):
    Phi = rational_matrix([[4, 1], [3, 0]]) / 6
    full = rank_order.descent_response(Phi * Phi.transpose(), 1, steps)
    lora = mean([rank_order.descent_response(K, 1, steps) for K in rank_order.sign_kernels([(ONES, Phi)], 1)])
    assert certificates.trace(lora) <= certificates.trace(full)
    assert (inertia(full - lora)[0] == 0) == (steps <= 2)
    if steps == 1:
        assert lora == full
    if steps == 4:
        assert lora[1, 1] > full[1, 1]
        assert (str(lora[1, 1]), str(full[1, 1])) == ("8555/23328", "68087/186624")


@pytest.mark.parametrize(("rate", "steps"), [("1/7", 3), ("1/3", 5), (0, 4)])
def test_gradient_descent_is_a_loop_of_steps(rate, steps):
    Phi = np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]])
    theta = np.zeros((3, 2))  # a column for each of the two unit labels
    for _ in range(steps):
        theta -= float(Fraction(rate)) * Phi.T @ (Phi @ theta - np.eye(2))
    found = rank_order.descent_response(WIDE * WIDE.transpose(), rate, steps)
    as_floats = [[float(Fraction(str(found[i, j]))) for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(as_floats, Phi @ theta, rtol=1e-12)


@pytest.mark.parametrize("arguments", [([(ONES, WIDE)], 0), ([], 1), ([(ONES, WIDE)], 9)])
def test_what_cannot_be_gone_through_is_refused(arguments):
    with pytest.raises(ValueError, match=r"a rank of at least 1, some layer and at most 65536 choices; got r="):
        rank_order.sign_kernels(*arguments)
