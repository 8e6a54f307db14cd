"""Training: rates, optimisers and drift of the kernel against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import training_problem

from lorantk.theory.dynamics import (
    STATUS,
    drift,
    gradient_flow,
    linear_flow,
    sized_rates,
    train,
    weighted_ntk,
)
from lorantk.theory.kernels import as_matrix, ntk, ntk_terms
from lorantk.theory.networks import (
    forward,
    init_network,
    replace_parameters,
    trained_parameters,
)
from lorantk.theory.objectives import loss_values

RATES = {"W": 0.01, "A": 0.02, "B": 0.03}


@pytest.fixture(scope="module")
def problem():
    return training_problem("lora-fa")


def by_hand(network, x, y, steps, update, loss="squared", batches=None):
    """Train with NumPy arithmetic; `update(name, gradient, parameter, t)` returns what to subtract."""
    batches = jnp.tile(jnp.arange(len(x)), (steps, 1)) if batches is None else batches

    @jax.jit
    def gradient(network, rows):
        def value(p):
            return loss_values(forward(replace_parameters(network, p), x[rows]), y[rows], loss=loss).sum()

        return jax.grad(value)(trained_parameters(network))

    for t, rows in enumerate(batches, 1):
        p, g = trained_parameters(network), gradient(network, rows)
        network = replace_parameters(network, {name: p[name] - update(name, g[name], p[name], t) for name in p})
    return network


def assert_same(a, b, rtol=1e-12):
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_sgd_subtracts_each_matrix_rate_times_its_gradient(problem, loss):
    run = train(*problem, rates=RATES, steps=4, loss=loss)
    assert_same(run.network, by_hand(*problem, 4, lambda name, g, p, t: RATES[name[0]] * g, loss))
    assert run.losses.shape == (5,)
    assert run.steps == 4
    assert STATUS[int(run.status)] == "unfinished"


def test_frozen_matrices_stay(problem):
    end, start = train(*problem, rates=RATES, steps=4).network, problem[0]
    assert jnp.array_equal(end.layers[2].A, start.layers[2].A)
    assert jnp.array_equal(end.layers[1].W, start.layers[1].W)
    assert not jnp.array_equal(end.layers[1].A, start.layers[1].A)


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_adam_is_its_definition_with_zero_over_zero_zero(problem, eps):
    moments = {}

    def update(name, g, p, t):
        m, v = moments.get(name, (0.0, 0.0))
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        moments[name] = m, v
        m, v = m / (1 - 0.9**t), np.sqrt(v / (1 - 0.999**t))
        direction = np.divide(m, v + eps, out=np.zeros(m.shape), where=np.asarray(v) > 0)
        return RATES[name[0]] * (direction + 0.1 * p)

    run = train(*problem, rates=RATES, steps=4, method="adam", eps=eps, decay=0.1)
    assert_same(run.network, by_hand(*problem, 4, update), rtol=1e-9)


def test_momentum_sums_past_gradients(problem):
    past = {}

    def update(name, g, p, t):
        past[name] = g + 0.9 * past.get(name, 0.0)
        return RATES[name[0]] * past[name]

    assert_same(train(*problem, rates=RATES, steps=4, method="momentum").network, by_hand(*problem, 4, update))


def test_batches_choose_the_rows_of_each_step(problem):
    network, x, y = problem
    batches = jnp.array([[0, 1], [4, 2], [3, 3], [1, 0]])
    run = train(*problem, rates=RATES, steps=4, batches=batches)
    expected = by_hand(network, x, y, 4, lambda name, g, p, t: RATES[name[0]] * g, batches=batches)
    assert_same(run.network, expected)


def test_training_stops_at_the_target(problem):
    short = train(*problem, rates=RATES, steps=4)
    run = train(*problem, rates=RATES, steps=30, target=float(short.losses[4]) * (1 + 1e-9))
    assert STATUS[int(run.status)] == "reached"
    assert run.steps == 4
    assert_same(run.network, short.network)
    assert jnp.isnan(run.losses[5:]).all()


def test_a_diverged_run_is_recorded_as_diverged(problem):
    run = train(*problem, rates=50.0, steps=30)
    assert STATUS[int(run.status)] == "diverged"
    assert run.steps < 30


def test_a_large_loss_that_falls_is_not_a_divergence(problem):
    network, x, y = problem
    run = train(network, x, 1e5 * y, rates=1e-6, steps=3)
    assert run.losses[0] > 1e9
    assert STATUS[int(run.status)] == "unfinished"


def test_train_maps_over_networks_and_rates(problem):
    _, x, y = problem
    networks = [init_network((3, 4, 2), key=jax.random.key(i), activation="tanh") for i in range(2)]
    rates = jnp.array([0.01, 100.0])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *networks)
    runs = jax.vmap(lambda n, r: train(n, x, y, rates=r, steps=4))(stacked, rates)
    first = jax.tree.map(lambda leaf: leaf[0], runs.network)
    assert_same(first, train(networks[0], x, y, rates=rates[0], steps=4).network)
    assert runs.status[1] == STATUS.index("diverged")


def test_weighted_kernel_predicts_the_first_order_change(problem):
    network, x, y = problem
    K, residual = weighted_ntk(network, RATES, x, outputs="full"), forward(network, x) - y
    small = {kind: 1e-6 * rate for kind, rate in RATES.items()}
    change = (forward(train(network, x, y, rates=small, steps=1).network, x) - forward(network, x)) / 1e-6
    np.testing.assert_allclose(change, -jnp.einsum("ijcd,jd->ic", K, residual), rtol=1e-4)


def test_equal_rates_weight_the_kernel_by_one_number(problem):
    network, x, _ = problem
    np.testing.assert_allclose(weighted_ntk(network, 0.5, x, outputs="trace"), 0.5 * ntk(network, x, outputs="trace"), rtol=1e-13)


def test_sized_rates_set_the_top_eigenvalue(problem):
    network, x, _ = problem
    rates = sized_rates(network, x, {"W": 1.0, "A": 0.1, "B": 3.0}, 0.7)
    top = np.linalg.eigvalsh(as_matrix(weighted_ntk(network, rates, x, outputs="full")))[-1]
    np.testing.assert_allclose(top, 0.7, rtol=1e-12)
    np.testing.assert_allclose(rates["B"] / rates["A"], 30, rtol=1e-12)


def test_drift_is_zero_at_the_start_and_relative(problem):
    K = ntk(problem[0], problem[1], outputs="full")
    assert drift(K, K) == 0
    np.testing.assert_allclose(drift(3 * K, K), 2, rtol=1e-14)


def test_gradient_descent_tends_to_gradient_flow_at_first_order(problem):
    network, x, y = problem
    (end,) = gradient_flow(*problem, rates=RATES, times=[20.0])
    flow = forward(end, x)

    def error(steps):
        rates = {kind: rate * 20 / steps for kind, rate in RATES.items()}
        return float(jnp.linalg.norm(forward(train(network, x, y, rates=rates, steps=steps).network, x) - flow))

    np.testing.assert_allclose(error(200) / error(400), 2, rtol=0.05)


def test_linear_flow_is_the_flow_of_a_model_linear_in_what_trains(problem):
    _, x, y = problem
    network = init_network((3, 2), key=jax.random.key(5))
    K = as_matrix(weighted_ntk(network, 0.1, x, outputs="full"))
    (end,) = gradient_flow(network, x, y, rates=0.1, times=[3.0])
    np.testing.assert_allclose(forward(end, x).ravel(), linear_flow(K, forward(network, x).ravel(), y.ravel(), 3.0), rtol=1e-7)


def test_kernel_terms_sum_to_the_weighted_kernel_with_rates_by_name(problem):
    network, x, _ = problem
    terms = ntk_terms(network, x, outputs="full")
    total = sum(RATES[name[0]] * K for name, K in terms.items())
    np.testing.assert_allclose(weighted_ntk(network, RATES, x, outputs="full"), total, rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": {"W": 1.0}}, "rates must give a number for each of A, B, W; got none for A, B"),
        ({"loss": "hinge"}, "loss must be one of"),
        ({"method": "lion"}, "method must be one of"),
        ({"batches": jnp.zeros((2, 2), int)}, "one row for each of the 3 steps; got 2"),
    ],
)
def test_wrong_options_are_named(problem, change, message):
    with pytest.raises(ValueError, match=message):
        train(*problem, **({"rates": 0.1, "steps": 3} | change))


def test_targets_of_another_shape_are_refused(problem):
    network, x, y = problem
    with pytest.raises(ValueError, match=r"y must have shape \(5, 2\).*got \(5, 1\)"):
        train(network, x, y[:, :1], rates=0.1, steps=1)
