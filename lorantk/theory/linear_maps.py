r"""Kernels of any model made of linear maps, from what enters each map and what comes back to it.

A model is a function ``f(linear, x)`` that sends everything it multiplies by trained parameters through
``linear(parameters, name, v)``, one row of a batch independent of the others (which is not checked). Such a map may be

* a matrix with a bias, ``W v + b``,
* a gain with a shift, ``g ∘ v + b``, as in a layer norm,
* a table of vectors, ``E[v]``, with integers ``v``.

Inputs have shape ``(N, ...)``, outputs ``(N, C)``, and what a map returns ``(N, T, m)`` for T tokens, or ``(N, m)``. With
``δ_ict = ∂f_c(x_i)/∂(what the map returns at token t)``, the gradients are

    ∂f_c(x_i)/∂W = Σ_t δ_ict v_itᵀ ,   ∂f_c(x_i)/∂b = Σ_t δ_ict ,   ∂f_c(x_i)/∂g = Σ_t δ_ict ∘ v_it ,

so that one forward and C backward passes give all of them as products of thin matrices (`factors`). Kernels are contracted map
by map, and no array of N times the number of parameters is formed: those of matrices from blocks of gradients or from pairs of
tokens, whichever takes fewer operations; those of tables from pairs of equal entries. `lorantk.theory.features` does the same
for LoRA, and `lorantk.theory.matrix_free` is the route that knows nothing of this.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num

BLOCK_BYTES = 1 << 23  # of an array that exists only while it is contracted: about a processor's caches


class Factors(NamedTuple):
    """Gradients of one linear map as products.

    Attributes
    ----------
    entering : array (N, T, n) or (N, T)
        ``v``; integers of shape ``(N, T)`` for a table.
    returning : array (N, C, T, m)
        ``δ``.
    """

    entering: Num[Array, "N T ..."]
    returning: Float[Array, "N C T m"]


def _recorded(f, linear, x):
    """Shapes of what each map returns, in the order of the model's calls, and of the outputs."""
    shapes = OrderedDict()

    def watch(name, v):
        y = linear(name, v)
        if name in shapes:
            msg = f"each linear map must be called once, as its two uses would share a gradient; got {name!r} twice"
            raise ValueError(msg)
        shapes[name] = jax.ShapeDtypeStruct(y.shape, y.dtype)
        return y

    outputs = jax.eval_shape(lambda x: f(watch, x), x)
    if outputs.ndim != 2:
        msg = f"the model must give outputs of shape (N, C); got {outputs.shape}"
        raise ValueError(msg)
    return shapes, outputs


@partial(jax.jit, static_argnums=(0, 1, 4))
def _passes(f, linear, parameters, x, names):
    """One forward and C backward passes: factors by name, and which tokens reach some output in some example."""
    maps = partial(linear, parameters)
    shapes, outputs = _recorded(f, maps, x)
    names = tuple(shapes) if names is None else names
    if unknown := [name for name in names if name not in shapes]:
        msg = f"each name must be of a linear map that the model calls ({', '.join(shapes)}); got {unknown[0]!r}"
        raise ValueError(msg)

    def probed(probes):
        entering = {}

        def tape(name, v):
            y = maps(name, v)
            if name in probes:
                entering[name] = v
                y = y + probes[name]
            return y

        return f(tape, x), entering

    probes = {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in names}
    _, pull, entering = jax.vjp(probed, probes, has_aux=True)
    N, C = outputs.shape
    ones = jnp.ones((N, 1), outputs.dtype)
    returning = jax.lax.map(lambda unit: pull(ones * unit[None])[0], jnp.eye(C, dtype=outputs.dtype))
    found = OrderedDict()
    for name in names:
        *lead, m = shapes[name].shape[1:]
        v, T = entering[name], math.prod(lead)
        delta = jnp.moveaxis(returning[name].reshape(C, N, T, m), 0, 1)
        found[name] = Factors(v.reshape(N, T, *v.shape[1 + len(lead) :]), delta)
    return found, {name: jnp.any(one.returning != 0, axis=(0, 1, 3)) for name, one in found.items()}


def factors(f: Callable, linear: Callable, parameters, x, names: tuple[str, ...] | None = None) -> dict[str, Factors]:
    """Return the factors of the gradients of every linear map, or of those named.

    Parameters
    ----------
    f : callable
        ``f(linear, x)`` with outputs of shape ``(N, C)``; it calls ``linear(name, v)``. The same function object from call to
        call, and of ``linear`` too, so that the passes are compiled once.
    linear : callable
        ``linear(parameters, name, v)``.
    parameters : pytree
        What `linear` needs.
    x : pytree
        A batch; its leaves have first axis N.
    names : tuple of str, optional
        Names of the maps; all that f calls if None.

    Returns
    -------
    dict of str to Factors
        Token positions that reach no output, in any example, are left out.

    Raises
    ------
    ValueError
        A map that f does not call or calls twice, or outputs of another shape.

    Examples
    --------
    Two maps with a tanh between them, for three inputs of size 2:

    >>> from lorantk.theory import linear_maps
    >>> weights = {"in": jnp.ones((4, 2)), "out": jnp.ones((1, 4))}
    >>> def model(linear, x):
    ...     return linear("out", jnp.tanh(linear("in", x)))
    >>> def linear(weights, name, v):
    ...     return v @ weights[name].T
    >>> found = linear_maps.factors(model, linear, weights, jnp.ones((3, 2)))
    >>> found["in"].entering.shape, found["in"].returning.shape
    ((3, 1, 2), (3, 1, 1, 4))
    """
    found, reached = _passes(f, linear, parameters, x, None if names is None else tuple(names))
    reached = jax.device_get(reached)
    for name, (v, delta) in found.items():
        if not reached[name].all():
            used = np.flatnonzero(reached[name])
            found[name] = Factors(v[:, used], delta[:, :, used])
    return dict(found)


def pairs_are_cheaper(R: int, T: int, m: int, n: int) -> bool:
    """Return whether the kernel of one matrix takes fewer operations from pairs of tokens than from gradients.

    ``R² T² (m + n)`` against ``m n R (T + R)``.

    Parameters
    ----------
    R, T, m, n : int
        Gradients, tokens of each, outputs and inputs of the map.

    Returns
    -------
    bool
        Whether to contract pairs of tokens.

    Examples
    --------
    A query matrix of MiniLM: pairs for a few short sentences, gradients for many.

    >>> from lorantk.theory import linear_maps
    >>> [linear_maps.pairs_are_cheaper(N, 16, 384, 384) for N in (8, 128)]
    [True, False]
    """
    return R * T**2 * (m + n) < m * n * (R + T)


def _divisor(size, bytes_each):
    """The largest divisor of ``size`` for which as many arrays of ``bytes_each`` stay within `BLOCK_BYTES`."""
    widest = max(1, BLOCK_BYTES // bytes_each)
    return max(width for width in range(1, size + 1) if size % width == 0 and width <= widest)


def _gram(rows):
    """Inner products of rows, whatever their shape, shape ``(N, C, ...)``; outputs vary fastest."""
    rows = rows.reshape(rows.shape[0] * rows.shape[1], -1)
    return rows @ rows.T


def _from_gradients(delta, v):
    """``Σ_b G_b G_bᵀ`` over blocks of the longer side of the gradients."""
    N, C, T, m = delta.shape
    n, R = v.shape[2], N * C
    # One axis for examples and outputs: with two, XLA would transpose the blocks.
    delta, v = delta.reshape(R, T, m), v if C == 1 else jnp.repeat(v, C, axis=0)
    long, short = (delta, v) if m > n else (v, delta)
    width = _divisor(max(m, n), R * min(m, n) * v.dtype.itemsize)
    blocks = jnp.moveaxis(long.reshape(R, T, -1, width), 2, 0)

    def add(K, block):
        G = jnp.einsum("rtb,rts->rbs", block, short).reshape(R, -1)
        return K + G @ G.T, None

    return jax.lax.scan(add, jnp.zeros((R, R), v.dtype), blocks)[0]


def _from_pairs(delta, v, alike):
    """``Σ_ts ⟨δ_ict, δ_jds⟩ alike(v_it, v_js)`` over pairs of tokens, for a block of examples i at a time."""
    N, C, T, m = delta.shape
    width = _divisor(N, C * T * N * C * T * delta.dtype.itemsize)
    columns = delta.reshape(N * C * T, m)

    def rows(block):
        d, w = block
        products = (d.reshape(-1, m) @ columns.T).reshape(width, C, T, N, C, T)
        return (products * alike(w, v)[:, None, :, :, None, :]).sum(axis=(2, 5))

    return jax.lax.map(rows, (delta.reshape(-1, width, C, T, m), v.reshape(-1, width, *v.shape[1:]))).reshape(N * C, N * C)


def _inner_products(w, v):
    return (w.reshape(-1, w.shape[2]) @ v.reshape(-1, v.shape[2]).T).reshape(*w.shape[:2], *v.shape[:2])


def matrix_kernel(one: Factors) -> Float[Array, "NC NC"]:
    """Return the kernel of full fine-tuning of one matrix: inner products of its gradients, outputs varying fastest.

    Parameters
    ----------
    one : Factors
        Factors of the map.

    Returns
    -------
    array (N C, N C)
        ``⟨∂f_c(x_i)/∂W, ∂f_d(x_j)/∂W⟩``.

    Examples
    --------
    >>> from lorantk.theory import linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 3, 4)), jnp.ones((2, 1, 3, 5)))
    >>> linear_maps.matrix_kernel(one).tolist()  # gradients whose 20 entries are 3
    [[180.0, 180.0], [180.0, 180.0]]
    """
    v, delta = one
    N, C, T, m = delta.shape
    if pairs_are_cheaper(N * C, T, m, v.shape[2]):
        return _from_pairs(delta, v, _inner_products)
    return _from_gradients(delta, v)


def bias_kernel(one: Factors) -> Float[Array, "NC NC"]:
    """Return the kernel of a map's bias or shift: inner products of ``Σ_t δ_t``.

    Parameters
    ----------
    one : Factors
        Factors of the map.

    Returns
    -------
    array (N C, N C)
        The kernel.

    Examples
    --------
    >>> from lorantk.theory import linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 3, 4)), jnp.ones((2, 1, 3, 5)))
    >>> linear_maps.bias_kernel(one).tolist()
    [[45.0, 45.0], [45.0, 45.0]]
    """
    return _gram(one.returning.sum(axis=2))


def gain_kernel(one: Factors) -> Float[Array, "NC NC"]:
    """Return the kernel of a gain: inner products of ``Σ_t δ_t ∘ v_t``.

    Parameters
    ----------
    one : Factors
        Factors of the map, with ``n = m``.

    Returns
    -------
    array (N C, N C)
        The kernel.

    Examples
    --------
    >>> from lorantk.theory import linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 3, 5)), jnp.ones((2, 1, 3, 5)))
    >>> linear_maps.gain_kernel(one).tolist()
    [[45.0, 45.0], [45.0, 45.0]]
    """
    return _gram(jnp.einsum("nctm,ntm->ncm", one.returning, one.entering))


def table_kernel(one: Factors) -> Float[Array, "NC NC"]:
    """Return the kernel of a table of vectors: ``Σ_ts [v_it = v_js] ⟨δ_ict, δ_jds⟩``.

    Parameters
    ----------
    one : Factors
        Factors of the map; what enters are integers.

    Returns
    -------
    array (N C, N C)
        The kernel.

    Examples
    --------
    Two sentences that share one word:

    >>> from lorantk.theory import linear_maps
    >>> words = jnp.array([[7, 1], [7, 2]])
    >>> one = linear_maps.Factors(words, jnp.ones((2, 1, 2, 5)))
    >>> linear_maps.table_kernel(one).tolist()
    [[10.0, 5.0], [5.0, 10.0]]
    """
    v, delta = one
    return _from_pairs(delta, v, lambda w, v: (w[:, :, None, None] == v[None, None]).astype(delta.dtype))


PARTS = {"matrix": matrix_kernel, "bias": bias_kernel, "gain": gain_kernel, "table": table_kernel}


@partial(jax.jit, static_argnums=1)
def _sum_of_parts(found, parts):
    return sum(PARTS[part](found[name]) for name, part in parts)


def full_kernel(found: dict[str, Factors], parts: Mapping[str, tuple[str, ...]] | None = None) -> Float[Array, "NC NC"]:
    """Return the kernel of full fine-tuning of these maps, ``Σ_l K_l``.

    Parameters
    ----------
    found : dict of str to Factors
        As `factors` gives it.
    parts : mapping of str to tuple of str, optional
        For each name what trains: some of ``"matrix"``, ``"bias"``, ``"gain"`` and ``"table"``. If None, the matrix of each.

    Returns
    -------
    array (N C, N C)
        The kernel, outputs varying fastest.

    Raises
    ------
    ValueError
        No part, or one that is not of those four.

    Examples
    --------
    >>> from lorantk.theory import linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 1, 4)), jnp.ones((2, 1, 1, 5)))
    >>> linear_maps.full_kernel({"a": one, "b": one}).tolist()
    [[40.0, 40.0], [40.0, 40.0]]
    >>> linear_maps.full_kernel({"a": one}, {"a": ("matrix", "bias")}).tolist()
    [[25.0, 25.0], [25.0, 25.0]]
    """
    chosen = tuple((name, part) for name in found for part in (("matrix",) if parts is None else parts.get(name, ())))
    if not chosen or any(part not in PARTS for _, part in chosen):
        unknown = next((part for _, part in chosen if part not in PARTS), None)
        msg = f"parts must name what trains, out of {', '.join(PARTS)}, for at least one map; got {unknown!r}"
        raise ValueError(msg)
    return _sum_of_parts({name: found[name] for name, _ in chosen}, chosen)
