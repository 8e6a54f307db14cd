r"""The kernel in closed form within a budget of memory: block by block over the batch.

A block of b rows and b columns needs the factors of 2 b inputs and ``b²`` entries. Rows are walked once; their factors are kept
while the columns pass by, and those of the columns are computed anew for each block of rows. That costs about ``n/b`` times the
products that the blocks themselves take, so that blocks should not be much smaller than the network is wide.
"""

import math
import sys
from functools import partial

import jax
import jax.numpy as jnp
from tqdm import tqdm

from lorantk.theory import kernels
from lorantk.theory.networks import Network, widths

# Arrays as large as a block that are alive while it is computed: the block, its mirror image, the two factors of the entrywise
# product of each of two matrices before and after their axes are laid in order, and the sum so far.
ARRAYS = 10


def bytes_per_input(network: Network) -> int:
    """Return an upper bound on what the factors of one input take, with all that is alive while they are computed."""
    n = widths(network)
    rank = max((layer.A.shape[0] for layer in network.layers if layer.A is not None), default=0)
    C = n[-1]
    # h, y and σ'(y); δ, what it is computed from, and its copy scaled for an adapter; the products with A and B.
    entries = 3 * sum(n) + 3 * C * sum(n[1:]) + len(network.layers) * rank * (1 + C)
    return entries * network.layers[0].W.dtype.itemsize


def block_rows(network: Network, N1: int, N2: int, *, symmetric: bool, outputs: str, memory: int) -> int | None:
    """Return the largest block that fits into the budget beside the kernel, in rows; None: no blocks are needed.

    Parameters
    ----------
    network, outputs, memory
        As for `ntk_in_blocks`.
    N1, N2
        Inputs of the two batches.
    symmetric
        Whether they are one and the same.

    Raises
    ------
    ValueError
        The kernel and the smallest block do not fit.
    """
    C, item = widths(network)[-1], network.layers[0].W.dtype.itemsize
    entry = item * math.prod(kernels.trailing(C, outputs))
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
_block = jax.jit(kernels.from_factors, static_argnames="outputs")


def _starts(N: int, b: int) -> list[tuple[int, int]]:
    """Return ends of blocks of at most b rows, as equal as they can be: few shapes to compile."""
    b = math.ceil(N / math.ceil(N / b))
    return [(start, min(start + b, N)) for start in range(0, N, b)]


def ntk_in_blocks(network: Network, x1, x2=None, *, outputs: str, memory: int, progress: bool = True):
    """Return `lorantk.theory.kernels.ntk` without allocating more than ``memory`` bytes, the result included.

    Parameters
    ----------
    network, x1, x2, outputs
        As for `lorantk.theory.kernels.ntk`.
    memory
        Budget in bytes. Inputs and weights, which exist already, do not count.
    progress
        Show a bar over the blocks, where standard output is a terminal.

    Raises
    ------
    ValueError
        As for `lorantk.theory.kernels.ntk`, or a budget too small for the kernel and one block of it.
    """
    kernels.check(network, x1, x2, outputs)
    symmetric = x2 is None
    y = x1 if symmetric else x2
    N1, N2 = x1.shape[0], y.shape[0]
    b = block_rows(network, N1, N2, symmetric=symmetric, outputs=outputs, memory=memory)
    if b is None:
        return kernels.ntk(network, x1, x2, outputs=outputs)
    skipped = kernels.silent(network)
    K = jnp.zeros((N1, N2, *kernels.trailing(widths(network)[-1], outputs)), network.layers[0].W.dtype)
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
                    K = _place(K, kernels.mirror(block), begin, start)
                # Without this, blocks queue up faster than they are computed and their memory adds up.
                K.block_until_ready()
                bar.update()
    return K
