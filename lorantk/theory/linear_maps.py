r"""Kernels of any model made of linear maps, from what enters each map and what comes back to it.

A model is a function ``f(linear, x)`` that sends every vector it multiplies by a trained matrix through
``linear(parameters, name, v) = W v + b``. For a batch of N inputs, ``v`` has shape ``(N, n)`` or ``(N, T, n)`` (T tokens), and
the outputs have shape ``(N, C)``; the rows of a batch must not influence one another, which is not checked. With
``δ_ict = ∂f_c(x_i)/∂(output of the map at token t)``,

    ∂f_c(x_i)/∂W = Σ_t δ_ict v_itᵀ ,

so that one forward and C backward passes give every gradient as a product of two thin matrices (`factors`). Kernels are
contracted map by map from these, and no array of N times the number of parameters is ever formed: for full fine-tuning from
blocks of gradients or from pairs of tokens, whichever takes fewer operations (`full_kernel`), for LoRA from ``A v`` and ``Bᵀ δ``
(`lora_features`). `lorantk.theory.matrix_free` is the route that knows nothing of this.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BLOCK_BYTES = 1 << 23  # of gradients that exist at a time: about a processor's caches


class Factors(NamedTuple):
    """Gradients of one linear map as products.

    Attributes
    ----------
    entering : array (N, T, n)
        ``v``.
    returning : array (N, C, T, m)
        ``δ``.
    """

    entering: Float[Array, "N T n"]
    returning: Float[Array, "N C T m"]


def _recorded(f, linear, x):
    """Names and output shapes of the maps that f calls, in the order of its calls."""
    shapes = {}

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


@partial(jax.jit, static_argnums=(0, 1, 3))
def _passes(f, linear, arguments, names):
    """One forward and C backward passes: what enters and what returns, by name."""
    parameters, x = arguments
    maps = partial(linear, parameters)
    shapes, outputs = _recorded(f, maps, x)
    probes = {name: jnp.zeros(shapes[name].shape, shapes[name].dtype) for name in names}

    def probed(probes):
        entering = {}

        def tape(name, v):
            y = maps(name, v)
            if name in probes:
                entering[name] = v
                y = y + probes[name]
            return y

        return f(tape, x), entering

    _, pull, entering = jax.vjp(probed, probes, has_aux=True)
    units = jnp.eye(outputs.shape[1], dtype=outputs.dtype)
    ones = jnp.ones((outputs.shape[0], 1), outputs.dtype)
    returning = jax.lax.map(lambda unit: pull(ones * unit[None])[0], units)
    return entering, returning


def factors(f: Callable, linear: Callable, parameters, x, names: tuple[str, ...] | None = None) -> dict[str, Factors]:
    """Return the factors of the gradients of every linear map, or of those named.

    Parameters
    ----------
    f : callable
        ``f(linear, x)`` with outputs of shape ``(N, C)``; it calls ``linear(name, v)``.
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
    shapes, outputs = _recorded(f, partial(linear, parameters), x)
    names = tuple(shapes) if names is None else tuple(names)
    if unknown := [name for name in names if name not in shapes]:
        msg = f"each name must be of a linear map that the model calls ({', '.join(shapes)}); got {unknown[0]!r}"
        raise ValueError(msg)
    entering, returning = _passes(f, linear, (parameters, x), names)
    found = {}
    for name in names:
        v, delta = entering[name], jnp.moveaxis(returning[name], 0, 1)
        if v.ndim == 2:
            v, delta = v[:, None], delta[:, :, None]
        used = np.flatnonzero(np.asarray(jnp.any(delta != 0, axis=(0, 1, 3))))  # tokens that reach some output
        found[name] = Factors(v, delta) if len(used) == v.shape[1] else Factors(v[:, used], delta[:, :, used])
    return found


def _rows(delta):
    """Backward factors with examples and outputs as one axis, outputs fastest: shape ``(N C, T, m)``."""
    return delta.reshape(-1, *delta.shape[2:])


def _repeated(v, outputs):
    """What enters, once for every output: shape ``(N C, T, n)``."""
    return v if outputs == 1 else jnp.repeat(v, outputs, axis=0)


def pairs_are_cheaper(R: int, T: int, m: int, n: int) -> bool:
    """Return whether the kernel of one map takes fewer operations from pairs of tokens than from gradients.

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


@partial(jax.jit, static_argnums=2)
def _from_gradients(delta, v, width):
    """``Σ_b G_b G_bᵀ`` over blocks of output rows."""
    R, T, m = delta.shape
    blocks = jnp.moveaxis(delta.reshape(R, T, m // width, width), 2, 0)

    def add(K, block):
        G = jnp.einsum("rtb,rtn->rbn", block, v).reshape(R, -1)
        return K + G @ G.T, None

    return jax.lax.scan(add, jnp.zeros((R, R), v.dtype), blocks)[0]


@jax.jit
def _from_pairs(delta, v):
    """``Σ_ts ⟨δ_it, δ_js⟩ ⟨v_it, v_js⟩`` over pairs of tokens."""
    R, T, _ = delta.shape
    d, w = delta.reshape(R * T, -1), v.reshape(R * T, -1)
    return ((d @ d.T) * (w @ w.T)).reshape(R, T, R, T).sum(axis=(1, 3))


def _block_width(R, m, n, itemsize):
    """The largest divisor of m for which a block of gradients stays within `BLOCK_BYTES`."""
    widest = max(1, BLOCK_BYTES // (R * n * itemsize))
    return max(width for width in range(1, m + 1) if m % width == 0 and width <= widest)


def map_kernel(one: Factors) -> Float[Array, "NC NC"]:
    """Return the kernel of full fine-tuning of one map: inner products of its gradients, outputs varying fastest.

    Parameters
    ----------
    one : Factors
        Its factors.

    Returns
    -------
    array (N C, N C)
        ``⟨∂f_c(x_i)/∂W, ∂f_d(x_j)/∂W⟩``.

    Examples
    --------
    >>> from lorantk.theory import linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 3, 4)), jnp.ones((2, 1, 3, 5)))
    >>> linear_maps.map_kernel(one).tolist()  # gradients whose 20 entries are 3
    [[180.0, 180.0], [180.0, 180.0]]
    """
    C = one.returning.shape[1]
    delta, v = _rows(one.returning), _repeated(one.entering, C)
    R, T, m = delta.shape
    n = v.shape[2]
    if pairs_are_cheaper(R, T, m, n):
        return _from_pairs(delta, v)
    return _from_gradients(delta, v, _block_width(R, m, n, v.dtype.itemsize))


def full_kernel(found: dict[str, Factors]) -> Float[Array, "NC NC"]:
    """Return the kernel of full fine-tuning of all these maps, ``Σ_l K_l``.

    Parameters
    ----------
    found : dict of str to Factors
        As `factors` gives it.

    Returns
    -------
    array (N C, N C)
        The kernel, outputs varying fastest.

    Examples
    --------
    >>> from lorantk.theory import linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 1, 4)), jnp.ones((2, 1, 1, 5)))
    >>> linear_maps.full_kernel({"a": one, "b": one}).tolist()
    [[40.0, 40.0], [40.0, 40.0]]
    """
    return sum(map_kernel(one) for one in found.values())


def bias_kernel(one: Factors) -> Float[Array, "NC NC"]:
    """Return the kernel of a map's bias: inner products of ``Σ_t δ_t``.

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
    rows = _rows(one.returning).sum(axis=1)
    return rows @ rows.T


def lora_features(
    one: Factors, A: Float[Array, "r n"], scale: float, B: Float[Array, "m r"] | None = None
) -> Float[Array, "NC P"]:
    """Return LoRA's gradients of one map ``W + s B A``, one row for each example and output: ``K = G Gᵀ``, ``K v = G (Gᵀ v)``.

    The gradient by B is ``s Σ_t δ_t (A v_t)ᵀ``, that by A ``s Σ_t (Bᵀ δ_t) v_tᵀ``.

    Parameters
    ----------
    one : Factors
        The factors of the adapted map.
    A : array (r, n)
        The first factor.
    scale : float
        ``s``.
    B : array (m, r), optional
        The second factor; 0 if None, and then A's gradients vanish and are left out.

    Returns
    -------
    array (N C, m r) or (N C, r (m + n))
        ``G``.

    Examples
    --------
    >>> from lorantk.theory import linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 3, 4)), jnp.ones((2, 1, 3, 5)))
    >>> linear_maps.lora_features(one, jnp.ones((2, 4)), 0.5).shape
    (2, 10)
    """
    C = one.returning.shape[1]
    delta, v = _rows(one.returning), _repeated(one.entering, C)
    rows = jnp.einsum("rtm,rtk->rmk", delta, v @ (scale * A).T).reshape(len(delta), -1)
    if B is None:
        return rows
    other = jnp.einsum("rtk,rtn->rkn", delta @ (scale * B), v).reshape(len(delta), -1)
    return jnp.concatenate([rows, other], axis=1)
