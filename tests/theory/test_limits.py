"""The infinite-width recursion against neural-tangents, quadrature and sampled networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import kernels, limits, networks, neural_tangents
from lorantk.theory.adapters import adapt, adapter


def inputs(N=6, n=5, seed=0):
    return jax.random.normal(jax.random.key(seed), (N, n))


@pytest.mark.parametrize(("depth", "weight_variance"), [(2, 2.0), (5, 0.7)])
@pytest.mark.parametrize("activation", limits.CLOSED_FORMS)
def test_kernel_and_covariance_agree_with_neural_tangents(activation, depth, weight_variance):
    x1, x2 = inputs(), inputs(4, seed=1)
    ours = limits.limit_recursion(x1, x2, depth=depth, activation=activation, weight_variance=weight_variance)
    theirs = neural_tangents.analytic_kernel(x1, x2, depth=depth, activation=activation, weight_variance=weight_variance)
    np.testing.assert_allclose(ours.kernel[-1], theirs.ntk, atol=1e-10 * float(jnp.abs(theirs.ntk).max()))
    np.testing.assert_allclose(ours.sigma[-1], theirs.nngp, atol=1e-10 * float(jnp.abs(theirs.nngp).max()))
    wrong = limits.limit_ntk(x1, x2, depth=depth, activation=activation, weight_variance=1.01 * weight_variance)
    assert float(jnp.abs(wrong - theirs.ntk).max() / jnp.abs(theirs.ntk).max()) > 1e-3


@pytest.mark.parametrize("correlation", [-0.95, -0.3, 0.0, 0.5, 0.98])
@pytest.mark.parametrize("activation", limits.CLOSED_FORMS)
@pytest.mark.parametrize(("a", "b"), [(0.6, 2.3), (0.1, 0.4)])
def test_the_closed_forms_are_the_integrals(activation, correlation, a, b):
    c = correlation * np.sqrt(a * b)
    np.testing.assert_allclose(
        limits.dual_activation(activation, a, b, c),
        limits.dual_activation_by_quadrature(activation, a, b, c),
        rtol=1e-10,
        atol=1e-11,
    )


def test_the_quadrature_has_known_moments():
    # E[u v] = c, E[1] = 1 for the identity; E[tanh'(u)²] by another number of nodes.
    np.testing.assert_allclose(limits.dual_activation_by_quadrature("identity", 1.5, 0.4, -0.6), (-0.6, 1.0), rtol=1e-12)
    few, many = (limits.dual_activation_by_quadrature("tanh", 1.0, 1.0, 0.5, nodes=k) for k in (120, 240))
    np.testing.assert_allclose(few, many, rtol=1e-12)


@pytest.mark.parametrize("activation", limits.CLOSED_FORMS)
def test_the_derivative_of_the_covariance_is_the_covariance_of_the_derivative(activation):
    # Price's theorem: d/dc E[σ(u)σ(v)] = E[σ'(u)σ'(v)], which ties the two closed forms together.
    a, b, c, step = 0.8, 1.7, 0.4, 1e-5
    above, below = (limits.dual_activation(activation, a, b, c + e)[0] for e in (step, -step))
    np.testing.assert_allclose((above - below) / (2 * step), limits.dual_activation(activation, a, b, c)[1], rtol=1e-8)


@pytest.mark.parametrize("activation", limits.CLOSED_FORMS)
def test_the_terms_add_up_to_the_kernel(activation):
    result = limits.limit_recursion(inputs(), depth=4, activation=activation)
    np.testing.assert_allclose(result.terms.sum(axis=0), result.kernel[-1], rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(result.terms[-1], result.sigma[-1])


def test_a_deep_relu_network_of_unit_gain_has_equal_terms_on_the_diagonal():
    x = inputs()
    diagonal = jnp.einsum("lii->li", limits.limit_recursion(x, depth=6).terms)
    np.testing.assert_allclose(diagonal, np.tile(2 / 5 * np.asarray(jnp.sum(x**2, axis=1)), (6, 1)), rtol=1e-12)


@pytest.mark.parametrize("activation", limits.CLOSED_FORMS)
def test_coinciding_and_collinear_inputs_and_zeros_give_numbers(activation):
    x = inputs(3)
    x = jnp.concatenate([x, x, 3.7 * x, -x, jnp.zeros((2, 5))])
    result = limits.limit_recursion(x, depth=5, activation=activation)
    assert all(bool(jnp.isfinite(part).all()) for part in result)
    K = result.kernel[-1]
    np.testing.assert_allclose(K, K.T, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(K[:3, 3:6], K[:3, :3], rtol=1e-12, atol=1e-14)
    assert float(jnp.abs(K[-1]).max()) == 0
    if activation == "relu":  # positively homogeneous: K(x, λx') = λ K(x, x') for λ > 0
        np.testing.assert_allclose(K[:3, 6:9], 3.7 * K[:3, :3], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("activation", limits.CLOSED_FORMS)
def test_hidden_states_of_zero_have_covariance_zero(activation):
    value = limits.dual_activation_of_arrays(activation, jnp.zeros(1), jnp.full(1, 2.0), jnp.zeros(1))[0]
    np.testing.assert_allclose(value, 0, atol=1e-15)


def test_nearly_parallel_inputs_keep_full_accuracy():
    # Two layers: K = Σ¹ Σ̇² + Σ² with Σ̇² = 1 - angle/π, for an angle that a cosine in float64 cannot hold.
    x = jnp.array([[1.0, 0.0], [1.0, 1e-9]])
    sigma_dot = limits.limit_recursion(x, depth=2).sigma_dot[1]
    np.testing.assert_allclose(1 - sigma_dot[0, 1], 1e-9 / np.pi, rtol=1e-6)
    assert sigma_dot[0, 0] == 1


@pytest.mark.parametrize("size", [1e-6, 1e4, 1e8])
def test_large_inputs_keep_the_slopes_of_erf(size):
    x = size * jnp.array([[0.6, -1.1, 0.3]])
    dot = limits.limit_recursion(x, -x, depth=2, activation="erf").sigma_dot[1, 0, 0]
    np.testing.assert_allclose(dot, 4 / np.pi / np.sqrt(1 + 4 * float((x**2).mean())), rtol=1e-12)


def test_the_kernel_is_positive_definite_on_distinct_directions():
    K = limits.limit_ntk(inputs(8), depth=3)
    assert float(jnp.linalg.eigvalsh(K)[0]) > 1e-3


def test_wide_networks_come_close_layer_by_layer_in_the_standard_parameterisation():
    x, widths = inputs(3, 4), (4, 384, 128, 256, 1)

    def sample(key):
        network = networks.init_network(widths, key=key, activation="relu")
        return jnp.stack(list(kernels.ntk_terms(network, x, outputs="trace").values()))

    mean = jax.vmap(sample)(jax.random.split(jax.random.key(1), 32)).mean(axis=0)
    terms = limits.limit_recursion(x, depth=4).terms
    scale = mean.max(axis=(1, 2), keepdims=True)
    expected = limits.standard_factors(widths, 2.0)[:, None, None] * terms
    assert float((jnp.abs(mean - expected) / scale).max()) < 0.15
    one_power = limits.standard_factors((128,) * 5, 2.0)[:, None, None] * terms
    assert float((jnp.abs(mean - one_power) / scale).max()) > 1


def test_the_standard_parameterisation_agrees_with_neural_tangents():
    x = inputs(3, 4)
    theirs = neural_tangents.analytic_kernel(
        x, None, depth=3, activation="relu", weight_variance=2.0, width=256, parameterization="standard"
    )
    ours = limits.limit_ntk(x, depth=3, factors=limits.standard_factors((4, 256, 256, 1), 2.0))
    np.testing.assert_allclose(ours, theirs.ntk, rtol=1e-10)


def test_mean_factors_by_role():
    config = adapter(2, alpha=6, law="kaiming-uniform")
    roles, widths = ("full", "lora", "lora-fa", "frozen"), (5, 8, 16, 4, 2)
    factors = limits.mean_factors(roles, config, widths)
    np.testing.assert_allclose(factors, [1, 9 * 2 / 24, 9 * 2 / 48, 0], rtol=1e-15)
    with pytest.raises(ValueError, match="roles must be 4 of"):
        limits.mean_factors(("full",), config, widths)
    with pytest.raises(ValueError, match="roles must be 1 of"):
        limits.mean_factors(("half",), config, (3, 2))


def test_the_mean_kernel_of_lora_comes_close_to_the_factors_times_the_terms():
    x, widths = inputs(3, 4), (4, 128, 128, 1)
    config = adapter(4, alpha=8, law="gaussian", variance=1 / 128)
    roles = ("full", "lora", "lora")

    def sample(key):
        network = adapt(networks.init_network(widths, key=key), config, roles=roles, key=jax.random.fold_in(key, 1))
        return kernels.ntk(network, x, outputs="trace")

    mean = jax.vmap(sample)(jax.random.split(jax.random.key(1), 400)).mean(axis=0)
    factors = limits.mean_factors(roles, config, widths) * limits.standard_factors(widths, 2.0)
    expected = limits.limit_ntk(x, depth=3, factors=factors)
    assert float(jnp.abs(mean - expected).max() / expected.max()) < 0.15


def test_wrong_use_is_refused():
    x = inputs()
    with pytest.raises(ValueError, match="activation must be one of relu, erf, identity, which have closed forms; got 'tanh'"):
        limits.limit_ntk(x, depth=2, activation="tanh")
    with pytest.raises(ValueError, match="depth must be at least 1; got 0"):
        limits.limit_ntk(x, depth=0)
    with pytest.raises(ValueError, match="rows of equal length"):
        limits.limit_ntk(x, jnp.ones((2, 3)), depth=2)
    for count in (1, 2, 4):
        with pytest.raises(ValueError, match="factors must be 3 numbers"):
            limits.limit_ntk(x, depth=3, factors=[1.0] * count)
    with pytest.raises(ValueError, match="weight_variance must be"):
        limits.limit_ntk(x, depth=2, weight_variance=-1.0)
    with pytest.raises(ValueError, match="c² <= ab"):
        limits.dual_activation("relu", 1.0, 1.0, 1.1)
    with pytest.raises(ValueError, match="needs c² < ab"):
        limits.dual_activation_by_quadrature("relu", 1.0, 1.0, 1.0)
