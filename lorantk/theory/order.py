"""When LoRA's kernel lies below that of full fine-tuning: in the mean over A, and on the data at hand.

At ``B = 0`` an adapted layer replaces the inner product ``hᵀh'`` of its inputs by ``s² hᵀAᵀA h'``. Two numbers decide:
the mean factor ``c = s² r σ_a²``, as ``E[s² AᵀA] = c I``, and ``s²σ_a²(√N' + √r)²``, N' the dimension that the inputs span.
An order ``K ⪯ K'`` is that of Loewner: ``K' - K`` is positive semi-definite.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory.adapters import Adapter, entry_variance
from lorantk.theory.conditions import excess, restricted_capacity, restricted_value
from lorantk.theory.kernels import as_full_fine_tuning, gradient_factors, ntk_terms
from lorantk.theory.networks import Network


def mean_factor(config: Adapter, features: int) -> float:
    """Return ``c = s² r σ_a²`` for an adapter on a layer with n inputs: the mean of LoRA's kernel over that of full fine-tuning.

    Parameters
    ----------
    config : Adapter
        What the adapters are.
    features : int
        ``n``, which enters through the default of ``σ_a²``.

    Returns
    -------
    float
        ``c``.

    Examples
    --------
    The paper's r = 8, α = 16 with PEFT's variance ``1/(3n)``: LoRA's kernel is a 96th of the other.

    >>> from lorantk.theory import order
    >>> from lorantk.theory.adapters import adapter
    >>> round(1 / order.mean_factor(adapter(8, alpha=16), 1024), 6)
    96.0
    """
    return config.scale**2 * config.rank * entry_variance(config, features)


def expected_ntk(
    network: Network,
    config: Adapter,
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    outputs: str,
) -> Array:
    """Return the mean over A, at ``B = 0`` and for the given weights, of the kernel of an adapted network.

    ``E K_lora = Σ_{full} K_l + Σ_{adapted} c_l K_l``, where K_l is layer l's part of the kernel of full fine-tuning and
    ``c_l`` its `mean_factor`. Exact for every law of A with ``E[AᵀA] = r σ_a² I``: independent entries of mean 0 and
    variance σ_a² suffice.

    Parameters
    ----------
    network : Network
        Each layer's role says whether it is trained in full, adapted or frozen. Its own A is not used.
    config : Adapter
        What the adapters are.
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        As for `lorantk.theory.kernels.ntk`.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        The mean kernel, by ``outputs``.

    Raises
    ------
    ValueError
        An adapted layer whose B is not 0; otherwise as for `lorantk.theory.kernels.ntk`.

    Examples
    --------
    One linear layer on 2 inputs: ``c |x|²`` with ``c = 4 · 1/6`` instead of ``|x|²``.

    >>> from lorantk.theory import networks, order
    >>> from lorantk.theory.adapters import adapt, adapter
    >>> config, x = adapter(1, alpha=2), jnp.array([[3.0, 3.0]])
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> lora = adapt(network, config, roles="lora", key=jax.random.key(0))
    >>> K = order.expected_ntk(lora, config, x, outputs="trace")
    >>> round(float(K[0, 0]), 5)
    12.0
    """
    if any(layer.B is not None and bool(jnp.any(layer.B != 0)) for layer in network.layers):
        msg = "the mean over A is known at B = 0 only; got an adapted layer with B ≠ 0"
        raise ValueError(msg)
    terms = ntk_terms(as_full_fine_tuning(network), x1, x2, outputs=outputs)
    factor = {"full": lambda n: 1.0, "frozen": lambda n: 0.0}
    return sum(
        factor.get(layer.role, lambda n: mean_factor(config, n))(layer.W.shape[1]) * terms[f"W{l}"]
        for l, layer in enumerate(network.layers, 1)
    )


def ntk_from_grams(network: Network, x: Float[Array, "N n0"], grams: dict[int, Float[Array, "S n n"]]) -> Float[Array, "S NC NC"]:
    """Return the kernel at ``B = 0`` for many adapters at once, given the Gram matrices ``s² AᵀA`` of each adapted layer.

    ``K = Σ_l ⟨δˡ, δˡ'⟩ hᵀ G_l h'``: the kernel depends on A through ``G_l = s² AᵀA`` alone. The layers' own roles and adapters
    are not used; a layer without a Gram matrix does not train.

    Parameters
    ----------
    network : Network
        The network; adapters are merged into their weights.
    x : array (N, n_0)
        Inputs, one per row.
    grams : dict of int to array (S, n_{l-1}, n_{l-1})
        By layer, counted from 1, the S matrices ``G_l``.

    Returns
    -------
    array (S, N·C, N·C)
        The kernels, outputs varying fastest.

    Examples
    --------
    >>> from lorantk.theory import networks, order
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> grams = jnp.stack([jnp.eye(2), jnp.ones((2, 2))])
    >>> order.ntk_from_grams(network, jnp.array([[3.0, 4.0]]), {1: grams}).tolist()
    [[[25.0]], [[49.0]]]
    """
    factors = gradient_factors(as_full_fine_tuning(network), x)
    total = 0.0
    for l, G in grams.items():
        delta, h = factors[f"W{l}"]
        N, C, m = delta.shape
        backward = delta.reshape(N * C, m) @ delta.reshape(N * C, m).T
        wide = jnp.repeat(h, C, axis=0)
        total = total + backward[None] * (wide @ G @ wide.T)
    return total


def gram_value(config: Adapter, dimension: float, features: int, *, layers: int = 1, failure: float | None = None) -> float:
    """Return ``s²σ_a²(√d + √r + t)²``, which decides the order on d-dimensional inputs of an adapted layer, Gaussian A.

    With ``failure = δ`` and ``t = √(2 log(L/δ))``, a value of at most 1 gives the order in all L layers with probability at
    least ``1 - δ`` (Davidson and Szarek 2001, Theorem II.13). With ``failure = None``, ``t = 0``: the sharp value as the sizes
    grow.

    Parameters
    ----------
    config : Adapter
        What the adapters are.
    dimension : float
        ``d``: rank of the layer's inputs on the data, or their effective dimension at a ridge, see `ridge_top`.
    features : int
        Width n of the layer's input; enters through σ_a² only.
    layers : int
        ``L``, the number of adapted layers.
    failure : float, optional
        ``δ`` in (0, 1), or None.

    Returns
    -------
    float
        The value.

    Raises
    ------
    ValueError
        A dimension below 0, fewer than one layer, or δ outside (0, 1).

    Examples
    --------
    The paper's r = 8, α = 16 on 1024 features: the order holds on 100 inputs, but not on all 1024 directions.

    >>> from lorantk.theory import order
    >>> from lorantk.theory.adapters import adapter
    >>> config = adapter(8, alpha=16)
    >>> [round(order.gram_value(config, d, 1024), 3) for d in (100, 1024)]
    [0.214, 1.579]
    """
    if dimension < 0 or layers < 1 or not (failure is None or 0 < failure < 1):
        msg = f"expected dimension >= 0, layers >= 1 and 0 < failure < 1; got {dimension}, {layers} and {failure}"
        raise ValueError(msg)
    per_row = mean_factor(config, features) / config.rank
    return restricted_value(per_row, config.rank, dimension, excess(layers, failure))


def gram_capacity(config: Adapter, features: int, *, layers: int = 1, failure: float | None = None) -> float:
    """Return the largest dimension at which `gram_value` is at most 1, or 0 where there is none.

    ``(1/(s σ_a) - √r - t)²``. The arguments are not checked.

    Parameters
    ----------
    config : Adapter
        What the adapters are.
    features : int
        Width n of the layer's input; enters through σ_a² only.
    layers : int
        ``L``, the number of adapted layers.
    failure : float, optional
        ``δ`` in (0, 1), or None, as for `gram_value`.

    Returns
    -------
    float
        The dimension.

    Examples
    --------
    >>> from lorantk.theory import order
    >>> from lorantk.theory.adapters import adapter
    >>> config = adapter(8, alpha=16)
    >>> round(order.gram_capacity(config, 1024))
    619
    >>> round(order.gram_capacity(config, 1024, layers=12, failure=0.01))
    446
    """
    per_row = mean_factor(config, features) / config.rank
    return restricted_capacity(per_row, config.rank, excess(layers, failure))


def gram_failure(config: Adapter, dimension: float, features: int, *, layers: int = 1) -> float:
    """Return the δ at which `gram_value` is 1: the order fails in some layer with at most this probability.

    ``δ = L exp(-t²/2)``, at most 1, with ``t = 1/(s σ_a) - √d - √r``, and 1 where t is negative (Davidson and Szarek 2001).

    Parameters
    ----------
    config : Adapter
        What the adapters are.
    dimension : float
        ``d``: rank of the layer's inputs on the data.
    features : int
        Width n of the layer's input.
    layers : int
        ``L``, the number of adapted layers. As the others it is not checked, see `gram_value`.

    Returns
    -------
    float
        ``δ`` in (0, 1].

    Examples
    --------
    The paper's r = 8, α = 16 on 1024 features: a bound of 4% on data of 500 dimensions.

    >>> from lorantk.theory import order
    >>> from lorantk.theory.adapters import adapter
    >>> round(order.gram_failure(adapter(8, alpha=16), 500, 1024), 3)
    0.041
    """
    per_row = mean_factor(config, features) / config.rank
    room = max(1 / math.sqrt(per_row) - math.sqrt(dimension) - math.sqrt(config.rank), 0.0)
    return min(layers * math.exp(-(room**2) / 2), 1.0)


def ridge_top(A: Float[Array, "r n"], features: Float[Array, "N n"], ridge: float, scale: float = 1.0) -> Float[Array, ""]:
    """Return the largest eigenvalue of ``s² A P Aᵀ``, ``P = Φᵀ(ΦΦᵀ + ridge·I)⁻¹Φ``.

    ``s² ΦAᵀAΦᵀ ⪯ ΦΦᵀ + ridge·I`` iff this is at most 1. P is a projection blurred by the ridge, its trace is
    `lorantk.theory.information.effective_dimension` of ``ΦΦᵀ``; as the ridge goes to 0 the value goes to
    `lorantk.theory.delta.restricted_top`.

    Parameters
    ----------
    A : array (r, n)
        First factor of an adapter.
    features : array (N, n)
        ``Φ``, the layer's inputs on the data, one per row.
    ridge : float
        ``ridge > 0``, in the units of ``ΦΦᵀ``.
    scale : float
        ``s``.

    Returns
    -------
    array ()
        The eigenvalue.

    Examples
    --------
    >>> from lorantk.theory import order
    >>> A, features = jnp.array([[2.0, 0.0]]), jnp.array([[1.0, 0.0]])
    >>> values = [order.ridge_top(A, features, ridge) for ridge in (1e-9, 1.0, 3.0)]
    >>> [round(float(value), 4) for value in values]
    [4.0, 2.0, 1.0]
    """
    _, singular, rows = jnp.linalg.svd(features, full_matrices=False)
    blurred = rows * (singular / jnp.sqrt(singular**2 + ridge))[:, None]
    return scale**2 * jnp.linalg.norm(A @ blurred.T, ord=2) ** 2


def ridge_tops(
    As: Float[np.ndarray, "S r n"], features: Float[np.ndarray, "N n"], ridges: Sequence[float]
) -> Float[np.ndarray, "S ridges"]:
    """Return `ridge_top` of many A (scale included) at many ridges, from one eigenvalue decomposition of ``ΦᵀΦ``.

    Parameters
    ----------
    As : array (S, r, n)
        The matrices ``s A``.
    features : array (N, n)
        ``Φ``.
    ridges : sequence of float
        Positive numbers.

    Returns
    -------
    array (S, number of ridges)
        One value for each matrix and ridge.

    Raises
    ------
    ValueError
        A ridge that is not positive.

    Examples
    --------
    >>> from lorantk.theory import order
    >>> order.ridge_tops(np.array([[[2.0, 0.0]]]), np.eye(2), [1.0, 3.0]).round(6).tolist()
    [[2.0, 1.0]]
    """
    if min(ridges) <= 0:
        msg = f"ridges must be positive; got {min(ridges)}"
        raise ValueError(msg)
    values, vectors = np.linalg.eigh(features.T @ features)
    values = values.clip(0)
    tops = np.empty((len(As), len(ridges)))
    for i, A in enumerate(As):
        AV = A @ vectors
        tops[i] = np.linalg.eigvalsh([(AV * (values / (values + ridge))) @ AV.T for ridge in ridges])[:, -1]
    return tops


def loewner_top(K: Float[Array, "M M"], reference: Float[Array, "M M"]) -> Float[Array, ""]:
    """Return the smallest t with ``K ⪯ t·reference``, for a positive definite reference.

    It is the largest eigenvalue of ``C⁻¹ K C⁻ᵀ`` where ``reference = C Cᵀ``; NaN where the reference is not positive definite.

    Parameters
    ----------
    K, reference : array (M, M)
        Symmetric.

    Returns
    -------
    array ()
        ``t``.

    Examples
    --------
    >>> from lorantk.theory import order
    >>> K, reference = (jnp.diag(jnp.array(d)) for d in ([1.0, 3.0], [4.0, 6.0]))
    >>> round(float(order.loewner_top(K, reference)), 5)
    0.5
    """
    C = jnp.linalg.cholesky(reference)
    half = jnp.linalg.solve(C, K)
    return jnp.linalg.eigvalsh(jnp.linalg.solve(C, half.T))[-1]
