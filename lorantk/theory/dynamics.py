r"""Training: gradient descent, Adam and gradient flow, with one learning rate for each kind of matrix.

The loss is a sum over examples, so to first order in the rates the outputs follow the kernel with no factor ``1/N``:
``Δf = -(Σ_p η_p K_p) ∂L/∂f``, where p runs over the matrices that train (`lorantk.theory.kernels.ntk_terms`).
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int
from scipy.integrate import solve_ivp

from lorantk.theory.kernels import as_matrix, ntk_terms
from lorantk.theory.networks import (
    Network,
    check_inputs,
    forward,
    replace_parameters,
    trained_parameters,
)
from lorantk.theory.objectives import loss_values

METHODS = ("sgd", "momentum", "adam")
STATUS = ("unfinished", "reached", "diverged")


class Run(NamedTuple):
    """What `train` returns.

    Attributes
    ----------
    network
        The network at the end.
    losses
        Loss before each step and after the last one, shape ``(steps + 1,)``; NaN after the run stopped.
    steps
        Number of steps taken.
    status
        Index into `STATUS`.
    """

    network: Network
    losses: Array
    steps: Array
    status: Array


def _by_kind(network, value, name):
    """One number for each kind of matrix that trains, from a number for all or a mapping."""
    kinds = sorted({matrix[0] for matrix in trained_parameters(network)})
    if not isinstance(value, Mapping):
        return dict.fromkeys(kinds, value)
    if missing := [kind for kind in kinds if kind not in value]:
        msg = f"{name} must give a number for each of {', '.join(kinds)}; got none for {', '.join(missing)}"
        raise ValueError(msg)
    return {kind: value[kind] for kind in kinds}


def _optimiser(method, rates, eps, decay, dtype):
    """The update rule: a direction for each matrix, decoupled weight decay, then the rate of its kind."""

    def direction(kind):
        if method == "sgd":
            return optax.identity()
        if method == "momentum":
            return optax.trace(0.9)
        # The smallest normal number under the root makes 0/0 zero and changes no other quotient.
        return optax.scale_by_adam(eps=eps[kind], eps_root=jnp.finfo(dtype).tiny)

    rules = {
        kind: optax.chain(direction(kind), optax.add_decayed_weights(decay[kind]), optax.scale(-rate))
        for kind, rate in rates.items()
    }
    return optax.partition(rules, lambda parameters: {name: name[0] for name in parameters})


@partial(jax.jit, static_argnames=("steps", "loss", "method"))
def _train(network, x, y, rates, eps, decay, batches, target, blow_up, *, steps, loss, method):
    parameters = trained_parameters(network)
    optimiser = _optimiser(method, rates, eps, decay, x.dtype)

    def batch_loss(parameters, t):
        rows = slice(None) if batches is None else batches[jnp.minimum(t, steps - 1)]
        return loss_values(forward(replace_parameters(network, parameters), x[rows]), y[rows], loss=loss).sum()

    def running(carry):
        _, _, _, t, status = carry
        return (t <= steps) & (status == 0)

    def step(carry):
        parameters, state, losses, t, _ = carry
        value, gradients = jax.value_and_grad(batch_loss)(parameters, t)
        losses = losses.at[t].set(value)
        diverged = ~(value <= blow_up * losses[0])
        status = jnp.where(diverged, 2, jnp.where(value <= target, 1, 0))
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to its integer step count
            updates, moved = optimiser.update(gradients, state, parameters)
        go = (status == 0) & (t < steps)
        new = optax.apply_updates(parameters, updates)
        keep = partial(jax.tree.map, lambda a, b: jnp.where(go, a, b))
        return keep(new, parameters), keep(moved, state), losses, t + 1, status

    start = (parameters, optimiser.init(parameters), jnp.full(steps + 1, jnp.nan, x.dtype), 0, jnp.asarray(0))
    parameters, _, losses, t, status = jax.lax.while_loop(running, step, start)
    return Run(replace_parameters(network, parameters), losses, t - 1, status)


def train(
    network: Network,
    x: Float[Array, "N n0"],
    y: Float[Array, "N C"],
    *,
    rates: Mapping[str, float] | float,
    steps: int,
    loss: str = "squared",
    method: str = "sgd",
    eps: Mapping[str, float] | float = 0.0,
    decay: Mapping[str, float] | float = 0.0,
    batches: Int[Array, "steps b"] | None = None,
    target: float = -np.inf,
    blow_up: float = 1e6,
) -> Run:
    r"""Train the matrices that train, until ``steps`` are done, the loss is at most ``target``, or the run diverges.

    Each step is ``θ_p ← θ_p - η_p (u_p + λ_p θ_p)``. The direction u_p is the gradient of the summed loss (``"sgd"``), its
    heavy-ball sum ``Σ_k 0.9ᵏ ∇_{t-k}`` (``"momentum"``), or Adam's ``m̂/(√v̂ + ε_p)`` with β = (0.9, 0.999), in which 0/0 counts
    as 0 (``"adam"``). The function is jitted and can be mapped with `jax.vmap` over networks, rates, eps and decay.

    Parameters
    ----------
    network
        Where training starts.
    x, y
        Inputs ``(N, n_0)`` and targets ``(N, C)``.
    rates
        ``η_p``: a number, or one for each kind of matrix, ``{"W": …, "A": …, "B": …}``.
    steps
        Largest number of steps.
    loss
        One of `lorantk.theory.objectives.LOSSES`.
    method
        One of `METHODS`.
    eps, decay
        ``ε_p`` of Adam and the weight decay ``λ_p``, as ``rates``.
    batches
        Rows of x for each step, shape ``(steps, b)``; all rows in each step where None.
    target
        Training stops once the loss is at most this.
    blow_up
        Training stops as diverged once the loss is not finite or exceeds this many times its first value.

    Raises
    ------
    ValueError
        Unknown loss or method, shapes that do not fit, no matrix that trains, or no rate for a kind of matrix that trains.
    """
    if method not in METHODS:
        msg = f"method must be one of {', '.join(METHODS)}; got {method!r}"
        raise ValueError(msg)
    if not trained_parameters(network):
        msg = "the network has no matrix that trains; give at least one layer a role other than 'frozen'"
        raise ValueError(msg)
    check_inputs(network, x)
    expected = (x.shape[0], network.layers[-1].W.shape[-2])
    if y.shape != expected:
        msg = f"y must have shape {expected}, one row of outputs for each input; got {y.shape}"
        raise ValueError(msg)
    if batches is not None and batches.shape[0] != steps:
        msg = f"batches must have one row for each of the {steps} steps; got {batches.shape[0]} rows"
        raise ValueError(msg)
    rates, eps, decay = (
        {kind: jnp.asarray(number, x.dtype) for kind, number in _by_kind(network, value, name).items()}
        for value, name in ((rates, "rates"), (eps, "eps"), (decay, "decay"))
    )
    return _train(network, x, y, rates, eps, decay, batches, target, blow_up, steps=steps, loss=loss, method=method)


def weighted_ntk(
    network: Network,
    rates: Mapping[str, float] | float,
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    outputs: str,
) -> Array:
    """Return ``Σ_p η_p K_p``, the kernel that training at these rates follows.

    Parameters
    ----------
    network, x1, x2, outputs
        As for `lorantk.theory.kernels.ntk`, which also says the shape.
    rates
        ``η_p``, as for `train`.

    Raises
    ------
    ValueError
        As `lorantk.theory.kernels.ntk`, or no rate for a kind of matrix that trains.
    """
    rates = _by_kind(network, rates, "rates")
    return sum(rates[name[0]] * term for name, term in ntk_terms(network, x1, x2, outputs=outputs).items())


def sized_rates(network: Network, x: Float[Array, "N n0"], relative: Mapping[str, float], step: float) -> dict[str, Array]:
    r"""Return rates in the given proportions, sized to the starting kernel: ``λ_max(Σ_p η_p K_p) = step``.

    Gradient descent on the squared loss of a model with a constant kernel converges iff ``0 < step < 2``.

    Parameters
    ----------
    network, x
        Where training starts, and its inputs ``(N, n_0)``.
    relative
        Proportions of the rates, one for each kind of matrix that trains; 0 freezes it.
    step
        Largest eigenvalue of the weighted kernel.

    Raises
    ------
    ValueError
        No proportion for a kind of matrix that trains.
    """
    relative = _by_kind(network, relative, "relative")
    top = jnp.linalg.eigvalsh(as_matrix(weighted_ntk(network, relative, x, outputs="full")))[-1]
    return {kind: step * value / top for kind, value in relative.items()}


def drift(K: Array, K_start: Array) -> Array:
    """Return ``‖K - K_start‖ / ‖K_start‖`` in the Frobenius norm, over all axes."""
    return jnp.sqrt(((K - K_start) ** 2).sum() / (K_start**2).sum())


def gradient_flow(
    network: Network,
    x: Float[Array, "N n0"],
    y: Float[Array, "N C"],
    *,
    rates: Mapping[str, float] | float,
    times: Float[np.ndarray, " T"],
    loss: str = "squared",
    rtol: float = 1e-10,
) -> list[Network]:
    r"""Integrate ``dθ_p/dt = -η_p ∂L/∂θ_p`` from time 0 and return the network at each of ``times`` (ascending).

    The integrator is scipy's Dormand-Prince method of order 8. Gradient descent for T steps
    at rates ``η_p/T`` tends to the network at time 1 as T grows.

    Parameters
    ----------
    network, x, y, rates, loss
        As for `train`.
    times
        Ascending numbers of at least 0, shape ``(T,)``.
    rtol
        Relative tolerance, and the absolute one.

    Raises
    ------
    ValueError
        No rate for a kind of matrix that trains.
    RuntimeError
        The integrator stopped early.
    """
    rates = _by_kind(network, rates, "rates")
    start, unravel = ravel_pytree(trained_parameters(network))

    @jax.jit
    def velocity(flat):
        def value(parameters):
            return loss_values(forward(replace_parameters(network, parameters), x), y, loss=loss).sum()

        gradient = jax.grad(value)(unravel(flat))
        return -ravel_pytree({name: rates[name[0]] * g for name, g in gradient.items()})[0]

    times = np.asarray(times, dtype=float)
    solution = solve_ivp(
        lambda _, flat: np.asarray(velocity(flat)), (0, times[-1]), np.asarray(start),
        method="DOP853", t_eval=times, rtol=rtol, atol=rtol,
    )  # fmt: skip
    if not solution.success:
        msg = f"the integrator must reach time {times[-1]}; got {solution.message}"
        raise RuntimeError(msg)
    return [replace_parameters(network, unravel(jnp.asarray(flat))) for flat in solution.y.T]


def linear_flow(K: Float[Array, "M M"], outputs: Float[Array, " M"], y: Float[Array, " M"], time: float) -> Float[Array, " M"]:
    r"""Return ``y + exp(-K t)(f_0 - y)``: gradient flow on the squared loss while the weighted kernel K stays constant.

    Parameters
    ----------
    K
        Weighted kernel, symmetric, shape ``(M, M)``, laid out as by `lorantk.theory.kernels.as_matrix`.
    outputs, y
        ``f_0`` and the targets, laid end to end alike, shape ``(M,)``.
    time
        ``t``.
    """
    values, vectors = jnp.linalg.eigh(K)
    return y + vectors @ (jnp.exp(-values * time) * (vectors.T @ (outputs - y)))
