"""The kernel in closed form within a budget of memory: block by block over the batch.

A block of b rows and b columns needs the factors of 2 b inputs and ``b²`` entries. Rows are walked once; their factors are
kept while the columns pass by, and those of the columns are computed anew for each block of rows. That costs about ``n/b``
times the products that the blocks themselves take, so blocks should not be much smaller than the network is wide.
"""

import math
import sys
from functools import partial

import jax
import jax.numpy as jnp
from tqdm import tqdm

from lorantk.theory import kernels
from lorantk.theory.networks import Network, widths

# Arrays of a block's size that are alive while the block is computed: the block, its mirror image, the two factors of the
# entrywise product of each of two matrices before and after their axes are put in order, and the sum so far.
ARRAYS = 10


def bytes_per_input(network: Network) -> int:
    """Return an upper bound on what the factors of one input take, with all that is alive while they are computed.

    With ``S = Σ_{l≥0} n_l``, ``3 S + 3 C (S - n_0) + L r (1 + C)`` numbers: ``h``, ``y`` and ``σ'(y)``; δ, what it is computed
    from and its scaled copy; the products with A and B.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> from lorantk.theory import blocks, networks
    >>> weights = [jnp.ones((16, 4), jnp.float32), jnp.ones((1, 16), jnp.float32)]
    >>> network = networks.network_from_weights(weights)
    >>> blocks.bytes_per_input(network) == 4 * (3 * 21 + 3 * 17)
    True
    """
    n = widths(network)
    rank = max((layer.A.shape[0] for layer in network.layers if layer.A is not None), default=0)
    C = n[-1]
    # h, y and σ'(y); δ, what it is computed from, and its copy scaled for an adapter; the products with A and B.
    entries = 3 * sum(n) + 3 * C * sum(n[1:]) + len(network.layers) * rank * (1 + C)
    return entries * network.layers[0].W.dtype.itemsize


def block_rows(network: Network, N1: int, N2: int, *, symmetric: bool, outputs: str, memory: int) -> int | None:
    """Return the largest block that fits into the budget beside the kernel, in rows; None where no blocks are needed.

    It is the positive root b of ``2 b f + a b² e = m - N1 N2 e``, with f the bytes of one input's factors, e those of one entry
    of the kernel, m the budget and ``a = ARRAYS``.

    Parameters
    ----------
    network : Network
        The network.
    N1, N2 : int
        Inputs of the two batches.
    symmetric : bool
        Whether they are one and the same.
    outputs : str
        One of `lorantk.theory.kernels.OUTPUTS`.
    memory : int
        Budget in bytes.

    Returns
    -------
    int or None
        Rows of a block.

    Raises
    ------
    ValueError
        The kernel and the smallest block do not fit.

    Examples
    --------
    A kernel of 400 MB within a budget of a gigabyte:

    >>> from lorantk.theory import blocks, networks
    >>> weights = [jnp.ones((256, 64), jnp.float32), jnp.ones((1, 256), jnp.float32)]
    >>> network = networks.network_from_weights(weights)
    >>> options = {"symmetric": True, "outputs": "trace", "memory": 10**9}
    >>> blocks.block_rows(network, 10_000, 10_000, **options)
    3703
    """
    C, item = widths(network)[-1], network.layers[0].W.dtype.itemsize
    entry = item * math.prod(kernels.output_axes(C, outputs))
    each = bytes_per_input(network)
    if ARRAYS * N1 * N2 * entry + (N1 if symmetric else N1 + N2) * each <= memory:
        return None
    left = memory - N1 * N2 * entry
    # The positive root of 2 b each + ARRAYS b² entry = left.
    b = int((math.sqrt(each**2 + ARRAYS * entry * max(left, 0)) - each) / (ARRAYS * entry))
    if b < 1:
        least = N1 * N2 * entry + 2 * each + ARRAYS * entry
        msg = f"memory must be at least {least} bytes, for a kernel of {N1 * N2 * entry} and its smallest block; got {memory}"
        raise ValueError(msg)
    return min(b, max(N1, N2))


@partial(jax.jit, donate_argnums=0)
def _place(K, block, row, column):
    return jax.lax.dynamic_update_slice(K, block, (row, column, *[0] * (K.ndim - 2)))


_factors = jax.jit(kernels.gradient_factors, static_argnames="skipped")
_block = jax.jit(kernels.ntk_from_factors, static_argnames="outputs")


def _starts(N: int, b: int) -> list[tuple[int, int]]:
    """Return the ends of blocks of at most b rows, as equal as possible, so that few shapes are compiled."""
    b = math.ceil(N / math.ceil(N / b))
    return [(start, min(start + b, N)) for start in range(0, N, b)]


def ntk_in_blocks(network: Network, x1, x2=None, *, outputs: str, memory: int, progress: bool = True):
    """Return `lorantk.theory.kernels.ntk` without allocating more than ``memory`` bytes, the result included.

    Parameters
    ----------
    network : Network
        The network.
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        As for `lorantk.theory.kernels.ntk`.
    memory : int
        Budget in bytes. Inputs and weights, which exist already, do not count.
    progress : bool
        Show a bar over the blocks, where standard output is a terminal.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        The kernel, by ``outputs``.

    Raises
    ------
    ValueError
        As for `lorantk.theory.kernels.ntk`, or a budget too small for the kernel and one block of it.

    Examples
    --------
    >>> from lorantk.theory import blocks, kernels, networks
    >>> network = networks.init_network((4, 16, 1), key=jax.random.key(0))
    >>> x = jax.random.normal(jax.random.key(1), (100, 4))
    >>> K = blocks.ntk_in_blocks(network, x, outputs="trace", memory=200_000)
    >>> bool(jnp.allclose(K, kernels.ntk(network, x, outputs="trace"), rtol=1e-4))
    True
    """
    kernels.check_arguments(network, x1, x2, outputs)
    symmetric = x2 is None
    y = x1 if symmetric else x2
    N1, N2 = x1.shape[0], y.shape[0]
    b = block_rows(network, N1, N2, symmetric=symmetric, outputs=outputs, memory=memory)
    if b is None:
        return kernels.ntk(network, x1, x2, outputs=outputs)
    skipped = kernels.zero_gradient_matrices(network)
    K = jnp.zeros((N1, N2, *kernels.output_axes(widths(network)[-1], outputs)), network.layers[0].W.dtype)
    rows, columns = _starts(N1, b), _starts(N2, b)
    count = len(rows) * (len(rows) + 1) // 2 if symmetric else len(rows) * len(columns)
    with tqdm(total=count, desc="blocks", file=sys.stdout, disable=None if progress else True, leave=False) as bar:
        for start, stop in rows:
            left = _factors(network, x1[start:stop], skipped)
            for begin, end in columns:
                if symmetric and begin > start:
                    break
                same = symmetric and begin == start
                right = None if same else _factors(network, y[begin:end], skipped)
                block = _block(left, right, outputs=outputs)
                del right
                K = _place(K, block, start, begin)
                if symmetric and not same:
                    K = _place(K, kernels.transpose_block(block), begin, start)
                # Otherwise blocks queue up faster than they are computed, and their memory adds up.
                K.block_until_ready()
                bar.update()
    return K
