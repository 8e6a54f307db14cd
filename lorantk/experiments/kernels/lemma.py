"""Networks of the chapter on LoRA's kernel, and what the printed and the exact form of that kernel are made of.

Four tanh layers on 64 inputs, the first trained in full and the others adapted, with A as PEFT draws it and ``α = 2r``: the
paper's main runs where r = 8. Draws are NumPy's, so that an A of rank 1 is the first row of that of rank 8.
"""

from typing import NamedTuple

import jax
import numpy as np

from lorantk.theory import networks, recursions
from lorantk.theory.kernels import backward_states

INPUTS = 64
SCALE = 2.0  # α/r


class States(NamedTuple):
    """What the kernels of one network with one output are made of, as NumPy arrays.

    Attributes
    ----------
    features
        ``[h⁰, …, hᴸ⁻¹]``, each of shape ``(N, n_{l-1})``.
    deltas
        ``[δ¹, …, δᴸ]``, each of shape ``(N, n_l)``.
    sigma_dots
        ``[Σ̇⁽²⁾, …, Σ̇⁽ᴸ⁾]`` of this network, each ``(N, N)``.
    """

    features: list[np.ndarray]
    deltas: list[np.ndarray]
    sigma_dots: list[np.ndarray]


def network(width: int, rank: int, *, seed: int, number: int = 0, outputs: int = 1) -> networks.Network:
    """Draw a network at its start, ``B = 0``; fresh for each seed, width, rank and number."""
    rng = np.random.default_rng((seed, width, rank, number))
    sizes = (INPUTS, width, width, width, outputs)
    weights = [rng.standard_normal((m, n)) / np.sqrt(n) for m, n in zip(sizes[1:], sizes[:-1], strict=True)]
    A = rng.uniform(-1, 1, (3, rank, width)) / np.sqrt(width)
    B = [np.zeros((m, rank)) for m in sizes[2:]]
    adapted = [networks.Layer(*parts, SCALE, "lora") for parts in zip(weights[1:], A, B, strict=True)]
    return networks.Network((networks.Layer(weights[0]), *adapted), "tanh")


@jax.jit
def _states(network, x):
    hs, ys = networks.hidden_states(network, x)
    deltas = [delta[:, 0] for delta in backward_states(network, ys)]
    return States(hs, deltas, recursions.sigma_dots(network, x, x, weight_variance=1.0))


def states(network: networks.Network, x: np.ndarray) -> States:
    """Return the states of a `network` with one output on inputs of shape ``(N, 64)``."""
    return jax.tree.map(np.asarray, _states(network, x))


def grams(network: networks.Network, states: States, rank: int | None) -> list[np.ndarray]:
    """Return each layer's ``Σ⁽ˡ⁾``, shape ``(N, N)``: ``⟨h, h'⟩``, or ``s² ⟨A h, A h'⟩`` with the first ``rank`` rows of A.

    With ``rank`` None every layer trains in full. The scale stays that of the network.
    """
    in_full = [rank is None or layer.A is None for layer in network.layers]
    rows = [
        h if full else layer.scale * h @ layer.A[:rank].T
        for full, h, layer in zip(in_full, states.features, network.layers, strict=True)
    ]
    return [phi @ phi.T for phi in rows]
