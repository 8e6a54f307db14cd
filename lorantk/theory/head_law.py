"""The exact law over A of what an adapted head predicts when it fits its labels without a ridge.

A head trains by ``B`` alone, with A frozen, from ``B = 0``, to the solution of least norm. Its features are ``Φ`` on the training
inputs, N × n of rank q, and h on a new input; ``K = ΦΦᵀ``, with pseudo-inverse ``K⁺``, and ``h⊥`` is the part of h outside the
row space of Φ. Full fine-tuning of the head predicts ``f = hᵀΦᵀK⁺y``. For Gaussian A with ``r ≥ q`` rows LoRA predicts

    ``f + |h⊥| √(yᵀK⁺y / ν) · t_ν``,   ``ν = r - q + 1``,

t_ν of Student's law. Neither the scale nor the variance of A matters. The mean exists for ``r ≥ q + 1``, the variance for
``r ≥ q + 2``. Labels y are counted from the starting outputs, as in `linearised`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from lorantk.choices import one_of

ROWS = ("gaussian", "orthonormal")


class HeadLaw(NamedTuple):
    """Student's law of the prediction, from `head_law`: ``mean + scale · t_freedom``.

    Attributes
    ----------
    mean : array (T,)
        What full fine-tuning predicts.
    scale : array (T,)
        ``|h⊥| √(yᵀK⁺y / ν)``.
    freedom : int
        ``ν = r - q + 1``.
    """

    mean: np.ndarray
    scale: np.ndarray
    freedom: int


class _Split(NamedTuple):
    """Full fine-tuning's predictions, ``|h⊥|²``, ``yᵀK⁺y``, ``tr K⁺`` and the rank q."""

    mean: np.ndarray
    outside: np.ndarray
    energy: float
    noise_energy: float
    dimension: int


def _split(features, h, y):
    features, h, y = (np.asarray(value, dtype=float) for value in (features, h, y))
    if features.ndim != 2 or h.shape[-1:] != features.shape[1:] or y.shape != features.shape[:1]:
        msg = f"expected features (N, n), new features (T, n) and labels (N,); got {features.shape}, {h.shape} and {y.shape}"
        raise ValueError(msg)
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    positive = singular > max(features.shape) * np.finfo(float).eps * singular.max(initial=0)
    left, singular, right = left[:, positive], singular[positive], right[positive]
    inside = h @ right.T
    solved = left.T @ y / singular
    outside = ((h - inside @ right) ** 2).sum(axis=-1)
    return _Split(inside @ solved, outside, float(solved @ solved), float(np.sum(singular**-2.0)), singular.size)


def head_law(features: Float[np.ndarray, "N n"], h: Float[np.ndarray, "T n"], y: Float[np.ndarray, " N"], rank: int) -> HeadLaw:
    """Return the law over Gaussian A of an adapted head's predictions, without a ridge.

    Parameters
    ----------
    features : array (N, n)
        ``Φ``, inputs of the head on the training data.
    h : array (T, n)
        The same on new inputs.
    y : array (N,)
        Labels of one output, counted from the starting outputs.
    rank : int
        ``r ≥ q``, q the rank of Φ.

    Returns
    -------
    HeadLaw
        The law of each prediction. Predictions on several inputs are not independent, see `head_covariance`.

    Raises
    ------
    ValueError
        A rank below q, where LoRA cannot fit what full fine-tuning fits, or shapes that do not match.

    Examples
    --------
    One training input, and a new one orthogonal to it: full fine-tuning predicts 0, LoRA ``t_r / √r``.

    >>> from lorantk.theory import head_law
    >>> law = head_law.head_law(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), np.array([1.0]), 4)
    >>> law.mean.tolist(), law.scale.tolist(), law.freedom
    ([0.0], [0.5], 4)
    """
    found = _split(features, h, y)
    freedom = rank - found.dimension + 1
    if freedom < 1:
        msg = f"the law needs r of at least the rank q of the features; got r={rank} and q={found.dimension}"
        raise ValueError(msg)
    return HeadLaw(found.mean, np.sqrt(found.outside * found.energy / freedom), freedom)


def spread_factor(rank: int, dimension: int, features: int, *, rows: str) -> float:
    """Return the factor on ``|h⊥|² yᵀK⁺y`` that gives the variance of an adapted head's prediction.

    ``1/(r - q - 1)`` for Gaussian A; ``(n - r)/((n - q)(r - q - 1))`` for A with orthonormal rows (up to scale), uniformly
    distributed, where it vanishes at ``r = n``.

    Parameters
    ----------
    rank : int
        ``r ≥ q + 2``, and at most n for orthonormal rows.
    dimension : int
        ``q``, rank of the training features.
    features : int
        ``n``, larger than q for orthonormal rows; does not matter for Gaussian A.
    rows : {"gaussian", "orthonormal"}
        The law of A.

    Returns
    -------
    float
        The factor.

    Raises
    ------
    ValueError
        Another law, or sizes at which there is no variance.

    Examples
    --------
    >>> from lorantk.theory import head_law
    >>> [round(head_law.spread_factor(20, 10, 30, rows=rows), 4) for rows in ("gaussian", "orthonormal")]
    [0.1111, 0.0556]
    """
    one_of("rows", rows, ROWS)
    if rank < dimension + 2:
        msg = f"the variance needs r >= q + 2; got r={rank} and q={dimension}"
        raise ValueError(msg)
    if rows == "gaussian":
        return 1 / (rank - dimension - 1)
    if not rank <= features:
        msg = f"orthonormal rows need r <= n; got r={rank} and n={features}"
        raise ValueError(msg)
    return (features - rank) / ((features - dimension) * (rank - dimension - 1))


def head_covariance(
    features: Float[np.ndarray, "N n"], h: Float[np.ndarray, "T n"], y: Float[np.ndarray, "N c"], rank: int, *, rows: str
) -> Float[np.ndarray, "T c T c"]:
    """Return the covariance over A of an adapted head's predictions on T inputs and c outputs, without a ridge.

    ``Cov(f̂_c(x), f̂_c'(x')) = ⟨h⊥, h'⊥⟩ · y_cᵀK⁺y_c' · factor``, with `spread_factor`; all outputs share A.

    Parameters
    ----------
    features : array (N, n)
        ``Φ``.
    h : array (T, n)
        Features of the new inputs.
    y : array (N, c)
        Labels, counted from the starting outputs.
    rank : int
        ``r ≥ q + 2``.
    rows : {"gaussian", "orthonormal"}
        The law of A.

    Returns
    -------
    array (T, c, T, c)
        The covariance.

    Examples
    --------
    >>> from lorantk.theory import head_law
    >>> Phi, h, y = np.array([[1.0, 0.0]]), np.array([[5.0, 1.0]]), np.array([[2.0]])
    >>> float(head_law.head_covariance(Phi, h, y, 6, rows="gaussian")[0, 0, 0, 0])
    1.0
    """
    features, h, y = (np.asarray(value, dtype=float) for value in (features, h, y))
    pseudo = np.linalg.pinv(features)
    outside = h - h @ pseudo @ features
    factor = spread_factor(rank, np.linalg.matrix_rank(features), features.shape[1], rows=rows)
    solved = pseudo @ y
    return factor * np.einsum("in,jn,pc,pd->icjd", outside, outside, solved, solved, optimize=True)


def label_energies(features: Float[np.ndarray, "N n"], y: Float[np.ndarray, " N"]) -> tuple[float, float]:
    """Return ``yᵀK⁺y``, the squared norm of the solution that fits y, and ``tr K⁺``, its mean over labels tossed by coin.

    Parameters
    ----------
    features : array (N, n)
        ``Φ``.
    y : array (N,)
        Labels; ±1 for the comparison of the two.

    Returns
    -------
    float, float
        The two energies.

    Examples
    --------
    Two similar inputs with unlike labels are harder to fit than coin tosses are on average:

    >>> from lorantk.theory import head_law
    >>> Phi = np.linalg.cholesky(np.array([[1.0, 0.5], [0.5, 1.0]]))
    >>> [round(value, 4) for value in head_law.label_energies(Phi, np.array([1.0, -1.0]))]
    [4.0, 2.6667]
    """
    found = _split(features, np.zeros((1, np.shape(features)[1])), y)
    return found.energy, found.noise_energy


def flip_excess(
    features: Float[np.ndarray, "N n"],
    h: Float[np.ndarray, "T n"],
    y: Float[np.ndarray, " N"],
    rank: int,
    *,
    share: float,
    rows: str,
) -> Float[np.ndarray, " T"]:
    """Return by how much flips raise the mean squared error of an adapted head more than that of full fine-tuning.

    ``4p(1 - p) |h⊥|² (tr K⁺ - yᵀK⁺y) · factor``, with `spread_factor`, for a head that starts at 0 and labels ±1 that flip
    independently with probability p. Independent noise of variance σ² on the labels gives ``σ² |h⊥|² tr K⁺ · factor`` instead,
    which is never negative.

    Parameters
    ----------
    features : array (N, n)
        ``Φ``.
    h : array (T, n)
        Features of the new inputs.
    y : array (N,)
        Clean labels, ±1.
    rank : int
        ``r ≥ q + 2``.
    share : float
        ``p``, between 0 and 1.
    rows : {"gaussian", "orthonormal"}
        The law of A.

    Returns
    -------
    array (T,)
        The excess on each new input, in the mean over A and flips.

    Raises
    ------
    ValueError
        Labels other than ±1, or a share outside [0, 1].

    Examples
    --------
    >>> from lorantk.theory import head_law
    >>> Phi, h = np.eye(3)[:2], np.eye(3)[2:]
    >>> head_law.flip_excess(2 * Phi, h, np.array([1.0, 1.0]), 5, share=0.5, rows="gaussian").tolist()
    [0.0]
    """
    if not np.all(np.abs(y) == 1) or not 0 <= share <= 1:
        msg = f"expected labels of 1 and -1 and a share between 0 and 1; got labels {np.unique(y)[:3]} and {share}"
        raise ValueError(msg)
    found = _split(features, h, y)
    factor = spread_factor(rank, found.dimension, np.shape(features)[1], rows=rows)
    return 4 * share * (1 - share) * factor * found.outside * (found.noise_energy - found.energy)
