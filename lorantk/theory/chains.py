"""Kernels of chains of stages: the closed form where it applies, automatic differentiation where it does not and is asked for.

A stage is a `lorantk.theory.networks.Layer`, the name of an activation, or a pair ``(function, parameters)`` with
``function(parameters, h)`` acting on each row. The closed form knows linear maps with one and the same activation between them.
"""

from dataclasses import replace

from lorantk.theory import kernels, matrix_free
from lorantk.theory.networks import ACTIVATIONS, TRAINED, Layer, Network, forward, replace_parameters, trained_parameters


def as_network(stages) -> Network:
    """Return the network that the stages are.

    Raises
    ------
    ValueError
        A stage that the closed form does not know, named by its place and kind.
    """
    stages = list(stages)
    names = [stage for stage in stages if isinstance(stage, str)]
    for place, stage in enumerate(stages, 1):
        linear = place % 2 == 1
        known = isinstance(stage, Layer) if linear else isinstance(stage, str) and stage in ACTIVATIONS and stage == names[0]
        if not known:
            kind = stage if isinstance(stage, str) else type(stage).__name__
            if isinstance(stage, tuple):
                kind = getattr(stage[0], "__name__", stage[0])
            wanted = "a linear layer" if linear else f"one activation throughout ({', '.join(ACTIVATIONS)})"
            msg = f"the closed form needs {wanted} as stage {place}; got {kind}"
            raise ValueError(msg)
    if len(stages) % 2 == 0:
        msg = f"the closed form needs a linear layer at the end; got {len(stages)} stages"
        raise ValueError(msg)
    return Network(tuple(stages[::2]), names[0] if names else "identity")


def _parameters(stages):
    return [
        {name: getattr(stage, name) for name in TRAINED[stage.role]} if isinstance(stage, Layer) else {"own": stage[1]}
        for stage in stages
        if not isinstance(stage, str)
    ]


def as_function(stages):
    """Return ``f(params, x)`` and the parameters that train, for `lorantk.theory.matrix_free`."""

    def f(params, x):
        own = iter(params)
        for stage in stages:
            if isinstance(stage, str):
                x = ACTIVATIONS[stage](x)
            elif isinstance(stage, Layer):
                x = forward(Network((replace(stage, **next(own)),), "identity"), x)
            else:
                x = stage[0](next(own)["own"], x)
        return x

    return f, _parameters(stages)


def ntk(stages, x1, x2=None, *, outputs: str, fallback: bool = False, memory: int | None = None):
    """Return the kernel of a chain, as `lorantk.theory.kernels.ntk` does.

    Parameters
    ----------
    stages
        Sequence of stages, see the module.
    x1, x2, outputs, memory
        As for `lorantk.theory.kernels.ntk`.
    fallback
        Use automatic differentiation where the closed form does not know a stage.

    Raises
    ------
    ValueError
        A stage that the closed form does not know, without ``fallback``; and as for `lorantk.theory.kernels.ntk`.
    """
    stages = list(stages)
    try:
        network = as_network(stages)
    except ValueError:
        if not fallback:
            raise
        return matrix_free.ntk(*as_function(stages), x1, x2, outputs=outputs, memory=memory)
    return kernels.ntk(network, x1, x2, outputs=outputs, memory=memory)


def network_function(network: Network):
    """Return ``f(params, x)`` of a network and the parameters that train, by name."""
    return (lambda params, x: forward(replace_parameters(network, params), x)), trained_parameters(network)
