"""Kernels of chains of stages: the closed form where it applies, automatic differentiation where it does not and is asked for.

A stage is a `lorantk.theory.networks.Layer`, the name of an activation, or a pair ``(function, parameters)`` with
``function(parameters, h)`` acting on each row. The closed form knows linear maps with one and the same activation between
them.
"""

from dataclasses import replace

from lorantk.theory import blocks, kernels, matrix_free
from lorantk.theory.networks import ACTIVATIONS, TRAINED, Layer, Network, forward, replace_parameters, trained_parameters


def as_network(stages) -> Network:
    """Return the network that a chain of stages is.

    Parameters
    ----------
    stages : sequence of stages
        Layers and names of activations in turn, ``W¹, σ, W², …, Wᴸ``; ``Wˡ`` of shape ``(n_l, n_{l-1})``.

    Returns
    -------
    Network
        Its layers and its activation.

    Raises
    ------
    ValueError
        A stage that the closed form does not know, named by its position and kind.

    Examples
    --------
    >>> from lorantk.theory import chains, networks
    >>> layer = networks.Layer(jnp.eye(2))
    >>> chains.as_network([layer, "relu", layer]).activation
    'relu'
    >>> chains.as_network([layer, "relu", layer, "erf", layer])
    Traceback (most recent call last):
        ...
    ValueError: the closed form needs one activation throughout (relu, erf, tanh, identity) as stage 4; got erf
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
    """Return ``f(params, x)`` and the parameters that train, for `lorantk.theory.matrix_free`.

    Parameters
    ----------
    stages : sequence of stages
        Of any kind, see the module; applied in their order.

    Returns
    -------
    f : callable
        ``f(params, x)``, from inputs ``(N, n_0)`` to outputs ``(N, C)``.
    params : list of dicts of arrays
        What trains in each stage that has parameters.

    Examples
    --------
    >>> from lorantk.theory import chains, networks
    >>> scale = (lambda parameters, h: parameters * h, jnp.array(3.0))
    >>> f, params = chains.as_function([networks.Layer(jnp.eye(2)), "relu", scale])
    >>> f(params, jnp.array([[1.0, -1.0]])).tolist()
    [[3.0, 0.0]]
    """

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


def ntk_of_chain(stages, x1, x2=None, *, outputs: str, fallback: bool = False, memory: int | None = None):
    """Return the kernel of a chain, in closed form where it applies.

    Parameters
    ----------
    stages : sequence of stages
        See the module.
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        As for `lorantk.theory.kernels.ntk`.
    fallback : bool
        Use automatic differentiation where the closed form does not know a stage.
    memory : int, optional
        Budget in bytes, see `lorantk.theory.blocks.ntk_in_blocks` and `lorantk.theory.matrix_free.ntk_of_function`; no bound
        where None.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        The kernel, by ``outputs``.

    Raises
    ------
    ValueError
        A stage that the closed form does not know, without ``fallback``; or as for the function that computes the kernel.

    Examples
    --------
    The gradient of ``a (x_1 + x_2)`` with respect to a is ``x_1 + x_2``; the two weights add ``a² |x|²``:

    >>> from lorantk.theory import chains, networks
    >>> scale = (lambda a, h: a * h, jnp.array(2.0))
    >>> stages, x = [networks.Layer(jnp.ones((1, 2))), scale], jnp.array([[1.0, 2.0]])
    >>> chains.ntk_of_chain(stages, x, outputs="trace", fallback=True).tolist()
    [[29.0]]
    """
    stages = list(stages)
    try:
        network = as_network(stages)
    except ValueError:
        if not fallback:
            raise
        return matrix_free.ntk_of_function(*as_function(stages), x1, x2, outputs=outputs, memory=memory)
    if memory is None:
        return kernels.ntk(network, x1, x2, outputs=outputs)
    return blocks.ntk_in_blocks(network, x1, x2, outputs=outputs, memory=memory)


def network_function(network: Network):
    """Return a network as a function ``f(params, x)`` and the parameters that train, by name.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    f : callable
        ``f(params, x)``, from inputs ``(N, n_0)`` to outputs ``(N, C)``.
    params : dict of str to array
        `lorantk.theory.networks.trained_parameters`.

    Examples
    --------
    >>> from lorantk.theory import chains, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> f, params = chains.network_function(network)
    >>> sorted(params), f(params, jnp.array([[3.0, 1.0]])).tolist()
    (['W1'], [[5.0]])
    """
    return (lambda params, x: forward(replace_parameters(network, params), x)), trained_parameters(network)
