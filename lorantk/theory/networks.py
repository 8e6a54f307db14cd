"""Multilayer perceptrons, in the standard parameterisation, with or without low-rank adapters.

``h⁰ = x``, ``yˡ = Wˡ hˡ⁻¹``, ``hˡ = σ(yˡ)``, ``f = yᴸ``, no biases, and in a layer with an adapter
``Wˡ = W₀ˡ + s Bˡ Aˡ`` (equation 1 of the paper). A batch is an array of rows, one input a row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory.laws import check_variance, sample_matrix

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "erf": jax.scipy.special.erf,
    "tanh": jnp.tanh,
    "identity": lambda y: y,
}

# Which of a layer's matrices train, by its role. "lora-fa" is LoRA with A frozen.
TRAINED = {"full": ("W",), "lora": ("A", "B"), "lora-fa": ("B",), "frozen": ()}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Layer:
    """A linear map ``W + s B A``.

    Attributes
    ----------
    W
        Weight, shape ``(n_l, n_{l-1})``; the frozen ``W₀`` where the layer carries an adapter.
    A, B
        Adapter factors, shapes ``(r, n_{l-1})`` and ``(n_l, r)``, or None.
    scale
        The factor ``s``, or None.
    role
        A key of `TRAINED`.
    """

    W: Array
    A: Array | None = None
    B: Array | None = None
    scale: Array | float | None = None
    role: str = field(default="full", metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Network:
    """Layers ``1 … L`` and the activation between them, a key of `ACTIVATIONS`."""

    layers: tuple[Layer, ...]
    activation: str = field(metadata={"static": True})


def check_activation(activation: str) -> None:
    """Raise ValueError unless ``activation`` is a key of `ACTIVATIONS`."""
    if activation not in ACTIVATIONS:
        msg = f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}"
        raise ValueError(msg)


def check_roles(roles: str | Sequence[str], depth: int) -> tuple[str, ...]:
    """Return the role of each of ``depth`` layers, given one for all or one for each.

    Raises
    ------
    ValueError
        A role that is no key of `TRAINED`, or roles of another number than the layers.
    """
    roles = (roles,) * depth if isinstance(roles, str) else tuple(roles)
    if len(roles) != depth or any(role not in TRAINED for role in roles):
        msg = f"roles must be {depth} of {', '.join(TRAINED)}, one for each layer; got {roles}"
        raise ValueError(msg)
    return roles


def default_weight_variance(activation: str) -> float:
    """Return ``σ_w²``: 2 for ReLU (He et al. 2015), which keeps the scale from layer to layer, and 1 otherwise."""
    return 2.0 if activation == "relu" else 1.0


def init_network(
    widths: tuple[int, ...],
    *,
    key: Array,
    activation: str = "relu",
    weight_variance: float | None = None,
    law: str = "gaussian",
    dtype=None,
) -> Network:
    """Draw a network in which every layer trains in full.

    ``Wˡ_ij`` has mean 0 and variance ``σ_w² / n_{l-1}``.

    Parameters
    ----------
    widths
        ``(n_0, …, n_L)``: inputs, hidden widths, outputs; at least two numbers.
    key
        JAX random key.
    activation
        A key of `ACTIVATIONS`.
    weight_variance
        ``σ_w²``; where None, 2 for ReLU (He et al. 2015) and 1 otherwise.
    law
        Law of the entries, one of `lorantk.theory.laws.LAWS`.
    dtype
        Floating-point type; JAX's default where None.

    Raises
    ------
    ValueError
        Fewer than two widths, a width below 1, an unknown activation or law, or a variance that is not positive and finite.
    """
    check_activation(activation)
    if len(widths) < 2 or any(n < 1 for n in widths):
        msg = f"widths must be at least two positive integers (n_0, ..., n_L); got {widths}"
        raise ValueError(msg)
    if weight_variance is None:
        weight_variance = default_weight_variance(activation)
    check_variance(weight_variance, "weight_variance")
    keys = jax.random.split(key, len(widths) - 1)
    shapes = zip(widths[1:], widths[:-1], strict=True)
    weights = (
        sample_matrix(law, (m, n), weight_variance / n, key=k, dtype=dtype) for k, (m, n) in zip(keys, shapes, strict=True)
    )
    return Network(tuple(Layer(W) for W in weights), activation)


def network_from_weights(weights, activation: str = "relu") -> Network:
    """Build a network, trained in full, from given weights ``Wˡ`` of shapes ``(n_l, n_{l-1})``.

    Raises
    ------
    ValueError
        No weights, a weight that is no matrix, widths that do not chain, non-finite entries, or an unknown activation.
    """
    check_activation(activation)
    weights = [jnp.asarray(W) for W in weights]
    shapes = [W.shape for W in weights]
    chained = all(a[:1] == b[1:] for a, b in zip(shapes, shapes[1:], strict=False))
    if not shapes or any(len(s) != 2 for s in shapes) or not chained:
        msg = f"weights must be matrices of shapes (n_1, n_0), (n_2, n_1), ...; got shapes {shapes}"
        raise ValueError(msg)
    if not all(np.isfinite(W).all() for W in weights):
        msg = "weights must be finite; got NaN or infinity"
        raise ValueError(msg)
    return Network(tuple(Layer(W) for W in weights), activation)


def widths(network: Network) -> tuple[int, ...]:
    """Return ``(n_0, …, n_L)``."""
    return (network.layers[0].W.shape[1], *(layer.W.shape[0] for layer in network.layers))


def effective_weight(layer: Layer) -> Float[Array, "m n"]:
    """Return ``W + s B A``, or ``W`` where the layer has no adapter; shape ``(n_l, n_{l-1})``."""
    return layer.W if layer.A is None else layer.W + layer.scale * layer.B @ layer.A


def _linear(layer: Layer, h: Array) -> Array:
    y = h @ layer.W.T
    return y if layer.A is None else y + layer.scale * (h @ layer.A.T) @ layer.B.T


def check_inputs(network: Network, x: Array, name: str = "x") -> None:
    """Raise ValueError unless the last axis of ``x`` is ``n_0``."""
    n_0 = network.layers[0].W.shape[1]
    if x.ndim == 0 or x.shape[-1] != n_0:
        msg = f"{name} must have shape (..., {n_0}), the network's number of inputs; got {x.shape}"
        raise ValueError(msg)


def hidden_states(network: Network, x: Float[Array, "... n0"]) -> tuple[list[Array], list[Array]]:
    """Return ``[h⁰, …, hᴸ⁻¹]`` and ``[y¹, …, yᴸ]``, each of shape ``(..., n_l)``; ValueError as `check_inputs`."""
    check_inputs(network, x)
    sigma = ACTIVATIONS[network.activation]
    hs, ys = [x], []
    for layer in network.layers:
        ys.append(_linear(layer, hs[-1]))
        hs.append(sigma(ys[-1]))
    return hs[:-1], ys


def forward(network: Network, x: Float[Array, "... n0"]) -> Float[Array, "... C"]:
    """Return the outputs ``f = yᴸ``, shape ``(..., n_L)``; ValueError as `check_inputs`."""
    return hidden_states(network, x)[1][-1]


def activation_derivative(activation: str, y: Array) -> Array:
    """Return ``σ'(y)``, entry by entry (0 at the kink of ReLU)."""
    return jax.jvp(ACTIVATIONS[activation], (y,), (jnp.ones_like(y),))[1]


def trained_parameters(network: Network) -> dict[str, Array]:
    """Return the matrices that train, by name: ``"W1"``, ``"A2"``, ``"B2"``, … (layers count from 1)."""
    return {
        f"{name}{l}": getattr(layer, name) for l, layer in enumerate(network.layers, 1) for name in TRAINED[layer.role]
    }


def replace_parameters(network: Network, parameters: dict[str, Array]) -> Network:
    """Return the network with the named matrices replaced, as `trained_parameters` names them.

    Raises
    ------
    ValueError
        A name that the network has no matrix for.
    """
    layers = list(network.layers)
    for name, value in parameters.items():
        kind, l = name[0], int(name[1:]) - 1
        if kind not in "WAB" or not 0 <= l < len(layers) or getattr(layers[l], kind) is None:
            msg = f"the network has no matrix {name!r}; it has layers 1 to {len(layers)}"
            raise ValueError(msg)
        layers[l] = replace(layers[l], **{kind: value})
    return replace(network, layers=tuple(layers))


def parameter_count(network: Network) -> int:
    """Return the number ``P`` of parameters that train."""
    return sum(math.prod(p.shape) for p in trained_parameters(network).values())
