r"""Does a spectrum predict what an attacker gets? Information and attack objectives of many models, measured side by side.

A model is a network with adapters of one rank and variance, at ``B = 0`` and ``s = 1``, or the network trained in full. Its
spectrum is that of the exact Fisher matrix of the cross-entropy on clean samples; the objectives are the inner products of the
loss gradients of clean and of poisoned samples (equations 3 and 4 of the paper). The variance of A's entries is ``q/n``.
"""

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from lorantk.experiments.common.statistics import Interval, paired_interval
from lorantk.experiments.kernels import spectra
from lorantk.theory import fisher, information, objectives
from lorantk.theory.networks import Network, forward

# Names of the measures of a spectrum, with a function of the eigenvalues and of the regularisation.
MEASURES = {
    "½ trace": lambda v, tau: information.information_bits_as_printed(v),
    "½ log pdet": lambda v, tau: information.information_bits(v, unit="bits", tolerance=1e-11),
    "½ log det(I + F/τ)": lambda v, tau: information.regularised_information(v, tau=tau, unit="bits"),
    "printed, α = ½": lambda v, tau: information.renyi_as_printed(v, order=0.5, unit="bits", tolerance=1e-11),
    "printed, α = 2": lambda v, tau: information.renyi_as_printed(v, order=2, unit="bits", tolerance=1e-11),
    "normalised, α = 1": lambda v, tau: information.renyi(v, order=1, unit="bits", tolerance=1e-11),
    "normalised, α = 2": lambda v, tau: information.renyi(v, order=2, unit="bits", tolerance=1e-11),
}


def _factors(network: Network, batch: tuple[Array, Array], roles: dict[str, str]) -> objectives.Factors:
    """Return the factors of the loss gradients of the layers that are not frozen."""
    factors = objectives.loss_gradient_factors(network, *batch, loss="cross-entropy")
    return {name: pair for name, pair in factors.items() if roles[name] != "frozen"}


def measure_models(
    network: Network,
    clean: tuple[Array, Array],
    poisons: dict[str, tuple[Array, Array]],
    *,
    pattern: str,
    settings: list[tuple[int, float]],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Return spectrum and objectives of one network trained in full (first row) and with adapters (a row for each setting).

    Parameters
    ----------
    network
        The network; its own roles and adapters are not used.
    clean, poisons
        Inputs ``(N, n_0)`` and one-hot labels ``(N, C)`` of the clean samples, and of each kind of poisoned ones, by name.
    pattern
        One of `lorantk.experiments.kernels.spectra.PATTERNS`: which layers are adapted, and which train in full.
    settings
        Rank and ``q = σ_a² n`` of each model. Models of one rank share their draw of A up to its size.
    rng
        Source of A.

    Returns
    -------
    dict
        ``rank`` and ``q`` (NaN for full fine-tuning); each of `MEASURES`, with τ the mean eigenvalue of full fine-tuning; and for
        each kind of poison the means over all pairs ``"|objective|, kind"`` and ``"cos², kind"``.

    Raises
    ------
    ValueError
        Unknown pattern, or no kind of poison.
    """
    if not poisons:
        msg = "poisons must contain at least one kind of sample; got none"
        raise ValueError(msg)
    depth, (N, C) = len(network.layers), clean[1].shape
    roles = {f"W{l}": role for l, role in enumerate(spectra.roles(pattern, depth), 1)}
    grams = spectra.layer_grams(jax.tree.map(lambda leaf: leaf[None], network), clean[0][None])
    R = fisher.output_factor(forward(network, clean[0]), loss="cross-entropy", kind="exact")
    factors = {name: _factors(network, batch, roles) for name, batch in ({"clean": clean} | poisons).items()}
    drawn = {rank: spectra.standard_adapters(grams, rank, rng) for rank in dict.fromkeys(rank for rank, _ in settings)}
    rows, tau = [], None
    for rank, q in [(None, 1.0), *settings]:
        adapters = drawn.get(rank)
        K = spectra.kernel(grams, pattern, adapters, q)[0].reshape(N, C, N, C).transpose(0, 2, 1, 3)
        values = np.linalg.eigvalsh(fisher.dual_matrix(K, R, reduction="mean"))
        tau = values.mean() if tau is None else tau
        row = {"rank": np.nan if rank is None else rank, "q": np.nan if rank is None else q}
        row |= {name: float(function(values, tau)) for name, function in MEASURES.items()}
        matrices = [] if rank is None else zip(roles, adapters, strict=True)
        chosen = {name: (np.sqrt(q / G.shape[-1]), G[0]) for name, G in matrices if roles[name] == "lora"}
        left = objectives.adapt_factors(factors["clean"], chosen)
        for kind in poisons:
            right = objectives.adapt_factors(factors[kind], chosen)
            row[f"|objective|, {kind}"] = float(objectives.alignment(left, right, form="absolute").mean())
            row[f"cos², {kind}"] = float((objectives.alignment(left, right, form="cosine") ** 2).mean())
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def measure_networks(
    models: list[tuple[Network, tuple[Array, Array], dict[str, tuple[Array, Array]]]],
    *,
    pattern: str,
    settings: list[tuple[int, float]],
    seed: int,
) -> dict[str, np.ndarray]:
    """Return `measure_models` of several networks, each column of shape ``(networks, models)``.

    Parameters
    ----------
    models
        Network, clean and poisoned samples of each, as for `measure_models`.
    pattern, settings
        As for `measure_models`.
    seed
        Of A; it grows by one from network to network.

    Returns
    -------
    dict
        The columns of `measure_models`, where full fine-tuning has the last layer's number of inputs as its rank; and
        ``"scale c"``, the mean factor ``r q/n`` of that layer, 1 for full fine-tuning.
    """
    options = {"pattern": pattern, "settings": settings}
    rows = [measure_models(*model, **options, rng=np.random.default_rng(seed + k)) for k, model in enumerate(models)]
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    n = models[0][0].layers[-1].W.shape[1]
    full = np.isnan(table["q"])
    table["scale c"] = np.where(full, 1.0, table["rank"] * np.nan_to_num(table["q"]) / n)
    table["rank"] = np.where(full, n, table["rank"])
    return table


def agreement(predictor: Float[np.ndarray, "S M"], outcome: Float[np.ndarray, "S M"]) -> Interval:
    """Return Kendall's τ between a predictor and an outcome over M models: its mean over S networks, with a 95% interval.

    τ is the share of pairs of models that the two order alike, minus the share that they order oppositely; it is taken within
    each network, so that networks are the independent repeats.

    Raises
    ------
    ValueError
        Arrays of different or wrong shape, or fewer than two networks.
    """
    if predictor.shape != outcome.shape or predictor.ndim != 2 or len(predictor) < 2:
        msg = f"expected two arrays of one shape (networks > 1, models); got {predictor.shape} and {outcome.shape}"
        raise ValueError(msg)
    taus = np.array([stats.kendalltau(p, o).statistic for p, o in zip(predictor, outcome, strict=True)])
    return paired_interval(taus)
