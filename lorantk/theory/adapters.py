"""Low-rank adapters (equation 1 of the paper): ``Wˡ = W₀ˡ + s Bˡ Aˡ``, with ``B = 0`` at the start.

``A`` has shape ``(r, n_{l-1})`` and ``B`` shape ``(n_l, r)`` (Hu et al. 2021).
"""

import math
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from jaxtyping import Array

from lorantk.theory.conditions import default_variance
from lorantk.theory.laws import check_law, check_variance, sample_matrix
from lorantk.theory.networks import Network, check_roles, init_network


@dataclass(frozen=True)
class Adapter:
    """How every adapter of a network starts; build one with `adapter`.

    Attributes
    ----------
    rank : int
        ``r``.
    scale : float
        The factor ``s`` before ``B A``.
    law : str
        Law of ``A``, one of `lorantk.theory.laws.LAWS`.
    variance : float or None
        ``σ_a²``, the variance of A's entries; None for the law's default, see `lorantk.theory.conditions.default_variance`.
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

    ``s = α/r`` (Hu et al. 2021), or ``s = α/√r`` for rank-stabilised LoRA (Kalajdzievski 2023).

    Parameters
    ----------
    rank : int
        ``r ≥ 1``.
    alpha : float, optional
        ``α``. Give either ``alpha`` or ``scale``.
    scale : float, optional
        ``s`` itself; the paper's poster has ``s = 1``.
    rslora : bool
        Use the rank-stabilised scale.
    law : str
        Law of A's entries, one of `lorantk.theory.laws.LAWS`.
    variance : float, optional
        ``σ_a²``; that of `lorantk.theory.conditions.default_variance` where None.

    Returns
    -------
    Adapter
        The description, from which `adapt` draws.

    Raises
    ------
    ValueError
        Rank below 1, neither or both of ``alpha`` and ``scale``, a scale that is not positive and finite, an unknown law,
        or a variance that is not positive and finite.

    Examples
    --------
    >>> from lorantk.theory import adapters
    >>> [adapters.adapter(16, alpha=32, rslora=on).scale for on in (False, True)]
    [2.0, 8.0]
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


def entry_variance(config: Adapter, features: int) -> float:
    """Return ``σ_a²`` in a layer with ``n`` inputs: that of the adapter, or its law's where it gives none.

    Parameters
    ----------
    config : Adapter
        What the adapters are.
    features : int
        ``n``.

    Returns
    -------
    float
        ``σ_a²``.

    Examples
    --------
    >>> from lorantk.theory import adapters
    >>> config = adapters.adapter(8, alpha=8, law="orthonormal")
    >>> adapters.entry_variance(config, 64) == 1 / 64
    True
    """
    return default_variance(config.law, config.rank, features) if config.variance is None else config.variance


def sample_A(config: Adapter, features: int, *, key: Array, dtype=None) -> Array:
    """Draw ``A`` for a layer with ``n`` inputs: entries of mean 0 and variance ``σ_a²``.

    Parameters
    ----------
    config : Adapter
        Rank, law and variance.
    features : int
        ``n``.
    key : JAX random key
        Source of the randomness.
    dtype : optional
        Floating-point type; JAX's default where None.

    Returns
    -------
    array (r, n)
        ``A``.

    Raises
    ------
    ValueError
        Rank larger than ``n``.

    Examples
    --------
    >>> from lorantk.theory import adapters
    >>> config = adapters.adapter(2, alpha=2, law="orthonormal")
    >>> A = adapters.sample_A(config, 50, key=jax.random.key(0))
    >>> A.shape, round(float((A**2).sum()), 5)
    ((2, 50), 2.0)
    """
    if config.rank > features:
        msg = f"rank must be at most the layer's {features} inputs; got {config.rank}"
        raise ValueError(msg)
    return sample_matrix(config.law, (config.rank, features), entry_variance(config, features), key=key, dtype=dtype)


def adapt(network: Network, config: Adapter, *, roles: str | tuple[str, ...], key: Array) -> Network:
    """Give each layer its role, and each ``"lora"`` or ``"lora-fa"`` layer a fresh adapter with ``B = 0``.

    The function stays the same, as ``W₀ + s B A = W₀`` at ``B = 0``.

    Parameters
    ----------
    network : Network
        The network; its weights become ``W₀``.
    config : Adapter
        What the adapters are.
    roles : str or tuple of str
        One of ``"full"``, ``"lora"``, ``"lora-fa"`` (A frozen, Zhang et al. 2023), ``"frozen"`` for every layer, or one for
        each layer. The poster's lemma (equation 10) is ``("full", "lora", …, "lora")``.
    key : JAX random key
        Layer l's A depends on the key and on l only.

    Returns
    -------
    Network
        With ``A`` of shape ``(r, n_{l-1})`` and ``B`` of shape ``(n_l, r)`` in its adapted layers.

    Raises
    ------
    ValueError
        An unknown role, a number of roles other than that of the layers, or a rank above a layer's number of inputs.

    Examples
    --------
    >>> from lorantk.theory import adapters, networks
    >>> key, config = jax.random.key(0), adapters.adapter(4, alpha=8)
    >>> network = networks.init_network((6, 32, 2), key=key)
    >>> lora = adapters.adapt(network, config, roles=("full", "lora"), key=key)
    >>> networks.parameter_count(network), networks.parameter_count(lora)
    (256, 328)
    >>> before, after = (networks.forward(f, jnp.ones(6)) for f in (network, lora))
    >>> bool((before == after).all())
    True
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


def init_adapted(
    widths: tuple[int, ...], config: Adapter, *, roles: str | tuple[str, ...], key: Array, activation: str = "relu"
) -> Network:
    """Draw a network and its adapters, from one half of the key each: `init_network`, then `adapt`.

    Parameters
    ----------
    widths : tuple of int
        ``(n_0, …, n_L)``.
    config : Adapter
        What the adapters are.
    roles : str or tuple of str
        As for `adapt`.
    key : JAX random key
        One half draws the weights, the other the adapters.
    activation : str
        As for `lorantk.theory.networks.init_network`, which also gives the weights their variance.

    Returns
    -------
    Network
        At its start, ``B = 0``.

    Raises
    ------
    ValueError
        As for the two functions.

    Examples
    --------
    >>> from lorantk.theory import adapters
    >>> config = adapters.adapter(4, alpha=8)
    >>> network = adapters.init_adapted((6, 32, 2), config, roles=("full", "lora"), key=jax.random.key(0))
    >>> [layer.role for layer in network.layers], network.layers[1].A.shape
    (['full', 'lora'], (4, 32))
    """
    of_weights, of_adapters = jax.random.split(key)
    return adapt(init_network(widths, key=of_weights, activation=activation), config, roles=roles, key=of_adapters)
