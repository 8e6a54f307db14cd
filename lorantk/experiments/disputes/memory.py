"""How many random labels a low-rank change of one linear map fits, beside the dimension ``r (d + k - r)`` of such changes."""

from collections.abc import Iterator
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.optimize import least_squares

INPUTS, CLASSES, STEPS, SEEDS = 16, 8, 3000, 10
RANKS = (1, 2, 4)
LOADS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # labels over dimension
RATES = (0.01, 0.1)
COLUMNS = ("rank", "load", "labels", "seed", "fitted")


def dimension(rank: int, inputs: int = INPUTS, classes: int = CLASSES) -> int:
    """Return ``r (d + k - r)``, the dimension of the matrices of rank r."""
    return rank * (inputs + classes - rank)


def problem(rank: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs ``(N, d)``, labels ``(N,)``, ``W_0`` of shape ``(k, d)`` and the start of A, ``(r, d)``, all at random."""
    rng = np.random.default_rng([seed, rank, labels])
    x = rng.standard_normal((labels, INPUTS))
    W, A = (rng.standard_normal((n, INPUTS)) / np.sqrt(INPUTS) for n in (CLASSES, rank))
    return x, rng.integers(CLASSES, size=labels), W, A


@partial(jax.jit, static_argnames="steps")
def _fit(x, y, W, A, rate, *, steps):
    optimiser = optax.adam(rate)
    factors = {"A": A, "B": jnp.zeros((len(W), len(A)), A.dtype)}

    def outputs(factors):
        return x @ (W + factors["B"] @ factors["A"]).T

    def loss(factors):
        return optax.softmax_cross_entropy_with_integer_labels(outputs(factors), y).mean()

    def step(_, carry):
        factors, state = carry
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(jax.grad(loss)(factors), state)
        return optax.apply_updates(factors, updates), state

    factors, _ = jax.lax.fori_loop(0, steps, step, (factors, optimiser.init(factors)))
    return (outputs(factors).argmax(1) == y).mean(dtype=x.dtype)


def fitted(rank: int, labels: int, *, seeds: int = SEEDS, steps: int = STEPS) -> np.ndarray:
    """Return the share of the labels that training fits, the better of the two rates, for each seed."""
    every = [problem(rank, labels, seed) for seed in range(seeds)]
    x, y, W, A = (jnp.asarray(np.stack(part)) for part in zip(*every, strict=True))
    fit = jax.vmap(jax.vmap(partial(_fit, steps=steps), in_axes=(0, 0, 0, 0, None)), in_axes=(None, None, None, None, 0))
    dtype = jnp.zeros(()).dtype
    return np.asarray(fit(x.astype(dtype), y, W.astype(dtype), A.astype(dtype), jnp.asarray(RATES, dtype))).max(axis=0)


def misfit(rank: int, labels: int, seed: int) -> float:
    """Return what is left of random labels after a least-squares fit from LoRA's start, as a share of their squares.

    Label a is normal, and its output is ``⟨G_a, BA⟩`` with a Gaussian matrix ``G_a`` of shape ``(k, d)``: the linearised loss of
    LoRA on Gaussian features. ``A`` starts at random and ``B`` at 0; both are fitted by a trust-region method, in float64.
    """
    rng = np.random.default_rng([seed, rank, labels])
    G, y = rng.standard_normal((labels, CLASSES, INPUTS)), rng.standard_normal(labels)
    start = np.concatenate([np.zeros(CLASSES * rank), rng.standard_normal(rank * INPUTS) / np.sqrt(INPUTS)])

    def factors(x):
        return x[: CLASSES * rank].reshape(CLASSES, rank), x[CLASSES * rank :].reshape(rank, INPUTS)

    def misses(x):
        B, A = factors(x)
        return G.reshape(labels, -1) @ (B @ A).ravel() - y

    def derivative(x):
        B, A = factors(x)
        return np.concatenate([(G @ A.T).reshape(labels, -1), (B.T @ G).reshape(labels, -1)], axis=1)

    found = least_squares(misses, start, derivative, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=300)
    return float(2 * found.cost / (y @ y))


def parts() -> Iterator[tuple[int, float]]:
    """Yield ranks and loads."""
    yield from product(RANKS, LOADS)


def rows_of(rank: int, load: float, *, seeds: int = SEEDS) -> list[dict]:
    """Fit random labels at one rank and load and return a row of `COLUMNS` for each seed."""
    labels = round(load * dimension(rank))
    place = {"rank": rank, "load": load, "labels": labels}
    return [place | {"seed": k, "fitted": float(share)} for k, share in enumerate(fitted(rank, labels, seeds=seeds))]
