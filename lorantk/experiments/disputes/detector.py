"""Detectors of poisoned adapters: logistic regression on spectral statistics, judged on seeds that it has not seen."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LEAST_SEEDS = 8


class Scores(NamedTuple):
    """Scores of the clean and the poisoned adapters of the seeds that judge, both of shape ``(seeds,)``; above 0: poisoned."""

    clean: np.ndarray
    poisoned: np.ndarray


def held_out_scores(
    clean: Float[np.ndarray, "seeds p"],
    poisoned: Float[np.ndarray, "seeds p"],
    *,
    judged: tuple[Float[np.ndarray, "seeds p"], Float[np.ndarray, "seeds p"]] | None = None,
) -> Scores:
    """Fit a detector to the adapters of the even seeds and return the scores of those of the odd ones.

    Parameters
    ----------
    clean, poisoned
        Statistics of the adapters, a row for each seed. They are standardised; the penalty is scikit-learn's default.
    judged
        Clean and poisoned adapters of the same seeds, whose odd ones are scored instead.

    Raises
    ------
    ValueError
        Arrays of different shapes, or fewer seeds than `LEAST_SEEDS`.
    """
    score = (clean, poisoned) if judged is None else judged
    shapes = {np.shape(array) for array in (clean, poisoned, *score)}
    if len(shapes) != 1 or len(clean) < LEAST_SEEDS:
        msg = f"expected arrays of one shape with at least {LEAST_SEEDS} seeds; got {sorted(shapes)}"
        raise ValueError(msg)
    fitted = np.concatenate([clean[::2], poisoned[::2]])
    labels = np.repeat([0, 1], len(clean[::2]))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(fitted, labels)
    return Scores(*(model.decision_function(adapters[1::2]) for adapters in score))


def auc_by_seed(scores: Scores) -> Float[np.ndarray, " seeds"]:
    """Return numbers, one for each seed, of which the mean is the area under the ROC curve (AUC).

    The AUC is the chance that a poisoned adapter scores higher than a clean one; ties count half. A seed's number is the chance
    with its poisoned adapter, plus that with its clean one, less the AUC. Their standard error is DeLong's for paired samples.
    """
    wins = (np.sign(scores.poisoned[:, None] - scores.clean) + 1) / 2
    return wins.mean(axis=1) + wins.mean(axis=0) - wins.mean()


def roc(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """Return false-alarm and detection rates over all thresholds, both ascending from 0 to 1."""
    cuts = np.concatenate([[np.inf], np.sort(np.concatenate(scores))[::-1]])
    return tuple(np.array([(values >= cut).mean() for cut in cuts]) for values in scores)


def alarms_at(scores: Scores, detection: float) -> float:
    """Return the lowest false-alarm rate at which at least this share of the poisoned adapters is found."""
    false, true = roc(scores)
    return float(false[true >= detection][0])
