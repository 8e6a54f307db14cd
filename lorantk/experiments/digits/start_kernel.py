"""How well the start kernel predicts training: measured effects of poison beside predicted ones and beside baselines.

Measured and predicted effects are tables as `lorantk.experiments.digits.frozen` makes them, of one model and arm each. Orders are
compared by Kendall's τ between means over seeds, sizes by R².
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from lorantk.experiments.digits import frozen, prediction
from lorantk.experiments.digits.frozen import CONFIGURATION

MEASURED, LOSS = "measured", "final training loss"
FEATURES = 64  # inputs of both adapted layers
CONFIGURATIONS = 12  # of rank, scale and variance, in the sweeps


def beside(measured: pd.DataFrame, predictions: Mapping[str, pd.DataFrame], quantity: str) -> pd.DataFrame:
    """Return measured and predicted effects of the configurations that trained, and were predicted to train, in every table.

    Parameters
    ----------
    measured, predictions
        Tables of one model and arm each, with the same seeds; the predictions by name.
    quantity
        ``"drop"`` or ``"lift"``.

    Returns
    -------
    DataFrame
        A row for each `CONFIGURATION` without a diverged run and with a clean accuracy of at least 0.6 throughout; columns
        ``(name, seed)``, of `MEASURED`, of each prediction, and of `LOSS`, that of the measured runs on clean data.
    """
    every = {MEASURED: measured} | dict(predictions)
    usable = {name: found[frozen.usable(found)] for name, found in every.items()}
    tables = {name: frozen.by_configuration(found, quantity) for name, found in usable.items()}
    tables[LOSS] = frozen.by_configuration(usable[MEASURED], "loss")
    return pd.concat(tables, axis=1, join="inner")


def settings(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield regime and optimiser, and their rows of `beside`."""
    yield from table.groupby(level=["regime", "optimiser"], sort=False)


def complete_rates(table: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame]]:
    """Yield each learning rate at which every configuration of the sweeps is in the table, and its rows; of one setting."""
    for rate, rows in table.groupby(level="rate"):
        if len(rows) == CONFIGURATIONS:
            yield rate, rows


def means(table: pd.DataFrame, seeds: Sequence[int] | None = None) -> pd.DataFrame:
    """Return the mean over seeds, or over some of them, by name."""
    chosen = slice(None) if seeds is None else list(seeds)
    return table.loc[:, (slice(None), chosen)].T.groupby(level=0, sort=False).mean().T


def known(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what is known of each configuration without a kernel: rank, ``c = s² r σ_a²``, rate and their product c η."""
    rank, scale, variance, rate = (table.index.get_level_values(name).to_numpy(float) for name in CONFIGURATION[2:])
    c = scale**2 * rank * variance / FEATURES
    return {"rank r": rank, "c": c, "rate η": rate, "c η": c * rate}


def taus(table: pd.DataFrame, seeds: Sequence[int] | None = None) -> dict[str, float]:
    """Return Kendall's τ of every prediction, of the loss and of what is `known` with the measured effect."""
    every = means(table, seeds)
    others = {name: every[name].to_numpy() for name in every if name != MEASURED} | known(table)
    return {name: prediction.kendall(other, every[MEASURED].to_numpy()) for name, other in others.items()}


def shuffled_tau(table: pd.DataFrame, name: str, rng: np.random.Generator, *, times: int = 20) -> float:
    """Return the mean τ of a prediction that is given to another configuration at the same rate: a control."""
    every = means(table)
    by_rate = every.groupby(level="rate")[name]
    others = [by_rate.transform(lambda column: rng.permutation(column.to_numpy())) for _ in range(times)]
    return float(np.mean([prediction.kendall(other, every[MEASURED]) for other in others]))


def determinations(table: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """Return R² of the named predictions, which have the size of the measured effect."""
    every = means(table)
    return {name: prediction.determination(every[MEASURED], every[name]) for name in names}
