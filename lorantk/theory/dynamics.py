"""Training: gradient descent, Adam and gradient flow, with one learning rate for each kind of matrix.

The loss is a sum over examples, so to first order in the rates the outputs follow the kernel without a factor ``1/N``:
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

from lorantk.choices import one_of
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
    network : Network
        The network at the end.
    losses : array (steps + 1,)
        Loss before each step and after the last one; NaN after the run stopped.
    steps : array ()
        Number of steps taken.
    status : array ()
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
    """Train the matrices that train, until ``steps`` are done, the loss is at most ``target``, or the run diverges.

    Each step is ``θ_p ← θ_p - η_p (u_p + λ_p θ_p)``. The direction u_p is the gradient of the summed loss (``"sgd"``), its
    heavy-ball sum ``Σ_k 0.9ᵏ ∇_{t-k}`` (``"momentum"``), or Adam's ``m̂/(√v̂ + ε_p)`` with β = (0.9, 0.999), in which 0/0 counts
    as 0 (``"adam"``). The function is jitted and can be mapped with `jax.vmap` over networks, rates, eps and decay.

    Parameters
    ----------
    network : Network
        Where training starts.
    x : array (N, n_0)
        Inputs, one per row.
    y : array (N, C)
        Targets.
    rates : float or dict of str to float
        ``η_p``: a number, or one for each kind of matrix, ``{"W": …, "A": …, "B": …}``.
    steps : int
        Largest number of steps.
    loss : {"squared", "cross-entropy"}
        One of `lorantk.theory.objectives.LOSSES`.
    method : {"sgd", "momentum", "adam"}
        One of `METHODS`.
    eps, decay : float or dict of str to float
        ``ε_p`` of Adam and the weight decay ``λ_p``, as ``rates``.
    batches : array (steps, b) of int, optional
        Rows of x for each step; all rows in each step where None.
    target : float
        Training stops once the loss is at most this.
    blow_up : float
        Training stops as diverged once the loss is not finite or exceeds this many times its first value.

    Returns
    -------
    Run
        The trained network, the losses and how it ended.

    Raises
    ------
    ValueError
        Unknown loss or method, shapes that do not fit, no matrix that trains, or no rate for a kind of matrix that trains.

    Examples
    --------
    ``½ (w - 1)²`` from ``w = 0`` at rate ½: each step halves the error.

    >>> from lorantk.theory import dynamics, networks
    >>> network, one = networks.network_from_weights([[[0.0]]]), jnp.ones((1, 1))
    >>> run = dynamics.train(network, one, one, rates=0.5, steps=3)
    >>> run.losses.tolist(), run.network.layers[0].W.tolist()
    ([0.5, 0.125, 0.03125, 0.0078125], [[0.875]])
    """
    one_of("method", method, METHODS)
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
    network : Network
        The network.
    rates : float or dict of str to float
        ``η_p``, as for `train`.
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        As for `lorantk.theory.kernels.ntk`.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        The kernel, by ``outputs``.

    Raises
    ------
    ValueError
        As for `lorantk.theory.kernels.ntk`, or no rate for a kind of matrix that trains.

    Examples
    --------
    ``η_B |A x|² + η_A |B|² |x|²`` with ``A x = x = 2`` and ``B = 3``:

    >>> from lorantk.theory import dynamics, networks
    >>> one, rates = jnp.ones((1, 1)), {"A": 0.5, "B": 1.0}
    >>> layer = networks.Layer(0 * one, A=one, B=3 * one, scale=1.0, role="lora")
    >>> network = networks.Network((layer,), "identity")
    >>> dynamics.weighted_ntk(network, rates, 2 * one, outputs="trace").tolist()
    [[22.0]]
    """
    rates = _by_kind(network, rates, "rates")
    return sum(rates[name[0]] * term for name, term in ntk_terms(network, x1, x2, outputs=outputs).items())


def sized_rates(network: Network, x: Float[Array, "N n0"], relative: Mapping[str, float], step: float) -> dict[str, Array]:
    """Return rates in the given proportions, sized to the starting kernel: ``λ_max(Σ_p η_p K_p) = step``.

    Gradient descent on the squared loss of a model with a constant kernel converges iff ``0 < step < 2``.

    Parameters
    ----------
    network : Network
        Where training starts.
    x : array (N, n_0)
        Its inputs, one per row.
    relative : dict of str to float
        Proportions of the rates, one for each kind of matrix that trains; 0 freezes it.
    step : float
        Largest eigenvalue of the weighted kernel.

    Returns
    -------
    dict of str to array ()
        Rates for `train`.

    Raises
    ------
    ValueError
        No proportion for a kind of matrix that trains.

    Examples
    --------
    >>> from lorantk.theory import dynamics, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> rates = dynamics.sized_rates(network, jnp.array([[3.0, 4.0]]), {"W": 1.0}, 0.5)
    >>> round(float(rates["W"]), 6)
    0.02
    """
    relative = _by_kind(network, relative, "relative")
    top = jnp.linalg.eigvalsh(as_matrix(weighted_ntk(network, relative, x, outputs="full")))[-1]
    return {kind: step * value / top for kind, value in relative.items()}


def drift(K: Array, K_start: Array) -> Array:
    """Return ``‖K - K_start‖ / ‖K_start‖`` in the Frobenius norm, over all axes.

    Parameters
    ----------
    K, K_start : arrays of one shape
        Kernels at the end and at the start.

    Returns
    -------
    array ()
        The relative change.

    Examples
    --------
    >>> from lorantk.theory import dynamics
    >>> float(dynamics.drift(jnp.array([[3.0, 1.5]]), jnp.array([[3.0, 4.0]])))
    0.5
    """
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
    """Integrate ``dθ_p/dt = -η_p ∂L/∂θ_p`` from time 0 and return the network at each of the times.

    The integrator is SciPy's Dormand-Prince method of order 8. Gradient descent for T steps at rates ``η_p/T`` tends to the
    network at time 1 as T grows.

    Parameters
    ----------
    network : Network
        Where training starts.
    x : array (N, n_0)
        Inputs, one per row.
    y : array (N, C)
        Targets.
    rates : float or dict of str to float
        ``η_p``, as for `train`.
    times : array (T,)
        Ascending numbers of at least 0.
    loss : {"squared", "cross-entropy"}
        As for `train`.
    rtol : float
        Relative tolerance, and the absolute one.

    Returns
    -------
    list of T Networks
        The network at each time.

    Raises
    ------
    ValueError
        No rate for a kind of matrix that trains.
    RuntimeError
        The integrator stopped early.

    Examples
    --------
    ``dw/dt = 1 - w`` from ``w = 0`` gives ``w = 1 - e^{-t}``:

    >>> from lorantk.theory import dynamics, networks
    >>> network, one = networks.network_from_weights([[[0.0]]]), jnp.ones((1, 1))
    >>> times = np.array([np.log(4)])
    >>> [end] = dynamics.gradient_flow(network, one, one, rates=1.0, times=times)
    >>> round(float(end.layers[0].W[0, 0]), 4)
    0.75
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
    """Return ``y + exp(-K t)(f_0 - y)``: gradient flow on the squared loss while the weighted kernel K stays constant.

    Parameters
    ----------
    K : array (M, M)
        Weighted kernel, symmetric, laid out as by `lorantk.theory.kernels.as_matrix`.
    outputs : array (M,)
        ``f_0``, laid end to end in the same way.
    y : array (M,)
        Targets, likewise.
    time : float
        ``t``.

    Returns
    -------
    array (M,)
        Outputs at time t (Lee et al. 2019).

    Examples
    --------
    >>> from lorantk.theory import dynamics
    >>> K, time = jnp.diag(jnp.array([1.0, 2.0])), float(np.log(4))
    >>> outputs = dynamics.linear_flow(K, jnp.zeros(2), jnp.ones(2), time)
    >>> np.asarray(outputs).round(5).tolist()
    [0.75, 0.9375]
    """
    values, vectors = jnp.linalg.eigh(K)
    return y + vectors @ (jnp.exp(-values * time) * (vectors.T @ (outputs - y)))
