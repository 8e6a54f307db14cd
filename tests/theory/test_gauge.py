"""The gauge between the variance of A and the learning rates."""

import jax.numpy as jnp
import numpy as np
import pytest
from reference import training_problem

from lorantk.theory.dynamics import train
from lorantk.theory.gauge import DEGREE, equal_rate_variance, equivalent_rates, rescale
from lorantk.theory.networks import effective_weight, forward

RATES = {"W": 0.01, "A": 0.02, "B": 0.03}


@pytest.fixture(scope="module")
def problem():
    return training_problem("lora")


def paths_differ(problem, method, k, rates, **options):
    network, x, y = problem
    a = train(network, x, y, rates=RATES, steps=20, loss="cross-entropy", method=method)
    b = train(rescale(network, k), x, y, rates=rates, steps=20, loss="cross-entropy", method=method, **options)
    return max(
        float(jnp.abs(effective_weight(p) - effective_weight(q)).max())
        for p, q in zip(a.network.layers, b.network.layers, strict=True)
    )


def test_rescaling_keeps_the_function_and_multiplies_A(problem):
    network, x, y = problem
    trained = train(network, x, y, rates=RATES, steps=5).network
    np.testing.assert_allclose(forward(rescale(trained, 3.0), x), forward(trained, x), rtol=1e-13)
    np.testing.assert_allclose(rescale(trained, 3.0).layers[1].A, 3 * trained.layers[1].A)


@pytest.mark.parametrize("method", DEGREE)
def test_equivalent_rates_give_the_same_path_bit_by_bit_for_powers_of_two(problem, method):
    assert paths_differ(problem, method, 4.0, equivalent_rates(RATES, 4.0, method)) == 0


@pytest.mark.parametrize("method", DEGREE)
def test_equivalent_rates_give_the_same_path_to_rounding(problem, method):
    assert paths_differ(problem, method, 3.0, equivalent_rates(RATES, 3.0, method)) < 1e-10


@pytest.mark.parametrize("method", DEGREE)
def test_equal_rates_give_another_path(problem, method):
    assert paths_differ(problem, method, 4.0, RATES) > 1e-3


def test_adam_with_one_eps_breaks_the_gauge_and_rescaled_eps_restores_it(problem):
    network, x, y = problem

    def end(network, rates, eps):
        return train(network, x, y, rates=rates, steps=20, method="adam", eps=eps).network

    a = forward(end(network, RATES, 0.1), x)
    rates = equivalent_rates(RATES, 4.0, "adam")
    same = forward(end(rescale(network, 4.0), rates, {"W": 0.1, "A": 0.1 / 4, "B": 0.1 * 4}), x)
    other = forward(end(rescale(network, 4.0), rates, 0.1), x)
    assert jnp.array_equal(a, same)
    assert jnp.abs(a - other).max() > 1e-3


@pytest.mark.parametrize("method", DEGREE)
def test_the_equal_rate_variance_is_that_of_the_gauge(method):
    variance, ratio = 0.01, 16.0
    k = np.sqrt(equal_rate_variance(variance, ratio, method) / variance)
    rates = equivalent_rates({"A": 1.0, "B": ratio}, k, method)
    np.testing.assert_allclose(rates["A"], rates["B"], rtol=1e-13)


def test_wrong_input_is_named(problem):
    for k in (-1, 0):
        with pytest.raises(ValueError, match=f"k must be positive; got {k}"):
            rescale(problem[0], k)
    with pytest.raises(ValueError, match="method must be one of sgd, momentum, adam; got 'lion'"):
        equivalent_rates(RATES, 2.0, "lion")
