r"""How much LoRA's kernel scatters over the draw of A: exactly, for any gradients and any law of independent entries.

At ``B = 0`` an entry of the kernel of ``W + s B A``, its trace, or any other sum over pairs of gradients G (shape m × n), is a
quadratic form of the rows of A:

    s² Σ_k a_kᵀ M a_k ,   M = G_iᵀ G_j  for an entry,  M = Σ_i G_iᵀ G_i  for the trace.

For independent entries of mean 0, variance ``σ_a²`` and excess kurtosis κ, ``E[a_p a_q a_u a_v]/σ_a⁴ = δ_pq δ_uv + δ_pu δ_qv +
δ_pv δ_qu + κ δ_pquv``, so that with S the symmetric part of M

    mean  s² r σ_a² tr S ,   variance  s⁴ r σ_a⁴ (2 tr S² + κ Σ_p S_pp²) .

Forms of different maps are independent: their variances add up. Relative to the squared mean the variance is ``(2ρ + κμ)/r``,
with ``ρ = tr S²/(tr S)²`` and ``μ = Σ_p S_pp²/(tr S)²`` (`concentrations`). For a diagonal entry ``μ ≤ ρ ≤ 1``, with ``ρ = 1``
for a gradient of rank one; so ``√(2/r)`` bounds the relative spread of each entry for every law with ``κ ≤ 0``, PEFT's included.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory.linear_maps import Factors


class Moments(NamedTuple):
    """Mean and variance over the draw of A.

    Attributes
    ----------
    mean, variance : float
        Of the quadratic form.
    """

    mean: float
    variance: float


def form_moments(M: Float[Array, "n n"], *, rank: int, variance: float, kurtosis: float, scale: float = 1.0) -> Moments:
    """Return mean and variance of ``s² Σ_k a_kᵀ M a_k`` over the r rows of A.

    Parameters
    ----------
    M : array (n, n)
        Any square matrix; only its symmetric part matters.
    rank : int
        ``r``.
    variance : float
        ``σ_a²``.
    kurtosis : float
        ``κ ≥ -2``, the excess kurtosis of the entries, see `lorantk.theory.laws.excess_kurtosis`.
    scale : float
        ``s``.

    Returns
    -------
    Moments
        Exact for independent entries of mean 0 with a finite fourth moment.

    Raises
    ------
    ValueError
        A kurtosis below -2, which no law has.

    Examples
    --------
    Signs leave the squared length of A's columns alone, and so the trace of the identity:

    >>> from lorantk.theory import scatter
    >>> scatter.form_moments(np.eye(3), rank=2, variance=0.5, kurtosis=-2)
    Moments(mean=3.0, variance=0.0)
    """
    if kurtosis < -2:
        msg = f"kurtosis must be at least -2, which no law falls below; got {kurtosis}"
        raise ValueError(msg)
    M = np.asarray(M, np.float64)
    S = (M + M.T) / 2
    fourth = 2 * np.sum(S**2) + kurtosis * np.sum(np.diag(S) ** 2)
    return Moments(float(scale**2 * rank * variance * np.trace(S)), float(scale**4 * rank * variance**2 * fourth))


def gradient_gram(one: Factors) -> Float[Array, "n n"]:
    """Return ``M = Σ_ic G_icᵀ G_ic``, from which the trace of LoRA's kernel of this map scatters.

    With ``D_i = Σ_c δ_ic δ_icᵀ``, of shape T × T, it is ``Σ_i v_iᵀ D_i v_i``: no gradient is formed.

    Parameters
    ----------
    one : Factors
        Factors of the map.

    Returns
    -------
    array (n, n)
        ``M``; its trace is that of the map's kernel of full fine-tuning.

    Examples
    --------
    >>> from lorantk.theory import linear_maps, scatter
    >>> one = linear_maps.Factors(jnp.ones((2, 3, 2)), jnp.ones((2, 1, 3, 5)))
    >>> scatter.gradient_gram(one).tolist()  # two gradients whose 10 entries are 3
    [[90.0, 90.0], [90.0, 90.0]]
    """
    v, delta = one
    D = jnp.einsum("nctm,ncsm->nts", delta, delta)
    return v.reshape(-1, v.shape[2]).T @ (D @ v).reshape(-1, v.shape[2])


class Concentrations(NamedTuple):
    """How few directions a gradient spreads over.

    Attributes
    ----------
    rho : array (N, C)
        ``tr (GᵀG)²/(tr GᵀG)²``: one over the number of directions.
    mu : array (N, C)
        ``Σ_p (GᵀG)_pp²/(tr GᵀG)²``: one over the number of inputs of the map.
    """

    rho: Float[Array, "N C"]
    mu: Float[Array, "N C"]


def concentrations(one: Factors) -> Concentrations:
    """Return ρ and μ of each gradient of a map: ``(2ρ + κμ)/r`` is the relative variance of a diagonal entry of LoRA's kernel.

    Parameters
    ----------
    one : Factors
        Factors of the map.

    Returns
    -------
    Concentrations
        Of each example and output; NaN for a gradient that is 0.

    Examples
    --------
    One token, and so rank one; its two equal inputs share the gradient:

    >>> from lorantk.theory import linear_maps, scatter
    >>> one = linear_maps.Factors(jnp.ones((1, 1, 2)), jnp.ones((1, 1, 1, 5)))
    >>> found = scatter.concentrations(one)
    >>> float(found.rho[0, 0]), float(found.mu[0, 0])
    (1.0, 0.5)
    """
    v, delta = one
    D = jnp.einsum("nctm,ncsm->ncts", delta, delta)
    P = D @ (v @ jnp.swapaxes(v, 1, 2))[:, None]  # its trace is that of GᵀG, the trace of its square that of (GᵀG)²
    diagonal = jnp.einsum("ncta,nta->nca", D @ v[:, None], v)
    total = jnp.einsum("nctt->nc", P) ** 2
    return Concentrations(jnp.einsum("ncts,ncst->nc", P, P) / total, (diagonal**2).sum(axis=2) / total)


def relative_spread(rho, mu, *, rank: int, kurtosis: float):
    """Return ``√((2ρ + κμ)/r)``, the standard deviation of a quadratic form over its mean.

    Parameters
    ----------
    rho, mu : array (...)
        Concentrations of S.
    rank : int
        ``r``.
    kurtosis : float
        ``κ``.

    Returns
    -------
    array (...)
        The relative spread.

    Examples
    --------
    A gradient of rank one that spreads over many inputs, and one that has a single input:

    >>> from lorantk.theory import scatter
    >>> mu = np.array([0.0, 1.0])
    >>> scatter.relative_spread(1.0, mu, rank=8, kurtosis=-1.2).round(4).tolist()
    [0.5, 0.3162]
    """
    return np.sqrt((2 * np.asarray(rho) + kurtosis * np.asarray(mu)) / rank)
