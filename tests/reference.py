"""Naive dense computations, written from the definitions: slow, and independent of every closed form in the package.

Also the networks that several tests share.
"""

import jax
import jax.numpy as jnp

from lorantk.theory import networks
from lorantk.theory.adapters import adapt, adapter


@jax.jit
def jacobian(network, x):
    """Return ``∂f_c(x_i)/∂θ`` over the matrices that train, shape ``(N, C, P)``, by automatic differentiation."""
    parameters = networks.trained_parameters(network)
    blocks = jax.jacrev(lambda p: networks.forward(networks.replace_parameters(network, p), x))(parameters)
    return jnp.concatenate([block.reshape(*block.shape[:2], -1) for block in blocks.values()], axis=-1)


@jax.jit
def ntk(network, x1, x2):
    """Return the kernel with every pair of outputs, shape ``(N1, N2, C, C)``."""
    return jnp.einsum("icp,jdp->ijcd", jacobian(network, x1), jacobian(network, x2))


def adapted_network(widths, roles, *, activation="relu", trained=True, seed=0, rank=2):
    """Return a network with the given roles, with ``B ≠ 0`` as after training, unless `trained` is False."""
    network = networks.init_network(widths, key=jax.random.key(seed), activation=activation)
    network = adapt(network, adapter(rank, alpha=2.5 * rank), roles=roles, key=jax.random.key(seed + 1))
    if not trained:
        return network
    keys = jax.random.split(jax.random.key(seed + 2), len(widths))
    ups = {
        f"B{l}": jax.random.normal(keys[l - 1], layer.B.shape) for l, layer in enumerate(network.layers, 1) if layer.B is not None
    }
    return networks.replace_parameters(network, ups)


def training_problem(last):
    """Return a small network whose last layer has the role `last`, with inputs and labels to train on."""
    network = networks.init_network((3, 8, 8, 2), key=jax.random.key(0), activation="tanh")
    network = adapt(network, adapter(2, scale=1.5), roles=("full", "lora", last), key=jax.random.key(1))
    x = jax.random.normal(jax.random.key(2), (5, 3))
    return network, x, jax.nn.one_hot(jnp.array([0, 1, 1, 0, 1]), 2, dtype=x.dtype)


def relative_error(value, truth):
    """Return the largest difference over the largest entry."""
    return float(jnp.abs(value - truth).max() / jnp.abs(truth).max())
