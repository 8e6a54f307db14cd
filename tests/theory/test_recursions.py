"""The layer recursions of the kernel against automatic differentiation, which is independent of them."""

import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import relative_error

from lorantk.theory import kernels, networks, recursions

WIDTHS = (4, 7, 6, 3)
ROLES = [
    ("full", "lora", "lora"),
    ("lora", "lora-fa", "full"),
    ("frozen", "lora", "full"),
]


def sampled_network(roles, *, activation="tanh", trained=False, widths=WIDTHS, rank=2, scale=0.7):
    """Return a network of the given roles, with ``B ≠ 0`` where ``trained``."""
    rng = np.random.default_rng(0)
    layers = []
    for role, m, n in zip(roles, widths[1:], widths[:-1], strict=True):
        W, A, B = (jnp.asarray(rng.normal(size=shape)) for shape in ((m, n), (rank, n), (m, rank)))
        layer = networks.Layer(W / n**0.5, role=role)
        if role.startswith("lora"):
            layer = networks.Layer(W / n**0.5, A / n**0.5, B * float(trained), scale, role)
        layers.append(layer)
    return networks.Network(tuple(layers), activation)


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(7)
    return jnp.asarray(rng.normal(size=(3, WIDTHS[0]))), jnp.asarray(rng.normal(size=(2, WIDTHS[0])))


@pytest.mark.parametrize(
    ("roles", "activation", "trained"),
    [(ROLES[0], "tanh", True), (ROLES[0], "relu", False), (ROLES[1], "relu", True), (ROLES[2], "tanh", True)],
)
def test_the_matrix_recursion_equals_automatic_differentiation(roles, activation, trained, inputs):
    network = sampled_network(roles, activation=activation, trained=trained)
    truth = reference.ntk(network, *inputs)
    assert relative_error(recursions.layer_kernels(network, *inputs)[-1], truth) < 1e-12


def test_every_layer_of_the_matrix_recursion_is_the_kernel_of_the_network_cut_there(inputs):
    network = sampled_network(ROLES[0], trained=True)
    cut = networks.Network(network.layers[:2], network.activation)
    assert relative_error(recursions.layer_kernels(network, *inputs)[1], reference.ntk(cut, *inputs)) < 1e-12


def test_without_the_term_of_A_the_recursion_is_wrong_once_B_has_moved(inputs):
    network = sampled_network(ROLES[0], trained=True)
    frozen = sampled_network(("full", "lora-fa", "lora-fa"), trained=True)
    truth = kernels.ntk(network, *inputs, outputs="full")
    assert relative_error(recursions.layer_kernels(frozen, *inputs)[-1], truth) > 0.1


def test_the_scalar_recursion_is_not_exact_at_finite_width_and_nears_the_kernel_with_width():
    x = jnp.asarray(np.random.default_rng(3).normal(size=(4, 6)))
    errors = []
    for n in (8, 512):
        network = sampled_network(ROLES[0], widths=(6, n, n, 1))
        factors = recursions.sigma_dots(network, x, x, weight_variance=1.0)
        scalar = recursions.scalar_recursion(recursions.sigmas(network, x, x), factors)[-1]
        errors.append(relative_error(scalar, kernels.ntk(network, x, outputs="trace")))
    assert errors[0] > 0.05
    assert errors[1] < errors[0] / 2


def test_one_layer_of_the_recursion_is_exact(inputs):
    network = sampled_network(("lora",), widths=(4, 1))
    K = recursions.scalar_recursion(recursions.sigmas(network, *inputs), [])[-1]
    np.testing.assert_allclose(K, reference.ntk(network, *inputs)[:, :, 0, 0], rtol=1e-12)


def test_the_recursion_is_the_sum_of_its_layer_shares():
    terms, factors = np.random.default_rng(0).normal(size=(2, 5, 3, 3))
    shares = recursions.layer_shares(list(terms), list(factors[1:]))
    np.testing.assert_allclose(sum(shares), recursions.scalar_recursion(list(terms), list(factors[1:]))[-1], rtol=1e-12)
    np.testing.assert_array_equal(shares[-1], terms[-1])


@pytest.mark.parametrize("function", [recursions.scalar_recursion, recursions.layer_shares])
def test_terms_and_factors_must_match(function):
    with pytest.raises(ValueError, match="factors must be one fewer than the 2 terms; got 2"):
        function([1.0, 2.0], [1.0, 2.0])


def test_the_gap_to_full_fine_tuning_is_the_sum_over_layers(inputs):
    network = sampled_network(ROLES[0])
    truth = reference.ntk(network, *inputs) - reference.ntk(kernels.as_full_fine_tuning(network), *inputs)
    terms = recursions.gap_terms(network, *inputs)
    assert relative_error(sum(terms), truth) < 1e-12
    assert float(jnp.abs(terms[0]).max()) == 0
    printed = recursions.delta_terms(network, *inputs)[-1][:, :, None, None] * jnp.eye(WIDTHS[-1])[None, None]
    assert relative_error(printed, truth) > 0.1


def test_the_matrix_recursion_of_the_gap_is_exact_at_every_layer(inputs):
    network = sampled_network(ROLES[0])
    gaps = recursions.gap_kernels(network, *inputs)
    full = kernels.as_full_fine_tuning(network)
    for depth, gap in enumerate(gaps, 1):
        cut, cut_full = (networks.Network(n.layers[:depth], n.activation) for n in (network, full))
        truth = reference.ntk(cut, *inputs) - reference.ntk(cut_full, *inputs)
        np.testing.assert_allclose(gap, truth, atol=1e-12 * float(jnp.abs(gaps[-1]).max()))
    assert relative_error(gaps[-1], sum(recursions.gap_terms(network, *inputs))) < 1e-12


def test_with_an_adapter_in_the_last_layer_only_the_printed_gap_is_exact(inputs):
    network = sampled_network(("full", "full", "lora"))
    truth = reference.ntk(network, *inputs) - reference.ntk(kernels.as_full_fine_tuning(network), *inputs)
    printed = recursions.delta_terms(network, *inputs)[-1][:, :, None, None] * jnp.eye(WIDTHS[-1])[None, None]
    assert relative_error(printed, truth) < 1e-12


def test_the_gap_is_negative_semi_definite_where_every_delta_is():
    network = sampled_network(ROLES[0])
    rows = {f"A{l}": jnp.asarray(np.linalg.qr(network.layers[l - 1].A.T)[0].T) for l in (2, 3)}
    network = networks.replace_parameters(network, rows)
    x = jnp.asarray(np.random.default_rng(2).normal(size=(6, WIDTHS[0])))
    values = np.linalg.eigvalsh(kernels.as_matrix(sum(recursions.gap_terms(network, x, x))))
    assert values[-1] < 1e-12 * -values[0]
    values = np.linalg.eigvalsh(
        kernels.as_matrix(
            sum(recursions.gap_terms(networks.replace_parameters(network, {name: 3 * A for name, A in rows.items()}), x, x))
        )
    )
    assert values[-1] > 0


def test_a_frozen_layer_adds_nothing_and_lacks_the_whole_term(inputs):
    network = sampled_network(ROLES[2])
    assert not recursions.sigmas(network, *inputs)[0].any()
    np.testing.assert_allclose(recursions.delta_terms(network, *inputs)[0], -inputs[0] @ inputs[1].T, rtol=1e-13)


@pytest.mark.parametrize("function", [recursions.gap_terms, recursions.gap_kernels])
def test_the_gap_refuses_a_trained_adapter(function, inputs):
    with pytest.raises(ValueError, match="at B = 0 only; got B ≠ 0 in layer 2"):
        function(sampled_network(ROLES[0], trained=True), *inputs)


def test_sigma_dot_of_the_identity_is_the_weight_variance(inputs):
    network = sampled_network(("full",) * 3, activation="identity")
    for value in recursions.sigma_dots(network, *inputs, weight_variance=1.7):
        np.testing.assert_allclose(value, 1.7, rtol=1e-13)
    with pytest.raises(ValueError, match="weight_variance must be a positive"):
        recursions.sigma_dots(network, *inputs, weight_variance=0.0)
