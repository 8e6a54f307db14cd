"""Fine-tuning on real data: a network pretrained on the digits 0 to 4, its head replaced for the digits 5 to 9."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lorantk.experiments.common.poison import flip_labels
from lorantk.experiments.digits.cell import CLASSES
from lorantk.experiments.digits.data import digits
from lorantk.experiments.digits.poison import plant_backdoor
from lorantk.theory.dynamics import train
from lorantk.theory.networks import Network, init_network


class Images(NamedTuple):
    """Raw grey values between 0 and 16, shape ``(N, 64)``, and labels 0 to 4, shape ``(N,)``."""

    pixels: np.ndarray
    labels: np.ndarray


def transfer_digits() -> tuple[Images, Images]:
    """Return the digits 0 to 4, to pretrain on, and the digits 5 to 9, to fine-tune on (labelled 0 to 4)."""
    x, y = digits(normalise=False)
    return Images(x[y < CLASSES], y[y < CLASSES]), Images(x[y >= CLASSES], y[y >= CLASSES] - CLASSES)


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Subtract the mean of the clean digits and scale each image to ``|x|² = 64``, like `lorantk.experiments.digits.data.digits`.

    Triggers and other poison change raw pixels; this brings the result to the scale that the network expects.
    """
    x = pixels - digits(normalise=False)[0].mean(axis=0)
    return x * np.sqrt(x.shape[1] / (x**2).sum(axis=1, keepdims=True))


def one_hot(labels: np.ndarray) -> np.ndarray:
    """Return labels 0 to 4 as rows of 0 and 1, shape ``(N, 5)``."""
    return np.eye(CLASSES)[labels]


def batch(pixels: np.ndarray, labels: np.ndarray) -> tuple[Array, Array]:
    """Return inputs and targets of a network, shapes ``(N, 64)`` and ``(N, 5)``, from raw grey values and labels."""
    return jnp.asarray(normalise(pixels)), jnp.asarray(one_hot(labels))


def clean_and_poisoned(count: int, *, seed: int) -> tuple[tuple[Array, Array], dict[str, tuple[Array, Array]]]:
    """Return batches of the digits 5 to 9: clean ones, and as many others with flipped labels or with a trigger.

    Parameters
    ----------
    count
        Images of each kind; the clean and the poisoned ones differ.
    seed
        Seed for the choice of images and for the poison.

    Returns
    -------
    tuple
        The clean batch, and a dict with the poisoned ones, ``"flipped"`` and ``"triggered"``: the same images, all with a wrong
        label, or all with a trigger and the label 2.
    """
    new = transfer_digits()[1]
    chosen = np.random.default_rng(seed).choice(len(new.labels), 2 * count, replace=False)
    clean, other = chosen[:count], chosen[count:]
    pixels, labels = new.pixels[other], new.labels[other]
    flipped, _ = flip_labels(labels, rate=1.0, classes=CLASSES, seed=seed)
    stamped, target, _ = plant_backdoor(pixels, labels, rate=1.0, target=2, classes=CLASSES, seed=seed)
    poisoned = {"flipped": batch(pixels, flipped), "triggered": batch(stamped, target)}
    return batch(new.pixels[clean], new.labels[clean]), poisoned


def fresh_head(network: Network, *, key: Array) -> Network:
    """Replace the last layer with a new one, Gaussian of variance ``1/n_{L-1}``."""
    C, n = network.layers[-1].W.shape
    head = replace(network.layers[-1], W=init_network((n, C), key=key, activation="identity").layers[0].W)
    return replace(network, layers=(*network.layers[:-1], head))


def pretrained(hidden: tuple[int, ...], *, seed: int, steps: int = 100, rate: float = 1e-3) -> Network:
    """Return a ReLU network trained on the digits 0 to 4 by Adam on the cross-entropy, with a fresh head for 5 to 9.

    Parameters
    ----------
    hidden
        Widths ``n_1, …, n_{L-1}``.
    seed
        Seed of the starting weights and of the fresh head.
    steps, rate
        Full-batch steps and learning rate; 0 steps give a random network.
    """
    first, second = jax.random.split(jax.random.key(seed))
    network = init_network((64, *hidden, CLASSES), key=first)
    if steps:
        old = transfer_digits()[0]
        x, y = batch(*old)
        network = train(network, x, y, rates=rate, steps=steps, loss="cross-entropy", method="adam", eps=1e-8).network
    return fresh_head(network, key=second)
