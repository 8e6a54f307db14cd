"""When an adapter's kernel stays where it started: the ratio of A's part of the kernel to B's.

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
    """Return ``ρ = g²|h|² / (s² |δ|² |Ah|⁴)``: ``K_A/K_B`` after one step of gradient descent at rate ``1/K_B``.

    Parameters
    ----------
    residual : float or array
        ``g = f(x) - y`` at the start.
    h_squared, delta_squared, Ah_squared : float or array
        ``|h|²``, ``|δ|²``, ``|Ah|²``.
    scale : float or array
        ``s``.

    Returns
    -------
    float or array
        ``ρ``, of the shape to which the arguments broadcast.

    Examples
    --------
    Entries of A four times as large leave a 256th of the movement:

    >>> from lorantk.theory import laziness
    >>> small, large = (laziness.movement(1.0, 4.0, 1.0, a**2) for a in (1.0, 4.0))
    >>> small / large
    256.0
    """
    return residual**2 * h_squared / (scale**2 * delta_squared * Ah_squared**2)


def flow_growth(rho, ratio=1.0):
    """Return ``√(1 + 4 ω ρ)``: the weighted kernel ``η_B K_B + η_A K_A`` at the end of gradient flow over that at its start.

    For one example and a δ that does not change; ``ω = η_A/η_B``.

    Parameters
    ----------
    rho : float or array
        ``ρ``, see `movement`.
    ratio : float or array
        ``ω``.

    Returns
    -------
    float or array
        The growth, of the shape to which the arguments broadcast.

    Examples
    --------
    >>> from lorantk.theory import laziness
    >>> [float(laziness.flow_growth(2.0, ratio=omega)) for omega in (1.0, 0.0)]
    [3.0, 1.0]
    """
    return np.sqrt(1 + 4 * ratio * np.asarray(rho))


def laziness(scale, rank, variance, width):
    """Return ``Z = s r σ_a² √n``: ρ is of order ``1/Z²``, so the kernel stays where it started iff ``Z → ∞``.

    Parameters
    ----------
    scale, rank, variance, width : float or array
        ``s``, ``r``, ``σ_a²`` and ``n``.

    Returns
    -------
    float or array
        ``Z``, of the shape to which the arguments broadcast.

    Examples
    --------
    The paper's r = 8, α = 16 at PEFT's variance, on 1024 features, is far from lazy:

    >>> from lorantk.theory import laziness
    >>> round(float(laziness.laziness(2.0, 8, 1 / 3072, 1024)), 3)
    0.167
    """
    return scale * rank * variance * np.sqrt(width)


class KernelChange(NamedTuple):
    """How far the kernel moved while the loss fell, see `kernel_change`.

    Attributes
    ----------
    raw : array ()
        Drift of ``Σ_p K_p``, over the matrices whose rate is not 0, relative, in the Frobenius norm.
    weighted : array ()
        Drift of ``Σ_p η_p K_p``.
    growth : array ()
        Trace of the weighted kernel at the end over that at the start.
    ratio : array ()
        Trace of A's part of ``Σ_p K_p`` over B's, at the end; 0 where no A trains, NaN where no B does.
    steps : array ()
        Number of steps.
    status : array ()
        Index into `lorantk.theory.dynamics.STATUS`.
    """

    raw: Array
    weighted: Array
    growth: Array
    ratio: Array
    steps: Array
    status: Array


def kernel_change(
    network: Network,
    x: Float[Array, "N n0"],
    y: Float[Array, "N C"],
    *,
    relative: Mapping[str, float],
    step: float,
    fraction: float,
    steps: int,
) -> KernelChange:
    """Train on the squared loss by gradient descent until it is a fraction of its start; compare the kernels at both ends.

    ``‖K_end - K_start‖ / ‖K_start‖`` of the raw kernel ``Σ_p K_p`` and of the weighted one, ``Σ_p η_p K_p``, among others.

    Parameters
    ----------
    network : Network
        Where training starts.
    x : array (N, n_0)
        Inputs, one per row.
    y : array (N, C)
        Targets.
    relative : dict of str to float
        Proportions of the rates, as for `lorantk.theory.dynamics.sized_rates`.
    step : float
        What the rates are sized to, as for `lorantk.theory.dynamics.sized_rates`.
    fraction : float
        Share of the starting loss at which training stops.
    steps : int
        Largest number of steps.

    Returns
    -------
    KernelChange
        The drift of both kernels, and how training ended.

    Raises
    ------
    ValueError
        As for `lorantk.theory.dynamics.train`.

    Examples
    --------
    ``f = B A x`` with ``A = 1``, ``B = 0``, one example of ``ρ = 2``: a small step triples the kernel, see `flow_growth`.

    >>> from lorantk.theory import laziness, networks
    >>> one, rates = jnp.ones((1, 1)), {"A": 1.0, "B": 1.0}
    >>> layer = networks.Layer(0 * one, A=one, B=0 * one, scale=1.0, role="lora")
    >>> network = networks.Network((layer,), "identity")
    >>> options = {"relative": rates, "step": 0.001, "fraction": 1e-6, "steps": 10_000}
    >>> found = laziness.kernel_change(network, one, 2**0.5 * one, **options)
    >>> round(float(found.growth), 2)
    3.0
    """
    rates = sized_rates(network, x, relative, step)
    target = fraction * loss_values(forward(network, x), y, loss="squared").sum()
    run = train(network, x, y, rates=rates, steps=steps, target=target)
    ends, moving = (run.network, network), {kind: jnp.sign(rate) for kind, rate in rates.items()}
    raw, weighted = ([weighted_ntk(net, r, x, outputs="full") for net in ends] for r in (moving, rates))
    growth = jnp.einsum("iicc->", weighted[0]) / jnp.einsum("iicc->", weighted[1])
    terms = ntk_terms(run.network, x, outputs="trace").items()
    A, B = (sum((moving[kind] * jnp.trace(K) for name, K in terms if name[0] == kind), jnp.zeros((), x.dtype)) for kind in "AB")
    return KernelChange(drift(*raw), drift(*weighted), growth, A / B, run.steps, run.status)
