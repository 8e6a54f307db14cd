"""neural-tangents under the current JAX and without TensorFlow; import it from here and nowhere else.

neural-tangents 0.6.5 (Novak et al. 2020, 2022) is the second route of the kernel chapters. While it is imported, this module
lends it the names that JAX has since moved or dropped, taken from JAX's public API, and a placeholder for its TensorFlow
wing ``neural_tangents.experimental``, which the book never uses. Afterwards JAX's modules are as they were.

Its analytic kernels, its empirical kernels of implementations 1 and 2, its Monte-Carlo kernels and its predictions work.
Implementation 3 (structured derivatives) does not: it calls functions of JAX that no longer exist.

`analytic_kernel` is its infinite-width kernel of the book's networks; the other names are its own.
"""

import sys
from contextlib import contextmanager
from math import sqrt
from types import ModuleType

import jax.core
import jax.extend.core
import jax.interpreters.ad

_MOVED = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")


def _safe_zip(*lists):
    return list(zip(*map(list, lists), strict=True))


def _safe_map(function, *lists):
    return [function(*row) for row in _safe_zip(*lists)]


def _module(name: str, **names) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(names)
    return module


@contextmanager
def _lent_names():
    """Lend the missing names for the time of an import."""
    core, ad = jax.core, jax.interpreters.ad
    lent = [(core, name, getattr(jax.extend.core, name)) for name in _MOVED]
    # Only a dictionary key there: a primitive that no trace contains any more.
    lent.append((ad, "zeros_like_p", jax.extend.core.Primitive("zeros_like")))
    lent = [(module, name, value) for module, name, value in lent if not hasattr(module, name)]
    for module, name, value in lent:
        setattr(module, name, value)
    sys.modules["jax.util"] = _module("jax.util", safe_map=_safe_map, safe_zip=_safe_zip)
    experimental = sys.modules.setdefault("neural_tangents.experimental", _module("neural_tangents.experimental"))
    try:
        yield
    finally:
        for module, name, _ in lent:
            delattr(module, name)
        del sys.modules["jax.util"]
        if sys.modules.get("neural_tangents.experimental") is experimental:
            del sys.modules["neural_tangents.experimental"]


with _lent_names():
    from neural_tangents import (
        NtkImplementation,
        empirical_kernel_fn,
        empirical_ntk_fn,
        monte_carlo_kernel_fn,
        predict,
        stax,
    )

__all__ = [
    "NtkImplementation",
    "analytic_kernel",
    "empirical_kernel_fn",
    "empirical_ntk_fn",
    "monte_carlo_kernel_fn",
    "predict",
    "stax",
]


def analytic_kernel(
    x1, x2=None, *, depth: int, activation: str, weight_variance: float, width: int = 1, parameterization: str = "ntk"
):
    """Return neural-tangents' infinite-width kernel of a network without biases.

    Parameters
    ----------
    x1, x2
        Inputs, shapes ``(N1, n_0)`` and ``(N2, n_0)``; ``x1`` again where ``x2`` is None.
    depth
        Number of weight matrices.
    activation
        ``"relu"``, ``"erf"`` or ``"identity"``.
    weight_variance
        ``σ_w²``.
    width
        Hidden width n; it matters in the standard parameterisation only, where layers 2 and up have a factor n.
    parameterization
        ``"ntk"`` or ``"standard"``.

    Returns
    -------
    Kernel
        ``ntk`` is the kernel, ``nngp`` the covariance of the outputs, each of shape ``(N1, N2)``.
    """
    nonlinearity = {"relu": stax.Relu, "erf": stax.Erf, "identity": stax.Identity}[activation]()
    dense = stax.Dense(width, W_std=sqrt(weight_variance), b_std=None, parameterization=parameterization)
    kernel_fn = stax.serial(*([dense, nonlinearity] * depth)[:-1])[2]
    return kernel_fn(x1, x2, ("ntk", "nngp"))
