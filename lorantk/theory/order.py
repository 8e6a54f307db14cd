r"""When LoRA's kernel lies below that of full fine-tuning: in the mean over A, and on the data at hand.

At ``B = 0`` an adapted layer replaces the inner product ``hᵀh'`` of its inputs by ``s² hᵀAᵀA h'``. Two numbers decide:
the mean factor ``c = s² r σ_a²``, as ``E[s² AᵀA] = c I``, and ``s²σ_a²(√N' + √r)²``, N' the dimension that the inputs span.
An order ``K ⪯ K'`` is that of Loewner: ``K' - K`` is positive semi-definite.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from lorantk.theory.adapters import Adapter, entry_variance
from lorantk.theory.conditions import excess, restricted_capacity, restricted_value
from lorantk.theory.kernels import gradient_factors, ntk_terms, train_in_full
from lorantk.theory.networks import Network


def mean_factor(config: Adapter, features: int) -> float:
    """Return ``c = s² r σ_a²`` for an adapter on a layer with ``features`` inputs: the mean of LoRA's kernel over full's."""
    return config.scale**2 * config.rank * entry_variance(config, features)


def expected_ntk(
    network: Network,
    config: Adapter,
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    outputs: str,
) -> Array:
    r"""Return the mean over A, at ``B = 0`` and for the given weights, of the kernel of an adapted network.

    ``E K_lora = Σ_{full} K_l + Σ_{adapted} c_l K_l``, where K_l is layer l's part of the kernel of full fine-tuning and
    ``c_l`` its `mean_factor`. Exact for every law of A with ``E[AᵀA] = r σ_a² I``: independent entries of mean 0 and
    variance σ_a² suffice.

    Parameters
    ----------
    network
        The network; each layer's role says whether it is trained in full, adapted or frozen. Its own A is not used.
    config
        What the adapters are.
    x1, x2, outputs
        As in `lorantk.theory.kernels.ntk`, which also says the shape.

    Raises
    ------
    ValueError
        An adapted layer whose B is not 0, and as `lorantk.theory.kernels.ntk`.
    """
    if any(layer.B is not None and bool(jnp.any(layer.B != 0)) for layer in network.layers):
        msg = "the mean over A is known at B = 0 only; got an adapted layer with B ≠ 0"
        raise ValueError(msg)
    terms = ntk_terms(train_in_full(network), x1, x2, outputs=outputs)
    factor = {"full": lambda n: 1.0, "frozen": lambda n: 0.0}
    return sum(
        factor.get(layer.role, lambda n: mean_factor(config, n))(layer.W.shape[1]) * terms[f"W{l}"]
        for l, layer in enumerate(network.layers, 1)
    )


def ntk_from_grams(network: Network, x: Float[Array, "N n0"], grams: dict[int, Float[Array, "S n n"]]) -> Float[Array, "S NC NC"]:
    r"""Return the kernel at ``B = 0`` for many adapters at once, given the Gram matrices ``s² AᵀA`` of each adapted layer.

    ``K = Σ_l ⟨δˡ, δˡ'⟩ hᵀ G_l h'``: the kernel depends on A through ``G_l = s² AᵀA`` alone. The layers' own roles and adapters
    are not used; a layer without a Gram matrix does not train.

    Parameters
    ----------
    network
        The network; adapters are merged into their weights.
    x
        Inputs, shape ``(N, n_0)``.
    grams
        By layer, counted from 1, the S matrices ``G_l``, shape ``(S, n_{l-1}, n_{l-1})``.

    Returns
    -------
    Array
        S matrices of shape ``(N·C, N·C)``, outputs varying fastest.
    """
    factors = gradient_factors(train_in_full(network), x)
    total = 0.0
    for l, G in grams.items():
        delta, h = factors[f"W{l}"]
        N, C, m = delta.shape
        backward = delta.reshape(N * C, m) @ delta.reshape(N * C, m).T
        wide = jnp.repeat(h, C, axis=0)
        total = total + backward[None] * (wide @ G @ wide.T)
    return total


def gram_value(config: Adapter, dimension: float, features: int, *, layers: int = 1, failure: float | None = None) -> float:
    r"""Return ``s²σ_a²(√d + √r + t)²``, which decides the order on d-dimensional inputs of an adapted layer, Gaussian A.

    With ``failure = δ`` and ``t = √(2 log(L/δ))``, a value of at most 1 gives the order in all L layers with probability at
    least ``1 - δ`` (Davidson and Szarek 2001, Theorem II.13). With ``failure = None``, ``t = 0``: the sharp value as the sizes
    grow.

    Parameters
    ----------
    config
        What the adapters are.
    dimension
        ``d``: rank of the layer's inputs on the data, or their effective dimension at a ridge, see `ridge_top`.
    features
        Width n of the layer's input; enters through σ_a² only.
    layers
        ``L``, the number of adapted layers.
    failure
        ``δ`` in (0, 1), or None.

    Raises
    ------
    ValueError
        A dimension below 0, fewer than one layer, or δ outside (0, 1).
    """
    if dimension < 0 or layers < 1 or not (failure is None or 0 < failure < 1):
        msg = f"expected dimension >= 0, layers >= 1 and 0 < failure < 1; got {dimension}, {layers} and {failure}"
        raise ValueError(msg)
    per_row = mean_factor(config, features) / config.rank
    return restricted_value(per_row, config.rank, dimension, excess(layers, failure))


def gram_capacity(config: Adapter, features: int, *, layers: int = 1, failure: float | None = None) -> float:
    """Return the largest dimension at which `gram_value` is at most 1, or 0 where there is none.

    Parameters are those of `gram_value`; they are not checked.
    """
    per_row = mean_factor(config, features) / config.rank
    return restricted_capacity(per_row, config.rank, excess(layers, failure))


def ridge_top(A: Float[Array, "r n"], features: Float[Array, "N n"], ridge: float, scale: float = 1.0) -> Float[Array, ""]:
    r"""Return the largest eigenvalue of ``s² A P Aᵀ``, ``P = Φᵀ(ΦΦᵀ + ridge·I)⁻¹Φ`` with ``Φ = features``, ridge > 0.

    ``s² ΦAᵀAΦᵀ ⪯ ΦΦᵀ + ridge·I`` iff this is at most 1. P is a projection blurred by the ridge, its trace is
    `lorantk.theory.information.effective_dimension` of ``ΦΦᵀ``; as the ridge goes to 0 the value goes to
    `lorantk.theory.delta.restricted_top`.
    """
    _, singular, rows = jnp.linalg.svd(features, full_matrices=False)
    blurred = rows * (singular / jnp.sqrt(singular**2 + ridge))[:, None]
    return scale**2 * jnp.linalg.norm(A @ blurred.T, ord=2) ** 2


def loewner_top(K: Float[Array, "M M"], reference: Float[Array, "M M"]) -> Float[Array, ""]:
    r"""Return the smallest t with ``K ⪯ t·reference``, for a positive definite ``reference``.

    It is the largest eigenvalue of ``C⁻¹ K C⁻ᵀ`` where ``reference = C Cᵀ``; NaN where the reference is not positive definite.
    """
    C = jnp.linalg.cholesky(reference)
    half = jnp.linalg.solve(C, K)
    return jnp.linalg.eigvalsh(jnp.linalg.solve(C, half.T))[-1]
