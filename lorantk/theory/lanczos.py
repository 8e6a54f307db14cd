r"""Functions of the spectrum of a matrix that is known only through its products with vectors.

Stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017): for random signs z, ``E[zᵀ f(K) z] = Σ_i f(λ_i)``, and k steps of
Lanczos from z give a Gauss rule with k nodes for ``zᵀ f(K) z``, the same for every f. A run of p probes is kept as its nodes and
weights, `Quadrature`; each `Estimate` read off it costs nothing more and has a 95% interval of two parts: Student's t over the
probes, and what the steps leave open. The latter is a bound, not an estimate: the Gauss rule and the Gauss-Radau rule with one
node at 0 lie on the two sides of ``zᵀ f(K) z`` for every f whose derivatives have alternating signs from some order below 2k
on, such as ``log(1 + λ/τ)``, ``λ/(λ + τ)`` and powers (Golub and Meurant 2010).

The recurrence is matfree's, with full reorthogonalisation; the products of all probes are one product of matrices.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float
from matfree import decomp
from scipy import stats

from lorantk.theory.spectra import check_positive


class Quadrature(NamedTuple):
    """Gauss and Gauss-Radau rules of p probes, k nodes each.

    The weights of a probe sum to ``size``, the number of rows of the matrix.
    """

    nodes: Float[np.ndarray, "p k"]
    weights: Float[np.ndarray, "p k"]
    radau_nodes: Float[np.ndarray, "p k"]
    radau_weights: Float[np.ndarray, "p k"]
    size: int


class Estimate(NamedTuple):
    """An estimate and the half-width of its 95% interval."""

    value: float
    error: float


@partial(jax.jit, static_argnames=("product", "depth"))
def _tridiagonal(product, parameters, probes, depth):
    @custom_vmap
    def matvec(vector, parameters):
        return product(vector[None], *parameters)[0]

    @matvec.def_vmap
    def _(size, batched, vectors, parameters):
        return product(vectors, *parameters), True

    run = decomp.tridiag_sym(depth, materialize=False, reortho="full", custom_vjp=False)
    return jax.vmap(lambda z: run(lambda v, p: matvec(v, p), z / jnp.linalg.norm(z), parameters).J_small)(probes)


def _rules(diagonal, off, size):
    """Nodes and weights of both rules, shape ``(4, k)``; zeros of weight zero fill the places after a breakdown."""
    # Where the vectors so far span an invariant subspace the next one is rounding error, or 0/0: the rule is exact by then.
    scale = np.abs(diagonal[0])
    ends = np.flatnonzero(~(off > 1e-13 * scale))
    steps = int(ends[0]) + 1 if ends.size else len(diagonal)
    rules = np.zeros((4, len(diagonal)))
    rules[:2, :steps] = _nodes_and_weights(diagonal[:steps], off[: steps - 1], size)
    if ends.size:
        rules[2:] = rules[:2]
        return rules
    # The last diagonal entry that makes 0 an eigenvalue: solve T δ = β² e for the block above it. The shift keeps T regular.
    banded = np.zeros((2, steps - 1))
    banded[0, 1:], banded[1] = off[:-1], diagonal[:-1] + 1e-12 * scale
    target = np.zeros(steps - 1)
    target[-1] = off[-1] ** 2
    last = scipy.linalg.solve_banded((1, 1), np.vstack([banded, np.append(off[:-1], 0)]), target)[-1]
    rules[2:] = _nodes_and_weights(np.append(diagonal[:-1], last), off, size)
    return rules


def _nodes_and_weights(diagonal, off, size):
    nodes, vectors = scipy.linalg.eigh_tridiagonal(diagonal, off)
    return nodes, size * vectors[0] ** 2


def quadrature(
    product: Callable, size: int, *, probes: int, depth: int, key: Array, parameters: tuple = (), dtype=None
) -> Quadrature:
    """Run Lanczos from random signs.

    Parameters
    ----------
    product
        ``(V, *parameters) ↦ K V`` for a symmetric positive semi-definite K and vectors as rows, shape ``(p, size)``; JAX code,
        the same function object from call to call so that it is compiled once.
    size
        Rows of K.
    probes
        ``p ≥ 2``: the sampling error falls like ``1/√p``.
    depth
        ``k``, steps of Lanczos, 4 to ``size``: products with K a probe. The rule is exact for polynomials of degree ``2k - 1``.
    key
        JAX random key.
    parameters
        Arrays that the product needs, a tuple of pytrees.
    dtype
        Of the probes; JAX's default where None.

    Raises
    ------
    ValueError
        Fewer than two probes, or a depth outside 4 to ``size``.
    """
    if probes < 2:
        msg = f"probes must be at least 2, for an interval; got {probes}"
        raise ValueError(msg)
    if not 4 <= depth <= size:
        msg = f"depth must lie between 4 and the {size} rows of the matrix; got {depth}"
        raise ValueError(msg)
    signs = jax.random.rademacher(key, (probes, size), dtype or jnp.zeros(()).dtype)
    diagonals, offs = (np.asarray(part, np.float64) for part in _tridiagonal(product, parameters, signs, depth))
    if not np.isfinite(diagonals[:, 0]).all():
        msg = "products with the matrix must be finite; got NaN or infinity"
        raise ValueError(msg)
    return Quadrature(*np.stack([_rules(d, o, size) for d, o in zip(diagonals, offs, strict=True)], axis=1), size)


def matrix_product(V: Float[Array, "p N"], K: Float[Array, "N N"]) -> Float[Array, "p N"]:
    """The product with an explicit symmetric matrix; pass it to `quadrature` with ``parameters=(K,)``."""
    return V @ K


def trace(rule: Quadrature, f: Callable) -> Estimate:
    """Estimate ``Σ_i f(λ_i)`` for a function of arrays; it sees nodes clipped at 0, where rounding leaves them below.

    The value lies half-way between the two rules. For functions other than those named above the interval is no bound.
    """
    gauss = (rule.weights * f(np.clip(rule.nodes, 0, None))).sum(axis=1)
    radau = (rule.radau_weights * f(np.clip(rule.radau_nodes, 0, None))).sum(axis=1)
    values, p = (gauss + radau) / 2, len(gauss)
    sampling = stats.t.ppf(0.975, p - 1) * values.std(ddof=1) / np.sqrt(p)
    return Estimate(float(values.mean()), float(sampling + abs(gauss.mean() - radau.mean()) / 2))


def log_determinant(rule: Quadrature, *, tau: float) -> Estimate:
    """Estimate ``log det(I + K/τ)`` in nats; ValueError unless τ is positive and finite."""
    check_positive(tau, "tau")
    return trace(rule, lambda values: np.log1p(values / tau))


def effective_dimension(rule: Quadrature, *, tau: float) -> Estimate:
    """Estimate ``Σ λ_i / (λ_i + τ)``; ValueError unless τ is positive and finite."""
    check_positive(tau, "tau")
    return trace(rule, lambda values: values / (values + tau))


def power_sum(rule: Quadrature, *, power: float) -> Estimate:
    """Estimate ``Σ λ_i^p``, whose logarithm over ``1 - p`` is a Rényi entropy; ValueError unless p is positive and finite."""
    check_positive(power, "power")
    return trace(rule, lambda values: values**power)


def count_above(rule: Quadrature, *, tolerance: float) -> Estimate:
    """Estimate how many eigenvalues exceed ``tolerance`` times the largest.

    A step is no polynomial: the rule is good where few eigenvalues lie near the threshold. ValueError unless the tolerance lies
    in ``(0, 1)``.
    """
    if not 0 < tolerance < 1:
        msg = f"tolerance must lie in (0, 1), as it is relative to the largest eigenvalue; got {tolerance}"
        raise ValueError(msg)
    threshold = tolerance * rule.nodes.max()
    return trace(rule, lambda values: (values > threshold).astype(float))


def extremes(rule: Quadrature) -> tuple[float, float]:
    """Return the smallest and the largest node: an upper bound on the least eigenvalue, a lower one on the largest."""
    nodes = rule.nodes[rule.weights > 0]
    return float(nodes.min()), float(nodes.max())
