r"""Measured spectra of the kernels of full fine-tuning and of LoRA over a grid, for the chapters on the two inequalities.

At ``B = 0`` both kernels are sums over layers of ``⟨δˡ_c, δˡ_c'⟩ hᵀ M h'``, with ``M = I`` for a layer trained in full and
``M = AᵀA`` for an adapted one (s = 1). The variance of A's entries is ``σ_a² = q/n`` in a layer with n inputs, so that q = 1 is
the paper's condition and ``q = 1/3`` PEFT's default. Every draw has inputs, weights and A of its own.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lorantk.choices import one_of
from lorantk.experiments.digits.data import digits
from lorantk.theory import dynamics
from lorantk.theory.kernels import as_full_fine_tuning, as_matrix, backward_states, ntk
from lorantk.theory.networks import Layer, Network, default_weight_variance, hidden_states

# Which layers carry adapters; the others train in full, or not at all where only the head trains.
PATTERNS = ("every layer", "all but layer 1", "head only")


class Setting(NamedTuple):
    """One network family and data set: hidden width, number of layers, activation, ``"gaussian"`` or ``"digits"``, N and C."""

    width: int = 64
    depth: int = 3
    activation: str = "relu"
    data: str = "gaussian"
    inputs: int = 12
    outputs: int = 2


# One choice changed at a time.
SETTINGS = {
    "base": Setting(),
    "width 4": Setting(width=4),
    "width 16": Setting(width=16),
    "width 256": Setting(width=256),
    "depth 2": Setting(depth=2),
    "depth 5": Setting(depth=5),
    "erf": Setting(activation="erf"),
    "linear": Setting(activation="identity"),
    "digits": Setting(data="digits"),
    "digits, erf": Setting(data="digits", activation="erf"),
}


class Grams(NamedTuple):
    """Per layer: ``⟨δˡ_c(x), δˡ_c'(x')⟩``, shape ``(draws, N C, N C)``, and ``hˡ⁻¹``, shape ``(draws, N, n_{l-1})``."""

    backward: list[np.ndarray]
    forward: list[np.ndarray]


def roles(pattern: str, depth: int) -> tuple[str, ...]:
    """Return each layer's role under LoRA, as `lorantk.theory.adapters.adapt` takes it.

    Raises
    ------
    ValueError
        Unknown pattern.
    """
    one_of("pattern", pattern, PATTERNS)
    below = {"every layer": "lora", "all but layer 1": "full", "head only": "frozen"}[pattern]
    inside = "frozen" if pattern == "head only" else "lora"
    return tuple(below if l == 0 else inside for l in range(depth - 1)) + ("lora",)


def draw(setting: Setting, draws: int, rng: np.random.Generator) -> tuple[Network, np.ndarray]:
    """Draw networks, stacked along a first axis, and as many sets of inputs, shape ``(draws, N, 64)``, each of norm 8."""
    if setting.data == "digits":
        images = digits()[0]
        x = images[np.stack([rng.choice(len(images), setting.inputs, replace=False) for _ in range(draws)])]
    else:
        x = rng.normal(size=(draws, setting.inputs, 64))
        x *= 8 / np.linalg.norm(x, axis=-1, keepdims=True)
    widths = (64, *[setting.width] * (setting.depth - 1), setting.outputs)
    variance = default_weight_variance(setting.activation)
    weights = [rng.normal(scale=np.sqrt(variance / n), size=(draws, m, n)) for n, m in pairwise(widths)]
    return Network(tuple(Layer(jnp.asarray(W)) for W in weights), setting.activation), x


@jax.jit
@partial(jax.vmap, in_axes=(0, 0))
def _states(network, x):
    hs, ys = hidden_states(network, x)
    rows = [delta.reshape(-1, delta.shape[-1]) for delta in backward_states(network, ys)]
    return [delta @ delta.T for delta in rows], hs


def layer_grams(networks: Network, x: np.ndarray) -> Grams:
    """Return what every kernel at ``B = 0`` is made of; networks and inputs stacked as by `draw`."""
    backward, forward = _states(networks, x)
    return Grams([np.asarray(D) for D in backward], [np.asarray(h) for h in forward])


def standard_adapters(grams: Grams, rank: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw for each layer ``√n A`` of standard Gaussian entries: A's variance is then q/n after a factor √q."""
    return [rng.normal(size=(h.shape[0], rank, h.shape[-1])) for h in grams.forward]


def kernel(grams: Grams, pattern: str, adapters: list[np.ndarray] | None = None, q: float = 1.0) -> np.ndarray:
    """Return the kernels, shape ``(draws, N C, N C)``: LoRA's, or those of full fine-tuning where ``adapters`` is None.

    Full fine-tuning trains the layers that LoRA trains or adapts.

    Parameters
    ----------
    grams, adapters
        From `layer_grams` and `standard_adapters`.
    pattern
        One of `PATTERNS`.
    q
        ``σ_a² n``.

    Raises
    ------
    ValueError
        Unknown pattern.
    """
    total = 0.0
    for l, role in enumerate(roles(pattern, len(grams.forward))):
        D, h = grams.backward[l], grams.forward[l]
        if role == "frozen":
            continue
        if role == "lora" and adapters is not None:
            h = np.sqrt(q / h.shape[-1]) * h @ adapters[l].transpose(0, 2, 1)
        C = D.shape[-1] // h.shape[1]
        total = total + D * (h @ h.transpose(0, 2, 1)).repeat(C, axis=1).repeat(C, axis=2)
    return total


def adapter_tops(adapters: list[np.ndarray]) -> list[np.ndarray]:
    """Return the largest eigenvalue of ``AᵀA/q`` in each layer, shape ``(draws,)``."""
    return [np.linalg.eigvalsh(G @ G.transpose(0, 2, 1))[:, -1] / G.shape[-1] for G in adapters]


def largest_m_delta(tops: list[np.ndarray], pattern: str, q: float) -> np.ndarray:
    """Return the largest eigenvalue of ``M_Δ = AᵀA - I`` over the adapted layers, shape ``(draws,)``, from `adapter_tops`."""
    adapted = [top for top, role in zip(tops, roles(pattern, len(tops)), strict=True) if role == "lora"]
    return q * np.max(adapted, axis=0) - 1


def sweep(
    setting: Setting, *, patterns: tuple[str, ...], ranks: tuple[int, ...], qs: tuple[float, ...], draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the spectra of both kernels at the start, for each pattern, rank up to the width, q and draw.

    Parameters
    ----------
    setting, draws
        What is drawn, and how many of it, see `draw`.
    patterns, ranks, qs
        Some of `PATTERNS`, values of r, and values of ``q = σ_a² n``.
    seed
        Of the draws, and of A.

    Returns
    -------
    dict
        Columns of equal length: ``pattern``, ``rank``, ``q``, ``draw``, ``m_delta`` (see `largest_m_delta`), ``least`` (smallest
        eigenvalue of ``K_ff - K_lora`` over the largest of ``K_ff``), and ``ff`` and ``lora``, eigenvalues in ascending order,
        shape ``(rows, N C)``.
    """
    rng = np.random.default_rng(seed)
    grams = layer_grams(*draw(setting, draws, rng))
    rows = {name: [] for name in ("pattern", "rank", "q", "draw", "m_delta", "least", "ff", "lora")}
    full = {pattern: kernel(grams, pattern) for pattern in patterns}
    spectra = {pattern: np.linalg.eigvalsh(K) for pattern, K in full.items()}
    for rank in (r for r in ranks if r <= setting.width):
        adapters = standard_adapters(grams, rank, rng)
        tops = adapter_tops(adapters)
        for pattern in patterns:
            for q in qs:
                K = kernel(grams, pattern, adapters, q)
                rows["pattern"] += [pattern] * draws
                rows["rank"] += [rank] * draws
                rows["q"] += [q] * draws
                rows["draw"] += range(draws)
                rows["m_delta"] += list(largest_m_delta(tops, pattern, q))
                rows["least"] += list(np.linalg.eigvalsh(full[pattern] - K)[:, 0] / spectra[pattern][:, -1])
                rows["ff"] += list(spectra[pattern])
                rows["lora"] += list(np.linalg.eigvalsh(K))
    return {name: np.array(column) for name, column in rows.items()}


def survey(
    names: tuple[str, ...], *, patterns: tuple[str, ...], ranks: tuple[int, ...], qs: tuple[float, ...], draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the `sweep` of several of `SETTINGS`, end to end, in a unit of the loss natural to each pair.

    Parameters
    ----------
    names
        Keys of `SETTINGS`.
    patterns, ranks, qs, draws, seed
        As for `sweep`; the seed grows by one from setting to setting.

    Returns
    -------
    dict
        The columns of `sweep`, with ``ff`` and ``lora`` divided by the mean eigenvalue of full fine-tuning; ``setting``; and
        ``inside``, whether ``M_Δ ⪯ 0`` in every adapted layer.
    """
    options = {"patterns": patterns, "ranks": ranks, "qs": qs, "draws": draws}
    parts = [sweep(SETTINGS[name], **options, seed=seed + i) for i, name in enumerate(names)]
    rows = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
    unit = rows["ff"].mean(axis=1, keepdims=True)
    settings = np.repeat(names, [len(part["rank"]) for part in parts])
    return rows | {"ff": rows["ff"] / unit, "lora": rows["lora"] / unit, "setting": settings, "inside": rows["m_delta"] <= 0}


def atlas(
    rows: dict[str, np.ndarray],
    trained: dict[str, dict[str, np.ndarray]],
    readings: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]],
) -> dict[tuple[str, str], list[float]]:
    """Return the share of pairs in which each reading of an inequality holds, by pattern and setting.

    Parameters
    ----------
    rows
        From `survey`; only pairs with ``M_Δ ⪯ 0`` count.
    trained
        `trained_spectra` by pattern. Adds, for each, LoRA against full fine-tuning at the same weights and at its own.
    readings
        Functions of the spectra of full fine-tuning and of LoRA, each of shape ``(pairs, N C)``, to ``(pairs,)`` truth values.

    Returns
    -------
    dict
        For each pattern and setting the shares, in the order of ``readings``.
    """
    table = {}
    for pattern in dict.fromkeys(rows["pattern"]):
        pairs = {}
        for name in dict.fromkeys(rows["setting"]):
            chosen = rows["inside"] & (rows["setting"] == name) & (rows["pattern"] == pattern)
            pairs[name] = rows["ff"][chosen], rows["lora"][chosen]
        for at, name in (("same", "trained, same weights"), ("ff", "trained, own weights")):
            unit = trained[pattern][at].mean(axis=1, keepdims=True)
            pairs[name] = trained[pattern][at] / unit, trained[pattern]["lora"] / unit
        for name, pair in pairs.items():
            table[str(pattern), str(name)] = [float(np.mean(holds(*pair))) for holds in readings.values()]
    return table


class Moments(NamedTuple):
    """Means over Gaussian A: ``E tr K²`` and ``E (tr K)²``, each of shape ``(draws,)``."""

    square: np.ndarray
    trace: np.ndarray


def second_moments(grams: Grams, pattern: str, rank: int, q: float) -> Moments:
    r"""Return the second moments of LoRA's kernel over Gaussian A, exactly, for each network in ``grams``.

    An adapted layer adds ``D_ij hᵢᵀAᵀA h_j``, of mean ``c D_ij G_ij`` with ``G_ij = hᵢᵀh_j`` and ``c = r q/n``. By Isserlis'
    theorem the variance of an entry is ``(c²/r) D_ij² (G_ii G_jj + G_ij²)``, that of the trace ``(2c²/r) Σ_ij D_ii D_jj G_ij²``;
    layers are independent, so variances add.
    """
    mean, square, trace = 0.0, 0.0, 0.0
    for l, role in enumerate(roles(pattern, len(grams.forward))):
        D, h = grams.backward[l], grams.forward[l]
        C = D.shape[-1] // h.shape[1]
        G = (h @ h.transpose(0, 2, 1)).repeat(C, axis=1).repeat(C, axis=2)
        c = rank * q / h.shape[-1]
        mean = mean + {"full": 1.0, "lora": c, "frozen": 0.0}[role] * D * G
        if role == "lora":
            diagonal, d = (np.diagonal(M, axis1=1, axis2=2) for M in (G, D))
            square = square + c**2 / rank * (D**2 * (diagonal[:, :, None] * diagonal[:, None, :] + G**2)).sum((1, 2))
            trace = trace + 2 * c**2 / rank * (d[:, :, None] * d[:, None, :] * G**2).sum((1, 2))
    return Moments((mean**2).sum((1, 2)) + square, np.trace(mean, axis1=1, axis2=2) ** 2 + trace)


def order_two(
    grams: Grams, pattern: str, *, ranks: tuple[int, ...], qs: np.ndarray, draws: int, rng: np.random.Generator
) -> dict[tuple[str, str], np.ndarray]:
    """Return LoRA's entropy of order 2 minus that of full fine-tuning, in bits, over rank and variance.

    Parameters
    ----------
    grams
        From `layer_grams`; the first network counts.
    pattern
        One of `PATTERNS`.
    ranks, qs
        Values of r and of ``q = σ_a² n``.
    draws, rng
        How many Gaussian A for each rank, and their source. All variances share the draws.

    Returns
    -------
    dict
        By form, ``"printed"`` or ``"normalised"``, and side, ``"measured"`` (mean over the draws) or ``"closed form"`` (logarithm
        of the exact mean, see `second_moments`): differences of shape ``(qs, ranks)``.
    """
    K = kernel(grams, pattern)[0]
    square, size = (K**2).sum(), np.trace(K)
    base = {"printed": -np.log2(square), "normalised": -np.log2(square / size**2)}
    cells = {(form, side): np.empty((len(qs), len(ranks))) for form in base for side in ("measured", "closed form")}
    for j, rank in enumerate(ranks):
        adapters = [rng.normal(size=(draws, rank, h.shape[-1])) for h in grams.forward]
        for i, q in enumerate(qs):
            L, mean = kernel(grams, pattern, adapters, q), second_moments(grams, pattern, rank, q)
            square, size = (L**2).sum((1, 2)), np.trace(L, axis1=1, axis2=2)
            here = {
                ("printed", "measured"): np.mean(-np.log2(square)),
                ("normalised", "measured"): np.mean(-np.log2(square / size**2)),
                ("printed", "closed form"): -np.log2(mean.square[0]),
                ("normalised", "closed form"): -np.log2(mean.square[0] / mean.trace[0]),
            }
            for (form, side), value in here.items():
                cells[form, side][i, j] = value - base[form]
    return cells


def _only(network: Network, trained: tuple[str, ...]) -> Network:
    """Merge the adapters and train in full exactly the layers whose role is not ``"frozen"``."""
    merged = as_full_fine_tuning(network)
    layers = (replace(layer, role="frozen" if r == "frozen" else "full") for layer, r in zip(merged.layers, trained, strict=True))
    return replace(merged, layers=tuple(layers))


def trained_spectra(
    setting: Setting, *, pattern: str, rank: int, q: float, steps: int, step: float, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """Return the spectra after training on Gaussian targets, by gradient descent on the squared loss.

    Full fine-tuning and LoRA train at one rate for all matrices, ``step`` over the largest eigenvalue of the kernel of full
    fine-tuning at the start.

    Parameters
    ----------
    setting, draws, seed
        As for `sweep`.
    pattern, rank, q
        One of `PATTERNS`, r and ``σ_a² n``.
    steps, step
        Number of steps, and the rate in the unit above.

    Returns
    -------
    dict
        ``lora``: LoRA's kernel at its trained weights; ``same``: the kernel of full fine-tuning at those same weights, adapters
        merged; ``ff``: that of full fine-tuning at the weights that it reached itself; each of shape ``(draws, N C)``, ascending.
        ``m_delta`` at the start, and ``loss_lora`` and ``loss_ff``, the last loss over the first; shape ``(draws,)``.
    """
    rng = np.random.default_rng(seed)
    networks, x = draw(setting, draws, rng)
    grams = layer_grams(networks, x)
    adapters = standard_adapters(grams, rank, rng)
    y = jnp.asarray(rng.normal(size=(draws, setting.inputs, setting.outputs)))
    trained = roles(pattern, setting.depth)
    rates = jnp.asarray(step / np.linalg.eigvalsh(kernel(grams, pattern))[:, -1])
    layers = []
    for layer, role, G in zip(networks.layers, trained, adapters, strict=True):
        if role == "lora":
            A, B = jnp.sqrt(q / G.shape[-1]) * G, jnp.zeros((draws, layer.W.shape[1], rank))
            layer = replace(layer, A=A, B=B, scale=jnp.ones(draws))
        layers.append(replace(layer, role=role))
    lora = replace(networks, layers=tuple(layers))
    full = _only(networks, trained)

    @jax.jit
    @jax.vmap
    def run(network, x, y, rate):
        result = dynamics.train(network, x, y, rates=rate, steps=steps)
        kernels = [as_matrix(ntk(n, x, outputs="full")) for n in (result.network, _only(result.network, trained))]
        return [jnp.linalg.eigvalsh(K) for K in kernels], result.losses[-1] / result.losses[0]

    (at_lora, same), loss_lora = run(lora, x, y, rates)
    (at_ff, _), loss_ff = run(full, x, y, rates)
    columns = {"lora": at_lora, "same": same, "ff": at_ff, "loss_lora": loss_lora, "loss_ff": loss_ff}
    return {"m_delta": largest_m_delta(adapter_tops(adapters), pattern, q)} | {name: np.asarray(c) for name, c in columns.items()}
