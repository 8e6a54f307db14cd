"""Ensembles of random networks in NumPy: many small draws of many widths, for which JAX would compile a program per width.

Draws and kernels are those of `lorantk.theory.laws` and `lorantk.theory.kernels`, of networks with one output, at ``B = 0``.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy import special

from lorantk.theory.laws import check_draw

# The activations of `lorantk.theory.networks`, each with its derivative.
SLOPED = {
    "relu": (lambda y: np.maximum(y, 0.0), lambda y: np.where(y > 0, 1.0, 0.0)),
    "erf": (special.erf, lambda y: 2 / np.sqrt(np.pi) * np.exp(-(y**2))),
    "tanh": (np.tanh, lambda y: 1 - np.tanh(y) ** 2),
    "identity": (lambda y: y, np.ones_like),
}


def draw_matrices(
    law: str, count: int, shape: tuple[int, int], variance: float, *, rng: np.random.Generator
) -> Float[np.ndarray, "S m n"]:
    """Draw S independent matrices, each as `lorantk.theory.laws.sample_matrix` draws one.

    Parameters
    ----------
    law : str
        One of `lorantk.theory.laws.LAWS`.
    count : int
        ``S``.
    shape : tuple of int
        ``(m, n)``; the orthonormal law needs ``m ≤ n``.
    variance : float
        Variance of each entry, ``v > 0``.
    rng : numpy.random.Generator
        Source of the randomness.

    Returns
    -------
    array (S, m, n)
        The matrices.

    Raises
    ------
    ValueError
        Unknown law, variance that is not positive and finite, or more orthonormal rows than columns.

    Examples
    --------
    >>> from lorantk.theory import ensembles
    >>> rng = np.random.default_rng(0)
    >>> A = ensembles.draw_matrices("rademacher", 3, (2, 5), 0.25, rng=rng)
    >>> A.shape, sorted(set(A.ravel().tolist()))
    ((3, 2, 5), [-0.5, 0.5])
    """
    check_draw(law, shape, variance)
    size, deviation = (count, *shape), math.sqrt(variance)
    if law == "gaussian":
        return deviation * rng.standard_normal(size)
    if law == "kaiming-uniform":
        return rng.uniform(-math.sqrt(3) * deviation, math.sqrt(3) * deviation, size)
    if law == "rademacher":
        return deviation * rng.choice((-1.0, 1.0), size)
    Q, R = np.linalg.qr(rng.standard_normal(size).mT)
    # With R's diagonal made positive, Q is unique and hence Haar distributed.
    return deviation * math.sqrt(shape[1]) * (Q * np.sign(np.linalg.diagonal(R))[:, None, :]).mT


def ensemble_terms(
    weights: Sequence[Float[np.ndarray, "S m n"]],
    x: Float[np.ndarray, "N n0"],
    *,
    activation: str,
    maps: Sequence[Float[np.ndarray, "S r n"] | None] | None = None,
) -> Float[np.ndarray, "S L N N"]:
    """Return each layer's term of the kernels of S networks with one output: ``⟨δˡ, δ'ˡ⟩ ⟨Mˡhˡ⁻¹, Mˡh'ˡ⁻¹⟩``.

    In the standard parameterisation; the sum over layers is the kernel (equation 2 of the paper).

    Parameters
    ----------
    weights : sequence of L arrays (S, n_l, n_{l-1})
        ``(W¹, …, Wᴸ)``, with ``n_L = 1``.
    x : array (N, n_0)
        Inputs, one per row.
    activation : str
        A key of `SLOPED`.
    maps : sequence of L arrays (S, r, n_{l-1}) or None, optional
        ``Mˡ`` for each layer: None for the identity (a layer that trains in full), ``s Aˡ`` for an adapter at ``B = 0``, and 0
        for a frozen layer. All None where left out.

    Returns
    -------
    array (S, L, N, N)
        The terms.

    Examples
    --------
    Two networks ``w·relu(x)`` at once:

    >>> from lorantk.theory import ensembles
    >>> first, x = np.stack([np.eye(2)] * 2), np.array([[3.0, 4.0]])
    >>> second = np.array([[[1.0, 2.0]], [[0.0, 1.0]]])
    >>> terms = ensembles.ensemble_terms([first, second], x, activation="relu")
    >>> terms[:, :, 0, 0].tolist()
    [[125.0, 25.0], [25.0, 25.0]]
    """
    sigma, slope = SLOPED[activation]
    hs, ys = [x], []
    for W in weights:
        ys.append(hs[-1] @ W.mT)
        hs.append(sigma(ys[-1]))
    terms, delta = [], np.ones_like(ys[-1])
    for l in reversed(range(len(weights))):
        v = hs[l] if maps is None or maps[l] is None else hs[l] @ maps[l].mT
        terms.append((delta @ delta.mT) * (v @ v.mT))
        if l:
            delta = (delta @ weights[l]) * slope(ys[l - 1])
    return np.stack(terms[::-1], axis=1)
