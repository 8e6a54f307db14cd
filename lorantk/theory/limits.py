"""The neural tangent kernel of infinitely wide networks: equations 8 and 9 of the paper, made precise.

For the networks of `lorantk.theory.networks`, as the hidden widths tend to infinity, the entries of ``yˡ`` become
independent Gaussian with covariance ``Σˡ`` over the inputs, where ::

    Σ¹ = σ_w² ⟨x, x'⟩ / n_0,
    Σˡ = σ_w² E[σ(u) σ(v)],    Σ̇ˡ = σ_w² E[σ'(u) σ'(v)],    (u, v) ~ N(0, Σˡ⁻¹),

and the kernel in the NTK parameterisation (Jacot et al. 2018) tends to ``Kᴸ`` with ::

    K¹ = Σ¹,    Kˡ = Kˡ⁻¹ Σ̇ˡ + Σˡ    (entry by entry),
    that is    Kᴸ = Σ_l T_l,    T_l = Σˡ Π_{k>l} Σ̇ᵏ.

``T_l`` is what the weight of layer l contributes. In the standard parameterisation, which the package uses at finite width,
layer l contributes ``T_l n_{l-1} / σ_w²``: ``⟨hˡ⁻¹, hˡ⁻¹'⟩/n_{l-1} → Σˡ/σ_w²`` and ``⟨δˡ_c, δˡ_c'⟩ → Π_{k>l} Σ̇ᵏ`` if c = c',
else 0. The factors differ from layer to layer, so no single number converts one kernel into the other (`standard_factors`).

The expectations, the dual activations of σ and σ' (Daniely, Frostig and Singer 2016), have closed forms for ReLU (the
arc-cosine kernel, Cho and Saul 2009), erf (Williams 1997) and the identity.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory import recursions as layerwise
from lorantk.theory.adapters import Adapter
from lorantk.theory.laws import check_variance
from lorantk.theory.networks import (
    ACTIVATIONS,
    activation_derivative,
    check_activation,
    check_roles,
    default_weight_variance,
)
from lorantk.theory.order import mean_factor

CLOSED_FORMS = ("relu", "erf", "identity")

_gauss_legendre = cache(np.polynomial.legendre.leggauss)  # takes longer than the quadrature that uses it


class Recursion(NamedTuple):
    """Every quantity of the recursion for layers ``1 … L``.

    Attributes
    ----------
    sigma : array (L, N1, N2)
        ``Σˡ``, the covariance of the entries of ``yˡ``.
    sigma_dot : array (L, N1, N2)
        ``Σ̇ˡ``; layer 1 has none, and 0 stands there.
    kernel : array (L, N1, N2)
        ``Kˡ``, the kernel of the network cut after layer l, in the NTK parameterisation.
    terms : array (L, N1, N2)
        ``T_l = Σˡ Π_{k>l} Σ̇ᵏ``, the share of layer l in ``Kᴸ``; their sum is ``kernel[-1]``.
    """

    sigma: Array
    sigma_dot: Array
    kernel: Array
    terms: Array


def _check_closed_form(activation: str) -> None:
    """Raise ValueError unless ``activation`` is one of `CLOSED_FORMS`."""
    if activation not in CLOSED_FORMS:
        msg = f"activation must be one of {', '.join(CLOSED_FORMS)}, which have closed forms; got {activation!r}"
        raise ValueError(msg)


def angles(x1: Float[Array, "N1 n"], x2: Float[Array, "N2 n"]) -> Float[Array, "N1 N2"]:
    """Return the angles between rows, in ``[0, π]``, accurate also where they are nearly parallel.

    ``2 arctan2(|u - v|, |u + v|)`` for unit vectors u and v (Kahan 2006): the arc cosine of a rounded cosine is wrong by 1e-8
    there. A row of zeros is given the angle of a unit vector to 0, π/2 to all others: it contributes nothing to any kernel,
    and this keeps NaN away.

    Parameters
    ----------
    x1, x2 : array (N1, n) and array (N2, n)
        Vectors, one per row.

    Returns
    -------
    array (N1, N2)
        Angles in radians.

    Examples
    --------
    >>> from lorantk.theory import limits
    >>> u, v = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 2.0], [-3.0, 0.0]])
    >>> (limits.angles(u, v) / jnp.pi).tolist()
    [[0.5, 1.0]]
    """

    def unit(x):
        norm = jnp.linalg.norm(x, axis=1, keepdims=True)
        return jnp.where(norm > 0, x / jnp.where(norm > 0, norm, 1), 0)

    v = unit(x2)

    def row(u):
        return 2 * jnp.arctan2(jnp.linalg.norm(u[None] - v, axis=1), jnp.linalg.norm(u[None] + v, axis=1))

    return jax.lax.map(row, unit(x1))


# Each step takes the standard deviations p of u and q of v and their angle t (cosine = correlation), and returns those of
# σ(u) and σ(v) as elements of L² with E[σ'(u) σ'(v)].


def _relu_step(p, q, t):
    # E[σ(u)σ(v)] = pq (sin t + (π - t) cos t) / 2π, so 1 - cosine of the new angle is the gap below: no cancellation at t = 0.
    gap = 2 * jnp.sin(t / 2) ** 2 + (t * jnp.cos(t) - jnp.sin(t)) / jnp.pi
    angle = 2 * jnp.arcsin(jnp.sqrt(jnp.clip(gap / 2, 0, 1)))
    return p / np.sqrt(2), q / np.sqrt(2), angle, (jnp.pi - t) / (2 * jnp.pi)


def _erf_step(p, q, t):
    def mean(c, a, b):
        return 2 / jnp.pi * jnp.arcsin(2 * c / jnp.sqrt((1 + 2 * a) * (1 + 2 * b)))

    a, b, c = p**2, q**2, p * q * jnp.cos(t)
    new_p, new_q = jnp.sqrt(mean(a, a, a)), jnp.sqrt(mean(b, b, b))
    scale = new_p * new_q
    cosine = mean(c, a, b) / jnp.where(scale > 0, scale, 1)
    # (1 + 2a)(1 + 2b) - 4c², without the difference of two large numbers.
    dot = 4 / jnp.pi / jnp.sqrt(1 + 2 * (a + b) + 4 * (p * q * jnp.sin(t)) ** 2)
    return new_p, new_q, jnp.arccos(jnp.clip(cosine, -1, 1)), dot


def _identity_step(p, q, t):
    return p, q, t, jnp.ones_like(t)


_STEPS = {"relu": _relu_step, "erf": _erf_step, "identity": _identity_step}


def _check_covariance(a: float, b: float, c: float) -> None:
    """Raise ValueError unless ``a, b > 0`` and ``c² ≤ ab`` (to rounding)."""
    if not (a > 0 and b > 0 and c * c <= a * b * (1 + 1e-12)):
        msg = f"expected variances a, b > 0 and c² <= ab; got a={a}, b={b}, c={c}"
        raise ValueError(msg)


def dual_activation(activation: str, a: float, b: float, c: float) -> tuple[float, float]:
    """Return ``E[σ(u) σ(v)]`` and ``E[σ'(u) σ'(v)]`` in closed form, for ``(u, v)`` Gaussian of mean 0.

    Parameters
    ----------
    activation : str
        One of `CLOSED_FORMS`.
    a, b, c : float
        ``E[u²]``, ``E[v²]`` and ``E[uv]``, with ``a, b > 0`` and ``c² ≤ ab``.

    Returns
    -------
    tuple of float
        The two expectations.

    Raises
    ------
    ValueError
        An activation without a closed form, or numbers that are not a covariance.

    Examples
    --------
    For independent standard normal u and v, ``E[relu(u)]² = 1/(2π)`` and ``P(u > 0)² = 1/4``:

    >>> from lorantk.theory import limits
    >>> mean, dot = limits.dual_activation("relu", 1.0, 1.0, 0.0)
    >>> round(2 * np.pi * mean, 4), round(dot, 4)
    (1.0, 0.25)
    """
    _check_closed_form(activation)
    _check_covariance(a, b, c)
    return tuple(float(value) for value in dual_activation_of_arrays(activation, *(jnp.asarray(m, float) for m in (a, b, c))))


def dual_activation_of_arrays(activation: str, a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Return what `dual_activation` does, for arrays of any one shape and without its checks; differentiable where ``c² < ab``.

    Parameters
    ----------
    activation : str
        One of `CLOSED_FORMS`.
    a, b, c : arrays of one shape
        ``E[u²]``, ``E[v²]`` and ``E[uv]``.

    Returns
    -------
    tuple of two arrays
        ``E[σ(u) σ(v)]`` and ``E[σ'(u) σ'(v)]``, of the same shape.

    Examples
    --------
    The derivative of the first with respect to c is the second (Price 1958):

    >>> from lorantk.theory import limits
    >>> a, b, c = jnp.array(1.0), jnp.array(2.0), jnp.array(0.5)
    >>> mean, dot = (
    ...     lambda c, part=part: limits.dual_activation_of_arrays("erf", a, b, c)[part]
    ...     for part in (0, 1)
    ... )
    >>> round(float(jax.grad(mean)(c)), 5) == round(float(dot(c)), 5)
    True
    """
    p, q = jnp.sqrt(a), jnp.sqrt(b)
    cosine = c / jnp.where(p * q > 0, p * q, 1)
    new_p, new_q, angle, dot = _STEPS[activation](p, q, jnp.arccos(jnp.clip(cosine, -1, 1)))
    return new_p * new_q * jnp.cos(angle), dot


def dual_activation_by_quadrature(activation: str, a: float, b: float, c: float, *, nodes: int = 200) -> tuple[float, float]:
    """Return what `dual_activation` does, by numerical integration without a closed form, for any activation.

    ``u = √a z``, ``v = (c/√a) z + √(b - c²/a) w`` with z and w standard normal. Both integrals run over ``[-12, 12]`` by
    Gauss-Legendre quadrature, split where u and v change sign: an activation may have a kink at 0, where Gauss-Hermite
    quadrature would lose its accuracy.

    Parameters
    ----------
    activation : str
        A key of `lorantk.theory.networks.ACTIVATIONS`.
    a, b, c : float
        As for `dual_activation`, with ``c² < ab``.
    nodes : int
        Number of nodes on each side of a split. At 200 the error is below 1e-11 for correlations within ±0.98.

    Returns
    -------
    tuple of float
        The two expectations.

    Raises
    ------
    ValueError
        An unknown activation, numbers that are not a covariance, or ``c² = ab``.

    Examples
    --------
    >>> from lorantk.theory import limits
    >>> mean, dot = limits.dual_activation_by_quadrature("relu", 1.0, 1.0, 0.0)
    >>> round(2 * np.pi * mean, 4), round(dot, 4)
    (1.0, 0.25)
    """
    check_activation(activation)
    _check_covariance(a, b, c)
    residual = b - c * c / a
    if residual <= 0:
        msg = f"the quadrature needs c² < ab; got a={a}, b={b}, c={c}"
        raise ValueError(msg)
    x, weights = _gauss_legendre(nodes)
    end = 12.0

    def split(at):
        at = np.clip(at, -end, end)[..., None]
        low, high = (at + end) / 2, (end - at) / 2
        points = np.concatenate([low * (x + 1) - end, high * (x + 1) + at], axis=-1)
        density = np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
        return points, np.concatenate([low * weights, high * weights], axis=-1) * density

    z, z_weights = split(np.array(0.0))
    w, w_weights = split(-c / np.sqrt(a) * z / np.sqrt(residual))
    u, v = np.sqrt(a) * z, c / np.sqrt(a) * z[:, None] + np.sqrt(residual) * w

    def mean(f):
        fu, fv = np.asarray(f(jnp.asarray(u))), np.asarray(f(jnp.asarray(v)))
        return float(z_weights @ (fu * (fv * w_weights).sum(axis=1)))

    return mean(ACTIVATIONS[activation]), mean(lambda y: activation_derivative(activation, y))


def limit_recursion(
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    depth: int,
    activation: str = "relu",
    weight_variance: float | None = None,
) -> Recursion:
    """Run equations 8 and 9 of the paper, in the precise form at the top of this module, for layers ``1 … L``.

    Parameters
    ----------
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    depth : int
        ``L ≥ 1``, the number of weight matrices.
    activation : str
        One of `CLOSED_FORMS`.
    weight_variance : float, optional
        ``σ_w²``; that of `lorantk.theory.networks.default_weight_variance` where None.

    Returns
    -------
    Recursion
        ``Σˡ``, ``Σ̇ˡ``, ``Kˡ`` and ``T_l``, each of shape ``(L, N1, N2)``.

    Raises
    ------
    ValueError
        An activation without a closed form, a depth below 1, inputs that are not matrices of one width, or a variance that is
        not positive and finite.

    Examples
    --------
    For ReLU with ``σ_w² = 2`` and equal inputs, ``Σˡ = Σ¹`` and ``Σ̇ˡ = 1`` in every layer, so ``Kˡ = l Σ¹``:

    >>> from lorantk.theory import limits
    >>> found = limits.limit_recursion(jnp.ones((1, 4)), depth=3)
    >>> np.asarray(found.sigma[:, 0, 0]).round(4).tolist()
    [2.0, 2.0, 2.0]
    >>> np.asarray(found.kernel[:, 0, 0]).round(4).tolist()
    [2.0, 4.0, 6.0]
    """
    _check_closed_form(activation)
    if weight_variance is None:
        weight_variance = default_weight_variance(activation)
    check_variance(weight_variance, "weight_variance")
    x2 = x1 if x2 is None else x2
    if depth < 1:
        msg = f"depth must be at least 1; got {depth}"
        raise ValueError(msg)
    if x1.ndim != 2 or x2.ndim != 2 or x1.shape[1] != x2.shape[1]:
        msg = f"x1 and x2 must be matrices with rows of equal length; got shapes {x1.shape} and {x2.shape}"
        raise ValueError(msg)
    return _recursion_jit(x1, x2, weight_variance, depth, activation)


def _recursion(x1, x2, weight_variance, depth, activation):
    variance = jnp.asarray(weight_variance, x1.dtype)
    scale = jnp.sqrt(variance)
    p = jnp.linalg.norm(x1, axis=1)[:, None] * scale / np.sqrt(x1.shape[1])
    q = jnp.linalg.norm(x2, axis=1)[None, :] * scale / np.sqrt(x1.shape[1])
    angle = angles(x1, x2)
    sigma, sigma_dot = [p * q * jnp.cos(angle)], []
    for _ in range(depth - 1):
        p, q, angle, dot = _STEPS[activation](p, q, angle)
        p, q = scale * p, scale * q
        sigma.append(p * q * jnp.cos(angle))
        sigma_dot.append(variance * dot)
    kernel, terms = layerwise.scalar_recursion(sigma, sigma_dot), layerwise.layer_shares(sigma, sigma_dot)
    sigma_dot = [jnp.zeros_like(sigma[0]), *sigma_dot]
    return Recursion(*(jnp.stack(values) for values in (sigma, sigma_dot, kernel, terms)))


_recursion_jit = jax.jit(_recursion, static_argnames=("depth", "activation"))


def limit_ntk(
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    depth: int,
    activation: str = "relu",
    weight_variance: float | None = None,
    factors: Sequence[float] | None = None,
) -> Float[Array, "N1 N2"]:
    """Return ``Σ_l factors_l T_l``, the limit of one output's kernel with one factor for each layer.

    Parameters
    ----------
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    depth : int
        ``L ≥ 1``, the number of weight matrices.
    activation : str
        One of `CLOSED_FORMS`.
    weight_variance : float, optional
        ``σ_w²``; that of `lorantk.theory.networks.default_weight_variance` where None.
    factors : sequence of L numbers, optional
        1 for every layer where None: full fine-tuning in the NTK parameterisation, ``Kᴸ``. See `standard_factors` and
        `mean_factors`; the two multiply.

    Returns
    -------
    array (N1, N2)
        The kernel.

    Raises
    ------
    ValueError
        A number of factors other than that of the layers; otherwise as for `limit_recursion`.

    Examples
    --------
    Freezing layers 1 and 2 of three leaves a third of the kernel of equal inputs:

    >>> from lorantk.theory import limits
    >>> x = jnp.ones((1, 4))
    >>> part = limits.limit_ntk(x, depth=3, factors=(0, 0, 1))
    >>> round(float((part / limits.limit_ntk(x, depth=3))[0, 0]), 4)
    0.3333
    """
    terms = limit_recursion(x1, x2, depth=depth, activation=activation, weight_variance=weight_variance).terms
    factors = np.ones(depth) if factors is None else np.asarray(factors)
    if factors.shape != (depth,):
        msg = f"factors must be {depth} numbers, one for each layer; got shape {factors.shape}"
        raise ValueError(msg)
    return jnp.tensordot(jnp.asarray(factors, terms.dtype), terms, axes=1)


def standard_factors(widths: Sequence[int], weight_variance: float) -> np.ndarray:
    """Return ``n_{l-1}/σ_w²`` for each layer, which leads from the NTK to the standard parameterisation.

    In the NTK parameterisation ``W = σ_w ω/√n`` with ω of variance 1 trains: each derivative by ω is ``σ_w/√n`` times that
    by W, so each layer's term is ``σ_w²/n_{l-1}`` times that of the standard one (Sohl-Dickstein et al. 2020).

    Parameters
    ----------
    widths : sequence of L + 1 numbers
        ``(n_0, …, n_L)``.
    weight_variance : float
        ``σ_w²``.

    Returns
    -------
    array (L,)
        The factors.

    Raises
    ------
    ValueError
        A variance that is not positive and finite.

    Examples
    --------
    >>> from lorantk.theory import limits
    >>> limits.standard_factors((64, 1024, 1024, 10), 2.0).tolist()
    [32.0, 512.0, 512.0]
    """
    check_variance(weight_variance, "weight_variance")
    return np.asarray(widths[:-1], dtype=float) / weight_variance


def mean_factors(roles: str | Sequence[str], config: Adapter, widths: Sequence[int]) -> np.ndarray:
    """Return the mean factor of each layer's term, by its role, over the law of A at ``B = 0``.

    1 where the layer trains in full, 0 where it is frozen, and ``c = s² r σ_a²`` where it carries an adapter, see
    `lorantk.theory.order.mean_factor`: ``E[s² AᵀA] = c I`` for every law of `lorantk.theory.laws`.

    Parameters
    ----------
    roles : str or sequence of str
        One of ``"full"``, ``"lora"``, ``"lora-fa"``, ``"frozen"`` for every layer, or one for each layer.
    config : Adapter
        What the adapters are.
    widths : sequence of L + 1 numbers
        ``(n_0, …, n_L)``.

    Returns
    -------
    array (L,)
        The factors.

    Raises
    ------
    ValueError
        An unknown role, or a number of roles other than that of the layers.

    Examples
    --------
    The poster's case, layer 1 in full and the others adapted, with ``c = 4 · 8/(3 · 1024)``:

    >>> from lorantk.theory import limits
    >>> from lorantk.theory.adapters import adapter
    >>> roles, widths = ("full", "lora", "lora"), (64, 1024, 1024, 10)
    >>> limits.mean_factors(roles, adapter(8, alpha=16), widths).round(4).tolist()
    [1.0, 0.0104, 0.0104]
    """

    def factor(role, features):
        return mean_factor(config, features) if role.startswith("lora") else float(role == "full")

    return np.array([factor(role, n) for role, n in zip(check_roles(roles, len(widths) - 1), widths[:-1], strict=True)])
