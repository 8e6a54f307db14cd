r"""How far kernels move in training: stacks of networks of one width, trained by one scheme to a share of their loss.

Networks are ``64 → n → n → 1`` without biases, ReLU, in the standard parameterisation with ``σ_w² = 2``. A scheme says which
layers carry an adapter (none: every layer trains in full), how A starts, and the ratio of the learning rates of A and B.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory import dynamics
from lorantk.theory.laziness import KernelChange, kernel_change
from lorantk.theory.networks import Layer, Network, forward

FRACTION = 0.1  # share of the loss at which training stops
BUDGET = 1000  # largest number of steps


@dataclass(frozen=True)
class Scheme:
    """What trains.

    Attributes
    ----------
    adapted
        Layers with an adapter, some of 2 and 3; all others are frozen. Where empty, every layer trains in full.
    variance
        ``σ_a²``, the variance of A's entries at the start, by width; PEFT's default where left out.
    ratio
        ``η_A/η_B`` by width; 0 freezes A.
    """

    adapted: tuple[int, ...] = ()
    variance: Callable[[int], float] = lambda n: 1 / (3 * n)
    ratio: Callable[[int], float] = lambda n: 1.0

    def relative_rates(self, n: int) -> dict[str, float]:
        """Return the proportions of the rates at width n, by kind of matrix."""
        return {"W": 1.0, "A": self.ratio(n), "B": 1.0}


def sample_networks(
    scheme: Scheme, n: int, *, count: int, seed: int, rank: int, rows: int | None = None, activation: str = "relu"
) -> Network:
    """Draw networks of width n, stacked along the first axis of every array: the same ones for every scheme.

    All schemes with adapters, and all ranks up to ``rows``, give arrays of the same shapes, so that one program serves them: an
    adapter of scale 0 is none, and rows of A that are 0, with the columns of B that belong to them, never move.

    Parameters
    ----------
    scheme
        What trains.
    n
        Width.
    count
        ``S``, the number of networks.
    seed
        Seed of the weights; with another width the networks are others.
    rank
        ``r``.
    rows
        Number of rows of A that are drawn; those beyond the rank are set to 0. As many as the rank where None.
    activation
        As for `lorantk.theory.networks.init_network`.
    """
    rng, rows = np.random.default_rng((seed, n)), rows or rank
    layers = []
    for l, (m, k) in enumerate(((n, 64), (n, n), (1, n)), 1):
        W = rng.standard_normal((count, m, k)) * np.sqrt(2 / k)
        A = np.sqrt(scheme.variance(n)) * rng.standard_normal((count, rows, k))
        A[:, rank:] = 0
        if not scheme.adapted:
            layers.append(Layer(W))
        elif l == 1:
            layers.append(Layer(W, role="frozen"))
        else:
            layers.append(Layer(W, A, np.zeros((count, m, rows)), np.full(count, float(l in scheme.adapted)), "lora"))
    return Network(tuple(layers), activation)


@partial(jax.jit, static_argnames="budget")
def _journeys(networks, x, y, relative, step, budget):
    one = partial(kernel_change, x=x, y=y, relative=relative, step=step, fraction=FRACTION, steps=budget)
    return jax.vmap(lambda network: one(network))(networks)


def journeys(
    scheme: Scheme,
    n: int,
    x: Float[Array, "N n0"],
    y: Float[Array, "N 1"],
    *,
    step: float,
    count: int,
    seed: int,
    rank: int,
    rows: int | None = None,
    budget: int = BUDGET,
) -> KernelChange:
    """Train networks of one scheme and width to a tenth of their loss; compare the kernels at both ends.

    Parameters
    ----------
    scheme, n, count, seed, rank, rows
        As for `sample_networks`.
    x, y
        Inputs and targets.
    step
        ``κ``, the largest eigenvalue of the starting weighted kernel, to which the rates are sized.
    budget
        Largest number of steps.

    Returns
    -------
    KernelChange
        See `lorantk.theory.laziness.KernelChange`; arrays of shape ``(S,)``.
    """
    networks = sample_networks(scheme, n, count=count, seed=seed, rank=rank, rows=rows)
    return _journeys(networks, x, y, scheme.relative_rates(n), step, budget)


class FlowDistances(NamedTuple):
    """Distance of the outputs from those of gradient flow, over how far the flow moved them, see `flow_distances`."""

    descent: np.ndarray
    linear: float


def flow_distances(
    scheme: Scheme,
    n: int,
    x: Float[Array, "N n0"],
    y: Float[Array, "N 1"],
    *,
    steps: Sequence[float],
    number: int,
    seed: int,
    rank: int,
    time: float = 8.0,
) -> FlowDistances:
    """Compare gradient flow of one tanh network with gradient descent, and with the linear model of its starting kernel.

    Parameters
    ----------
    scheme, n, seed, rank
        As for `sample_networks`.
    x, y
        Inputs and targets.
    steps
        Step sizes ``κ`` of gradient descent, for ``time/κ`` steps each.
    number
        Which network: the last of ``number + 1`` that are drawn.
    time
        Time of the flow, in units in which the starting weighted kernel has the largest eigenvalue 1.
    """
    stack = sample_networks(scheme, n, count=number + 1, seed=seed, rank=rank, activation="tanh")
    network = jax.tree.map(lambda leaf: jnp.asarray(leaf[number]), stack)
    rates = dynamics.sized_rates(network, x, scheme.relative_rates(n), 1.0)
    (end,) = dynamics.gradient_flow(network, x, y, rates=rates, times=[time])
    flow, start = forward(end, x), forward(network, x)

    def distance(outputs):
        return float(jnp.linalg.norm(outputs - flow) / jnp.linalg.norm(flow - start))

    descent = []
    for step in steps:
        sized = {kind: step * rate for kind, rate in rates.items()}
        descent.append(distance(forward(dynamics.train(network, x, y, rates=sized, steps=round(time / step)).network, x)))
    kernel = dynamics.weighted_ntk(network, rates, x, outputs="trace")
    linear = dynamics.linear_flow(kernel, start.ravel(), y.ravel(), time)
    return FlowDistances(np.array(descent), distance(linear[:, None]))
