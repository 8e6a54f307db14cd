"""Laws of random matrices with centred entries of a given variance: how weights and adapters start.

========================  ===============================================================
``"gaussian"``            independent ``N(0, v)``
``"kaiming-uniform"``     independent, uniform on ``[-√(3v), √(3v)]``; the default law of A in PEFT
``"rademacher"``          independent signs times ``√v``
``"orthonormal"``         ``√(v n) Q`` with ``Q Qᵀ = I`` Haar distributed: rows orthonormal at ``v = 1/n``
========================  ===============================================================
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LAWS = ("gaussian", "kaiming-uniform", "rademacher", "orthonormal")


def check_law(law: str) -> None:
    """Raise ValueError unless ``law`` is one of `LAWS`."""
    if law not in LAWS:
        msg = f"law must be one of {', '.join(LAWS)}; got {law!r}"
        raise ValueError(msg)


def check_variance(variance: float, name: str = "variance") -> None:
    """Raise ValueError unless ``variance`` is a positive finite number."""
    if not (math.isfinite(variance) and variance > 0):
        msg = f"{name} must be a positive finite number; got {variance}"
        raise ValueError(msg)


def check_draw(law: str, shape: tuple[int, int], variance: float) -> None:
    """Raise ValueError on an unknown law, a variance that is not positive and finite, or more orthonormal rows than columns."""
    check_law(law)
    check_variance(variance)
    if law == "orthonormal" and shape[0] > shape[1]:
        msg = f"orthonormal rows need at most as many rows as columns; got shape {shape}"
        raise ValueError(msg)


def sample_matrix(
    law: str, shape: tuple[int, int], variance: float, *, key: Array, dtype=None
) -> Float[Array, "m n"]:
    """Draw an m × n matrix whose entries have mean 0 and variance ``variance``.

    Parameters
    ----------
    law
        One of `LAWS`.
    shape
        ``(m, n)``; the orthonormal law needs ``m ≤ n``.
    variance
        Variance of each entry, ``v > 0``.
    key
        JAX random key.
    dtype
        Floating-point type; JAX's default where None.

    Returns
    -------
    Array
        The matrix, shape ``(m, n)``.

    Raises
    ------
    ValueError
        Unknown law, variance that is not positive and finite, or more orthonormal rows than columns.
    """
    check_draw(law, shape, variance)
    return _sample(key, jnp.asarray(math.sqrt(variance), dtype), law, tuple(shape))


def _sample(key, deviation, law, shape):
    dtype = deviation.dtype
    if law == "gaussian":
        return deviation * jax.random.normal(key, shape, dtype)
    if law == "kaiming-uniform":
        return deviation * jax.random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3))
    if law == "rademacher":
        return deviation * jax.random.rademacher(key, shape, dtype)
    m, n = shape
    return deviation * math.sqrt(n) * jax.random.orthogonal(key, m, m=n, dtype=dtype)


# One compiled program for each law and shape, instead of one for each operation.
_sample = jax.jit(_sample, static_argnames=("law", "shape"))
