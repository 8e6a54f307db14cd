r"""LoRA's gradients as stored rows: its kernel, products with it and its spectrum, of any model made of linear maps.

With what enters (``v``) and what returns (``δ``) of `lorantk.theory.linear_maps`, the gradients of ``W + s B A`` are

    ∂f_c(x_i)/∂B = s Σ_t δ_ict (A v_it)ᵀ ,   ∂f_c(x_i)/∂A = s Σ_t (Bᵀ δ_ict) v_itᵀ ,

a few thousand numbers for each matrix. So all of them fit into memory as rows of one matrix G: ``K = G Gᵀ``, and a product
``K x = G (Gᵀ x)`` reads G twice without another pass through the network.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory import lanczos, spectra
from lorantk.theory.linear_maps import Factors, factors

EXACT_ROWS = 4096  # LAPACK takes a few seconds for all eigenvalues of so many rows


def lora_features(
    one: Factors, A: Float[Array, "r n"], scale: float, B: Float[Array, "m r"] | None = None
) -> Float[Array, "NC P"]:
    """Return LoRA's gradients of one map ``W + s B A``, one row for each example and output, outputs varying fastest.

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
    >>> from lorantk.theory import features, linear_maps
    >>> one = linear_maps.Factors(jnp.ones((2, 3, 4)), jnp.ones((2, 1, 3, 5)))
    >>> features.lora_features(one, jnp.ones((2, 4)), 0.5).shape
    (2, 10)
    """
    v, delta = one
    rows = delta.shape[0] * delta.shape[1]
    G = jnp.einsum("nctm,ntr->ncmr", delta, v @ (scale * A).T).reshape(rows, -1)
    if B is None:
        return G
    return jnp.concatenate([G, jnp.einsum("nctr,ntk->ncrk", delta @ (scale * B), v).reshape(rows, -1)], axis=1)


@jax.jit
def _side_by_side(found, adapters, scale):
    G = [lora_features(found[name], pair["A"], scale, pair.get("B")) for name, pair in adapters.items()]
    return jnp.concatenate(G, axis=1)


def adapter_features(
    f: Callable, linear: Callable, parameters, x, adapters: Mapping[str, Mapping], scale: float, *, block: int = 128
) -> Float[Array, "NC P"]:
    """Return LoRA's gradients of all adapted maps of a model, ``block`` examples at a time.

    Parameters
    ----------
    f, linear, parameters, x : callable, callable, pytree, pytree
        As for `lorantk.theory.linear_maps.factors`; `linear` must add ``s B A v`` itself where ``B ≠ 0``.
    adapters : mapping of str to mapping
        By the name of the map, ``"A"`` of shape ``(r, n)`` and, unless it is 0, ``"B"`` of shape ``(m, r)``.
    scale : float
        ``s``.
    block : int
        Examples at a time; only their factors exist.

    Returns
    -------
    array (N C, P)
        ``G``, with ``K = G Gᵀ``: one row for each example and output, outputs varying fastest.

    Examples
    --------
    >>> from lorantk.theory import features
    >>> weights = {"in": jnp.ones((4, 2)), "out": jnp.ones((1, 4))}
    >>> def model(linear, x):
    ...     return linear("out", jnp.tanh(linear("in", x)))
    >>> def linear(weights, name, v):
    ...     return v @ weights[name].T
    >>> adapters = {"in": {"A": jnp.ones((3, 2))}}
    >>> x = jnp.ones((5, 2))
    >>> features.adapter_features(model, linear, weights, x, adapters, 1.0).shape
    (5, 12)
    """
    N, names = len(jax.tree.leaves(x)[0]), tuple(adapters)
    adapters = {name: dict(pair) for name, pair in adapters.items()}

    def part(start):
        rows = jax.tree.map(lambda leaf: leaf[start : start + block], x)
        return _side_by_side(factors(f, linear, parameters, rows, names), adapters, scale)

    return jnp.concatenate([part(start) for start in range(0, N, block)])


def feature_product(V: Float[Array, "p N"], G: Float[Array, "N P"]) -> Float[Array, "p N"]:
    """The product ``K V = G (Gᵀ V)``; pass it to `lorantk.theory.lanczos.quadrature` with ``parameters=(G,)``.

    Parameters
    ----------
    V : array (p, N)
        Vectors as rows.
    G : array (N, P)
        One gradient per row.

    Returns
    -------
    array (p, N)
        ``K V``, vectors as rows.

    Examples
    --------
    >>> from lorantk.theory import features
    >>> features.feature_product(jnp.ones((1, 2)), jnp.eye(2, 3)).tolist()
    [[1.0, 1.0]]
    """
    return (V @ G) @ G.T


def feature_quadrature(
    G: Float[Array, "N P"], *, exact_rows: int = EXACT_ROWS, probes: int = 12, depth: int = 24, key: Array
) -> lanczos.Quadrature:
    """Return a rule for sums over the spectrum of ``K = G Gᵀ``: exact where K is small, by Lanczos otherwise.

    Parameters
    ----------
    G : array (N, P)
        One gradient per row.
    exact_rows : int
        Up to so many rows K is formed and diagonalised.
    probes, depth : int
        As for `lorantk.theory.lanczos.quadrature`, beyond that.
    key : JAX random key
        Source of the probes.

    Returns
    -------
    Quadrature
        For the functions ``estimate_…`` of `lorantk.theory.lanczos`; an exact rule gives intervals of width 0.

    Examples
    --------
    >>> from lorantk.theory import features, lanczos
    >>> rule = features.feature_quadrature(jnp.eye(2, 3), key=jax.random.key(0))
    >>> found = lanczos.estimate_log_determinant(rule, tau=1.0)
    >>> round(found.value, 3), found.error  # 2 log 2
    (1.386, 0.0)
    """
    if len(G) <= exact_rows:
        return lanczos.exact_rule(spectra.eigenvalues(np.asarray(G @ G.T)))
    total = float(jnp.vdot(G, G))
    options = {"probes": probes, "depth": depth, "key": key, "total": total, "dtype": G.dtype}
    return lanczos.quadrature(feature_product, len(G), parameters=(G,), **options)
