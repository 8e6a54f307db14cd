"""Low-rank adapters (equation 1 of the paper): ``Wˡ = W₀ˡ + s Bˡ Aˡ``, with ``B = 0`` at the start.

``A`` has shape ``(r, n_{l-1})`` and ``B`` shape ``(n_l, r)``.
"""

import math
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array

from lorantk.theory.conditions import start_variance
from lorantk.theory.laws import check_law, check_variance, sample_matrix
from lorantk.theory.networks import Network, check_roles


@dataclass(frozen=True)
class Adapter:
    """How every adapter of a network starts; build one with `adapter`.

    Attributes
    ----------
    rank
        ``r``.
    scale
        The factor ``s`` before ``B A``.
    law
        Law of ``A``, one of `lorantk.theory.laws.LAWS`.
    variance
        ``σ_a²``, the variance of A's entries, or None for the law's default, see `default_variance`.
    """

    rank: int
    scale: float
    law: str = "kaiming-uniform"
    variance: float | None = None


def adapter(
    rank: int,
    *,
    alpha: float | None = None,
    scale: float | None = None,
    rslora: bool = False,
    law: str = "kaiming-uniform",
    variance: float | None = None,
) -> Adapter:
    """Describe adapters of one rank, scale and law.

    Parameters
    ----------
    rank
        ``r ≥ 1``.
    alpha
        ``α``: the scale is ``α/r``, or ``α/√r`` with ``rslora``. Give either ``alpha`` or ``scale``.
    scale
        ``s`` itself (the paper's poster has ``s = 1``).
    rslora
        Use the rank-stabilised scale (Kalajdzievski 2023).
    law, variance
        Law of A's entries and their variance ``σ_a²``; None takes the law's default, see `default_variance`.

    Raises
    ------
    ValueError
        Rank below 1, neither or both of ``alpha`` and ``scale``, a scale that is not positive and finite, an unknown law,
        or a variance that is not positive and finite.
    """
    if rank != int(rank) or rank < 1:
        msg = f"rank must be a whole number of at least 1; got {rank}"
        raise ValueError(msg)
    if (alpha is None) == (scale is None):
        msg = f"give exactly one of alpha and scale; got alpha={alpha}, scale={scale}"
        raise ValueError(msg)
    if scale is None:
        scale = alpha / (math.sqrt(rank) if rslora else rank)
    if not (math.isfinite(scale) and scale > 0):
        msg = f"the scale must be a positive finite number; got {scale}"
        raise ValueError(msg)
    check_law(law)
    if variance is not None:
        check_variance(variance)
    return Adapter(int(rank), float(scale), law, variance)


def default_variance(law: str, rank: int, features: int) -> float:
    """Return the variance of A's entries that goes with a law when none is given.

    ``1/(3n)`` for ``"kaiming-uniform"`` (PEFT's default, Kaiming uniform with a = √5), ``1/r²`` for ``"gaussian"`` (PEFT's
    ``init_lora_weights="gaussian"``), ``1/n`` for ``"orthonormal"`` (orthonormal rows) and ``"rademacher"``.

    Raises
    ------
    ValueError
        An unknown law.
    """
    check_law(law)
    return start_variance(law, rank, features)


def entry_variance(config: Adapter, features: int) -> float:
    """Return ``σ_a²`` in a layer with ``features`` inputs: that of the adapter, or its law's where it gives none."""
    return default_variance(config.law, config.rank, features) if config.variance is None else config.variance


def sample_A(config: Adapter, features: int, *, key: Array, dtype=None) -> Array:
    """Draw ``A`` for a layer with ``features`` inputs; shape ``(r, features)``.

    Raises
    ------
    ValueError
        Rank larger than ``features``.
    """
    if config.rank > features:
        msg = f"rank must be at most the layer's {features} inputs; got {config.rank}"
        raise ValueError(msg)
    return sample_matrix(config.law, (config.rank, features), entry_variance(config, features), key=key, dtype=dtype)


def adapt(network: Network, config: Adapter, *, roles: str | tuple[str, ...], key: Array) -> Network:
    """Give each layer its role, and each ``"lora"`` or ``"lora-fa"`` layer a fresh adapter with ``B = 0``.

    Parameters
    ----------
    network
        The network; its weights become ``W₀``.
    config
        What the adapters are.
    roles
        One of ``"full"``, ``"lora"``, ``"lora-fa"``, ``"frozen"`` for every layer, or one for each layer. The poster's lemma
        is ``("full", "lora", …, "lora")``.
    key
        JAX random key; layer l's A depends on the key and on l only.

    Raises
    ------
    ValueError
        An unknown role, or roles of another number than the layers.
    """
    roles, layers = check_roles(roles, len(network.layers)), []
    for l, (layer, role) in enumerate(zip(network.layers, roles, strict=True), 1):
        layer = replace(layer, A=None, B=None, scale=None, role=role)
        if role.startswith("lora"):
            (m, n), dtype = layer.W.shape, layer.W.dtype
            A = sample_A(config, n, key=jax.random.fold_in(key, l), dtype=dtype)
            B = jnp.zeros((m, config.rank), dtype)
            layer = replace(layer, A=A, B=B, scale=jnp.asarray(config.scale, dtype))
        layers.append(layer)
    return replace(network, layers=tuple(layers))
