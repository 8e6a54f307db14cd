"""Predictions of a linearised network, and with them what poison does: ``f = k φ(K) y``, linear in the labels.

A model that is linear in its parameters, ``f(x) = f_0(x) + g(x)ᵀθ``, and trains on the squared error ``½ Σ_i (f(x_i) - y_i)²``
from ``θ = 0``, predicts ``f - f_0 = k φ(K) (y - f_0)``. Here K is the kernel of the training rows, k that of new rows with
them, and φ a function of the eigenvalues of K which says how one trains: to the minimum of the loss plus ``½ λ|θ|²``, along the
gradient flow for a time, or by a number of steps of gradient descent. Labels ``y`` are counted from ``f_0`` throughout.

LoRA with A frozen, on the last layer, is such a model. In other layers its linearisation at ``B = 0`` is one. Other labels y'
change every prediction by ``k φ(K) (y' - y)``, exactly.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float

from lorantk.theory.information import rounding_tolerance

Filter = Callable[[np.ndarray], np.ndarray]


def _check_at_least(value, least, name):
    if not value >= least:
        msg = f"{name} must be at least {least}; got {value}"
        raise ValueError(msg)


def ridge_filter(ridge: float) -> Filter:
    """Return ``φ(z) = 1/(z + λ)``: the minimum of ``½ Σ_i (f(x_i) - y_i)² + ½ λ|θ|²``.

    Parameters
    ----------
    ridge : float
        ``λ > 0``, in the units of the kernel.

    Returns
    -------
    callable
        φ, of an array of eigenvalues.

    Raises
    ------
    ValueError
        A ridge that is not positive.

    Examples
    --------
    >>> from lorantk.theory import linearised
    >>> linearised.ridge_filter(1.0)(np.array([0.0, 1.0])).tolist()
    [1.0, 0.5]
    """
    if not ridge > 0:
        msg = f"ridge must be positive, use interpolation_filter without one; got {ridge}"
        raise ValueError(msg)
    return lambda z: 1 / (z + ridge)


def flow_filter(time: float) -> Filter:
    """Return ``φ(z) = (1 - e^{-tz})/z``, of value t at 0: gradient flow for a time t.

    Parameters
    ----------
    time : float
        ``t ≥ 0``: steps times learning rate.

    Returns
    -------
    callable
        φ, of an array of eigenvalues.

    Raises
    ------
    ValueError
        A negative time.

    Examples
    --------
    >>> from lorantk.theory import linearised
    >>> linearised.flow_filter(2.0)(np.array([0.0, 1.0])).round(4).tolist()
    [2.0, 0.8647]
    """
    _check_at_least(time, 0, "time")
    return lambda z: np.where(z > 0, -np.expm1(-time * z) / np.where(z > 0, z, 1.0), time)


def descent_filter(rate: float, steps: int) -> Filter:
    """Return ``φ(z) = (1 - (1 - ηz)ᵀ)/z``, of value ηT at 0: T steps of gradient descent on all rows.

    Parameters
    ----------
    rate : float
        ``η ≥ 0``.
    steps : int
        ``T ≥ 0``.

    Returns
    -------
    callable
        φ, of an array of eigenvalues.

    Raises
    ------
    ValueError
        A negative rate or number of steps.

    Examples
    --------
    One step has ``φ = η``, whatever the eigenvalue; two have ``η(2 - ηz)``.

    >>> from lorantk.theory import linearised
    >>> z = np.array([0.0, 1.0, 4.0])
    >>> [linearised.descent_filter(0.5, steps)(z).tolist() for steps in (1, 2)]
    [[0.5, 0.5, 0.5], [1.0, 0.75, 0.0]]
    """
    _check_at_least(rate, 0, "rate")
    _check_at_least(steps, 0, "steps")

    def apply(z):
        small = rate * z < 0.5  # where 1 - (1 - ηz)ᵀ would cancel
        accurate = -np.expm1(steps * np.log1p(-np.where(small, rate * z, 0.0)))
        share = np.where(small, accurate, 1 - (1 - rate * z) ** steps)
        return np.where(z > 0, share / np.where(z > 0, z, 1.0), rate * steps)

    return apply


def interpolation_filter() -> Filter:
    """Return ``φ(z) = 1/z``, and 0 at eigenvalues that are 0 to rounding: no ridge, or infinite time.

    The prediction is then that of least norm ``|θ|`` among those of least loss.

    Returns
    -------
    callable
        φ, of an array of eigenvalues along the last axis.

    Examples
    --------
    >>> from lorantk.theory import linearised
    >>> linearised.interpolation_filter()(np.array([1e-17, 0.5])).tolist()
    [0.0, 2.0]
    """

    def apply(z):
        positive = z > rounding_tolerance(z.shape[-1]) * z.max(axis=-1, keepdims=True)
        return np.where(positive, 1 / np.where(positive, z, 1.0), 0.0)

    return apply


def _decompose(K, filter):
    """Eigenvectors of K, and φ at its eigenvalues, which rounding may have made negative."""
    K = np.asarray(K)
    if K.ndim < 2 or K.shape[-1] != K.shape[-2]:
        msg = f"a kernel must be a square matrix, or a stack of such; got shape {K.shape}"
        raise ValueError(msg)
    values, vectors = np.linalg.eigh(K)
    values = values.clip(0)
    return values, filter(values), vectors


def linear_response(filter: Filter, K: Float[Array, "... M M"]) -> Float[np.ndarray, "... M M"]:
    """Return ``H = K φ(K)``: how the fit of the training rows depends on their own labels, ``f = H y``.

    ``H_ii`` is the leverage of row i, and ``tr H`` the degrees of freedom.

    Parameters
    ----------
    filter : callable
        φ, such as `ridge_filter` gives it.
    K : array (..., M, M)
        One kernel, or many.

    Returns
    -------
    array (..., M, M)
        ``H``, symmetric.

    Raises
    ------
    ValueError
        Matrices that are not square.

    Examples
    --------
    >>> from lorantk.theory import linearised
    >>> linearised.linear_response(linearised.ridge_filter(1.0), np.diag([1.0, 3.0])).tolist()
    [[0.5, 0.0], [0.0, 0.75]]
    """
    values, filtered, vectors = _decompose(K, filter)
    return (vectors * (values * filtered)[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def linear_prediction(
    filter: Filter, K: Float[Array, "... M M"], k: Float[Array, "... T M"], y: Float[Array, " M"]
) -> Float[np.ndarray, "... T"]:
    """Return the predictions ``k φ(K) y`` on new rows. With ``y' - y`` for y it is the effect of poisoned labels.

    Parameters
    ----------
    filter : callable
        φ, such as `ridge_filter` gives it.
    K : array (..., M, M)
        Kernel of the training rows: one, or many.
    k : array (..., T, M)
        Kernel of T new rows with the training rows.
    y : array (M,)
        Labels, counted from the starting outputs.

    Returns
    -------
    array (..., T)
        Predictions, counted from the starting outputs.

    Raises
    ------
    ValueError
        A kernel that is not square.

    Examples
    --------
    >>> from lorantk.theory import linearised
    >>> K, k = np.diag([1.0, 3.0]), np.array([[1.0, 1.0]])
    >>> linearised.linear_prediction(linearised.ridge_filter(1.0), K, k, np.array([1.0, 2.0])).tolist()
    [1.0]
    """
    _, filtered, vectors = _decompose(K, filter)
    weights = filtered * np.einsum("...mj,m->...j", vectors, y)
    return np.einsum("...tm,...mj,...j->...t", k, vectors, weights, optimize=True)


def uptake(H: Float[Array, "... M M"], z: Float[Array, " M"]) -> Float[np.ndarray, "..."]:
    """Return ``zᵀHz / zᵀz``: the share of a change z of the labels that the fit takes up at the rows that it changes.

    For flipped labels ``z = y' - y``; for added rows, such as triggered images, z has their labels there and 0 elsewhere.

    Parameters
    ----------
    H : array (..., M, M)
        Responses, see `linear_response`.
    z : array (M,)
        Change of the labels, not 0.

    Returns
    -------
    array (...)
        The share; between 0 and 1 for a ridge and for the flow.

    Raises
    ------
    ValueError
        A change that is 0 everywhere.

    Examples
    --------
    >>> from lorantk.theory import linearised
    >>> float(linearised.uptake(np.array([[0.5, 0.25], [0.25, 0.5]]), np.array([2.0, 2.0])))
    0.75
    """
    if not np.any(z):
        msg = "z must change some label; got zeros"
        raise ValueError(msg)
    return np.einsum("m,...mj,j->...", z, H, z) / np.dot(z, z)
