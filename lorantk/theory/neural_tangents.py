"""neural-tangents under the current JAX and without TensorFlow; import it from here and nowhere else.

neural-tangents 0.6.5 (Novak et al. 2020, 2022) is the second route of the kernel chapters. While it is imported, this module
lends it the names that JAX has since moved or dropped, taken from JAX's public API, and a placeholder for its TensorFlow
wing ``neural_tangents.experimental``, which the book never uses. Afterwards JAX's modules are as they were.

Its analytic kernels, its empirical kernels of implementations 1 and 2, its Monte-Carlo kernels and its predictions work.
Implementation 3 (structured derivatives) does not: it calls functions of JAX that no longer exist.

`analytic_kernel` is its infinite-width kernel of the book's networks and `sampled_kernel` the kernel of one of them; the other
names are its own.
"""

import sys
from contextlib import contextmanager
from math import sqrt
from types import ModuleType

import jax
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
    """Lend the missing names during an import."""
    core, ad = jax.core, jax.interpreters.ad
    lent = [(core, name, getattr(jax.extend.core, name)) for name in _MOVED]
    # Used there only as a dictionary key: no trace contains this primitive any more.
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
    "sampled_kernel",
    "stax",
]

_NONLINEARITIES = {"relu": stax.Relu, "erf": stax.Erf, "identity": stax.Identity}


def analytic_kernel(
    x1, x2=None, *, depth: int, activation: str, weight_variance: float, width: int = 1, parameterization: str = "ntk"
):
    """Return neural-tangents' infinite-width kernel of a network without biases (Novak et al. 2020).

    It is the second route to equations 8 and 9 of the paper, beside `lorantk.theory.limits.limit_ntk`.

    Parameters
    ----------
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    depth : int
        ``L``, the number of weight matrices.
    activation : {"relu", "erf", "identity"}
        Activation between them.
    weight_variance : float
        ``σ_w²``.
    width : int
        Hidden width n; it matters in the standard parameterisation only, where layers 2 and up have a factor n.
    parameterization : {"ntk", "standard"}
        The parameterisation.

    Returns
    -------
    neural_tangents.Kernel
        ``ntk`` is the kernel, ``nngp`` the covariance of the outputs, both of shape ``(N1, N2)``.

    Examples
    --------
    With ReLU and ``σ_w² = 2``, ``K(x, x) = 2 L |x|²/n_0``:

    >>> from lorantk.theory import neural_tangents
    >>> options = {"depth": 3, "activation": "relu", "weight_variance": 2.0}
    >>> kernel = neural_tangents.analytic_kernel(jnp.ones((1, 4)), **options)
    >>> round(float(kernel.ntk[0, 0]), 4)
    6.0
    """
    nonlinearity = _NONLINEARITIES[activation]()
    dense = stax.Dense(width, W_std=sqrt(weight_variance), b_std=None, parameterization=parameterization)
    kernel_fn = stax.serial(*([dense, nonlinearity] * depth)[:-1])[2]
    return kernel_fn(x1, x2, ("ntk", "nngp"))


def sampled_kernel(network, x1, x2=None, *, weight_variance: float):
    """Return the kernel of a network in the NTK parameterisation, differentiated by neural-tangents, traced over outputs.

    The network is written as ``y = σ_w ω h/√n`` with ``ω = √n W/σ_w``, which is the same function, and ω trains. Nothing of this
    package but the weights goes into it.

    Parameters
    ----------
    network : Network
        One of `lorantk.theory.networks` without adapters, of activation ``"relu"``, ``"erf"`` or ``"identity"``.
    x1 : array
        Inputs, shape ``(N1, n_0)``.
    x2 : array, optional
        A second batch, shape ``(N2, n_0)``; ``x1`` where left out.
    weight_variance : float
        ``σ_w²``.

    Returns
    -------
    Array
        Shape ``(N1, N2)``: the trace over outputs.

    Raises
    ------
    ValueError
        A layer with an adapter.

    Examples
    --------
    A linear network has ``f = ω x/√n_0`` here, and its kernel is ``⟨x, x'⟩/n_0``:

    >>> from lorantk.theory import networks, neural_tangents
    >>> network = networks.init_network((4, 1), key=jax.random.key(0), activation="identity")
    >>> K = neural_tangents.sampled_kernel(network, jnp.ones((2, 4)), weight_variance=1.0)
    >>> bool(jnp.allclose(K, 1.0))
    True
    """
    stages, parameters = [], []
    for l, layer in enumerate(network.layers, 1):
        if layer.A is not None:
            msg = f"expected a network without adapters; got one in layer {l}"
            raise ValueError(msg)
        outputs, inputs = layer.W.shape
        stages += [stax.Dense(outputs, W_std=sqrt(weight_variance), b_std=None), _NONLINEARITIES[network.activation]()]
        parameters += [(layer.W.T * sqrt(inputs / weight_variance), None), ()]
    apply = stax.serial(*stages[:-1])[1]
    trace = jax.jit(empirical_ntk_fn(apply, trace_axes=(-1,), implementation=1))(x1, x2, parameters[:-1])
    return trace * network.layers[-1].W.shape[0]  # what it calls a trace is a mean
