"""Functions of the spectrum of a matrix that is known only through its products with vectors.

Stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017): for random signs z, ``E[zᵀ f(K) z] = Σ_i f(λ_i)``, and k steps of
Lanczos from z give a Gauss rule with k nodes for ``zᵀ f(K) z``, the same for every f. A run of p probes is kept as its nodes
and weights, `Quadrature`; each `Estimate` read off it costs nothing more and has a 95% interval of two parts: Student's t
over the probes, and what the steps leave open. The latter is a bound, not an estimate: the Gauss rule and the Gauss-Radau
rule with one node at 0 lie on the two sides of ``zᵀ f(K) z`` for every f whose derivatives have alternating signs from some
order below 2k on, such as ``log(1 + λ/τ)``, ``λ/(λ + τ)`` and powers (Golub and Meurant 2010).

Two things make the interval narrower. A kernel has a few eigenvalues far above the others, to which most of the variance is
due: with Q orthonormal and close to their eigenvectors, ``tr f(K) = tr Qᵀ f(K) Q + tr P f(K) P`` for ``P = I - Q Qᵀ``, and
only the second trace is left to chance (Meyer, Musco, Musco and Woodruff 2021, Hutch++). And the trace of a kernel is known
from its diagonal: what a probe misses of it says what the probe misses of ``f``, a control variate.

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

POWERS = 4  # of K that turn Q towards the leading eigenvectors


class Quadrature(NamedTuple):
    """Gauss and Gauss-Radau rules with k nodes, from q columns of Q and p probes.

    The weights of a row sum to the squared length of the vector that it began with: 1 for a column of Q, about the number of
    rows of the matrix for a probe.

    Attributes
    ----------
    nodes, weights : array (q + p, k)
        The Gauss rules; the first q rows are those of Q.
    radau_nodes, radau_weights : array (q + p, k)
        The Gauss-Radau rules with a node at 0.
    deflated : int
        ``q``.
    total : float or None
        The trace of the matrix, where it is known.
    """

    nodes: Float[np.ndarray, "q+p k"]
    weights: Float[np.ndarray, "q+p k"]
    radau_nodes: Float[np.ndarray, "q+p k"]
    radau_weights: Float[np.ndarray, "q+p k"]
    deflated: int = 0
    total: float | None = None


class Estimate(NamedTuple):
    """An estimate and the half-width of its 95% interval.

    Attributes
    ----------
    value : float
        The estimate.
    error : float
        Half the width of the interval.
    """

    value: float
    error: float


@partial(jax.jit, static_argnames=("product", "size", "probes", "deflate", "dtype"))
def _starts(product, parameters, key, size, probes, deflate, dtype):
    """The columns of Q as rows, and random signs from which Q is projected out; shape ``(deflate + probes, size)``."""
    signs = jax.random.rademacher(key, (probes, size), dtype)
    Q = jax.random.normal(jax.random.fold_in(key, 1), (size, deflate), dtype)
    for _ in range(POWERS if deflate else 0):
        Q = jnp.linalg.qr(product(Q.T, *parameters).T)[0]
    return jnp.concatenate([Q.T, signs - (signs @ Q) @ Q.T])


@partial(jax.jit, static_argnames=("product", "depth"))
def _tridiagonal(product, parameters, starts, depth):
    @custom_vmap
    def matvec(vector, parameters):
        return product(vector[None], *parameters)[0]

    @matvec.def_vmap
    def _(size, batched, vectors, parameters):
        return product(vectors, *parameters), True

    run = decomp.tridiag_sym(depth, materialize=False, reortho="full", custom_vjp=False)
    return jax.vmap(lambda z: run(lambda v, p: matvec(v, p), z, parameters).J_small)(starts)


def _rules(diagonal, off, length):
    """Nodes and weights of both rules, shape ``(4, k)``; nodes at 0 of weight 0 fill the entries after a breakdown."""
    # Where the vectors so far span an invariant subspace, the next one is rounding error or 0/0: the rule is exact by then.
    scale = np.abs(diagonal[0])
    ends = np.flatnonzero(~(off > 1e-13 * scale))
    steps = int(ends[0]) + 1 if ends.size else len(diagonal)
    rules = np.zeros((4, len(diagonal)))
    rules[:2, :steps] = _nodes_and_weights(diagonal[:steps], off[: steps - 1], length)
    if ends.size:
        rules[2:] = rules[:2]
        return rules
    # The last diagonal entry that makes 0 an eigenvalue: solve T δ = β² e for the block above it. The shift keeps T regular.
    banded = np.zeros((2, steps - 1))
    banded[0, 1:], banded[1] = off[:-1], diagonal[:-1] + 1e-12 * scale
    target = np.zeros(steps - 1)
    target[-1] = off[-1] ** 2
    last = scipy.linalg.solve_banded((1, 1), np.vstack([banded, np.append(off[:-1], 0)]), target)[-1]
    rules[2:] = _nodes_and_weights(np.append(diagonal[:-1], last), off, length)
    return rules


def _nodes_and_weights(diagonal, off, length):
    nodes, vectors = scipy.linalg.eigh_tridiagonal(diagonal, off)
    return nodes, length * vectors[0] ** 2


def quadrature(
    product: Callable,
    size: int,
    *,
    probes: int,
    depth: int,
    key: Array,
    parameters: tuple = (),
    deflate: int = 1,
    total: float | None = None,
    dtype=None,
) -> Quadrature:
    """Run k steps of Lanczos from random signs.

    Parameters
    ----------
    product : callable
        ``(V, *parameters) ↦ K V`` for a symmetric positive semi-definite K and vectors as rows, shape ``(p, size)``; JAX code,
        the same function object from call to call so that it is compiled once.
    size : int
        Rows of K.
    probes : int
        ``p ≥ 2``: the sampling error falls like ``1/√p``.
    depth : int
        ``k``, steps of Lanczos, 4 to ``size``: products with K per probe. The rule is exact for polynomials of degree
        ``2k - 1``.
    key : JAX random key
        Source of the probes.
    parameters : tuple of pytrees
        Arrays that the product needs.
    deflate : int
        ``q``, leading eigenvectors that are kept from the probes; each costs as many products as a probe, and four more.
    total : float, optional
        The trace of K where it is known.
    dtype : optional
        Of the probes; JAX's default where None.

    Returns
    -------
    Quadrature
        From which the functions ``estimate_…`` read.

    Raises
    ------
    ValueError
        Fewer than two probes, a depth outside 4 to ``size``, a ``deflate`` outside 0 to ``size - 1``, a ``total`` that is not
        finite, or products that are not finite.

    Examples
    --------
    >>> from lorantk.theory import lanczos
    >>> K = jnp.diag(jnp.arange(1.0, 61.0))
    >>> options = {"probes": 8, "depth": 20, "key": jax.random.key(0)}
    >>> rule = lanczos.quadrature(
    ...     lanczos.matrix_product, 60, parameters=(K,), **options
    ... )
    >>> rule.nodes.shape, [round(node) for node in lanczos.extreme_nodes(rule)]
    ((9, 20), [1, 60])
    """
    if probes < 2:
        msg = f"probes must be at least 2, for an interval; got {probes}"
        raise ValueError(msg)
    if not 4 <= depth <= size:
        msg = f"depth must lie between 4 and {size}, the number of rows of the matrix; got {depth}"
        raise ValueError(msg)
    if not 0 <= deflate < size:
        msg = f"deflate must lie between 0 and {size - 1}, one less than the number of rows of the matrix; got {deflate}"
        raise ValueError(msg)
    if total is not None and not np.isfinite(total):
        msg = f"total must be the trace of the matrix, a finite number; got {total}"
        raise ValueError(msg)
    starts = _starts(product, parameters, key, size, probes, deflate, np.dtype(dtype or jnp.zeros(()).dtype))
    lengths = np.asarray((starts**2).sum(axis=1), np.float64)
    diagonals, offs = (np.asarray(part, np.float64) for part in _tridiagonal(product, parameters, starts, depth))
    if not np.isfinite(diagonals[:, 0]).all():
        msg = "products with the matrix must be finite; got NaN or infinity"
        raise ValueError(msg)
    rules = [_rules(*row) for row in zip(diagonals, offs, lengths, strict=True)]
    return Quadrature(*np.stack(rules, axis=1), deflate, None if total is None else float(total))


def exact_rule(eigenvalues: Float[np.ndarray, " N"]) -> Quadrature:
    """Return the rule that sums over known eigenvalues; its estimates are exact, with intervals of width 0.

    Parameters
    ----------
    eigenvalues : array (N,)
        All eigenvalues of a matrix.

    Returns
    -------
    Quadrature
        N rules with one node each, and no probes.

    Examples
    --------
    >>> from lorantk.theory import lanczos
    >>> rule = lanczos.exact_rule(np.array([1.0, 3.0]))
    >>> lanczos.estimate_power_sum(rule, power=2)
    Estimate(value=10.0, error=0.0)
    """
    nodes = np.asarray(eigenvalues, np.float64)[:, None]
    return Quadrature(nodes, np.ones_like(nodes), nodes, np.ones_like(nodes), deflated=len(nodes))


def matrix_product(V: Float[Array, "p N"], K: Float[Array, "N N"]) -> Float[Array, "p N"]:
    """The product with an explicit symmetric matrix; pass it to `quadrature` with ``parameters=(K,)``.

    Parameters
    ----------
    V : array (p, N)
        Vectors as rows.
    K : array (N, N)
        Symmetric.

    Returns
    -------
    array (p, N)
        ``K V``, vectors as rows.

    Examples
    --------
    >>> from lorantk.theory import lanczos
    >>> V, K = jnp.array([[1.0, 1.0]]), jnp.array([[2.0, 1.0], [1.0, 3.0]])
    >>> lanczos.matrix_product(V, K).tolist()
    [[3.0, 4.0]]
    """
    return V @ K


def estimate_trace(rule: Quadrature, f: Callable) -> Estimate:
    """Estimate ``tr f(K) = Σ_i f(λ_i)`` for a function f of arrays.

    The value lies halfway between the two rules. For functions other than those named at the top of this module the interval
    is not a bound on what the steps leave open.

    Parameters
    ----------
    rule : Quadrature
        From `quadrature`, with nodes of shape ``(q + p, k)``.
    f : callable
        Maps an array of nodes, clipped at 0 where rounding leaves them below, to its values, entry by entry.

    Returns
    -------
    Estimate
        The sum and the half-width of its 95% interval.

    Examples
    --------
    >>> from lorantk.theory import lanczos
    >>> K = jnp.diag(jnp.arange(1.0, 61.0))
    >>> options = {"probes": 8, "depth": 20, "key": jax.random.key(0)}
    >>> rule = lanczos.quadrature(
    ...     lanczos.matrix_product, 60, parameters=(K,), **options
    ... )
    >>> found = lanczos.estimate_trace(rule, lambda nodes: np.exp(-nodes / 10))
    >>> truth = float(np.exp(-np.arange(1, 61) / 10).sum())
    >>> abs(found.value - truth) <= found.error, round(found.value), round(truth)
    (True, 9, 9)
    """
    nodes = np.clip(rule.nodes, 0, None)
    images = f(nodes)
    gauss = (rule.weights * images).sum(axis=1)
    radau = (rule.radau_weights * f(np.clip(rule.radau_nodes, 0, None))).sum(axis=1)
    values, unresolved = (gauss + radau) / 2, abs(_mean(rule, gauss - radau)) / 2
    if rule.total is not None:
        # Of the probes alone: the columns of Q contribute to the trace exactly.
        traces, q = (rule.weights * nodes).sum(axis=1), rule.deflated
        missed = np.append(np.zeros(q), traces[q:] - (rule.total - traces[:q].sum()))
        values = values - _slope(images[q:], nodes[q:], rule.weights[q:]) * missed
    samples, sampling = values[rule.deflated :], 0.0
    if len(samples):  # none in an exact rule
        sampling = stats.t.ppf(0.975, len(samples) - 1) * samples.std(ddof=1) / np.sqrt(len(samples))
    return Estimate(float(_mean(rule, values)), float(sampling + unresolved))


def _mean(rule, values):
    """The sum over the columns of Q, and the mean over the probes."""
    samples = values[rule.deflated :]
    return values[: rule.deflated].sum() + (samples.mean() if len(samples) else 0)


def _slope(values, nodes, weights):
    """The slope of the line through ``values`` over ``nodes``, by weighted least squares; 0 where all nodes are equal."""
    centred = nodes - np.average(nodes, weights=weights)
    spread = (weights * centred**2).sum()
    return (weights * centred * values).sum() / spread if spread > 0 else 0.0


def estimate_log_determinant(rule: Quadrature, *, tau: float) -> Estimate:
    """Estimate ``log det(I + K/τ) = Σ_i log(1 + λ_i/τ)`` in nats.

    Parameters
    ----------
    rule : Quadrature
        From `quadrature`, with nodes of shape ``(q + p, k)``.
    tau : float
        ``τ > 0``, in the units of K.

    Returns
    -------
    Estimate
        The logarithm and the half-width of its 95% interval.

    Raises
    ------
    ValueError
        A ``tau`` that is not positive and finite.

    Examples
    --------
    The one large eigenvalue is deflated; the truth is ``log 101 + 59 log 2``, which is 45.5.

    >>> from lorantk.theory import lanczos
    >>> K = jnp.diag(jnp.ones(60).at[0].set(100.0))
    >>> options = {"probes": 8, "depth": 20, "key": jax.random.key(0)}
    >>> rule = lanczos.quadrature(
    ...     lanczos.matrix_product, 60, parameters=(K,), **options
    ... )
    >>> round(lanczos.estimate_log_determinant(rule, tau=1.0).value, 1)
    45.5
    """
    check_positive(tau, "tau")
    return estimate_trace(rule, lambda values: np.log1p(values / tau))


def estimate_effective_dimension(rule: Quadrature, *, tau: float) -> Estimate:
    """Estimate the effective dimension ``Σ_i λ_i / (λ_i + τ)``.

    Parameters
    ----------
    rule : Quadrature
        From `quadrature`, with nodes of shape ``(q + p, k)``.
    tau : float
        ``τ > 0``, in the units of K.

    Returns
    -------
    Estimate
        The dimension and the half-width of its 95% interval.

    Raises
    ------
    ValueError
        A ``tau`` that is not positive and finite.

    Examples
    --------
    >>> from lorantk.theory import lanczos
    >>> K = jnp.diag(jnp.arange(1.0, 61.0))
    >>> options = {"probes": 8, "depth": 20, "key": jax.random.key(0)}
    >>> rule = lanczos.quadrature(
    ...     lanczos.matrix_product, 60, parameters=(K,), **options
    ... )
    >>> found = lanczos.estimate_effective_dimension(rule, tau=10.0)
    >>> truth = sum(value / (value + 10) for value in range(1, 61))
    >>> abs(found.value - truth) <= found.error, round(found.value), round(truth)
    (True, 41, 41)
    """
    check_positive(tau, "tau")
    return estimate_trace(rule, lambda values: values / (values + tau))


def estimate_power_sum(rule: Quadrature, *, power: float) -> Estimate:
    """Estimate ``Σ_i λ_i^p``, whose logarithm over ``1 - p`` is a Rényi entropy (equation 7 of the paper).

    Parameters
    ----------
    rule : Quadrature
        From `quadrature`, with nodes of shape ``(q + p, k)``.
    power : float
        The exponent, positive and finite.

    Returns
    -------
    Estimate
        The sum and the half-width of its 95% interval.

    Raises
    ------
    ValueError
        A power that is not positive and finite.

    Examples
    --------
    A known trace is returned exactly:

    >>> from lorantk.theory import lanczos
    >>> K = jnp.diag(jnp.arange(1.0, 61.0))
    >>> options = {"probes": 8, "depth": 20, "key": jax.random.key(0)}
    >>> rule = lanczos.quadrature(
    ...     lanczos.matrix_product, 60, parameters=(K,), **options
    ... )
    >>> rule = rule._replace(total=1830.0)
    >>> round(lanczos.estimate_power_sum(rule, power=1).value, 3)
    1830.0
    """
    check_positive(power, "power")
    return estimate_trace(rule, lambda values: values**power)


def estimate_count_above(rule: Quadrature, *, tolerance: float) -> Estimate:
    """Estimate how many eigenvalues exceed ``tolerance · max λ``.

    A step is not a polynomial: the rule is good where few eigenvalues lie near the threshold.

    Parameters
    ----------
    rule : Quadrature
        From `quadrature`, with nodes of shape ``(q + p, k)``.
    tolerance : float
        In ``(0, 1)``, relative to the largest eigenvalue.

    Returns
    -------
    Estimate
        The number and the half-width of its 95% interval.

    Raises
    ------
    ValueError
        A tolerance outside ``(0, 1)``.

    Examples
    --------
    >>> from lorantk.theory import lanczos
    >>> K = jnp.diag(jnp.arange(1.0, 61.0))
    >>> options = {"probes": 8, "depth": 20, "key": jax.random.key(0)}
    >>> rule = lanczos.quadrature(
    ...     lanczos.matrix_product, 60, parameters=(K,), **options
    ... )
    >>> found = lanczos.estimate_count_above(rule, tolerance=0.5)
    >>> abs(found.value - 30) <= found.error, round(found.value)
    (True, 31)
    """
    if not 0 < tolerance < 1:
        msg = f"tolerance must lie in (0, 1), as it is relative to the largest eigenvalue; got {tolerance}"
        raise ValueError(msg)
    threshold = tolerance * rule.nodes.max()
    return estimate_trace(rule, lambda values: (values > threshold).astype(float))


def extreme_nodes(rule: Quadrature) -> tuple[float, float]:
    """Return the smallest and the largest node: an upper bound on the least eigenvalue, a lower one on the largest.

    Parameters
    ----------
    rule : Quadrature
        From `quadrature`, with nodes of shape ``(q + p, k)``.

    Returns
    -------
    tuple of float
        ``(smallest, largest)``.

    Examples
    --------
    >>> from lorantk.theory import lanczos
    >>> K = jnp.diag(jnp.arange(1.0, 61.0))
    >>> options = {"probes": 8, "depth": 20, "key": jax.random.key(0)}
    >>> rule = lanczos.quadrature(
    ...     lanczos.matrix_product, 60, parameters=(K,), **options
    ... )
    >>> [round(node, 2) for node in lanczos.extreme_nodes(rule)]
    [1.0, 60.0]
    """
    nodes = rule.nodes[rule.weights > 0]
    return float(nodes.min()), float(nodes.max())
