"""Closed-form kernels against automatic differentiation, which is independent of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import adapted_network, relative_error

from lorantk.theory import kernels, networks
from lorantk.theory.adapters import adapt, adapter

ROLES = [
    ("full", "full", "full"),
    ("lora", "lora", "lora"),
    ("full", "lora", "lora"),
    ("frozen", "lora", "full"),
    ("lora-fa", "frozen", "lora"),
    ("frozen", "frozen", "lora-fa"),
]


CASES = [(roles, "relu", True) for roles in ROLES]
CASES += [(ROLES[2], activation, True) for activation in ("erf", "tanh", "identity")] + [(ROLES[2], "relu", False)]


@pytest.mark.parametrize(("roles", "activation", "trained"), CASES)
def test_the_kernel_equals_automatic_differentiation(roles, activation, trained):
    network = adapted_network((5, 9, 7, 3), roles, activation=activation, trained=trained)
    x1, x2 = (jax.random.normal(jax.random.key(k), (n, 5)) for k, n in ((7, 6), (8, 4)))
    truth = reference.ntk(network, x1, x2)
    assert relative_error(kernels.ntk(network, x1, x2, outputs="full"), truth) < 1e-12
    assert relative_error(kernels.ntk(network, x1, x2, outputs="trace"), jnp.einsum("ijcc->ij", truth)) < 1e-12
    assert relative_error(kernels.ntk(network, x1, x2, outputs="diagonal"), jnp.einsum("ijcc->ijc", truth)) < 1e-12


# Sizes at which the symmetric kernel is halved never, once, and twice with unequal halves.
@pytest.mark.parametrize(
    ("N", "outputs", "trained"), [(90, "trace", True), (259, "full", True), (517, "diagonal", True), (517, "trace", False)]
)
def test_halves_of_a_symmetric_kernel_make_the_whole(N, outputs, trained):
    network = adapted_network((5, 9, 2), ("lora", "full"), trained=trained)
    x = jax.random.normal(jax.random.key(7), (N, 5))
    K = kernels.ntk(network, x, outputs=outputs)
    kept = {"full": "ijcd->ijcd", "diagonal": "ijcc->ijc", "trace": "ijcc->ij"}[outputs]
    truth = jnp.einsum(kept, reference.ntk(network, x, x))
    assert relative_error(K, truth) < 1e-12
    assert relative_error(sum(kernels.ntk_terms(network, x, outputs=outputs).values()), truth) < 1e-12
    assert (kernels.transpose_block(K) == K).mean() > (0.4 if N >= 2 * kernels.LEAST_ROWS else 0)


def test_of_a_symmetric_kernel_little_more_than_half_is_computed():
    network = adapted_network((5, 99, 2), ("lora", "full"))
    factors = list(kernels.gradient_factors(network, jax.random.normal(jax.random.key(7), (1024, 5))).values())

    def flops(function, *arguments):
        return jax.jit(function, static_argnums=range(len(arguments))[1:]).lower(*arguments).compile().cost_analysis()["flops"]

    whole = flops(lambda f, outputs: kernels._product(f, f, outputs), factors, "trace")
    for halvings in (1, 2):
        share = flops(kernels._symmetric, factors, "trace", halvings) / whole
        assert share == pytest.approx(0.5 + 0.5 ** (halvings + 1), rel=0.02)


def test_float32_is_within_its_rounding_of_float64():
    network = adapted_network((16, 300, 300, 4), "lora")
    x = jax.random.normal(jax.random.key(7), (300, 16))
    single = jax.tree.map(lambda a: a.astype(jnp.float32), network)
    K = kernels.ntk(single, x.astype(jnp.float32), outputs="trace")
    assert K.dtype == jnp.float32
    # Rounding alone causes about 1e-6; a pre-activation that float32 puts on the other side of ReLU's kink, up to 1e-4.
    assert 1e-9 < relative_error(K.astype(jnp.float64), kernels.ntk(network, x, outputs="trace")) < 1e-3


def test_only_a_zero_B_that_is_known_is_skipped():
    network = adapted_network((5, 9, 3), "lora", trained=False)
    assert kernels.zero_gradient_matrices(network) == {"A1", "A2"}
    assert kernels.zero_gradient_matrices(adapted_network((5, 9, 3), "lora")) == frozenset()
    x = jax.random.normal(jax.random.key(7), (4, 5))
    traced = jax.jit(lambda network: kernels.ntk(network, x, outputs="trace"))(network)
    np.testing.assert_allclose(traced, kernels.ntk(network, x, outputs="trace"), rtol=1e-13)


def test_what_is_skipped_is_not_computed():
    network = adapted_network((64, 64, 64, 1), "lora", trained=False)
    x = jax.random.normal(jax.random.key(7), (64, 64))

    def work(skipped):
        compiled = kernels._ntk_jit.lower(network, x, None, "trace", skipped).compile()
        return compiled.cost_analysis()["flops"]

    plain = kernels._ntk_jit.lower(adapted_network((64, 64, 64, 1), "full", trained=False), x, None, "trace", frozenset())
    assert work(kernels.zero_gradient_matrices(network)) < plain.compile().cost_analysis()["flops"] < work(frozenset())


@pytest.mark.parametrize("name", ["W2", "A1", "B2"])
def test_weights_that_are_not_finite_are_refused_by_name(name):
    network = adapted_network((5, 9, 3), "lora")
    bad = networks.trained_parameters(network).get(name, network.layers[1].W).at[0, 0].set(jnp.nan)
    with pytest.raises(ValueError, match=f"weights must be finite; got NaN or infinity in {name}"):
        kernels.ntk(networks.replace_parameters(network, {name: bad}), jnp.ones((2, 5)), outputs="trace")


@pytest.mark.parametrize("widths", [(2, 1), (3, 4), (1, 30, 1), (8, 3, 40, 5, 2), (4, 6, 6, 6, 6, 6, 1)])
def test_the_kernel_is_exact_at_every_depth_and_width(widths):
    roles = tuple("lora" if n >= 2 else "full" for n in widths[:-1])
    network = adapted_network(widths, roles)
    x = jax.random.normal(jax.random.key(7), (5, widths[0]))
    assert relative_error(kernels.ntk(network, x, outputs="full"), reference.ntk(network, x, x)) < 1e-12


def test_at_the_start_only_B_contributes_to_the_kernel_of_lora():
    network = adapted_network((5, 9, 3), "lora", trained=False)
    terms = kernels.ntk_terms(network, jnp.ones((2, 5)), outputs="trace")
    assert set(terms) == {"A1", "B1", "A2", "B2"}
    assert all((terms[name] == 0).all() for name in ("A1", "A2"))
    assert all((terms[name] != 0).any() for name in ("B1", "B2"))


def test_freezing_A_drops_exactly_its_term():
    lora, fa = (adapted_network((5, 9, 3), role) for role in ("lora", "lora-fa"))
    x = jax.random.normal(jax.random.key(3), (4, 5))
    terms = kernels.ntk_terms(lora, x, outputs="trace")
    np.testing.assert_allclose(kernels.ntk(fa, x, outputs="trace"), terms["B1"] + terms["B2"], rtol=1e-13)
    assert float(jnp.abs(terms["A1"]).max()) > 0


def test_a_function_that_closes_over_the_network_can_be_compiled_and_mapped():
    network = networks.init_network((3, 5, 2), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 3))

    def kernel(x):
        return kernels.ntk(network, x, outputs="trace")

    np.testing.assert_allclose(jax.jit(kernel)(x), kernel(x), rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(kernel)(x[None])[0], kernel(x), rtol=1e-12)
    bad = networks.replace_parameters(network, {"W2": network.layers[1].W.at[0, 0].set(jnp.nan)})
    with pytest.raises(ValueError, match="NaN or infinity in W2"):
        jax.jit(lambda x: kernels.ntk(bad, x, outputs="trace"))(x)


def test_the_kernel_is_symmetric_and_positive_semi_definite():
    network = adapted_network((5, 9, 7, 3), ("full", "lora", "lora"))
    x = jax.random.normal(jax.random.key(7), (6, 5))
    K = kernels.as_matrix(kernels.ntk(network, x, outputs="full"))
    np.testing.assert_allclose(K, K.T, atol=1e-12 * float(jnp.abs(K).max()))
    values = jnp.linalg.eigvalsh(K)
    assert values[0] > -1e-12 * values[-1]


def test_as_matrix_is_the_gram_matrix_of_the_gradients():
    network = adapted_network((5, 9, 3), "lora")
    x = jax.random.normal(jax.random.key(7), (4, 5))
    J = reference.jacobian(network, x).reshape(12, -1)
    np.testing.assert_allclose(kernels.as_matrix(kernels.ntk(network, x, outputs="full")), J @ J.T, rtol=1e-11, atol=1e-11)


def test_full_rank_orthonormal_A_gives_the_kernel_of_full_fine_tuning():
    network = networks.init_network((6, 8, 8, 2), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (5, 6))
    full = kernels.ntk(network, x, outputs="full")
    config = adapter(6, scale=1.0, law="orthonormal", variance=1 / 6)
    same = adapt(network, config, roles=("lora", "full", "full"), key=jax.random.key(2))
    assert relative_error(kernels.ntk(same, x, outputs="full"), full) < 1e-12
    other = adapt(network, adapter(6, scale=1.0), roles=("lora", "full", "full"), key=jax.random.key(2))
    assert relative_error(kernels.ntk(other, x, outputs="full"), full) > 0.01


def test_merging_the_adapters_keeps_the_function_and_trains_everything():
    network = adapted_network((5, 9, 3), "lora")
    merged = kernels.as_full_fine_tuning(network)
    x = jax.random.normal(jax.random.key(7), (4, 5))
    np.testing.assert_allclose(networks.forward(merged, x), networks.forward(network, x), rtol=1e-12, atol=1e-13)
    assert set(networks.trained_parameters(merged)) == {"W1", "W2"}


def test_outputs_must_be_named():
    network = networks.init_network((3, 2), key=jax.random.key(0))
    with pytest.raises(TypeError):
        kernels.ntk(network, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="outputs must be one of full, diagonal, trace; got 'mean'"):
        kernels.ntk(network, jnp.ones((2, 3)), outputs="mean")


@pytest.mark.parametrize("shape", [(4,), (3,), (2, 4), (1, 2, 3)])
def test_inputs_that_do_not_fit_are_refused(shape):
    network = networks.init_network((3, 2), key=jax.random.key(0))
    with pytest.raises(ValueError, match="x2 must"):
        kernels.ntk(network, jnp.ones((2, 3)), jnp.ones(shape), outputs="trace")


def test_a_network_in_which_nothing_trains_is_refused():
    network = adapt(
        networks.init_network((3, 2), key=jax.random.key(0)), adapter(1, alpha=1), roles="frozen", key=jax.random.key(1)
    )
    with pytest.raises(ValueError, match="no matrix that trains"):
        kernels.ntk(network, jnp.ones((2, 3)), outputs="trace")
