"""neural-tangents works with the current JAX, and leaves JAX as it was."""

import ast
import inspect
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import kernels, limits, networks, neural_tangents
from lorantk.theory.adapters import adapt, adapter

PROBE = """
import sys, jax.core, jax.interpreters.ad
before = set(dir(jax.core)), set(dir(jax.interpreters.ad)), {name for name in sys.modules if name.startswith("jax")}
from lorantk.theory import neural_tangents
assert not {"tensorflow", "tf2jax"} & set(sys.modules), "TensorFlow was imported"
assert "neural_tangents.experimental" not in sys.modules
assert (set(dir(jax.core)), set(dir(jax.interpreters.ad))) == before[:2], "JAX was left changed"
assert "jax.util" not in sys.modules
print("ok")
"""


def test_it_imports_without_tensorflow_and_leaves_jax_as_it_was():
    result = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "ok", result.stderr


def test_it_uses_no_private_name_of_jax():
    tree = ast.parse(inspect.getsource(neural_tangents))
    attributes = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    imports = [
        name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    ]
    dotted = [part for name in imports for part in name.split(".")]
    assert not [name for name in attributes + dotted if name.startswith("_") and not name.startswith("__")]


def test_everything_listed_is_there():
    assert all(hasattr(neural_tangents, name) for name in neural_tangents.__all__)


def test_the_lent_functions_refuse_lists_of_unequal_length():
    assert neural_tangents._safe_map(lambda a, b: a + b, [1, 2], (3, 4)) == [4, 6]
    assert neural_tangents._safe_zip(range(2), "ab") == [(0, "a"), (1, "b")]
    with pytest.raises(ValueError, match="shorter"):
        neural_tangents._safe_map(lambda a, b: a + b, [1, 2], [3])


def test_its_two_empirical_routes_agree_with_jacobian_contraction():
    init, apply, _ = neural_tangents.stax.serial(
        neural_tangents.stax.Dense(20), neural_tangents.stax.Relu(), neural_tangents.stax.Dense(2)
    )
    x = jax.random.normal(jax.random.key(0), (4, 3))
    _, parameters = init(jax.random.key(1), (-1, 3))
    jacobians = jax.tree.leaves(jax.jacrev(lambda p: apply(p, x))(parameters))
    J = jnp.concatenate([block.reshape(4, 2, -1) for block in jacobians], axis=-1)
    truth = jnp.einsum("icp,jdp->ijcd", J, J)
    for implementation in (1, 2):
        fn = neural_tangents.empirical_ntk_fn(apply, trace_axes=(), implementation=implementation)
        np.testing.assert_allclose(fn(x, None, parameters), truth, rtol=1e-10, atol=1e-12)


def test_its_sampled_kernels_tend_to_its_analytic_kernel():
    init, apply, kernel = neural_tangents.stax.serial(
        neural_tangents.stax.Dense(128), neural_tangents.stax.Relu(), neural_tangents.stax.Dense(1)
    )
    x = jax.random.normal(jax.random.key(0), (3, 3))
    sampled = neural_tangents.monte_carlo_kernel_fn(init, apply, jax.random.key(1), 50, vmap_axes=0)(x, None, "ntk")
    truth = kernel(x, None, "ntk")
    assert float(jnp.abs(sampled - truth).max() / truth.max()) < 0.15


@pytest.mark.parametrize("activation", ["relu", "erf", "identity"])
def test_the_kernel_of_a_network_is_the_standard_one_with_a_factor_for_each_layer(activation):
    widths, variance = (5, 7, 4, 3), 1.5
    network = networks.init_network(widths, key=jax.random.key(0), activation=activation, weight_variance=variance)
    x1, x2 = jax.random.normal(jax.random.key(1), (2, 6, 5))
    factors = limits.standard_factors(widths, variance)
    terms = kernels.ntk_terms(network, x1, x2, outputs="trace").values()
    truth = sum(term / factor for term, factor in zip(terms, factors, strict=True))
    found = neural_tangents.sampled_kernel(network, x1, x2, weight_variance=variance)
    np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-12)


def test_a_network_with_an_adapter_is_refused():
    network = networks.init_network((4, 3, 1), key=jax.random.key(0))
    adapted = adapt(network, adapter(1, alpha=1), roles="lora", key=jax.random.key(1))
    with pytest.raises(ValueError, match="layer 1"):
        neural_tangents.sampled_kernel(adapted, jnp.ones((2, 4)), weight_variance=2.0)
