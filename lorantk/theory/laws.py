"""Laws of random matrices whose entries have mean 0 and a given variance v: how weights and adapters start.

========================  ===============================================================
``"gaussian"``            independent ``N(0, v)``
``"kaiming-uniform"``     independent, uniform on ``[-√(3v), √(3v)]``; the default law of A in PEFT
``"rademacher"``          independent signs times ``√v``
``"orthonormal"``         ``√(v n) Q`` with ``Q Qᵀ = I``, Haar distributed: rows orthonormal at ``v = 1/n``
========================  ===============================================================
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from lorantk.choices import one_of

LAWS = ("gaussian", "kaiming-uniform", "rademacher", "orthonormal")
KURTOSIS = {"gaussian": 0.0, "kaiming-uniform": -6 / 5, "rademacher": -2.0}


def check_law(law: str) -> None:
    """Raise ValueError unless ``law`` is one of `LAWS`.

    Parameters
    ----------
    law : str
        Name to check.

    Raises
    ------
    ValueError
        Any other name.

    Examples
    --------
    >>> from lorantk.theory import laws
    >>> laws.check_law("cauchy")
    Traceback (most recent call last):
        ...
    ValueError: law must be one of gaussian, kaiming-uniform, rademacher, orthonormal; got 'cauchy'
    """
    one_of("law", law, LAWS)


def check_variance(variance: float, name: str = "variance") -> None:
    """Raise ValueError unless ``variance`` is a positive finite number.

    Parameters
    ----------
    variance : float
        Number to check.
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        Zero, a negative number, infinity or NaN.

    Examples
    --------
    >>> from lorantk.theory import laws
    >>> laws.check_variance(0.0)
    Traceback (most recent call last):
        ...
    ValueError: variance must be a positive finite number; got 0.0
    """
    if not (math.isfinite(variance) and variance > 0):
        msg = f"{name} must be a positive finite number; got {variance}"
        raise ValueError(msg)


def excess_kurtosis(law: str) -> float:
    """Return ``κ = E[a⁴]/E[a²]² - 3`` of an entry.

    Parameters
    ----------
    law : str
        One of the laws with independent entries.

    Returns
    -------
    float
        ``κ``.

    Raises
    ------
    ValueError
        The orthonormal law, whose entries are dependent, or an unknown one.

    Examples
    --------
    >>> from lorantk.theory import laws
    >>> laws.excess_kurtosis("kaiming-uniform")
    -1.2
    """
    if law not in KURTOSIS:
        msg = f"law must have independent entries, one of {', '.join(KURTOSIS)}; got {law!r}"
        raise ValueError(msg)
    return KURTOSIS[law]


def check_draw(law: str, shape: tuple[int, int], variance: float) -> None:
    """Raise ValueError unless a matrix of this law, shape and variance exists.

    Parameters
    ----------
    law : str
        One of `LAWS`.
    shape : tuple of int
        ``(m, n)``.
    variance : float
        ``v``.

    Raises
    ------
    ValueError
        An unknown law, a variance that is not positive and finite, or more orthonormal rows than columns.

    Examples
    --------
    >>> from lorantk.theory import laws
    >>> laws.check_draw("orthonormal", (3, 2), 0.5)
    Traceback (most recent call last):
        ...
    ValueError: orthonormal rows need at most as many rows as columns; got shape (3, 2)
    """
    check_law(law)
    check_variance(variance)
    if law == "orthonormal" and shape[0] > shape[1]:
        msg = f"orthonormal rows need at most as many rows as columns; got shape {shape}"
        raise ValueError(msg)


def sample_matrix(law: str, shape: tuple[int, int], variance: float, *, key: Array, dtype=None) -> Float[Array, "m n"]:
    """Draw an ``m × n`` matrix whose entries have mean 0 and variance ``v``.

    Parameters
    ----------
    law : str
        One of `LAWS`.
    shape : tuple of int
        ``(m, n)``; the orthonormal law needs ``m ≤ n``.
    variance : float
        ``v > 0``.
    key : JAX random key
        Source of the randomness.
    dtype : optional
        Floating-point type; JAX's default where None.

    Returns
    -------
    array (m, n)
        The matrix.

    Raises
    ------
    ValueError
        As for `check_draw`.

    Examples
    --------
    Rows of the orthonormal law with ``v = 1/n`` are orthonormal:

    >>> from lorantk.theory import laws
    >>> key = jax.random.key(0)
    >>> A = laws.sample_matrix("orthonormal", (2, 50), 1 / 50, key=key)
    >>> np.abs(A @ A.T).round(5).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
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


# One compiled program for each law and shape instead of one for each operation.
_sample = jax.jit(_sample, static_argnames=("law", "shape"))
