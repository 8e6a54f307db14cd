r"""A small transformer encoder in plain JAX, for the chapter on what survives beyond multilayer perceptrons.

An input of shape ``(T, d)`` is T tokens. Each block is ``x + attention(norm(x))`` then ``x + W_2 relu(W_1 norm(x))``, with
several heads and layer norms that have a gain and a shift; the output is a linear map of the mean over tokens. All linear maps
are laid out as ``W h``, shape ``(outputs, inputs)``.
"""

import jax
import jax.numpy as jnp
import numpy as np

from lorantk.theory.attach import matching, named_leaves

# Every linear map, as `lorantk.theory.attach` finds it by its path.
LINEAR = ("embed", "blocks/*/query", "blocks/*/key", "blocks/*/value", "blocks/*/out", "blocks/*/up", "blocks/*/down", "head")


def init(*, tokens: int, features: int, width: int, hidden: int, blocks: int, outputs: int, key):
    """Draw the parameters: weights of variance 1 over inputs (2 over inputs after ReLU), gains 1, shifts 0.

    Parameters
    ----------
    tokens, features
        T and d of an input.
    width, hidden
        Of the residual stream, and inside the blocks' perceptrons.
    blocks, outputs
        Number of blocks, and C.
    key
        JAX random key.
    """
    keys = iter(jax.random.split(key, 6 * blocks + 3))

    def weight(m, n, gain=1.0):
        return np.sqrt(gain / n) * jax.random.normal(next(keys), (m, n))

    def block():
        maps = {name: weight(width, width) for name in ("query", "key", "value", "out")}
        norms = {name: {"gain": jnp.ones(width), "shift": jnp.zeros(width)} for name in ("norm1", "norm2")}
        return maps | {"up": weight(hidden, width), "down": weight(width, hidden, 2.0)} | norms

    place = jax.random.normal(next(keys), (tokens, width))
    return {
        "embed": weight(width, features),
        "place": place,
        "blocks": [block() for _ in range(blocks)],
        "head": weight(outputs, width),
    }


def layer_norm(norm, x):
    """Return tokens of mean 0 and variance 1, times the gain, plus the shift; shape ``(T, width)``, as x."""
    x = x - x.mean(axis=-1, keepdims=True)
    x = x / jnp.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
    return x * norm["gain"][None] + norm["shift"][None]


def attention(block, x, heads: int):
    """Return the attention of every token to all tokens of its input; x has shape ``(T, width)``."""
    query, key, value = ((x @ block[name].T).reshape(len(x), heads, -1) for name in ("query", "key", "value"))
    scores = jnp.einsum("shd,thd->hst", query, key) / np.sqrt(query.shape[-1])
    mixed = jnp.einsum("hst,thd->shd", jax.nn.softmax(scores), value)
    return mixed.reshape(x.shape) @ block["out"].T


def forward(params, x, *, heads: int):
    """Return the outputs for a batch of shape ``(N, T, d)``; shape ``(N, C)``."""

    def one(tokens):
        h = tokens @ params["embed"].T + params["place"]
        for block in params["blocks"]:
            h = h + attention(block, layer_norm(block["norm1"], h), heads)
            h = h + jax.nn.relu(layer_norm(block["norm2"], h) @ block["up"].T) @ block["down"].T
        return params["head"] @ h.mean(axis=0)

    return jax.vmap(one)(x)


def gradients(f, params, patterns, x):
    """Return ``∂f_c(x_i)/∂W`` for the matrices that the patterns pick: path to array of shape ``(N, C, m, k)``.

    Parameters
    ----------
    f, params, x
        As for `lorantk.theory.matrix_free.ntk_of_function`.
    patterns
        As for `lorantk.theory.attach.matching`, with its errors.
    """
    names = matching(params, patterns)
    J = jax.jit(jax.vmap(lambda row: jax.jacrev(lambda p: f(p, row[None])[0])(params)))(x)
    leaves = named_leaves(J)
    return {name: leaves[name] for name in names}


def kernel(G, A=None):
    r"""Return ``⟨G_i, G_j⟩``, or ``⟨G_i Aᵀ, G_j Aᵀ⟩`` with an adapter, for outputs laid end to end; shape ``(N C, N C)``.

    ``G`` is one array of `gradients`, shape ``(N, C, m, k)``, and ``A`` has shape ``(r, k)``.
    """
    rows = G.reshape(-1, *G.shape[2:])
    rows = rows if A is None else rows @ A.T
    rows = rows.reshape(len(rows), -1)
    return rows @ rows.T


def spread(G):
    r"""Return ``ρ = tr((GᵀG)²) / (tr GᵀG)²`` of each gradient: one over the number of directions that it spreads over.

    ``G`` is one array of `gradients`, shape ``(N, C, m, k)``; the result has shape ``(N C,)``.
    """
    rows = G.reshape(-1, *G.shape[2:])
    grams = np.einsum("imk,iml->ikl", rows, rows)
    return (grams**2).sum(axis=(1, 2)) / np.trace(grams, axis1=1, axis2=2) ** 2
