"""Fine-tune a BERT on sentences, in full or through adapters, with AdamW as PyTorch has it, and measure it on the way.

Arrays are a flat dictionary by name, in two parts: those that train and those that do not. An adapter of the map ``name`` is
``name.A`` of shape (r, n) and ``name.B`` of shape (m, r); its scale s is the entry ``"scale"``. It is never merged into W.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from lorantk.experiments.language.bert import HEAD, Architecture, classify, fresh_head, linear_names, plain
from lorantk.experiments.language.cell import CLASSES, Run
from lorantk.experiments.language.text import Tokens

# AdamW at rate 1, with the weight decay that is PyTorch's default and which the paper's authors use.
AdamW = optax.adamw(1.0, weight_decay=0.01)
GROUP = 8  # batches whose sentences are sorted by length together
STEP = 4  # lengths are padded to multiples of this
AT_ONCE = 128  # sentences that are classified at a time


class State(NamedTuple):
    """Arrays that train, arrays that do not, and what AdamW remembers of the first."""

    trained: dict[str, Array]
    frozen: dict[str, Array]
    memory: optax.OptState


def linear(parameters: dict, name: str, v: Float[Array, "... n"]) -> Float[Array, "... m"]:
    """Return ``W v + b + s B A v``, or ``W v + b`` where there is no adapter."""
    y = plain(parameters, name, v)
    if f"{name}.A" not in parameters:
        return y
    return y + parameters["scale"] * ((v @ parameters[f"{name}.A"].T) @ parameters[f"{name}.B"].T)


def logits(
    architecture: Architecture, parameters: dict, ids: Int[Array, "N T"], lengths: Int[Array, " N"]
) -> Float[Array, "N C"]:
    """Return the logits of token ids with the given lengths."""
    mask = jnp.arange(ids.shape[1])[None] < lengths[:, None]
    return classify(partial(linear, parameters), architecture, ids, mask)


def adapters(parameters: dict, names, *, rank: int, variance: float, key) -> dict[str, Array]:
    """Draw adapters for linear maps: A uniform with variance ``variance / n``, as PEFT draws it, and B = 0."""
    found = {}
    for name, one in zip(names, jax.random.split(key, len(names)), strict=True):
        m, n = parameters[f"{name}.weight"].shape
        bound = np.sqrt(3 * variance / n)
        found[f"{name}.A"] = jax.random.uniform(one, (rank, n), jnp.float32, -bound, bound)
        found[f"{name}.B"] = jnp.zeros((m, rank), jnp.float32)
    return found


def start(architecture: Architecture, pretrained: dict, run: Run, key) -> State:
    """Return the arrays of a run before training.

    Parameters
    ----------
    architecture, pretrained
        The pretrained model and its arrays.
    run
        Its arm, adapter and head.
    key
        JAX random key of head and adapters.
    """
    of_head, of_factors = jax.random.split(key)
    head = fresh_head(architecture, classes=CLASSES, key=of_head)
    if run.arm == "full":
        trained, frozen = dict(pretrained) | head, {}
    else:
        names = linear_names(architecture.layers) + ((HEAD,) if run.head == "adapter" else ())
        factors = adapters(pretrained | head, names, rank=run.rank, variance=run.variance, key=of_factors)
        fixed = {name: array for name, array in factors.items() if run.arm == "lora-fa" and name.endswith(".A")}
        frozen = pretrained | fixed | {"scale": jnp.float32(run.scale)} | (head if run.head == "adapter" else {})
        trained = {name: array for name, array in (factors | head).items() if name not in frozen}
    return State(trained, frozen, AdamW.init(trained))


def cross_entropy(outputs: Float[Array, "N C"], labels: Int[Array, " N"]) -> Float[Array, " N"]:
    """Return the cross-entropy of each row, in nats."""
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), labels[:, None], axis=1)[:, 0]


@partial(jax.jit, static_argnames="architecture", donate_argnames=("trained", "memory"))
def step(architecture, trained, frozen, memory, rate, ids, lengths, labels):
    """Take one step of AdamW on the mean cross-entropy of a batch; return the arrays, the memory and the loss before it."""

    def loss(trained):
        return cross_entropy(logits(architecture, frozen | trained, ids, lengths), labels).mean()

    value, gradient = jax.value_and_grad(loss)(trained)
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to its integer step count
        updates, memory = AdamW.update(gradient, memory, trained)
    return {name: array + rate * updates[name] for name, array in trained.items()}, memory, value


_logits = partial(jax.jit, static_argnames="architecture")(logits)


def padded(tokens: Tokens) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids padded to the next multiple of `STEP`, so that few shapes are compiled, and lengths."""
    longest = STEP * -(-int(tokens.lengths.max()) // STEP)
    ids = tokens.ids[:, :longest]
    return np.pad(ids, ((0, 0), (0, longest - ids.shape[1]))), tokens.lengths


def predict(architecture: Architecture, parameters: dict, tokens: Tokens) -> Float[np.ndarray, "N C"]:
    """Return the logits of any number of sentences, which are classified in groups of like length."""
    order = np.argsort(tokens.lengths, kind="stable")
    found = np.empty((len(order), CLASSES), dtype=np.float32)
    for k in range(0, len(order), AT_ONCE):
        rows = order[k : k + AT_ONCE]
        filled = np.resize(rows, AT_ONCE)  # a last group is filled up, as each shape is compiled
        found[rows] = np.asarray(_logits(architecture, parameters, *padded(tokens.rows(filled))))[: len(rows)]
    return found


def batches(lengths: Int[np.ndarray, " N"], *, size: int, steps: int, seed: int) -> Iterator[Int[np.ndarray, " b"]]:
    """Yield the rows of each batch: every epoch in a new random order, in which neighbours have like lengths.

    Parameters
    ----------
    lengths
        Lengths of the *clean* sentences, so that the batches do not depend on the poison.
    size, steps
        Rows of a batch, and number of batches.
    seed
        Seed of the orders.
    """
    rng = np.random.default_rng(seed)
    done = 0
    while done < steps:
        order = rng.permutation(len(lengths))
        groups = [order[k : k + GROUP * size] for k in range(0, len(order), GROUP * size)]
        rows = np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])
        for k in rng.permutation(len(rows) // size)[: steps - done]:
            yield rows[k * size : (k + 1) * size]
            done += 1
