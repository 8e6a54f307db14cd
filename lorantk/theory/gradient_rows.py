"""Gradients of outputs as outer products ``δ hᵀ``, and the kernels that an adapter with A frozen makes of them.

At ``B = 0`` an adapted layer has the kernel ``(δᵀδ')(hᵀ G h')``, ``G = s²AᵀA``. With A random, ``c = s² r σ_a²`` divided out and
rows a of variance 1, ``G = (1/r) Σ_k a_k a_kᵀ``; the kernel of M outputs is ``(1/r) Σ_k Z_k Z_kᵀ``, ``Z_k = diag(H a_k) D``.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from lorantk.theory.kernels import as_full_fine_tuning, gradient_factors
from lorantk.theory.networks import Network


class Rows(NamedTuple):
    """The gradients of M outputs with respect to one matrix, each an outer product ``δ hᵀ``.

    Attributes
    ----------
    backward : array (M, m)
        ``D``, one ``δ`` per row.
    forward : array (M, n)
        ``H``, one ``h`` per row.
    """

    backward: np.ndarray
    forward: np.ndarray


def gradient_rows(network: Network, x: Float[Array, "N n0"]) -> dict[str, Rows]:
    """Return the gradients of every output with respect to each layer's weights, adapters merged.

    Parameters
    ----------
    network : Network
        The network.
    x : array (N, n_0)
        Inputs, one per row.

    Returns
    -------
    dict of str to Rows
        By ``"W1"``, ``"W2"``, …; ``M = N·C`` rows, outputs varying fastest.

    Examples
    --------
    >>> from lorantk.theory import gradient_rows, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> rows = gradient_rows.gradient_rows(network, jnp.array([[3.0, 4.0]]))["W1"]
    >>> rows.backward.tolist(), rows.forward.tolist()
    ([[1.0]], [[3.0, 4.0]])
    """
    rows = {}
    for name, (delta, h) in gradient_factors(as_full_fine_tuning(network), x).items():
        N, C, m = delta.shape
        rows[name] = Rows(np.asarray(delta).reshape(N * C, m), np.repeat(np.asarray(h), C, axis=0))
    return rows


def layer_kernel(left: Rows, right: Rows, share: Float[np.ndarray, "m m"] | None = None, gram=None) -> Float[np.ndarray, "M P"]:
    """Return one layer's kernel ``(δᵀ E δ') (hᵀ G h')``: that of full fine-tuning where E and G are left out.

    Parameters
    ----------
    left, right : Rows
        M and P rows.
    share : array (m, m), optional
        ``E``, the identity where None.
    gram : array (n, n), optional
        ``G``, such as ``AᵀA/r``; the identity where None.

    Returns
    -------
    array (M, P)
        The kernel.

    Examples
    --------
    >>> from lorantk.theory import gradient_rows
    >>> rows = gradient_rows.Rows(np.array([[2.0]]), np.array([[3.0, 4.0]]))
    >>> A = np.array([[1.0, 0.0]])
    >>> [float(gradient_rows.layer_kernel(rows, rows, gram=G)[0, 0]) for G in (None, A.T @ A)]
    [100.0, 36.0]
    """
    backward = left.backward if share is None else left.backward @ share
    forward = left.forward if gram is None else left.forward @ gram
    return (backward @ right.backward.T) * (forward @ right.forward.T)


def backward_trace(rows: Rows, weights: Float[np.ndarray, "M M"]) -> Float[np.ndarray, "m m"]:
    """Return ``T = Dᵀ(W ∘ HHᵀ)D``, the mean of ``ZᵀWZ`` over the row a in ``Z = diag(H a) D``.

    Its trace is ``tr K W``, K the layer's kernel.

    Parameters
    ----------
    rows : Rows
        The layer.
    weights : array (M, M)
        ``W``.

    Returns
    -------
    array (m, m)
        ``T``.

    Examples
    --------
    >>> from lorantk.theory import gradient_rows
    >>> rows = gradient_rows.Rows(np.array([[1.0, 2.0]]), np.array([[3.0]]))
    >>> gradient_rows.backward_trace(rows, np.eye(1)).tolist()
    [[9.0, 18.0], [18.0, 36.0]]
    """
    return rows.backward.T @ ((weights * (rows.forward @ rows.forward.T)) @ rows.backward)
