"""Variants of LoRA on the digits: other starts and other rates of the factors, tuned like plain LoRA."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from lorantk.choices import one_of
from lorantk.experiments.common.protocols import tuned
from lorantk.experiments.common.results import Result
from lorantk.experiments.digits import training
from lorantk.experiments.digits.cell import Cell
from lorantk.experiments.digits.finetune import fine_tune
from lorantk.experiments.digits.sweeps import POISON, RATES, SIZES
from lorantk.theory.networks import Layer, Network

STARTS = {"principal": "PiSSA", "minor": "MiLoRA"}
FASTER = 16.0  # rate of B over that of A in LoRA+
VARIANTS = ("principal", "minor", "faster B")
REGIMES = ("one epoch", "memorising")
ATTACKS = ("clean", "flips", "patch")
COLUMNS = ("variant", "regime", "seed", "accuracy", "drop", "lift", "diverged")


def from_singular_vectors(layer: Layer, which: str) -> Layer:
    """Start an adapter from singular vectors of the weight: ``s B A`` is their part of W, and the rest of W is frozen.

    Parameters
    ----------
    layer
        A layer with an adapter of rank r, of which the role, the scale and the shapes are kept.
    which
        ``"principal"``: the r largest singular values (PiSSA). ``"minor"``: the r smallest (MiLoRA).

    Raises
    ------
    ValueError
        Another word.
    """
    one_of("which", which, STARTS)
    rank = layer.A.shape[0]
    U, sigma, Vt = jnp.linalg.svd(layer.W, full_matrices=False)
    kept = slice(0, rank) if which == "principal" else slice(len(sigma) - rank, len(sigma))
    root = jnp.sqrt(sigma[kept] / layer.scale)
    A, B = root[:, None] * Vt[kept], U[:, kept] * root[None, :]
    return replace(layer, W=layer.W - layer.scale * B @ A, A=A, B=B)


def start(network: Network, variant: str) -> Network:
    """Return the start of a variant from that of plain LoRA."""
    if variant not in STARTS:
        return network
    hidden = [from_singular_vectors(layer, variant) for layer in network.layers[:-1]]
    return replace(network, layers=(*hidden, network.layers[-1]))


def cell(regime: str, attack: str, *, seeds: int | None = None) -> Cell:
    """Return the cell of plain LoRA under Adam, of the sweep `arms`."""
    size = SIZES["default"]
    rows, steps = size[regime]
    poison = POISON[attack].get(regime, 0.0)
    return Cell(regime, "adam", attack, "lora", RATES["adam"], seeds or size["seeds"], rows, steps, poison)


def run(variant: str, plain: Cell) -> Result:
    """Train a variant as a cell of plain LoRA is trained."""
    networks = jax.vmap(lambda network: start(network, variant))(training.networks(plain))
    factors = {"B1": FASTER, "B2": FASTER} if variant == "faster B" else {}
    found = fine_tune(
        networks, training.tasks(plain), np.asarray(plain.rates), optimiser=plain.optimiser, checkpoints=plain.checkpoints,
        multipliers=factors,
    )  # fmt: skip
    return Result(plain, {name: np.asarray(array) for name, array in found._asdict().items()}, {})


def outcomes(results: dict[str, Result]) -> dict[str, np.ndarray]:
    """Return accuracy, drop, lift and the number of diverged points, seed by seed, with rate and step tuned for each attack."""
    clean, flips, patch = (tuned(results[attack]) for attack in ATTACKS)
    accuracy = clean.records["test_accuracy"]
    return {
        "accuracy": accuracy,
        "drop": accuracy - flips.records["test_accuracy"],
        "lift": patch.records["success"] - clean.records["success"],
        "diverged": clean.diverged.astype(int) + flips.diverged + patch.diverged,
    }


def parts() -> Iterator[tuple[str, str]]:
    """Yield variants and regimes."""
    yield from product(VARIANTS, REGIMES)


def rows_of(variant: str, regime: str, *, seeds: int | None = None) -> list[dict]:
    """Train a variant in one regime, with every attack, and return a row of `COLUMNS` for each seed."""
    found = outcomes({attack: run(variant, cell(regime, attack, seeds=seeds)) for attack in ATTACKS})
    place = {"variant": variant, "regime": regime}
    return [place | {"seed": k} | {name: v[k].item() for name, v in found.items()} for k in range(len(found["drop"]))]
