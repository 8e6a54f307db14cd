"""Low-rank adapters for any pytree of parameters: ``W + s B A`` at the matrices whose paths match a pattern.

A path is what `jax.tree_util.keystr` makes of it, with slashes: ``blocks/0/attention/query``. Patterns are those of the
shell, in which ``*`` matches slashes too: ``*/query``.
"""

from fnmatch import fnmatchcase

import jax
import jax.numpy as jnp
from jax.tree_util import keystr, tree_flatten_with_path, tree_map_with_path
from jaxtyping import Array

from lorantk.choices import one_of
from lorantk.theory.adapters import Adapter, sample_A

LAYOUTS = ("out-in", "in-out")


def _name(path) -> str:
    return keystr(path, simple=True, separator="/")


def named_leaves(params) -> dict[str, Array]:
    """Return the leaves of a pytree by their paths.

    Parameters
    ----------
    params : pytree of arrays
        Parameters of a model.

    Returns
    -------
    dict of str to array
        In the order of JAX's flattening.

    Examples
    --------
    >>> from lorantk.theory import attach
    >>> params = {"blocks": [{"query": jnp.eye(2)}], "shift": jnp.ones(2)}
    >>> {path: leaf.shape for path, leaf in attach.named_leaves(params).items()}
    {'blocks/0/query': (2, 2), 'shift': (2,)}
    """
    return {_name(path): leaf for path, leaf in tree_flatten_with_path(params)[0]}


def matching(params, patterns: tuple[str, ...]) -> list[str]:
    """Return the paths of the matrices that at least one pattern matches.

    Parameters
    ----------
    params : pytree of arrays
        Parameters of a model.
    patterns : tuple of str
        Patterns of the shell on paths.

    Returns
    -------
    list of str
        In the order of the parameters.

    Raises
    ------
    ValueError
        A pattern that matches nothing, or something that is not a matrix.

    Examples
    --------
    >>> from lorantk.theory import attach
    >>> params = {"blocks": [{"query": jnp.eye(2), "up": jnp.eye(2)}] * 2}
    >>> attach.matching(params, ("*/query",))
    ['blocks/0/query', 'blocks/1/query']
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
    """Return fresh adapters with ``B = 0`` for the matrices that the patterns match.

    Parameters
    ----------
    params : pytree of arrays
        Parameters of a model; their matrices become ``W₀``.
    config : Adapter
        Rank, scale and law of A, see `lorantk.theory.adapters.adapter`.
    patterns : tuple of str
        Which matrices get an adapter.
    layout : {"out-in", "in-out"}
        ``"out-in"`` where the function computes ``W h``, ``"in-out"`` where it computes ``h W``.
    key : JAX random key
        The A of a matrix depends on the key and on the position of its path among all paths.

    Returns
    -------
    dict of str to dict
        By path, ``"A"`` of shape ``(r, inputs)`` and ``"B"`` of shape ``(outputs, r)``, in both layouts.

    Raises
    ------
    ValueError
        Unknown layout, a rank above a matrix's inputs, or patterns as for `matching`.

    Examples
    --------
    >>> from lorantk.theory import attach
    >>> from lorantk.theory.adapters import adapter
    >>> params = {"up": jnp.ones((8, 3)), "down": jnp.ones((3, 8))}
    >>> options = {"patterns": ("up",), "layout": "out-in", "key": jax.random.key(0)}
    >>> adapters = attach.attach(params, adapter(2, alpha=4), **options)
    >>> {path: (pair["A"].shape, pair["B"].shape) for path, pair in adapters.items()}
    {'up': ((2, 3), (8, 2))}
    """
    one_of("layout", layout, LAYOUTS)
    chosen, adapters = matching(params, tuple(patterns)), {}
    for i, (path, W) in enumerate(named_leaves(params).items()):
        if path in chosen:
            m, n = W.shape if layout == "out-in" else W.shape[::-1]
            A = sample_A(config, n, key=jax.random.fold_in(key, i), dtype=W.dtype)
            adapters[path] = {"A": A, "B": jnp.zeros((m, config.rank), W.dtype)}
    return adapters


def merge(params, adapters: dict[str, dict], *, scale: float, layout: str):
    """Return the parameters with ``W + s B A`` instead of W; as a function of the adapters this is what LoRA trains.

    That the layout is known and that the parameters have every path is not checked.

    Parameters
    ----------
    params : pytree of arrays
        Parameters of a model.
    adapters : dict of str to dict
        From `attach`, trained or not: ``"A"`` of shape ``(r, inputs)`` and ``"B"`` of shape ``(outputs, r)`` by path.
    scale : float
        ``s``.
    layout : {"out-in", "in-out"}
        As for `attach`; with ``"in-out"`` the transpose of ``B A`` is added.

    Returns
    -------
    pytree of arrays
        Of the same structure and shapes as ``params``.

    Examples
    --------
    >>> from lorantk.theory import attach
    >>> pair = {"A": jnp.array([[1.0, 0.0]]), "B": jnp.array([[2.0], [4.0]])}
    >>> params = {"W": jnp.zeros((2, 2))}
    >>> merged = attach.merge(params, {"W": pair}, scale=0.5, layout="out-in")
    >>> merged["W"].tolist()
    [[1.0, 0.0], [2.0, 0.0]]
    """

    def adapted(path, W):
        pair = adapters.get(_name(path))
        if pair is None:
            return W
        change = jnp.asarray(scale, W.dtype) * pair["B"] @ pair["A"]
        return W + (change if layout == "out-in" else change.T)

    return tree_map_with_path(adapted, params)


def adapted_function(f, params, *, scale: float, layout: str):
    """Return ``(adapters, x) ↦ f(merge(params, adapters), x)``, a function of only what LoRA trains.

    Its Jacobian is the one that the kernel of LoRA is made of, see `lorantk.theory.matrix_free.ntk_of_function`.

    Parameters
    ----------
    f : callable
        ``f(params, x)``, outputs of shape ``(N, C)`` for N inputs.
    params : pytree of arrays
        Parameters of the model, frozen from here on.
    scale : float
        ``s``.
    layout : {"out-in", "in-out"}
        As for `attach`.

    Returns
    -------
    callable
        A function of the adapters and of a batch.

    Examples
    --------
    >>> from lorantk.theory import attach
    >>> f, params = (lambda params, x: x @ params["W"].T), {"W": jnp.eye(2)}
    >>> g = attach.adapted_function(f, params, scale=1.0, layout="out-in")
    >>> pair = {"A": jnp.array([[1.0, 1.0]]), "B": jnp.array([[1.0], [0.0]])}
    >>> g({"W": pair}, jnp.array([[1.0, 2.0]])).tolist()
    [[4.0, 2.0]]
    """
    return lambda adapters, x: f(merge(params, adapters, scale=scale, layout=layout), x)
