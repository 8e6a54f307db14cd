r"""When an adapter's kernel stays where it started: the ratio of A's part of the kernel to B's.

One example x with residual ``g = f(x) - y``, one adapted layer with input h, backward vector ``δ = ∂f/∂y`` and ``B = 0``:
``K_B = s²|δ|²|Ah|²`` and ``K_A = s²|Bᵀδ|²|h|²``. All numbers may be arrays that broadcast.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory.dynamics import drift, sized_rates, train, weighted_ntk
from lorantk.theory.kernels import ntk_terms
from lorantk.theory.networks import Network, forward
from lorantk.theory.objectives import loss_values


def movement(residual, h_squared, delta_squared, Ah_squared, scale=1.0):
    r"""Return ``ρ = g²|h|² / (s² |δ|² |Ah|⁴)``: ``K_A/K_B`` after one step of gradient descent at rate ``1/K_B``.

    Parameters
    ----------
    residual
        ``g = f(x) - y`` at the start.
    h_squared, delta_squared, Ah_squared
        ``|h|²``, ``|δ|²``, ``|Ah|²``.
    scale
        ``s``.
    """
    return residual**2 * h_squared / (scale**2 * delta_squared * Ah_squared**2)


def flow_growth(rho, ratio=1.0):
    r"""Return ``√(1 + 4 ω ρ)``: the weighted kernel ``η_B K_B + η_A K_A`` at the end of gradient flow over that at its start.

    For one example and a δ that does not change; ``ω = η_A/η_B`` is ``ratio`` and ρ is `movement`.
    """
    return np.sqrt(1 + 4 * ratio * np.asarray(rho))


def laziness(scale, rank, variance, width):
    r"""Return ``Z = s r σ_a² √n``: ρ is of order ``1/Z²``, so the kernel stays where it started iff ``Z → ∞``.

    Parameters
    ----------
    scale, rank, variance, width
        ``s``, ``r``, ``σ_a²`` and ``n``.
    """
    return scale * rank * variance * np.sqrt(width)


class Journey(NamedTuple):
    """How far the kernel moved while the loss fell, see `journey`.

    Attributes
    ----------
    raw
        Drift of ``Σ_p K_p``, over the matrices whose rate is not 0, relative, in the Frobenius norm.
    weighted
        Drift of ``Σ_p η_p K_p``.
    growth
        Trace of the weighted kernel at the end over that at the start.
    ratio
        Trace of A's part of ``Σ_p K_p`` over B's, at the end; 0 where no A trains, NaN where no B does.
    steps
        Number of steps.
    status
        Index into `lorantk.theory.dynamics.STATUS`.
    """

    raw: Array
    weighted: Array
    growth: Array
    ratio: Array
    steps: Array
    status: Array


def journey(
    network: Network,
    x: Float[Array, "N n0"],
    y: Float[Array, "N C"],
    *,
    relative: Mapping[str, float],
    step: float,
    fraction: float,
    steps: int,
) -> Journey:
    """Train on the squared loss by gradient descent until it is ``fraction`` of its start; compare the kernels at both ends.

    Parameters
    ----------
    network
        Where training starts.
    x, y
        Inputs ``(N, n_0)`` and targets ``(N, C)``.
    relative, step
        As for `lorantk.theory.dynamics.sized_rates`: proportions of the rates, and what they are sized to.
    fraction
        Share of the starting loss at which training stops.
    steps
        Largest number of steps.

    Raises
    ------
    ValueError
        As `lorantk.theory.dynamics.train`.
    """
    rates = sized_rates(network, x, relative, step)
    target = fraction * loss_values(forward(network, x), y, loss="squared").sum()
    run = train(network, x, y, rates=rates, steps=steps, target=target)
    ends, moving = (run.network, network), {kind: jnp.sign(rate) for kind, rate in rates.items()}
    raw, weighted = ([weighted_ntk(net, r, x, outputs="full") for net in ends] for r in (moving, rates))
    growth = jnp.einsum("iicc->", weighted[0]) / jnp.einsum("iicc->", weighted[1])
    terms = ntk_terms(run.network, x, outputs="trace").items()
    A, B = (sum((moving[kind] * jnp.trace(K) for name, K in terms if name[0] == kind), jnp.zeros((), x.dtype)) for kind in "AB")
    return Journey(drift(*raw), drift(*weighted), growth, A / B, run.steps, run.status)
