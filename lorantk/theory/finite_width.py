"""Kernels of sampled networks as random variables: how they scatter about their limit, and how far their mean lies from it.

Everything is in the NTK parameterisation: layer l's term of the kernel, times ``σ_w²/n_{l-1}``, which tends to ``T_l`` of
`lorantk.theory.limits` as the width grows.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory import limits
from lorantk.theory.adapters import Adapter, entry_variance
from lorantk.theory.ensembles import SLOPED, draw_matrices, ensemble_terms
from lorantk.theory.networks import TRAINED, check_activation, check_roles, default_weight_variance

STACK = 2**21  # numbers drawn at once


def _stacks(samples, numbers):
    """Slices of ``range(samples)``, each of which draws about `STACK` numbers where a sample takes ``numbers``."""
    size = max(1, STACK // numbers)
    return [slice(start, min(start + size, samples)) for start in range(0, samples, size)]


def _map(role, config, size, features, rng):
    """``M`` of `ensemble_terms` for a layer of a role, with fresh adapters where it carries one."""
    if not role.startswith("lora"):
        return None if TRAINED[role] else np.zeros((1, 1, features))
    return config.scale * draw_matrices(config.law, size, (config.rank, features), entry_variance(config, features), rng=rng)


def sample_terms(
    x: Float[Array, "N n0"],
    widths: Sequence[int],
    *,
    samples: int,
    seed: int | Sequence[int],
    activation: str = "relu",
    weight_variance: float | None = None,
    laws: str | Sequence[str] = "gaussian",
    roles: str | Sequence[str] = "full",
    config: Adapter | None = None,
) -> Float[np.ndarray, "S L N N"]:
    """Draw networks with one output and return each layer's term of their kernels, in the NTK parameterisation.

    ``(σ_w²/n_{l-1}) ⟨δˡ, δ'ˡ⟩ ⟨Mˡhˡ⁻¹, Mˡh'ˡ⁻¹⟩`` with ``M = I`` in full and ``M = s A`` with an adapter.

    Parameters
    ----------
    x : array (N, n_0)
        Inputs, one per row.
    widths : sequence of int
        ``(n_0, …, n_L)`` with ``n_L = 1``.
    samples : int
        ``S``, the number of independent networks.
    seed : int or sequence of int
        As for `numpy.random.SeedSequence`. The weights are the same whatever the roles.
    activation : str
        As for `lorantk.theory.networks.init_network`.
    weight_variance : float, optional
        ``σ_w²``, as for `lorantk.theory.networks.init_network`.
    laws : str or sequence of str
        Law of the weights, for all layers or one for each.
    roles : str or sequence of str
        Roles of the layers.
    config : Adapter, optional
        The adapters of the layers that carry one (at ``B = 0``).

    Returns
    -------
    array (S, L, N, N)
        The terms.

    Raises
    ------
    ValueError
        More than one output, a number of laws or roles other than that of the layers, or an unknown activation, law or role.

    Examples
    --------
    For ReLU the mean over networks is exact between equal inputs, ``K(x, x) = 2 L |x|²/n_0``:

    >>> from lorantk.theory import finite_width
    >>> x, widths = np.ones((1, 4)), (4, 200, 200, 1)
    >>> terms = finite_width.sample_terms(x, widths, samples=400, seed=0)
    >>> round(float(terms.sum(axis=1).mean()), 1)
    6.0
    """
    check_activation(activation)
    depth = len(widths) - 1
    laws = (laws,) * depth if isinstance(laws, str) else tuple(laws)
    if widths[-1] != 1 or len(laws) != depth:
        msg = f"expected one output and {depth} laws, one for each layer; got {widths[-1]} outputs and laws {laws}"
        raise ValueError(msg)
    roles = check_roles(roles, depth)
    variance = default_weight_variance(activation) if weight_variance is None else weight_variance
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    of_weights, of_adapters = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2))
    terms = np.zeros((samples, depth, len(x), len(x)))
    for stack in _stacks(samples, sum(m * n for m, n in shapes)):
        S = stack.stop - stack.start
        weights = [draw_matrices(w, S, (m, n), variance / n, rng=of_weights) for w, (m, n) in zip(laws, shapes, strict=True)]
        maps = [_map(role, config, S, n, of_adapters) for role, (_, n) in zip(roles, shapes, strict=True)]
        terms[stack] = ensemble_terms(weights, np.asarray(x), activation=activation, maps=maps)
    return terms / limits.standard_factors(widths, variance)[:, None, None]


def sample_kernels(
    x: Float[Array, "N n0"], widths: Sequence[int], *, samples: int, seed: int | Sequence[int], **options
) -> Float[np.ndarray, "S N N"]:
    """Draw networks with one output and return their kernels, in the NTK parameterisation: `sample_terms` summed over layers.

    Parameters
    ----------
    x : array (N, n_0)
        Inputs, one per row.
    widths : sequence of int
        ``(n_0, …, n_L)`` with ``n_L = 1``.
    samples : int
        ``S``, the number of independent networks.
    seed : int or sequence of int
        As for `sample_terms`.
    options : keyword arguments
        Activation, variance, laws, roles and adapters, as for `sample_terms`, with its errors.

    Returns
    -------
    array (S, N, N)
        The kernels.

    Examples
    --------
    Two orthogonal inputs of length 1, two layers: the mean is near the limit, 2 on the diagonal.

    >>> from lorantk.theory import finite_width
    >>> K = finite_width.sample_kernels(np.eye(2), (2, 64, 1), samples=400, seed=0)
    >>> K.shape, bool(abs(K[:, 0, 0].mean() - 2) < 0.1)
    ((400, 2, 2), True)
    """
    return sample_terms(x, widths, samples=samples, seed=seed, **options).sum(axis=1)


def _first_layer(y, activation):
    """Means over units of ``h²``, ``h'²``, ``hh'``, ``dd'`` and of ``dd'`` times the first three; shape ``(7, ...)``."""
    sigma, slope = SLOPED[activation]
    h, d = sigma(y), slope(y).prod(-1)
    products = np.stack([h[..., 0] ** 2, h[..., 1] ** 2, h.prod(-1)])
    return np.concatenate([products, d[None], d * products]).mean(-1)


@partial(jax.jit, static_argnames="activation")
def _upper_layers(means, width, sigma, variance, activation):
    """Average over the upper layers, see `mean_given_first_layer`, from the means of `_first_layer`; shape ``(3, ...)``."""
    a, b, c = variance * means[:3]
    slopes, dd_a, dd_b, dd_c = means[3:]
    mean, dot = limits.dual_activation_of_arrays(activation, a, b, c)
    # Where few ReLU units are active, h and h' may be parallel or 0: the correction vanishes there, though its parts diverge.
    regular = a * b - c**2 > 1e-12 * a * b
    safe = [jnp.where(regular, moment, other) for moment, other in ((a, 1.0), (b, 1.0), (c, 0.0))]
    by_a, by_b, by_c = jax.grad(lambda abc: limits.dual_activation_of_arrays(activation, *abc)[1].sum())(safe)
    stein = jnp.where(regular, 2 * (by_a * dd_a + by_b * dd_b + by_c * dd_c), 0.0)
    return jnp.stack([sigma * variance**2 * (slopes * dot + variance / width * stein), c * variance * dot, variance * mean])


def mean_given_first_layer(
    y: Float[np.ndarray, "... n 2"], sigma: float, *, activation: str, weight_variance: float
) -> Float[np.ndarray, "3 ..."]:
    """Return ``E[terms of K(x, x') | W¹]`` of networks of widths ``(n_0, n, n, 1)`` with Gaussian weights, exactly.

    With ``(a, b, c)`` the second moments ``σ_w²⟨h,h⟩/n``, ``σ_w²⟨h',h'⟩/n``, ``σ_w²⟨h,h'⟩/n`` of layer 1 and ``F``, ``Ḟ`` the
    expectations of `lorantk.theory.limits.dual_activation`, averaging over ``W²`` and ``W³`` gives ::

        T₃ = σ_w² F(a, b, c),    T₂ = c σ_w² Ḟ(a, b, c),
        T₁ = Σ¹ σ_w⁴ mean(d d') Ḟ
             + Σ¹ (σ_w⁶/n) mean(d d' (2h² ∂_a + 2hh' ∂_c + 2h'² ∂_b)) Ḟ,

    d and d' the slopes ``σ'(y)`` of layer 1. The last part is the correlation of a row of ``W²`` with its own pre-activation:
    Stein's lemma twice, with ``E[f_yy] = 2 ∂_a E[f]`` and ``E[f_yy'] = ∂_c E[f]`` (Price 1958).

    Parameters
    ----------
    y : array (..., n, 2)
        Pre-activations of layer 1 for x and x'; the inputs must not be parallel.
    sigma : float
        ``Σ¹(x, x')``.
    activation : str
        One of `lorantk.theory.limits.CLOSED_FORMS`.
    weight_variance : float
        ``σ_w²``.

    Returns
    -------
    array (3, ...)
        ``T₁``, ``T₂`` and ``T₃``.

    Examples
    --------
    Where every unit is linear, ``T₁ = Σ¹`` and ``T₂ = T₃ = c``:

    >>> from lorantk.theory import finite_width
    >>> y = np.array([[1.0, 2.0], [3.0, 0.0]])
    >>> options = {"activation": "identity", "weight_variance": 1.0}
    >>> finite_width.mean_given_first_layer(y, 0.5, **options).round(5).tolist()
    [0.5, 1.0, 1.0]
    """
    return np.asarray(_upper_layers(_first_layer(y, activation), y.shape[-2], sigma, weight_variance, activation))


class KernelBias(NamedTuple):
    """Result of `kernel_bias`.

    Attributes
    ----------
    value : float
        Estimate of ``E K(x, x') - Kᴸ(x, x')``.
    error : float
        Its standard error.
    """

    value: float
    error: float


def kernel_bias(
    x: Float[Array, "2 n0"],
    width: int,
    *,
    samples: int,
    seed: int | Sequence[int],
    activation: str = "relu",
    weight_variance: float | None = None,
) -> KernelBias:
    """Estimate how far the mean kernel of networks of widths ``(n_0, n, n, 1)`` lies from its limit, between two inputs.

    Averages `mean_given_first_layer` over ``W¹`` and removes what is linear in quantities of known mean (second moments and
    slopes of layer 1), whose scatter, of order ``n^{-1/2}``, would hide a bias of order ``1/n``.

    Parameters
    ----------
    x : array (2, n_0)
        Two inputs that are not parallel.
    width : int
        ``n``.
    samples : int
        Number of draws of ``W¹``; at least 10.
    seed : int or sequence of int
        As for `numpy.random.default_rng`.
    activation : str
        One of `lorantk.theory.limits.CLOSED_FORMS`.
    weight_variance : float, optional
        ``σ_w²``, as for `lorantk.theory.networks.init_network`.

    Returns
    -------
    KernelBias
        ``E K(x, x') - Kᴸ(x, x')`` in the NTK parameterisation, and its standard error.

    Raises
    ------
    ValueError
        Fewer than 10 samples, or what `lorantk.theory.limits.limit_recursion` refuses.

    Examples
    --------
    Twice the width halves the bias:

    >>> from lorantk.theory import finite_width
    >>> x = jnp.array([[1.0, 0.0], [0.6, 0.8]])
    >>> options = {"samples": 4000, "seed": 0}
    >>> narrow, wide = (finite_width.kernel_bias(x, n, **options) for n in (64, 128))
    >>> round(narrow.value / wide.value, 1)
    2.0
    """
    if samples < 10:
        msg = f"samples must be at least 10; got {samples}"
        raise ValueError(msg)
    limit = limits.limit_recursion(x, depth=3, activation=activation, weight_variance=weight_variance)
    variance = default_weight_variance(activation) if weight_variance is None else weight_variance
    factor = np.linalg.cholesky(limit.sigma[0])
    rng = np.random.default_rng(seed)
    stacks = (rng.standard_normal((s.stop - s.start, width, 2)) @ factor.T for s in _stacks(samples, 2 * width))
    means = np.concatenate([_first_layer(y, activation) for y in stacks], axis=1)
    values = np.asarray(_upper_layers(means, width, limit.sigma[0, 0, 1], variance, activation)).sum(axis=0)
    controls = variance * means[:4].T
    expected = np.stack([limit.sigma[1, 0, 0], limit.sigma[1, 1, 1], limit.sigma[1, 0, 1], limit.sigma_dot[1, 0, 1]])
    design = np.column_stack([np.ones(samples), controls - expected])
    response = values - float(limit.kernel[-1, 0, 1])
    coefficients = np.linalg.lstsq(design, response, rcond=None)[0]
    residual = response - design @ coefficients
    covariance = np.linalg.inv(design.T @ design) * residual.var(ddof=design.shape[1])
    return KernelBias(float(coefficients[0]), float(np.sqrt(covariance[0, 0])))
