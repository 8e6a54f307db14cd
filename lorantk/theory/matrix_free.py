"""Kernel and Fisher matrix of any JAX function, through products with its Jacobian.

``f(params, x)`` maps a pytree of parameters and a batch of N inputs, stacked along the first axis, to outputs of shape
``(N, C)``; the rows of a batch must not influence one another (so no batch normalisation), which is not checked. With
``J = ∂f/∂params`` of shape ``NC × P``, outputs varying fastest,

* ``K = J Jᵀ`` is computed from blocks of rows of J (`ntk_of_function`), never from all of J;
* ``K v = J (Jᵀ v)`` needs one backward and one forward product, and nothing of the size of K (`function_operator`);
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
from lorantk.theory.kernels import check_arguments, check_outputs, gradient_factors, output_axes
from lorantk.theory.networks import Network


class Operator(NamedTuple):
    """A symmetric matrix K that is known through its products.

    Attributes
    ----------
    product : callable
        ``(V, *parameters) ↦ K V`` for vectors as rows, shape ``(p, size)``.
    parameters : tuple
        Arrays that the product needs.
    size : int
        Rows of K.
    """

    product: Callable
    parameters: tuple
    size: int


def check_function(f: Callable, params, x: Array, name: str = "x") -> int:
    """Return C, the number of outputs of a function; raise ValueError where it does not fit this module.

    Parameters
    ----------
    f : callable
        ``f(params, x)``, outputs of shape ``(N, C)``.
    params : pytree of arrays
        Finite, of floating-point type.
    x : array (N, ...)
        A batch.
    name : str
        What the message calls it.

    Returns
    -------
    int
        ``C``.

    Raises
    ------
    ValueError
        Parameters that are not finite floating-point arrays, or outputs of another shape.

    Examples
    --------
    >>> from lorantk.theory import matrix_free
    >>> w, x = jnp.ones((3, 2)), jnp.ones((5, 3))
    >>> matrix_free.check_function(lambda w, x: x @ w, w, x)
    2
    """
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
    """Rows of J, one array of shape ``(b, C, P_l)`` for each leaf of the parameters."""
    rows = jax.vmap(lambda row: jax.jacrev(lambda p: f(p, row[None])[0])(params))(x)
    return [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(rows)]


_SUBSCRIPTS = {"full": "icp,jdp->ijcd", "diagonal": "icp,jcp->ijc", "trace": "icp,jcp->ij"}


@partial(jax.jit, static_argnums=2)
def _contract(J1, J2, outputs):
    return sum(jnp.einsum(_SUBSCRIPTS[outputs], *leaves) for leaves in zip(J1, J2, strict=True))


def _rows_per_block(entry: int, N1: int, N2: int, each: int, memory: int | None) -> int:
    if memory is None:
        return max(N1, N2)
    # Two blocks of J; while a block is made, its leaves exist twice.
    rows = (memory - N1 * N2 * entry) // (3 * each)
    if rows < 1:
        msg = (
            f"memory must be at least {N1 * N2 * entry + 3 * each} bytes, for the kernel and one row of each block; got {memory}"
        )
        raise ValueError(msg)
    return int(rows)


def ntk_of_function(
    f: Callable, params, x1: Array, x2: Array | None = None, *, outputs: str, memory: int | None = None, progress: bool = True
) -> Array:
    """Return the tangent kernel ``K = J Jᵀ`` of any function by automatic differentiation, block by block.

    ``K_cc'(x, x') = ⟨∂f_c(x)/∂params, ∂f_c'(x')/∂params⟩`` (equation 2 of the paper); no closed form is used.

    Parameters
    ----------
    f : callable
        ``f(params, x)``, outputs of shape ``(N, C)``.
    params : pytree of arrays
        The parameters that train.
    x1 : array (N1, ...)
        A batch.
    x2 : array (N2, ...), optional
        Second batch; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        As for `lorantk.theory.kernels.ntk`.
    memory : int, optional
        Budget in bytes for the kernel and the blocks of J; what f itself needs comes on top. No bound where None.
    progress : bool
        Show a bar over the blocks, where standard output is a terminal.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        The kernel, by ``outputs``.

    Raises
    ------
    ValueError
        Unknown ``outputs``, a function or parameters that do not fit (`check_function`), or a budget that is too small.

    Examples
    --------
    ``f(w, x) = exp(w x)`` has the gradient ``x exp(w x)``:

    >>> from lorantk.theory import matrix_free
    >>> w, x = jnp.array(0.0), jnp.array([[1.0], [2.0]])
    >>> f = lambda w, x: jnp.exp(w * x)
    >>> matrix_free.ntk_of_function(f, w, x, outputs="trace").tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    check_outputs(outputs)
    C = check_function(f, params, x1, "x1")
    symmetric, y = x2 is None, x1 if x2 is None else x2
    if (other := check_function(f, params, y, "x2")) != C:
        msg = f"f must give the same number of outputs on both batches; got {C} on x1 and {other} on x2"
        raise ValueError(msg)
    item = jax.eval_shape(f, params, x1).dtype.itemsize
    each = C * sum(leaf.size for leaf in jax.tree.leaves(params)) * item
    entry = item * math.prod(output_axes(C, outputs))
    b = _rows_per_block(entry, len(x1), len(y), each, memory)
    starts = [range(0, len(x), b) for x in (x1, y)]
    pairs = [(i, j) for i in starts[0] for j in starts[1] if not (symmetric and j > i)]
    K = np.empty((len(x1), len(y), *output_axes(C, outputs)), f"f{item}")
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
    network : Network
        The network.
    x : array (N, n_0)
        Inputs, one per row.
    block : int
        Inputs at a time.

    Returns
    -------
    Operator
        For vectors of ``N C`` entries, outputs varying fastest.

    Raises
    ------
    ValueError
        As for `lorantk.theory.kernels.ntk`.

    Examples
    --------
    >>> from lorantk.theory import matrix_free, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> x = jnp.array([[3.0, 4.0], [1.0, 0.0]])
    >>> operator = matrix_free.network_operator(network, x)
    >>> operator.product(jnp.array([[1.0, 0.0]]), *operator.parameters).tolist()
    [[25.0, 3.0]]
    """
    check_arguments(network, x, None, "full")
    block = min(block, len(x))
    parts = [_factors_jit(network, x[i : i + block]) for i in range(0, len(x), block)]
    factors = [
        tuple(_in_blocks(jnp.concatenate(pieces), block) for pieces in zip(*matrix, strict=True))
        for matrix in zip(*parts, strict=True)
    ]
    return Operator(_product_of(_network_product, len(x)), (factors,), len(x) * network.layers[-1].W.shape[0])


@lru_cache(maxsize=32)
def _product_of(product, *fixed):
    """Return one function object for equal arguments, so that the program compiled for it is found again."""
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


def function_operator(f: Callable, params, x: Array, *, block: int = 256) -> Operator:
    """Return ``K v = J (Jᵀ v)`` of any function: one backward and one forward product, ``block`` inputs at a time.

    Parameters
    ----------
    f : callable
        ``f(params, x)``, outputs of shape ``(N, C)``.
    params : pytree of arrays
        The parameters that train.
    x : array (N, ...)
        A batch.
    block : int
        Inputs at a time.

    Returns
    -------
    Operator
        For vectors of ``N C`` entries, outputs varying fastest.

    Raises
    ------
    ValueError
        A function or parameters that do not fit (`check_function`).

    Examples
    --------
    >>> from lorantk.theory import matrix_free
    >>> w, x = jnp.array(0.0), jnp.array([[1.0], [2.0]])
    >>> f = lambda w, x: jnp.exp(w * x)
    >>> operator = matrix_free.function_operator(f, w, x)
    >>> operator.product(jnp.array([[1.0, 1.0]]), *operator.parameters).tolist()
    [[3.0, 6.0]]
    """
    C = check_function(f, params, x)
    return Operator(_product_of(_function_product, f, len(x)), (params, _in_blocks(x, min(block, len(x)))), len(x) * C)


def fisher_product(f: Callable, params, x: Array, R: Float[Array, "N C k"], v):
    """Return ``F v = Σ_i J_iᵀ R_i R_iᵀ J_i v``, the Fisher matrix times a vector.

    Parameters
    ----------
    f : callable
        ``f(params, x)``, outputs of shape ``(N, C)``.
    params : pytree of arrays
        The parameters that train, P numbers.
    x : array (N, ...)
        A batch.
    R : array (N, C, k)
        Factors from `lorantk.theory.fisher.output_factor`.
    v : pytree of arrays
        Of the same structure as ``params``.

    Returns
    -------
    pytree of arrays
        Of the same structure as ``params``.

    Examples
    --------
    >>> from lorantk.theory import matrix_free
    >>> w, x = jnp.array(0.0), jnp.array([[1.0], [2.0]])
    >>> f, R, v = (lambda w, x: jnp.exp(w * x)), jnp.ones((2, 1, 1)), jnp.array(1.0)
    >>> float(matrix_free.fisher_product(f, w, x, R, v))
    5.0
    """
    Jv = jax.jvp(lambda p: f(p, x), (params,), (v,))[1]
    return jax.vjp(lambda p: f(p, x), params)[1](jnp.einsum("ick,idk,id->ic", R, R, Jv))[0]


def fisher_eigenvalues(f: Callable, params, x: Array, R: Float[Array, "N C k"], *, block: int = 64) -> Float[np.ndarray, " M"]:
    """Return the eigenvalues of the Fisher matrix ``Σ_i J_iᵀ R_i R_iᵀ J_i`` on its smaller side, in ascending order.

    The sides are F itself, of size P, and its dual matrix of size ``N k``, see `lorantk.theory.fisher.dual_matrix`.

    Parameters
    ----------
    f : callable
        ``f(params, x)``, outputs of shape ``(N, C)``.
    params : pytree of arrays
        The parameters that train, P numbers.
    x : array (N, ...)
        A batch.
    R : array (N, C, k)
        Factors from `lorantk.theory.fisher.output_factor`.
    block : int
        Inputs at a time.

    Returns
    -------
    array (min(N k, P),)
        The Fisher matrix has ``P - min(N k, P)`` more eigenvalues, all zero.

    Raises
    ------
    ValueError
        A function or parameters that do not fit (`check_function`), or R of another shape than ``(N, C, k)``.

    Examples
    --------
    >>> from lorantk.theory import matrix_free
    >>> w, x = jnp.zeros(3), jnp.array([[3.0, 4.0, 0.0]])
    >>> f = lambda w, x: x @ w[:, None]
    >>> matrix_free.fisher_eigenvalues(f, w, x, jnp.ones((1, 1, 1))).round(5).tolist()
    [25.0]
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
        J = jnp.concatenate(_jacobian(f, params, x[i : i + block]), axis=-1)
        return np.asarray(jnp.einsum("ick,icp->ikp", R[i : i + block], J)).reshape(-1, P)

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
