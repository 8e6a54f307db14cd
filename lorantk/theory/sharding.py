"""The kernel over many devices, of one machine or of several: each holds some rows of it.

Every device computes the factors of its own inputs. The factors of the others then pass by in a ring, and each device fills
in the block of its rows that belongs to the visitor: no device ever holds more than its rows of the kernel and two sets of
factors. A symmetric kernel takes half the ring: each block is sent to the device that needs its mirror image.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lorantk.theory import kernels
from lorantk.theory.networks import Network, widths

AXIS = "rows"

# On x86 processors with AVX2 and without AVX-512, XLA's compiler (seen with JAX 0.9.2 to 0.10.2) adds ten or eleven float64
# arrays of six columns wrongly where the sum goes into a slice, as a block of the kernel does. Vectors of half the width avoid
# it; large matrix products are calls of a library, which the option does not reach.
COMPILER_OPTIONS = {"xla_cpu_prefer_vector_width": "128"}


def device_mesh(devices=None) -> Mesh:
    """Return the devices as a mesh of one axis.

    Parameters
    ----------
    devices : sequence of D JAX devices, optional
        All devices of all processes where None.

    Returns
    -------
    jax.sharding.Mesh (D,)
        Its axis is called ``"rows"``.

    Examples
    --------
    >>> from lorantk.theory import sharding
    >>> sharding.device_mesh().axis_names
    ('rows',)
    """
    return Mesh(np.array(jax.devices() if devices is None else devices), (AXIS,))


def _shift(tree, distance: int, D: int):
    """Send everything to the device ``distance`` places before."""
    return jax.tree.map(lambda a: jax.lax.ppermute(a, AXIS, [((d + distance) % D, d) for d in range(D)]), tree)


def _local_rows(network, x1, x2, *, outputs, skipped, D):
    """Return one device's rows of the kernel, from its own inputs."""
    symmetric = x2 is None
    own = kernels.gradient_factors(network, x1, skipped)
    visitor = own if symmetric else kernels.gradient_factors(network, x2, skipped)
    me, b = jax.lax.axis_index(AXIS), len(x1 if symmetric else x2)
    K = jnp.zeros((len(x1), D * b, *kernels.output_axes(widths(network)[-1], outputs)), x1.dtype)

    def place(K, block, owner):
        return jax.lax.dynamic_update_slice_in_dim(K, block, owner % D * b, axis=1)

    for step in range(D // 2 + 1 if symmetric else D):
        if step:
            visitor = _shift(visitor, 1, D)
        block = kernels.ntk_from_factors(own, None if symmetric and not step else visitor, outputs=outputs)
        K = place(K, block, me + step)
        # Halfway round an even ring, both devices of a pair have computed their own block.
        if symmetric and step and 2 * step != D:
            K = place(K, _shift(kernels.transpose_block(block), -step, D), me - step)
    return K


@lru_cache(maxsize=32)
def _sharded(mesh, outputs, skipped, symmetric):
    rows = PartitionSpec(AXIS)
    local = partial(_local_rows, outputs=outputs, skipped=skipped, D=mesh.size)
    if symmetric:
        f, specs = (lambda network, x1: local(network, x1, None)), (PartitionSpec(), rows)
    else:
        f, specs = local, (PartitionSpec(), rows, rows)
    sharded = jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=rows, check_vma=False)
    return jax.jit(sharded, compiler_options=COMPILER_OPTIONS)


def ntk_on_mesh(network: Network, x1, x2=None, *, outputs: str, mesh: Mesh):
    """Return the kernel of `lorantk.theory.kernels.ntk` with its rows spread over the devices of a mesh.

    Parameters
    ----------
    network : Network
        The network; the same on every process, as are the inputs.
    x1 : array (N1, n_0)
        Inputs, one per row; the D devices must divide N1.
    x2 : array (N2, n_0), optional
        Second batch, N2 likewise; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        As for `lorantk.theory.kernels.ntk`.
    mesh : jax.sharding.Mesh (D,)
        Of one axis named ``"rows"``, see `device_mesh`.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        A global array, sharded along its first axis.

    Raises
    ------
    ValueError
        As for `lorantk.theory.kernels.ntk`, another mesh, or a batch that the number of devices does not divide.

    Examples
    --------
    >>> from lorantk.theory import kernels, networks, sharding
    >>> network = networks.init_network((4, 16, 1), key=jax.random.key(0))
    >>> mesh = sharding.device_mesh()
    >>> x = jax.random.normal(jax.random.key(1), (2 * mesh.size, 4))
    >>> K = sharding.ntk_on_mesh(network, x, outputs="trace", mesh=mesh)
    >>> bool(jnp.allclose(K, kernels.ntk(network, x, outputs="trace"), rtol=1e-4))
    True
    """
    kernels.check_arguments(network, x1, x2, outputs)
    if mesh.axis_names != (AXIS,):
        msg = f"the mesh must have the one axis {AXIS!r}; got {mesh.axis_names}"
        raise ValueError(msg)
    batches = [x for x in (x1, x2) if x is not None]
    for name, x in zip(("x1", "x2"), batches, strict=False):
        if len(x) % mesh.size:
            msg = f"the number of inputs must be a multiple of the {mesh.size} devices; got {len(x)} in {name}"
            raise ValueError(msg)
    skipped = kernels.zero_gradient_matrices(network)
    network = jax.device_put(network, NamedSharding(mesh, PartitionSpec()))
    batches = [jax.device_put(x, NamedSharding(mesh, PartitionSpec(AXIS))) for x in batches]
    return _sharded(mesh, outputs, skipped, x2 is None)(network, *batches)
