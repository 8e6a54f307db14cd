"""Multilayer perceptrons in the standard parameterisation, with or without low-rank adapters.

``h⁰ = x``, ``yˡ = Wˡ hˡ⁻¹``, ``hˡ = σ(yˡ)``, ``f = yᴸ``, without biases. In a layer with an adapter
``Wˡ = W₀ˡ + s Bˡ Aˡ`` (equation 1 of the paper). A batch is an array with one input per row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.choices import one_of
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
    W : array (n_l, n_{l-1})
        Weight; the frozen ``W₀`` where the layer carries an adapter.
    A, B : array (r, n_{l-1}) and array (n_l, r), or None
        Factors of the adapter.
    scale : float or None
        The factor ``s``.
    role : str
        A key of `TRAINED`, which says what trains.
    """

    W: Array
    A: Array | None = None
    B: Array | None = None
    scale: Array | float | None = None
    role: str = field(default="full", metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Network:
    """Layers ``1 … L`` and the activation between them.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which they are applied.
    activation : str
        A key of `ACTIVATIONS`.
    """

    layers: tuple[Layer, ...]
    activation: str = field(metadata={"static": True})


def check_activation(activation: str) -> None:
    """Raise ValueError unless ``activation`` is a key of `ACTIVATIONS`.

    Parameters
    ----------
    activation : str
        Name to check.

    Raises
    ------
    ValueError
        Any other name.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> networks.check_activation("swish")
    Traceback (most recent call last):
        ...
    ValueError: activation must be one of relu, erf, tanh, identity; got 'swish'
    """
    one_of("activation", activation, ACTIVATIONS)


def check_roles(roles: str | Sequence[str], depth: int) -> tuple[str, ...]:
    """Return the role of each of ``depth`` layers, given one role for all of them or one for each.

    Parameters
    ----------
    roles : str or sequence of str
        Keys of `TRAINED`.
    depth : int
        ``L``, the number of layers.

    Returns
    -------
    tuple of str
        ``L`` roles.

    Raises
    ------
    ValueError
        A role that is not a key of `TRAINED`, or a number of roles other than ``depth``.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> networks.check_roles("lora", 3)
    ('lora', 'lora', 'lora')
    """
    roles = (roles,) * depth if isinstance(roles, str) else tuple(roles)
    if len(roles) != depth or any(role not in TRAINED for role in roles):
        msg = f"roles must be {depth} of {', '.join(TRAINED)}, one for each layer; got {roles}"
        raise ValueError(msg)
    return roles


def with_roles(network: Network, roles: str | Sequence[str]) -> Network:
    """Return the network with these roles; its matrices stay as they are.

    Parameters
    ----------
    network : Network
        Any network.
    roles : str or sequence of str
        One role for all layers, or one for each.

    Returns
    -------
    Network
        The same matrices, with the new roles.

    Raises
    ------
    ValueError
        As `check_roles`.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> network = networks.init_network((4, 3, 1), key=jax.random.key(0))
    >>> [layer.role for layer in networks.with_roles(network, ("full", "frozen")).layers]
    ['full', 'frozen']
    """
    roles = check_roles(roles, len(network.layers))
    return replace(network, layers=tuple(replace(layer, role=role) for layer, role in zip(network.layers, roles, strict=True)))


def default_weight_variance(activation: str) -> float:
    """Return ``σ_w²``: 2 for ReLU, which keeps the scale from layer to layer (He et al. 2015), and 1 otherwise.

    Parameters
    ----------
    activation : str
        A key of `ACTIVATIONS`; not checked.

    Returns
    -------
    float
        ``σ_w²``.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> [networks.default_weight_variance(name) for name in ("relu", "erf")]
    [2.0, 1.0]
    """
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
    """Draw a network in which every layer trains in full: ``Wˡ_ij`` of mean 0 and variance ``σ_w² / n_{l-1}``.

    This is the standard parameterisation (Sohl-Dickstein et al. 2020).

    Parameters
    ----------
    widths : tuple of int
        ``(n_0, …, n_L)``: inputs, hidden widths, outputs; at least two numbers.
    key : JAX random key
        Source of the weights.
    activation : str
        A key of `ACTIVATIONS`.
    weight_variance : float, optional
        ``σ_w²``; that of `default_weight_variance` where None.
    law : str
        Law of the entries, one of `lorantk.theory.laws.LAWS`.
    dtype : optional
        Floating-point type; JAX's default where None.

    Returns
    -------
    Network
        Weights of shapes ``(n_l, n_{l-1})``.

    Raises
    ------
    ValueError
        Fewer than two widths, a width below 1, an unknown activation or law, or a variance that is not positive and finite.

    Examples
    --------
    With ``σ_w² = 2`` a ReLU layer keeps the mean square of what passes through it:

    >>> from lorantk.theory import networks
    >>> network = networks.init_network((10, 100_000, 1), key=jax.random.key(0))
    >>> h = networks.hidden_states(network, jnp.ones(10))[0][1]
    >>> round(float((h**2).mean()), 1)
    1.0
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
    """Build a network, trained in full, from given weights ``Wˡ``.

    Parameters
    ----------
    weights : sequence of arrays (n_l, n_{l-1})
        ``W¹, …, Wᴸ``.
    activation : str
        A key of `ACTIVATIONS`.

    Returns
    -------
    Network
        The weights as JAX arrays.

    Raises
    ------
    ValueError
        No weights, a weight that is not a matrix, widths that do not chain, entries that are not finite, or an unknown
        activation.

    Examples
    --------
    ``f(x) = relu(x_1) + relu(x_2)``:

    >>> from lorantk.theory import networks
    >>> network = networks.network_from_weights([np.eye(2), [[1.0, 1.0]]])
    >>> networks.forward(network, jnp.array([[3.0, -4.0]])).tolist()
    [[3.0]]
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
    """Return the widths ``(n_0, …, n_L)`` of a network.

    Parameters
    ----------
    network : Network
        Weights of shapes ``(n_l, n_{l-1})``.

    Returns
    -------
    tuple of int
        ``L + 1`` numbers.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> networks.widths(networks.init_network((4, 16, 3), key=jax.random.key(0)))
    (4, 16, 3)
    """
    return (network.layers[0].W.shape[1], *(layer.W.shape[0] for layer in network.layers))


def effective_weight(layer: Layer) -> Float[Array, "m n"]:
    """Return ``W + s B A`` (equation 1 of the paper), or ``W`` where the layer has no adapter.

    Parameters
    ----------
    layer : Layer
        ``W`` of shape ``(n_l, n_{l-1})``.

    Returns
    -------
    array (n_l, n_{l-1})
        The weight in use.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> A, B = jnp.array([[1.0, 1.0]]), jnp.array([[1.0], [0.0]])
    >>> layer = networks.Layer(jnp.eye(2), A=A, B=B, scale=0.5, role="lora")
    >>> networks.effective_weight(layer).tolist()
    [[1.5, 0.5], [0.0, 1.0]]
    """
    return layer.W if layer.A is None else layer.W + layer.scale * layer.B @ layer.A


def weight_change(before: Layer, after: Layer) -> Float[Array, "m n"]:
    """Return how far the effective weight of a layer moved, ``W' - W + s (B' A' - B A)``.

    The difference of two effective weights is the same, and loses the digits of a small change to the rounding of W.

    Parameters
    ----------
    before, after : Layer
        One layer at two times.

    Returns
    -------
    array (m, n)
        The change.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from lorantk.theory import networks
    >>> [layer] = networks.init_network((4, 1), key=jax.random.key(0)).layers
    >>> networks.weight_change(layer, replace(layer, W=layer.W + 0.5)).round(3).tolist()
    [[0.5, 0.5, 0.5, 0.5]]
    """
    change = after.W - before.W
    return change if after.A is None else change + after.scale * after.B @ after.A - before.scale * before.B @ before.A


def _linear(layer: Layer, h: Array) -> Array:
    y = h @ layer.W.T
    return y if layer.A is None else y + layer.scale * (h @ layer.A.T) @ layer.B.T


def check_inputs(network: Network, x: Array, name: str = "x") -> None:
    """Raise ValueError unless the last axis of ``x`` is ``n_0``.

    Parameters
    ----------
    network : Network
        The network that is to take them.
    x : array (..., n_0)
        Inputs.
    name : str
        What the message calls them.

    Raises
    ------
    ValueError
        A number, or an array whose last axis has another length.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> network = networks.network_from_weights([np.eye(2)])
    >>> networks.check_inputs(network, jnp.ones((5, 3)))
    Traceback (most recent call last):
        ...
    ValueError: x must have shape (..., 2), the network's number of inputs; got (5, 3)
    """
    n_0 = network.layers[0].W.shape[1]
    if x.ndim == 0 or x.shape[-1] != n_0:
        msg = f"{name} must have shape (..., {n_0}), the network's number of inputs; got {x.shape}"
        raise ValueError(msg)


def hidden_states(network: Network, x: Float[Array, "... n0"]) -> tuple[list[Array], list[Array]]:
    """Return the activations ``[h⁰, …, hᴸ⁻¹]`` and the pre-activations ``[y¹, …, yᴸ]``.

    ``h⁰ = x``, ``yˡ = (W + s B A) hˡ⁻¹``, ``hˡ = σ(yˡ)``.

    Parameters
    ----------
    network : Network
        The network.
    x : array (..., n_0)
        One input, or a batch of them.

    Returns
    -------
    hs, ys : lists of L arrays
        ``hˡ⁻¹`` of shape ``(..., n_{l-1})`` and ``yˡ`` of shape ``(..., n_l)``.

    Raises
    ------
    ValueError
        As for `check_inputs`.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> network = networks.network_from_weights([np.eye(2), [[1.0, 1.0]]])
    >>> hs, ys = networks.hidden_states(network, jnp.array([3.0, -4.0]))
    >>> [h.tolist() for h in hs], [y.tolist() for y in ys]
    ([[3.0, -4.0], [3.0, 0.0]], [[3.0, -4.0], [3.0]])
    """
    check_inputs(network, x)
    sigma = ACTIVATIONS[network.activation]
    hs, ys = [x], []
    for layer in network.layers:
        ys.append(_linear(layer, hs[-1]))
        hs.append(sigma(ys[-1]))
    return hs[:-1], ys


def forward(network: Network, x: Float[Array, "... n0"]) -> Float[Array, "... C"]:
    """Return the outputs ``f(x) = yᴸ``.

    Parameters
    ----------
    network : Network
        The network.
    x : array (..., n_0)
        One input, or a batch of them.

    Returns
    -------
    array (..., C)
        ``C = n_L`` outputs.

    Raises
    ------
    ValueError
        As for `check_inputs`.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> networks.forward(network, jnp.array([[3.0, -1.0], [0.0, 1.0]])).tolist()
    [[1.0], [2.0]]
    """
    return hidden_states(network, x)[1][-1]


def activation_derivative(activation: str, y: Array) -> Array:
    """Return ``σ'(y)``, entry by entry; 0 at the kink of ReLU.

    Parameters
    ----------
    activation : str
        A key of `ACTIVATIONS`.
    y : array
        Pre-activations, of any shape.

    Returns
    -------
    array
        Same shape as ``y``.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> y = jnp.array([-1.0, 0.0, 2.0])
    >>> networks.activation_derivative("relu", y).tolist()
    [0.0, 0.0, 1.0]
    """
    return jax.jvp(ACTIVATIONS[activation], (y,), (jnp.ones_like(y),))[1]


def trained_parameters(network: Network) -> dict[str, Array]:
    """Return the matrices that train, by name: ``"W1"``, ``"A2"``, ``"B2"``, … (layers count from 1).

    Parameters
    ----------
    network : Network
        Each layer's role says which of its matrices train, see `TRAINED`.

    Returns
    -------
    dict of str to array
        ``W`` of shape ``(n_l, n_{l-1})``, ``A`` of shape ``(r, n_{l-1})``, ``B`` of shape ``(n_l, r)``.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> from lorantk.theory.adapters import adapt, adapter
    >>> key, config = jax.random.key(0), adapter(2, alpha=4)
    >>> network = networks.init_network((4, 16, 3), key=key)
    >>> network = adapt(network, config, roles=("full", "lora"), key=key)
    >>> {name: p.shape for name, p in networks.trained_parameters(network).items()}
    {'W1': (16, 4), 'A2': (2, 16), 'B2': (3, 2)}
    """
    return {f"{name}{l}": getattr(layer, name) for l, layer in enumerate(network.layers, 1) for name in TRAINED[layer.role]}


def replace_parameters(network: Network, parameters: dict[str, Array]) -> Network:
    """Return the network with the named matrices replaced.

    Parameters
    ----------
    network : Network
        The network; it stays as it is.
    parameters : dict of str to array
        New matrices under the names of `trained_parameters`; others of the network may be named too.

    Returns
    -------
    Network
        A new one.

    Raises
    ------
    ValueError
        A name for which the network has no matrix.

    Examples
    --------
    >>> from lorantk.theory import networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> W = jnp.array([[5.0, 0.0]])
    >>> changed = networks.replace_parameters(network, {"W1": W})
    >>> networks.forward(changed, jnp.array([1.0, 1.0])).tolist()
    [5.0]
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
    """Return ``P``, the number of parameters that train.

    Parameters
    ----------
    network : Network
        Each layer's role says which of its matrices train.

    Returns
    -------
    int
        Entries of all matrices of `trained_parameters`.

    Examples
    --------
    Rank 8 on a map from 256 to 256 features trains a sixteenth of its numbers:

    >>> from lorantk.theory import networks
    >>> from lorantk.theory.adapters import adapt, adapter
    >>> key = jax.random.key(0)
    >>> network = networks.init_network((256, 256), key=key)
    >>> lora = adapt(network, adapter(8, alpha=16), roles="lora", key=key)
    >>> networks.parameter_count(network), networks.parameter_count(lora)
    (65536, 4096)
    """
    return sum(math.prod(p.shape) for p in trained_parameters(network).values())
