"""Products and blocks against the dense Jacobian, and the closed form against both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import adapted_network, relative_error

from lorantk.theory import chains, fisher, kernels, lanczos, matrix_free

ROLES = ("full", "lora", "lora")


def setting(N=11, trained=True):
    network = adapted_network((5, 9, 7, 3), ROLES, trained=trained)
    return network, jax.random.normal(jax.random.key(7), (N, 5)), *chains.network_function(network)


@pytest.mark.parametrize("outputs", kernels.OUTPUTS)
@pytest.mark.parametrize("second", [None, 4])
def test_blocks_of_the_jacobian_give_the_closed_form(outputs, second):
    network, x, f, params = setting()
    x2 = None if second is None else jax.random.normal(jax.random.key(8), (second, 5))
    truth = kernels.ntk(network, x, x2, outputs=outputs)
    P = sum(p.size for p in params.values())
    entry = 8 * {"full": 9, "diagonal": 3, "trace": 1}[outputs]
    for memory in (None, 11 * (second or 11) * entry + 4 * 3 * 3 * P * 8):
        assert relative_error(matrix_free.ntk_of_function(f, params, x, x2, outputs=outputs, memory=memory), truth) < 1e-12


@pytest.mark.parametrize("block", [1, 4, 11, 100])
def test_both_operators_multiply_by_the_gram_matrix(block):
    network, x, f, params = setting()
    J = reference.jacobian(network, x).reshape(33, -1)
    V = jax.random.normal(jax.random.key(1), (6, 33))
    for operator in (
        matrix_free.network_operator(network, x, block=block),
        matrix_free.function_operator(f, params, x, block=block),
    ):
        assert operator.size == 33
        assert relative_error(operator.product(V, *operator.parameters), V @ J @ J.T) < 1e-12


def test_an_operator_drives_the_lanczos_quadrature():
    network, x, f, params = setting(N=40)
    K = kernels.as_matrix(kernels.ntk(network, x, outputs="full"))
    key, estimates = jax.random.key(0), []
    explicit = lanczos.Quadrature
    for product, parameters in (
        (lanczos.matrix_product, (K,)),
        matrix_free.network_operator(network, x, block=16)[:2],
        matrix_free.function_operator(f, params, x, block=16)[:2],
    ):
        rule = lanczos.quadrature(product, 120, probes=4, depth=12, key=key, parameters=parameters)
        assert isinstance(rule, explicit)
        estimates.append(lanczos.estimate_log_determinant(rule, tau=1.0).value)
    np.testing.assert_allclose(estimates, estimates[0], rtol=1e-9)


def test_fisher_products_and_both_sides_of_its_spectrum():
    for N in (4, 60):  # P = 177: the dual side is the smaller, then the primal one
        network, x, f, params = setting(N=N)
        outputs = f(params, x)
        R = fisher.output_factor(outputs, loss="cross-entropy", kind="exact")
        P = sum(p.size for p in params.values())
        F = fisher.fisher_matrix(fisher.jacobian(network, x), R, reduction="sum")
        # The second is another factor of the same matrix.
        factor, block = (R, 3) if N < 60 else (jnp.concatenate([R, R], axis=2) / np.sqrt(2), 23)
        values = matrix_free.fisher_eigenvalues(f, params, x, factor, block=block)
        assert len(values) == min(N * factor.shape[2], P)
        truth = np.linalg.eigvalsh(F)[-len(values) :]
        np.testing.assert_allclose(values, truth, atol=1e-10 * truth[-1])
        v, unravel = jax.flatten_util.ravel_pytree(params)
        product = matrix_free.fisher_product(f, params, x, R, params)
        assert relative_error(jax.flatten_util.ravel_pytree(product)[0], F @ v) < 1e-12
        assert unravel(v).keys() == params.keys()


def test_functions_that_do_not_fit_are_refused():
    _, x, f, params = setting()
    with pytest.raises(ValueError, match=r"f must map x1 of shape .* got \(11,\)"):
        matrix_free.ntk_of_function(lambda p, x: f(p, x)[:, 0], params, x, outputs="trace")
    for part in (lambda y: y[:-1], lambda y: jnp.concatenate([y, y])):
        with pytest.raises(ValueError, match="f must map x1 of shape"):
            matrix_free.ntk_of_function(lambda p, x, part=part: part(f(p, x)), params, x, outputs="trace")
    with pytest.raises(ValueError, match="params must be finite"):
        matrix_free.ntk_of_function(f, jax.tree.map(lambda p: p * jnp.inf, params), x, outputs="trace")
    with pytest.raises(ValueError, match="at least one floating-point array"):
        matrix_free.ntk_of_function(f, {}, x, outputs="trace")
    with pytest.raises(ValueError, match="outputs must be one of"):
        matrix_free.ntk_of_function(f, params, x, outputs="mean")
    # The kernel, and three rows of J for the 3 outputs.
    least = 11 * 11 * 8 + 3 * 3 * sum(p.size for p in params.values()) * 8
    with pytest.raises(ValueError, match=f"memory must be at least {least} bytes, .*; got {least - 1}"):
        matrix_free.ntk_of_function(f, params, x, outputs="trace", memory=least - 1)
    matrix_free.ntk_of_function(f, params, x, outputs="trace", memory=least)
    with pytest.raises(ValueError, match=r"R must have shape \(11, 3, k\)"):
        matrix_free.fisher_eigenvalues(f, params, x, jnp.ones((11, 2, 1)))
