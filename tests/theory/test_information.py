"""Information bits and Rényi entropies against their definitions, their limits and scipy."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from lorantk.theory import information

SPECTRUM = np.array([4.0, 1.0, 0.25, 0.0])
spectra = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=8).map(np.array)
ENTROPIES = [information.renyi, information.renyi_as_printed]


def random_psd(seed, n=5, rank=3):
    G = np.random.default_rng(seed).normal(size=(n, rank))
    return G @ G.T


@pytest.mark.parametrize("seed", range(5))
def test_information_bits_are_half_the_log_pseudo_determinant(seed):
    K = random_psd(seed)
    # The coefficient of t² in det(tI + K), as t → 0, is the product of the three positive eigenvalues.
    truth = 0.5 * math.log(abs(np.poly(K)[3]))
    assert information.information_bits(np.linalg.eigvalsh(K), unit="nats") == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_regularised_information_is_half_a_log_determinant(seed):
    K = random_psd(seed)
    truth = 0.5 * np.linalg.slogdet(np.eye(5) + K / 0.3)[1]
    assert information.regularised_information(np.linalg.eigvalsh(K), tau=0.3, unit="nats") == pytest.approx(truth, rel=1e-12)
    dimension = np.trace(K @ np.linalg.inv(K + 0.3 * np.eye(5)))
    assert information.effective_dimension(np.linalg.eigvalsh(K), tau=0.3) == pytest.approx(dimension, rel=1e-12)


def test_values_by_hand():
    assert information.numerical_rank(SPECTRUM) == 3
    assert information.information_bits(SPECTRUM, unit="bits") == pytest.approx(0)
    assert information.information_bits_as_printed(SPECTRUM) == pytest.approx(2.625)
    assert information.regularised_information(SPECTRUM, tau=1, unit="bits") == pytest.approx(0.5 * math.log2(5 * 2 * 1.25))
    assert information.effective_dimension(SPECTRUM, tau=1) == pytest.approx(0.8 + 0.5 + 0.2)
    assert information.renyi_as_printed(SPECTRUM, order=2, unit="nats") == pytest.approx(-math.log(16 + 1 + 1 / 16))
    assert information.renyi(SPECTRUM, order=2, unit="nats") == pytest.approx(-math.log((17 + 1 / 16) / 5.25**2))


@pytest.mark.parametrize("entropy", ENTROPIES)
@pytest.mark.parametrize("order", [0, 0.5, 2, math.inf])
def test_spectra_may_be_stacked(entropy, order):
    stack = np.random.default_rng(0).uniform(0.1, 3, size=(2, 5, 4))
    rows = [[entropy(values, order=order, unit="nats") for values in spectra] for spectra in stack]
    np.testing.assert_allclose(entropy(stack, order=order, unit="nats"), rows, rtol=1e-12)


def test_bits_are_nats_over_log_2():
    nats, bits = (information.information_bits([3.0], unit=unit) for unit in ("nats", "bits"))
    assert nats == pytest.approx(bits * math.log(2))
    for function in ENTROPIES:
        nats, bits = (function(SPECTRUM, order=0.5, unit=unit) for unit in ("nats", "bits"))
        assert nats == pytest.approx(bits * math.log(2))


@settings(max_examples=40, deadline=None)
@given(spectra, st.floats(1e-2, 1e2))
def test_rescaling_the_loss_shifts_what_is_not_normalised(values, k):
    n, log_k = len(values), math.log(k)
    bits = [information.information_bits(v, unit="nats") for v in (values, k * values)]
    assert bits[1] - bits[0] == pytest.approx(0.5 * n * log_k, abs=1e-9)
    printed = [information.renyi_as_printed(v, order=0.5, unit="nats") for v in (values, k * values)]
    assert printed[1] - printed[0] == pytest.approx(log_k, abs=1e-9)
    normalised = [information.renyi(v, order=0.5, unit="nats") for v in (values, k * values)]
    assert normalised[1] == pytest.approx(normalised[0], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(spectra)
def test_the_normalised_entropy_falls_with_the_order_from_log_rank_to_min_entropy(values):
    orders = [0, 0.3, 0.9, 0.95, 0.999999, 1, 1.000001, 1.05, 1.1, 2, 50, math.inf]
    entropies = [float(information.renyi(values, order=a, unit="nats")) for a in orders]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(entropies))
    assert entropies[0] == pytest.approx(math.log(len(values)), abs=1e-12)
    assert entropies[5] == pytest.approx(scipy.stats.entropy(values), abs=1e-12)
    assert entropies[-1] == pytest.approx(-math.log(values.max() / values.sum()), abs=1e-12)


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9, 1e-12])
def test_the_limit_at_order_one_is_reached_without_cancellation(step):
    p = SPECTRUM / SPECTRUM.sum()
    positive = p[p > 0]
    H1 = scipy.stats.entropy(positive)
    slope = -(np.sum(positive * np.log(positive) ** 2) - H1**2) / 2
    for order in (1 - step, 1 + step):
        value = information.renyi(SPECTRUM, order=order, unit="nats")
        assert value == pytest.approx(H1 + slope * (order - 1), abs=10 * step**2 + 1e-14)


def test_the_printed_entropy_diverges_at_order_one_unless_the_trace_is_one():
    for step in (1e-2, 1e-4, 1e-6):
        below, above = (information.renyi_as_printed(SPECTRUM, order=a, unit="nats") for a in (1 - step, 1 + step))
        assert below * step == pytest.approx(math.log(SPECTRUM.sum()), abs=5 * step)
        assert above * step == pytest.approx(-math.log(SPECTRUM.sum()), abs=5 * step)
    unit_trace = SPECTRUM / SPECTRUM.sum()
    near = information.renyi_as_printed(unit_trace, order=1 - 1e-6, unit="nats")
    assert near == pytest.approx(information.renyi(SPECTRUM, order=1, unit="nats"), abs=1e-5)


def test_the_printed_entropy_tends_to_minus_the_log_of_the_largest_eigenvalue_and_not_to_that_eigenvalue():
    limit = information.renyi_as_printed(SPECTRUM, order=math.inf, unit="nats")
    assert limit == pytest.approx(-math.log(4))
    assert information.renyi_as_printed(SPECTRUM, order=1e4, unit="nats") == pytest.approx(limit, rel=1e-3)
    assert abs(limit - SPECTRUM.max()) > 1


def test_order_zero_counts_the_positive_eigenvalues():
    for function in ENTROPIES:
        assert function(SPECTRUM, order=0, unit="bits") == pytest.approx(math.log2(3))


def test_the_tolerance_decides_what_counts_as_positive():
    values = np.array([1.0, 1e-9])
    assert information.numerical_rank(values) == 2
    assert information.numerical_rank(values, tolerance=1e-8) == 1
    strict, loose = (information.information_bits(values, unit="nats", tolerance=t) for t in (0.0, 1e-8))
    assert loose == 0
    assert strict == pytest.approx(0.5 * math.log(1e-9))


def test_many_spectra_at_once():
    values = np.random.default_rng(0).uniform(size=(3, 2, 4))
    for function, options in [
        (information.information_bits, {"unit": "nats"}),
        (information.information_bits_as_printed, {}),
        (information.regularised_information, {"tau": 1.0, "unit": "nats"}),
        (information.effective_dimension, {"tau": 1.0}),
        (information.renyi, {"order": 0.5, "unit": "nats"}),
        (information.renyi, {"order": 1, "unit": "nats"}),
        (information.renyi_as_printed, {"order": 2, "unit": "nats"}),
    ]:
        batch = function(values, **options)
        assert batch.shape == (3, 2)
        assert batch[1, 1] == pytest.approx(float(function(values[1, 1], **options)))


def test_the_tolerance_is_relative_to_each_spectrum_of_a_stack():
    np.testing.assert_array_equal(information.numerical_rank([[1.0, 1e-3], [1e6, 1e-3]], tolerance=1e-6), [2, 1])


def test_eigenvalues_that_are_zero_up_to_rounding_are_allowed():
    values = np.array([1.0, -1e-17, 1e-17])
    assert information.numerical_rank(values) == 1
    assert information.renyi(values, order=0.01, unit="nats") == pytest.approx(0)


def test_a_zero_matrix_has_an_empty_product_and_no_entropy():
    assert information.information_bits(np.zeros(3), unit="nats") == 0
    for function in ENTROPIES:
        with pytest.raises(ValueError, match="at least one positive eigenvalue"):
            function(np.zeros(3), order=2, unit="nats")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "at least one"),
        (2.0, "at least one"),
        (np.zeros((2, 0)), "at least one"),
        ([1.0, math.nan], "finite"),
        ([1.0, math.inf], "finite"),
        ([1.0, -1e-3], "negative beyond rounding"),
        ([-1.0, -2.0], "negative beyond rounding"),
    ],
)
def test_invalid_spectra_are_refused(values, message):
    for function, options in [
        (information.numerical_rank, {}),
        (information.information_bits, {"unit": "nats"}),
        (information.information_bits_as_printed, {}),
        (information.regularised_information, {"tau": 1.0, "unit": "nats"}),
        (information.effective_dimension, {"tau": 1.0}),
        (information.renyi, {"order": 0.5, "unit": "nats"}),
        (information.renyi_as_printed, {"order": 2, "unit": "nats"}),
    ]:
        with pytest.raises(ValueError, match=message):
            function(values, **options)


def test_options_out_of_range_are_refused():
    for tau in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="tau must be a positive finite number"):
            information.effective_dimension(SPECTRUM, tau=tau)
    for order in (-0.1, math.nan):
        for function in ENTROPIES:
            with pytest.raises(ValueError, match="order must be a number of at least 0"):
                function(SPECTRUM, order=order, unit="nats")
    with pytest.raises(ValueError, match="order must differ from 1"):
        information.renyi_as_printed(SPECTRUM, order=1, unit="nats")
    with pytest.raises(ValueError, match="unit must be one of nats, bits; got '2'"):
        information.information_bits(SPECTRUM, unit="2")
    for tolerance in (-1e-9, 1.0, math.nan):
        with pytest.raises(ValueError, match="tolerance must lie in"):
            information.numerical_rank(SPECTRUM, tolerance=tolerance)
