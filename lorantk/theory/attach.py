r"""Low-rank adapters for any pytree of parameters: ``W + s B A`` at the matrices that a pattern on their paths picks.

A path is what `jax.tree_util.keystr` makes of it, with slashes: ``blocks/0/attention/query``. Patterns are those of the shell, in
which ``*`` matches slashes too: ``*/query``.
"""

from fnmatch import fnmatchcase

import jax
import jax.numpy as jnp
from jax.tree_util import keystr, tree_flatten_with_path, tree_map_with_path
from jaxtyping import Array

from lorantk.theory.adapters import Adapter, sample_A

LAYOUTS = ("out-in", "in-out")


def _name(path) -> str:
    return keystr(path, simple=True, separator="/")


def named_leaves(params) -> dict[str, Array]:
    """Return the leaves of a pytree by their paths."""
    return {_name(path): leaf for path, leaf in tree_flatten_with_path(params)[0]}


def matching(params, patterns: tuple[str, ...]) -> list[str]:
    """Return the paths of the matrices that at least one pattern matches.

    Raises
    ------
    ValueError
        A pattern that matches nothing, or something that is no matrix.
    """
    leaves = named_leaves(params)
    for pattern in patterns:
        found = [name for name in leaves if fnmatchcase(name, pattern)]
        if not found:
            msg = f"each pattern must match a matrix; got {pattern!r}, and the paths are {', '.join(leaves)}"
            raise ValueError(msg)
        if bad := [name for name in found if jnp.ndim(leaves[name]) != 2]:
            msg = (
                f"each pattern must match matrices only; got {pattern!r}, which matches {bad[0]} of shape {leaves[bad[0]].shape}"
            )
            raise ValueError(msg)
    return [name for name in leaves if any(fnmatchcase(name, pattern) for pattern in patterns)]


def attach(params, config: Adapter, *, patterns: tuple[str, ...], layout: str, key) -> dict[str, dict]:
    """Return fresh adapters, ``{path: {"A": ..., "B": ...}}``, with ``B = 0``.

    Parameters
    ----------
    params
        Any pytree.
    config
        Rank, scale and law of A, `lorantk.theory.adapters.adapter`.
    patterns
        Which matrices get one.
    layout
        ``"out-in"`` where the function computes ``W h``, ``"in-out"`` where it computes ``h W``. A has shape
        ``(r, inputs)`` and B ``(outputs, r)`` in both.
    key
        JAX random key; the A of a matrix depends on the key and on the place of its path among all paths.

    Raises
    ------
    ValueError
        Unknown layout, a rank above a matrix's inputs, or patterns as for `matching`.
    """
    if layout not in LAYOUTS:
        msg = f"layout must be one of {', '.join(LAYOUTS)}; got {layout!r}"
        raise ValueError(msg)
    chosen, adapters = matching(params, tuple(patterns)), {}
    for i, (path, W) in enumerate(named_leaves(params).items()):
        if path in chosen:
            m, n = W.shape if layout == "out-in" else W.shape[::-1]
            A = sample_A(config, n, key=jax.random.fold_in(key, i), dtype=W.dtype)
            adapters[path] = {"A": A, "B": jnp.zeros((m, config.rank), W.dtype)}
    return adapters


def merge(params, adapters: dict[str, dict], *, scale: float, layout: str):
    """Return the parameters with ``W + s B A`` in the place of W; as a function of the adapters it is what LoRA trains.

    Parameters
    ----------
    params, adapters, layout
        What `attach` took and returned. That the layout is known and that the parameters have every path is not checked.
    scale
        ``s``.
    """

    def adapted(path, W):
        pair = adapters.get(_name(path))
        if pair is None:
            return W
        change = jnp.asarray(scale, W.dtype) * pair["B"] @ pair["A"]
        return W + (change if layout == "out-in" else change.T)

    return tree_map_with_path(adapted, params)


def adapted_function(f, params, *, scale: float, layout: str):
    """Return ``(adapters, x) ↦ f(merge(params, adapters), x)``, a function of what LoRA trains alone."""
    return lambda adapters, x: f(merge(params, adapters, scale=scale, layout=layout), x)
