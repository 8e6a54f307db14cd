"""Fisher matrices: parameter space against the kernel, and both against automatic differentiation of the loss."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import relative_error

from lorantk.theory import fisher, kernels, networks
from lorantk.theory.adapters import adapt, adapter

N, C = 4, 3
LOSSES = ("squared", "cross-entropy")


def example(roles="full"):
    """Return a network, inputs and one-hot targets."""
    network = networks.init_network((5, 6, C), key=jax.random.key(0), activation="tanh")
    if roles != "full":
        network = adapt(network, adapter(2, scale=1.5), roles=roles, key=jax.random.key(1))
        ups = {name: 1.0 + p for name, p in networks.trained_parameters(network).items() if name[0] == "B"}
        network = networks.replace_parameters(network, ups)
    x = jax.random.normal(jax.random.key(2), (N, 5))
    return network, x, jax.nn.one_hot(jnp.array([0, 2, 1, 2]), C)


def targets_of(kind, outputs, y, loss):
    if kind == "exact":
        return None
    return y if kind == "empirical" else fisher.sample_targets(outputs, loss=loss, draws=7, key=jax.random.key(3))


@pytest.mark.parametrize("roles", ["full", ("full", "lora")], ids=str)
def test_dual_and_primal_share_their_non_zero_eigenvalues(roles):
    network, x, y = example(roles)
    outputs, J, K = networks.forward(network, x), fisher.jacobian(network, x), kernels.ntk(network, x, outputs="full")
    for loss, kind in itertools.product(LOSSES, fisher.KINDS):
        R = fisher.output_factor(outputs, loss=loss, kind=kind, targets=targets_of(kind, outputs, y, loss))
        F = np.linalg.eigvalsh(fisher.fisher_matrix(J, R, reduction="sum"))[::-1]
        G = np.linalg.eigvalsh(fisher.dual_matrix(K, R, reduction="sum"))[::-1]
        both = min(len(F), len(G))
        np.testing.assert_allclose(F[:both], G[:both], atol=1e-13 * F[0])
        np.testing.assert_allclose(np.concatenate([F[both:], G[both:]]), 0, atol=1e-13 * F[0])


def test_the_mean_is_the_sum_over_the_number_of_inputs():
    J, R = np.ones((2, 3, 4)), np.ones((2, 3, 1))
    K = np.einsum("icp,jdp->ijcd", J, J)
    np.testing.assert_allclose(fisher.fisher_matrix(J, R, reduction="sum"), 2 * fisher.fisher_matrix(J, R, reduction="mean"))
    np.testing.assert_allclose(fisher.dual_matrix(K, R, reduction="sum"), 2 * fisher.dual_matrix(K, R, reduction="mean"))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_exact_fisher_is_the_hessian_of_the_divergence(loss):
    network, x, _ = example(("full", "lora"))
    R = fisher.output_factor(networks.forward(network, x), loss=loss, kind="exact")
    F = fisher.fisher_matrix(fisher.jacobian(network, x), R, reduction="mean")
    assert relative_error(F, fisher.exact_by_hessian(network, x, loss=loss, reduction="mean")) < 1e-12


@pytest.mark.parametrize("loss", LOSSES)
def test_the_empirical_and_monte_carlo_fishers_are_sums_of_outer_products(loss):
    network, x, y = example(("full", "lora"))
    outputs, J = networks.forward(network, x), fisher.jacobian(network, x)
    G = fisher.parameter_gradients(network, x, y, loss=loss)
    R = fisher.output_factor(outputs, loss=loss, kind="empirical", targets=y)
    assert relative_error(fisher.fisher_matrix(J, R, reduction="sum"), G.T @ G) < 1e-13
    draws = fisher.sample_targets(outputs, loss=loss, draws=5, key=jax.random.key(3))
    truth = sum(g.T @ g for g in (fisher.parameter_gradients(network, x, draw, loss=loss) for draw in draws)) / 5
    R = fisher.output_factor(outputs, loss=loss, kind="monte-carlo", targets=draws)
    assert relative_error(fisher.fisher_matrix(J, R, reduction="sum"), truth) < 1e-13


@pytest.mark.parametrize("loss", LOSSES)
def test_the_monte_carlo_fisher_is_unbiased_for_the_exact_one_and_the_empirical_one_is_not(loss):
    outputs = jnp.array([[1.0, -0.5, 0.3], [0.0, 2.0, -1.0]])
    draws = fisher.sample_targets(outputs, loss=loss, draws=40_000, key=jax.random.key(0))
    factors = {
        "monte-carlo": fisher.output_factor(outputs, loss=loss, kind="monte-carlo", targets=draws),
        "exact": fisher.output_factor(outputs, loss=loss, kind="exact"),
        "empirical": fisher.output_factor(outputs, loss=loss, kind="empirical", targets=jax.nn.one_hot(jnp.array([1, 1]), 3)),
    }
    M = {kind: R @ R.transpose(0, 2, 1) for kind, R in factors.items()}
    # Entries of g gᵀ have variance at most 2 (squared loss) and 1 (cross-entropy): six standard errors.
    assert float(jnp.abs(M["monte-carlo"] - M["exact"]).max()) < 6 * np.sqrt(2 / 40_000)
    assert float(jnp.abs(M["empirical"] - M["exact"]).max()) > 0.1


@pytest.mark.parametrize("seed", range(2))
def test_the_softmax_factor_is_a_square_root_without_the_null_direction(seed):
    p = jax.random.dirichlet(jax.random.key(seed), 0.3 * jnp.ones(6))
    R = fisher.softmax_factor(p)
    assert R.shape == (6, 5)
    np.testing.assert_allclose(R @ R.T, jnp.diag(p) - jnp.outer(p, p), atol=1e-15)
    assert np.linalg.matrix_rank(R) == 5


def test_the_softmax_factor_survives_a_certain_prediction():
    for p in (jnp.array([1.0, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0])):
        np.testing.assert_allclose(fisher.softmax_factor(p) @ fisher.softmax_factor(p).T, 0, atol=1e-16)


def test_sampled_targets_repeat_with_their_key():
    outputs = jnp.zeros((2, 3))
    draw = [fisher.sample_targets(outputs, loss="cross-entropy", draws=50, key=jax.random.key(k)) for k in (0, 0, 1)]
    assert (draw[0] == draw[1]).all()
    assert (draw[0] != draw[2]).any()
    assert (draw[0].sum(axis=-1) == 1).all()


def test_options_are_named_and_shapes_are_checked():
    outputs = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match="kind must be one of exact, monte-carlo, empirical; got 'true'"):
        fisher.output_factor(outputs, loss="squared", kind="true")
    with pytest.raises(ValueError, match="loss must be one of squared, cross-entropy; got 'mse'"):
        fisher.output_factor(outputs, loss="mse", kind="exact")
    with pytest.raises(ValueError, match=r"exact Fisher must have shape None; got \(2, 3\)"):
        fisher.output_factor(outputs, loss="squared", kind="exact", targets=outputs)
    for targets in (None, jnp.zeros((2, 2))):
        with pytest.raises(ValueError, match=r"empirical Fisher must have shape \(2, 3\)"):
            fisher.output_factor(outputs, loss="squared", kind="empirical", targets=targets)
    for targets in (None, outputs):
        with pytest.raises(ValueError, match="monte-carlo Fisher must have shape"):
            fisher.output_factor(outputs, loss="squared", kind="monte-carlo", targets=targets)
    with pytest.raises(ValueError, match="reduction must be one of sum, mean; got 'batchmean'"):
        fisher.fisher_matrix(jnp.zeros((2, 3, 4)), jnp.zeros((2, 3, 1)), reduction="batchmean")
