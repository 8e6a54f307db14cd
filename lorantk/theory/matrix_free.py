r"""Kernel and Fisher matrix of any JAX function, through products with its Jacobian.

``f(params, x)`` maps a pytree of parameters and a batch of N inputs, stacked along the first axis, to outputs of shape
``(N, C)``; the rows of a batch must not influence one another (so no batch normalisation), which is not checked. With
``J = ∂f/∂params`` of shape ``NC × P``, outputs varying fastest,

* ``K = J Jᵀ`` is computed from blocks of rows of J (`ntk`), never from all of J;
* ``K v = J (Jᵀ v)`` needs one backward and one forward product, and nothing of the size of K (`gram_operator`);
* the Fisher matrix ``F = Jᵀ M J``, ``M = diag(R_i R_iᵀ)``, has the eigenvalues of ``Rᵀ K R`` besides zeros: whichever is
  smaller is formed (`fisher_eigenvalues`).

For networks of this package `network_operator` gives ``K v`` from the factors of `lorantk.theory.kernels`, as products of
matrices. The operators are made for `lorantk.theory.lanczos`.
"""

import math
import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from lorantk.theory import spectra
from lorantk.theory.kernels import check, check_outputs, gradient_factors, trailing
from lorantk.theory.networks import Network


class Operator(NamedTuple):
    """``(V, *parameters) ↦ K V`` for vectors as rows, and the number of rows of K."""

    product: Callable
    parameters: tuple
    size: int


def check_function(f: Callable, params, x: Array, name: str = "x") -> int:
    """Return C; raise ValueError unless f gives ``(N, C)`` on the batch and the parameters are finite floating-point arrays."""
    leaves = jax.tree.leaves(params)
    if not leaves or not all(jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves):
        msg = f"params must be a pytree of at least one floating-point array; got {jax.tree.structure(params)}"
        raise ValueError(msg)
    if not all(isinstance(leaf, jax.core.Tracer) or np.isfinite(leaf).all() for leaf in leaves):
        msg = "params must be finite; got NaN or infinity"
        raise ValueError(msg)
    shape = jax.eval_shape(f, params, x).shape
    if x.ndim == 0 or len(shape) != 2 or shape[0] != x.shape[0]:
        msg = f"f must map {name} of shape (N, ...) to outputs of shape (N, C); got {shape} from {x.shape}"
        raise ValueError(msg)
    return shape[1]


@partial(jax.jit, static_argnums=0)
def _jacobian(f, params, x):
    """Rows of J as one array of shape ``(b, C, P)``."""
    rows = jax.vmap(lambda row: jax.jacrev(lambda p: f(p, row[None])[0])(params))(x)
    return jnp.concatenate([leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(rows)], axis=-1)


_SUBSCRIPTS = {"full": "icp,jdp->ijcd", "diagonal": "icp,jcp->ijc", "trace": "icp,jcp->ij"}
_contract = jax.jit(lambda J1, J2, outputs: jnp.einsum(_SUBSCRIPTS[outputs], J1, J2), static_argnums=2)


def _rows_per_block(entry: int, N1: int, N2: int, each: int, memory: int | None) -> int:
    if memory is None:
        return max(N1, N2)
    # Two blocks of J; while one is made its leaves exist twice.
    rows = (memory - N1 * N2 * entry) // (3 * each)
    if rows < 1:
        msg = (
            f"memory must be at least {N1 * N2 * entry + 3 * each} bytes, for the kernel and one row of each block; got {memory}"
        )
        raise ValueError(msg)
    return int(rows)


def ntk(
    f: Callable, params, x1: Array, x2: Array | None = None, *, outputs: str, memory: int | None = None, progress: bool = True
) -> Array:
    """Return the tangent kernel of any function by automatic differentiation, block by block.

    Parameters
    ----------
    f, params
        The function and the parameters that train, a pytree.
    x1, x2
        Batches, first axes N1 and N2; ``x1`` again where ``x2`` is None.
    outputs
        ``"full"``, ``"diagonal"`` or ``"trace"``, shapes as for `lorantk.theory.kernels.ntk`.
    memory
        Budget in bytes for the kernel and the blocks of J; what f itself needs inside comes on top. No bound where None.
    progress
        Show a bar over the blocks, where standard output is a terminal.

    Raises
    ------
    ValueError
        Unknown ``outputs``, a function or parameters that do not fit (`check_function`), or a budget that is too small.
    """
    check_outputs(outputs)
    C = check_function(f, params, x1, "x1")
    symmetric, y = x2 is None, x1 if x2 is None else x2
    if (other := check_function(f, params, y, "x2")) != C:
        msg = f"f must give the same number of outputs on both batches; got {C} on x1 and {other} on x2"
        raise ValueError(msg)
    item = jax.eval_shape(f, params, x1).dtype.itemsize
    each = C * sum(leaf.size for leaf in jax.tree.leaves(params)) * item
    entry = item * math.prod(trailing(C, outputs))
    b = _rows_per_block(entry, len(x1), len(y), each, memory)
    starts = [range(0, len(x), b) for x in (x1, y)]
    pairs = [(i, j) for i in starts[0] for j in starts[1] if not (symmetric and j > i)]
    K = np.empty((len(x1), len(y), *trailing(C, outputs)), f"f{item}")
    row = None
    for i, j in tqdm(pairs, desc="blocks", file=sys.stdout, disable=None if progress else True, leave=False):
        if j == 0:
            row = _jacobian(f, params, x1[i : i + b])
        column = row if symmetric and i == j else _jacobian(f, params, y[j : j + b])
        block = np.asarray(_contract(row, column, outputs))
        K[i : i + b, j : j + b] = block
        if symmetric and i != j:
            K[j : j + b, i : i + b] = block.transpose(1, 0, *reversed(range(2, block.ndim)))
    return jnp.asarray(K)


def _in_blocks(array: Array, block: int) -> Array:
    """Return shape ``(blocks, block, ...)``, padded with zeros."""
    missing = -len(array) % block
    padded = jnp.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))
    return padded.reshape(-1, block, *array.shape[1:])


def _fold(V: Array, N: int, block: int) -> Array:
    """Return vectors as rows, ``(p, N C)``, laid out in blocks ``(blocks, p, block, C)``."""
    V = V.reshape(len(V), N, -1)
    V = jnp.pad(V, ((0, 0), (0, -N % block), (0, 0)))
    return jnp.moveaxis(V.reshape(len(V), -1, block, V.shape[2]), 0, 1)


def _unfold(blocks: Array, N: int) -> Array:
    p = blocks.shape[1]
    return jnp.moveaxis(blocks, 1, 0).reshape(p, -1, blocks.shape[3])[:, :N].reshape(p, -1)


def _network_product(V, factors, N):
    block = factors[0][1].shape[1]
    V = _fold(V, N, block)

    def back(total, part):
        v, blocks = part
        new = [jnp.einsum("pim,ij->pmj", jnp.einsum("pic,icm->pim", v, u), h) for u, h in blocks]
        return [a + b for a, b in zip(total, new, strict=True)], None

    def forth(blocks):
        new = [jnp.einsum("pim,icm->pic", jnp.einsum("pmj,ij->pim", G, h), u) for G, (u, h) in zip(gradient, blocks, strict=True)]
        return sum(new)

    zero = [jnp.zeros((V.shape[1], u.shape[-1], h.shape[-1]), V.dtype) for u, h in factors]
    gradient = jax.lax.scan(back, zero, (V, factors))[0]
    return _unfold(jax.lax.map(forth, factors), N)


_factors_jit = jax.jit(lambda network, x: list(gradient_factors(network, x).values()))


def network_operator(network: Network, x: Float[Array, "N n0"], *, block: int = 1024) -> Operator:
    """Return ``K v = J (Jᵀ v)`` of a network, layer by layer from its factors; no array of size ``N × N`` or ``N × P``.

    Memory: the factors, about ``Σ_l N (n_{l-1} + C n_l)`` numbers, and for p vectors ``p (P + block · max n)``.

    Parameters
    ----------
    network, x
        As for `lorantk.theory.kernels.ntk` with ``outputs="full"``; vectors have ``N C`` entries, outputs varying fastest.
    block
        Inputs at a time.

    Raises
    ------
    ValueError
        As for `lorantk.theory.kernels.ntk`.
    """
    check(network, x, None, "full")
    block = min(block, len(x))
    parts = [_factors_jit(network, x[i : i + block]) for i in range(0, len(x), block)]
    factors = [
        tuple(_in_blocks(jnp.concatenate(pieces), block) for pieces in zip(*matrix, strict=True))
        for matrix in zip(*parts, strict=True)
    ]
    return Operator(_product_of(_network_product, len(x)), (factors,), len(x) * network.layers[-1].W.shape[0])


@lru_cache(maxsize=32)
def _product_of(product, *fixed):
    """Return one function object for equal arguments, so that what is compiled for it is found again."""
    return lambda V, *parameters: product(V, *parameters, *fixed)


def _function_product(V, params, x, f, N):
    V = _fold(V, N, x.shape[1])

    def back(v):
        def step(total, part):
            rows, cotangent = part
            new = jax.vjp(lambda p: f(p, rows), params)[1](cotangent)[0]
            return jax.tree.map(jnp.add, total, new), None

        return jax.lax.scan(step, jax.tree.map(jnp.zeros_like, params), (x, v))[0]

    def forth(tangent):
        return jax.lax.map(lambda rows: jax.jvp(lambda p: f(p, rows), (params,), (tangent,))[1], x)

    gradients = jax.vmap(back, in_axes=1)(V)
    return _unfold(jax.vmap(forth, out_axes=1)(gradients), N)


def gram_operator(f: Callable, params, x: Array, *, block: int = 256) -> Operator:
    """Return ``K v = J (Jᵀ v)`` of any function: one backward and one forward product, ``block`` inputs at a time.

    Parameters and errors as for `ntk`; vectors have ``N C`` entries, outputs varying fastest.
    """
    C = check_function(f, params, x)
    return Operator(_product_of(_function_product, f, len(x)), (params, _in_blocks(x, min(block, len(x)))), len(x) * C)


def fisher_product(f: Callable, params, x: Array, R: Float[Array, "N C k"], v):
    """Return ``F v = Σ_i J_iᵀ R_i R_iᵀ J_i v``, v a pytree like the parameters; R from `lorantk.theory.fisher.loss_factor`."""
    Jv = jax.jvp(lambda p: f(p, x), (params,), (v,))[1]
    return jax.vjp(lambda p: f(p, x), params)[1](jnp.einsum("ick,idk,id->ic", R, R, Jv))[0]


def fisher_eigenvalues(f: Callable, params, x: Array, R: Float[Array, "N C k"], *, block: int = 64) -> Float[np.ndarray, " M"]:
    """Return the eigenvalues of the Fisher matrix ``Σ_i J_iᵀ R_i R_iᵀ J_i`` on its smaller side, in ascending order.

    Parameters
    ----------
    f, params, x
        As for `ntk`.
    R
        Factors of the loss, `lorantk.theory.fisher.loss_factor`.
    block
        Inputs at a time.

    Returns
    -------
    Array
        ``M = min(N k, P)`` eigenvalues; the Fisher matrix has ``P - M`` more, all zero.

    Raises
    ------
    ValueError
        A function or parameters that do not fit (`check_function`), or R of another shape than ``(N, C, k)``.
    """
    C = check_function(f, params, x)
    if R.ndim != 3 or R.shape[:2] != (len(x), C):
        msg = f"R must have shape ({len(x)}, {C}, k); got {R.shape}"
        raise ValueError(msg)
    P = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    dual = len(x) * R.shape[2] <= P
    starts = range(0, len(x), block)

    def root(i):
        """Rows ``R_iᵀ J_i`` of a block."""
        rows = jnp.einsum("ick,icp->ikp", R[i : i + block], _jacobian(f, params, x[i : i + block]))
        return np.asarray(rows).reshape(-1, P)

    if not dual:
        return spectra.eigenvalues(sum(part.T @ part for part in map(root, starts)))
    rows = []
    for i in starts:
        left = root(i)
        rows.append(np.hstack([left @ root(j).T for j in range(0, i, block)] + [left @ left.T]))
    K = np.zeros((len(x) * R.shape[2],) * 2)
    for i, part in zip(starts, rows, strict=True):
        K[i * R.shape[2] :][: len(part), : part.shape[1]] = part
    # LAPACK reads the lower triangle only.
    return spectra.eigenvalues(K)
