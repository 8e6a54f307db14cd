r"""Fine-tune many networks at once and keep the whole trajectory of each run.

All runs of a call share shapes and form one jitted program. It maps over learning rates in parallel and over seeds one after
another, because a processor's caches hold the runs of one seed but not those of all. An adapter of rank below R is stored as one
of rank R whose extra rows of A are zero. With ``B = 0`` these stay zero under gradient descent and under Adam
(``0/(0 + ε) = 0``), so one compiled program serves every rank up to R.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from lorantk.choices import one_of
from lorantk.theory.networks import Network, forward, replace_parameters, trained_parameters

OPTIMISERS = ("sgd", "adam")


class Task(NamedTuple):
    """The data of one seed; a batch of tasks has a leading axis in every field.

    Attributes
    ----------
    x, y
        Training rows, poison included, and their labels.
    batches
        Rows of each step's batch, shape ``(steps, b)``.
    probe
        Training rows on which the training loss is measured.
    poison
        Poisoned training rows, padded to a common length, and ``poison_weight``, 1 for a row that counts and 0 for padding.
    x_validation, y_validation, x_test, y_test
        Clean images.
    x_stamped
        The test images with the trigger.
    victim
        Which test images are not of the target class.
    target
        The class that the trigger should produce.
    """

    x: Float[Array, "N n0"]
    y: Int[Array, " N"]
    batches: Int[Array, "steps b"]
    probe: Int[Array, " P"]
    poison: Int[Array, " Q"]
    poison_weight: Float[Array, " Q"]
    x_validation: Float[Array, "V n0"]
    y_validation: Int[Array, " V"]
    x_test: Float[Array, "M n0"]
    y_test: Int[Array, " M"]
    x_stamped: Float[Array, "M n0"]
    victim: Bool[Array, " M"]
    target: Int[Array, ""]


class Trajectory(NamedTuple):
    """What is recorded at each checkpoint; losses are mean cross-entropies in nats, the rest fractions of images.

    Attributes
    ----------
    train_loss
        On the probe rows, poison included.
    poison_loss, poison_fit
        On the poisoned rows: loss, and fraction classified as the poison says (the fraction memorised); 0 without poison.
    validation_loss, validation_accuracy, test_accuracy
        On clean images.
    success
        Attack success rate: fraction of the triggered test images *of other classes* that are classified as the target.
    base
        The same fraction without the trigger.
    """

    train_loss: Array
    poison_loss: Array
    poison_fit: Array
    validation_loss: Array
    validation_accuracy: Array
    test_accuracy: Array
    success: Array
    base: Array


def _losses(outputs, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), labels[:, None], axis=1)[:, 0]


def _mean(values, weights):
    return (values * weights).sum() / jnp.maximum(weights.sum(), 1)


def model(network: Network, *, linearised: bool) -> Callable[[dict[str, Array], Array], Array]:
    r"""Return outputs as a function of the trained matrices p and of inputs x.

    They are those of the network, ``f(p, x)``, or linearised at its start p₀: ``f(p₀, x) + ∂f(p₀, x)/∂p · (p - p₀)``.
    """
    start = trained_parameters(network)

    def outputs(parameters, x):
        return forward(replace_parameters(network, parameters), x)

    def first_order(parameters, x):
        moved = jax.tree.map(jnp.subtract, parameters, start)
        at_start, change = jax.jvp(lambda p: outputs(p, x), (start,), (moved,))
        return at_start + change

    return first_order if linearised else outputs


def measure(network: Network, task: Task) -> Trajectory:
    """Return the records of one network, each a number."""
    return _measure(partial(forward, network), task)


def _measure(outputs, task):
    sets = (task.x[task.probe], task.x[task.poison], task.x_validation, task.x_test, task.x_stamped)
    cuts = [sum(len(s) for s in sets[:k]) for k in range(1, len(sets))]
    probe, poison, validation, test, stamped = jnp.split(outputs(jnp.concatenate(sets)), cuts)
    dtype = probe.dtype
    share = lambda outputs, label, weights: _mean((outputs.argmax(1) == label).astype(dtype), weights)  # noqa: E731
    every = lambda labels: jnp.ones(len(labels), dtype)  # noqa: E731
    victim = task.victim.astype(dtype)
    return Trajectory(
        train_loss=_losses(probe, task.y[task.probe]).mean(),
        poison_loss=_mean(_losses(poison, task.y[task.poison]), task.poison_weight),
        poison_fit=share(poison, task.y[task.poison], task.poison_weight),
        validation_loss=_losses(validation, task.y_validation).mean(),
        validation_accuracy=share(validation, task.y_validation, every(task.y_validation)),
        test_accuracy=share(test, task.y_test, every(task.y_test)),
        success=share(stamped, task.target, victim),
        base=share(test, task.target, victim),
    )


def _run(network, task, rate, multipliers, *, optimiser, checkpoints, linearised):
    direction = optax.scale_by_adam() if optimiser == "adam" else optax.identity()
    outputs = model(network, linearised=linearised)

    def loss(parameters, rows):
        return _losses(outputs(parameters, task.x[rows]), task.y[rows]).mean()

    def step(t, carry):
        parameters, state = carry
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam raises a float to its integer step count
            updates, state = direction.update(jax.grad(loss)(parameters, task.batches[t]), state, parameters)
        moved = {name: p - rate * multipliers[name] * updates[name] for name, p in parameters.items()}
        return moved, state

    def segment(carry, ends):
        carry = jax.lax.fori_loop(ends[0], ends[1], step, carry)
        return carry, _measure(partial(outputs, carry[0]), task)

    start = trained_parameters(network)
    ends = jnp.asarray([(a, b) for a, b in zip((0, *checkpoints), checkpoints, strict=False)])
    return jax.lax.scan(segment, (start, direction.init(start)), ends)[1]


@partial(jax.jit, static_argnames=("optimiser", "checkpoints", "linearised"))
def _runs(networks, tasks, rates, multipliers, *, optimiser, checkpoints, linearised):
    run = partial(_run, optimiser=optimiser, checkpoints=checkpoints, linearised=linearised)
    over_rates = jax.vmap(run, in_axes=(None, None, 0, None))
    return jax.lax.map(lambda seed: over_rates(*seed, rates, multipliers), (networks, tasks))


def fine_tune(
    networks: Network,
    tasks: Task,
    rates: Float[Array, " R"],
    *,
    optimiser: str,
    checkpoints: tuple[int, ...],
    multipliers: dict[str, float] | None = None,
    linearised: bool = False,
) -> Trajectory:
    r"""Train every network at every rate on the mean cross-entropy of its batches and record the trajectories.

    Each step is ``θ_p ← θ_p - η m_p u_p``, with u_p the gradient (``"sgd"``) or Adam's direction with its usual constants.

    Parameters
    ----------
    networks, tasks
        One for each seed, stacked along a first axis.
    rates
        Learning rates η.
    optimiser
        One of `OPTIMISERS`.
    checkpoints
        Ascending numbers of steps after which to measure; 0 is before training.
    multipliers
        Factors ``m_p`` for single matrices, by their name in `lorantk.theory.networks.trained_parameters`; 1 if not given.
    linearised
        Train the first order of each network about its start instead of the network, see `model`.

    Returns
    -------
    Trajectory
        Arrays of shape ``(seeds, R, len(checkpoints))``. A run that diverged has NaN or infinity from then on.

    Raises
    ------
    ValueError
        Unknown optimiser or matrix, or checkpoints that do not ascend or exceed the number of batches.
    """
    one_of("optimiser", optimiser, OPTIMISERS)
    steps = tasks.batches.shape[1]
    if list(checkpoints) != sorted(set(checkpoints)) or not 0 <= checkpoints[0] <= checkpoints[-1] <= steps:
        msg = f"checkpoints must ascend from at least 0 to at most {steps}, the number of batches; got {checkpoints}"
        raise ValueError(msg)
    names = trained_parameters(networks)
    if unknown := set(multipliers or {}) - set(names):
        msg = f"multipliers must name matrices that train ({', '.join(names)}); got {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    dtype = tasks.x.dtype
    factors = {name: jnp.asarray((multipliers or {}).get(name, 1.0), dtype) for name in names}
    return _runs(
        networks, tasks, jnp.asarray(rates, dtype), factors, optimiser=optimiser, checkpoints=tuple(checkpoints),
        linearised=linearised,
    )  # fmt: skip
