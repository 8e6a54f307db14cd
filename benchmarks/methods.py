"""Ways to compute the same kernel, each at its best, for the benchmarks of time and memory.

Everything here runs under the project's JAX and under JAX 0.5.3, where implementation 3 of neural-tangents still works.
"""

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp

from lorantk.theory import kernels, networks
from lorantk.theory.adapters import adapt, adapter

INPUTS, RANK, ALPHA = 64, 8, 16


def tangents():
    """Import neural-tangents; under JAX 0.5.3 restore the two names that implementation 3 looks for."""
    if jax.__version_info__ < (0, 6):
        import jax.interpreters.ad as ad
        from jax._src import source_info_util

        ad.config, ad.source_info_util = jax.config, source_info_util
    from lorantk.theory import neural_tangents as module

    return module


def setting(mode, N, n, L, C, dtype="float64"):
    """Return a network whose every layer trains in full or through an adapter with B ≠ 0, and N inputs."""
    network = networks.init_network((INPUTS, *[n] * (L - 1), C), key=jax.random.key(0))
    if mode == "lora":
        network = adapt(network, adapter(RANK, alpha=ALPHA), roles="lora", key=jax.random.key(1))
        keys = jax.random.split(jax.random.key(2), L)
        ups = {f"B{l}": 0.1 * jax.random.normal(keys[l - 1], layer.B.shape) for l, layer in enumerate(network.layers, 1)}
        network = networks.replace_parameters(network, ups)
    x = jax.random.normal(jax.random.key(3), (N, INPUTS))
    return jax.tree.map(lambda a: a.astype(dtype), (network, x))


def as_function(network):
    """Return ``f(params, x)`` with weights laid out as ``h @ W``, which implementation 3 needs to be fast, and its parameters."""
    frozen = [layer.W.T for layer in network.layers]
    lora = network.layers[0].A is not None
    scales = [layer.scale for layer in network.layers]
    params = [(layer.A.T, layer.B.T) if lora else layer.W.T for layer in network.layers]

    def f(params, x):
        for l, p in enumerate(params):
            h = jax.nn.relu(x) if l else x
            x = h @ frozen[l] + scales[l] * (h @ p[0]) @ p[1] if lora else h @ p
        return x

    return f, params


def method(name, mode, N, n, L, C, dtype="float64", outputs="trace"):
    """Return a function without arguments that computes the kernel."""
    network, x = setting(mode, N, n, L, C, dtype)
    if name == "lorantk":
        return lambda: kernels.ntk(network, x, outputs=outputs)
    f, params = as_function(network)
    if name == "jacrev":

        @jax.jit
        def contracted(params, x):
            # A separate backward pass for each row: over the whole batch at once it would take N times the work.
            J = jax.vmap(lambda row: jax.jacrev(lambda p: f(p, row[None])[0])(params))(x)
            pair = {"trace": "icab,jcab->ij", "diagonal": "icab,jcab->ijc", "full": "icab,jdab->ijcd"}[outputs]
            return sum(jnp.einsum(pair, leaf, leaf) for leaf in jax.tree.leaves(J))

        return lambda: contracted(params, x)
    nt, axes = tangents(), {"trace": (-1,), "full": (), "diagonal": ()}[outputs]
    diagonal = {"diagonal_axes": (-1,)} if outputs == "diagonal" else {}
    implementation = nt.NtkImplementation(int(name[2]))
    kernel_fn = jax.jit(
        nt.empirical_ntk_fn(f, trace_axes=axes, vmap_axes=0, implementation=implementation, **diagonal), static_argnums=1
    )
    # Its trace is the mean over the outputs.
    factor = C if outputs == "trace" else 1
    return lambda: factor * kernel_fn(x, None, params)


def operations(mode, N, n, L, C):
    """Return the operations of the closed form, using symmetry: forward, backward, and half of each Gram matrix."""
    widths = (INPUTS, *[n] * (L - 1), C)
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    r = RANK if mode == "lora" else 0
    forward = sum(2 * N * (m * k + r * (m + k)) for m, k in pairs)
    backward = sum(2 * N * C * (m * k + r * (m + k)) for m, k in pairs[1:])
    grams = sum(N * (N + 1) * (k + C * m + r * (1 + C)) for m, k in pairs)
    return forward + backward + grams


def bytes_needed(name, mode, N, n, L, C):
    """Return roughly what a method allocates, so that it is not tried without enough memory."""
    widths = (INPUTS, *[n] * (L - 1), C)
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    P = sum((m + k) * RANK if mode == "lora" else m * k for m, k in pairs)
    entries = {"jacrev": N * C * P * 1.3, "nt1": N * C * P * 2.3, "nt2": N * C * P * 2.3 + N * N * C * C * 8}
    # Implementation 2 pushes every pair's tangent through each layer of the network.
    if name == "nt2" and mode == "lora":
        entries["nt2"] += N * N * C * n * (L + 1)
    return 8 * entries.get(name, 4 * N * (sum(widths) * (1 + C)) + 4 * N * N)
