"""Neural tangent kernels of networks at finite width, in closed form.

The gradient of output c with respect to a matrix that trains is an outer product of a backward and a forward vector. With
``δˡ_c = ∂f_c/∂yˡ`` and s the scale of an adapter,

=======  ===============  ===============
matrix   backward, u_c    forward, v
=======  ===============  ===============
``W``    ``δˡ_c``         ``hˡ⁻¹``
``B``    ``δˡ_c``         ``s A hˡ⁻¹``
``A``    ``s Bᵀ δˡ_c``    ``hˡ⁻¹``
=======  ===============  ===============

so the kernel, exactly and at every width, is the sum over those matrices of ``⟨u_c(x), u_c'(x')⟩ ⟨v(x), v(x')⟩``. This is
equation 2 of the paper, and at ``B = 0`` the exact form of its equations 8 and 10.

No array with one entry for each parameter is ever formed: everything is a product of matrices with at most N·C rows. On one
batch of 512 inputs or more the kernel is symmetric and five eighths of it are computed, from 256 on three quarters. At
``B = 0`` neither the terms of A are computed nor what the adapter adds to the outputs. Where factors and kernel do not fit
into memory together, `lorantk.theory.blocks` computes the kernel block by block.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.choices import one_of
from lorantk.theory.networks import (
    TRAINED,
    Network,
    activation_derivative,
    check_inputs,
    effective_weight,
    hidden_states,
    trained_parameters,
)

OUTPUTS = ("full", "diagonal", "trace")

# A symmetric kernel is halved at most this many times, as each halving copies the rows of all factors: a third one is a
# twentieth faster at 1024 rows and takes a fifth more memory. Nor is it halved into blocks of fewer rows than `LEAST_ROWS`:
# smaller products lose more of the machine's rate than the symmetry saves.
HALVINGS = 2
LEAST_ROWS = 128


def backward_states(network: Network, ys: list[Array]) -> list[Array]:
    """Return the backward vectors ``[δ¹, …, δᴸ]``, ``δˡ_c = ∂f_c/∂yˡ``.

    ``δᴸ = I`` and ``δˡ_c = ((W + s B A)ᵀ δˡ⁺¹_c) σ'(yˡ)``, with the weight of layer l + 1 and an entrywise product.

    Parameters
    ----------
    network : Network
        The network.
    ys : list of L arrays (N, n_l)
        Pre-activations from `lorantk.theory.networks.hidden_states`.

    Returns
    -------
    list of L arrays (N, C, n_l)
        ``δˡ``.

    Examples
    --------
    The second hidden unit is off, so its pre-activation does not matter:

    >>> from lorantk.theory import kernels, networks
    >>> network = networks.network_from_weights([np.eye(2), [[1.0, 2.0]]])
    >>> ys = networks.hidden_states(network, jnp.array([[3.0, -4.0]]))[1]
    >>> [delta.tolist() for delta in kernels.backward_states(network, ys)]
    [[[[1.0, 0.0]]], [[[1.0]]]]
    """
    N, C = ys[-1].shape
    delta = jnp.broadcast_to(jnp.eye(C, dtype=ys[-1].dtype), (N, C, C))
    deltas = [delta]
    for layer, y in zip(reversed(network.layers[1:]), reversed(ys[:-1]), strict=True):
        rows = delta.reshape(N * C, -1)
        below = rows @ layer.W
        if layer.A is not None:
            # W + s B A is never formed: it would be as large as W.
            below = below + layer.scale * (rows @ layer.B) @ layer.A
        delta = below.reshape(N, C, -1) * activation_derivative(network.activation, y)[:, None, :]
        deltas.append(delta)
    return deltas[::-1]


def _without(network: Network, skipped: frozenset[str]) -> Network:
    """Return the network without the adapters whose A is skipped, see `zero_gradient_matrices`: the same function."""
    return replace(
        network,
        layers=tuple(
            replace(layer, A=None, B=None, scale=None) if f"A{l}" in skipped else layer
            for l, layer in enumerate(network.layers, 1)
        ),
    )


def gradient_factors(
    network: Network, x: Float[Array, "N n0"], skipped: frozenset[str] = frozenset()
) -> dict[str, tuple[Array, Array]]:
    """Return, for each matrix that trains, the two factors of the gradient of each output.

    The gradient of ``f_c(x_i)`` with respect to the matrix is the outer product of row ``[i, c]`` of the first factor and row
    ``i`` of the second; the table of this module says what they are.

    Parameters
    ----------
    network : Network
        The network.
    x : array (N, n_0)
        Inputs, one per row.
    skipped : frozenset of str
        Names of matrices to leave out, see `zero_gradient_matrices`.

    Returns
    -------
    dict of str to pair of arrays (N, C, m), (N, k)
        By the names of `lorantk.theory.networks.trained_parameters`, for a matrix of shape ``(m, k)``.

    Raises
    ------
    ValueError
        Inputs of a width other than the network's.

    Examples
    --------
    >>> from lorantk.theory import kernels, networks
    >>> weights = [[[1.0, 0.0], [0.0, -1.0]], [[1.0, 2.0]]]
    >>> network = networks.network_from_weights(weights)
    >>> u, v = kernels.gradient_factors(network, jnp.array([[3.0, 4.0]]))["W1"]
    >>> jnp.outer(u[0, 0], v[0]).tolist()
    [[3.0, 4.0], [0.0, 0.0]]
    """
    active = _without(network, skipped)
    hs, ys = hidden_states(active, x)
    factors = {}
    for l, (layer, h, delta) in enumerate(zip(network.layers, hs, backward_states(active, ys), strict=True), 1):
        for name in TRAINED[layer.role]:
            if f"{name}{l}" in skipped:
                continue
            if name == "W":
                factors[f"W{l}"] = (delta, h)
            # The scale multiplies the factor that has only r entries per row.
            elif name == "B":
                factors[f"B{l}"] = (delta, layer.scale * (h @ layer.A.T))
            else:
                factors[f"A{l}"] = (layer.scale * (delta @ layer.B), h)
    return factors


def _contract(left: tuple[Array, Array], right: tuple[Array, Array], outputs: str) -> Array:
    """Return one matrix's part of the kernel from its factors on two batches, see `gradient_factors`; shapes as in `ntk`."""
    (u1, v1), (u2, v2) = left, right
    forward = v1 @ v2.T
    if outputs == "trace":
        N1, N2 = forward.shape
        return (u1.reshape(N1, -1) @ u2.reshape(N2, -1).T) * forward
    if outputs == "diagonal":
        return jnp.einsum("icm,jcm->ijc", u1, u2) * forward[:, :, None]
    return jnp.einsum("icm,jdm->ijcd", u1, u2) * forward[:, :, None, None]


def transpose_block(block: Array) -> Array:
    """Return the block of the kernel at ``(x', x)`` from the one at ``(x, x')``: ``K_cc'(x', x) = K_c'c(x, x')``.

    Parameters
    ----------
    block : array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        Part of a kernel.

    Returns
    -------
    array (N2, N1, ...)
        Both pairs of axes swapped.

    Examples
    --------
    >>> from lorantk.theory import kernels
    >>> kernels.transpose_block(jnp.array([[1.0, 2.0]])).tolist()
    [[1.0], [2.0]]
    """
    return jnp.transpose(block, (1, 0, *reversed(range(2, block.ndim))))


def _rows(factor: tuple[Array, Array], start: int, stop: int) -> tuple[Array, Array]:
    return factor[0][start:stop], factor[1][start:stop]


def _product(left, right, outputs):
    return sum(_contract(a, b, outputs) for a, b in zip(left, right, strict=True))


def _symmetric(factors, outputs, halvings):
    """Return the kernel of a batch with itself: of the two blocks off the diagonal only one is computed."""
    N = factors[0][1].shape[0]
    half = N // 2
    if halvings == 0 or half < LEAST_ROWS:
        return _product(factors, factors, outputs)
    top, bottom = ([_rows(f, *ends) for f in factors] for ends in ((0, half), (half, N)))
    below = _product(bottom, top, outputs)
    upper = jnp.concatenate([_symmetric(top, outputs, halvings - 1), transpose_block(below)], axis=1)
    lower = jnp.concatenate([below, _symmetric(bottom, outputs, halvings - 1)], axis=1)
    return jnp.concatenate([upper, lower])


def _kernel(left, right, outputs):
    """Sum the parts of several matrices, given as lists of factors; ``right`` is None for the same batch."""
    return _symmetric(left, outputs, HALVINGS) if right is None else _product(left, right, outputs)


def output_axes(C: int, outputs: str) -> tuple[int, ...]:
    """Return the axes of a kernel after the two of the batches.

    Parameters
    ----------
    C : int
        Number of outputs.
    outputs : str
        One of `OUTPUTS`.

    Returns
    -------
    tuple of int
        ``(C, C)``, ``(C,)`` or ``()``.

    Examples
    --------
    >>> from lorantk.theory import kernels
    >>> [kernels.output_axes(3, outputs) for outputs in kernels.OUTPUTS]
    [(3, 3), (3,), ()]
    """
    return {"full": (C, C), "diagonal": (C,), "trace": ()}[outputs]


def _concrete(array) -> bool:
    return array is not None and not isinstance(array, jax.core.Tracer)


def zero_gradient_matrices(network: Network) -> frozenset[str]:
    """Return the names of the matrices A whose gradient is zero because their B is; none where B is traced.

    The gradient with respect to A is ``s Bᵀδ hᵀ``, see the table of this module.

    Parameters
    ----------
    network : Network
        The network.

    Returns
    -------
    frozenset of str
        Names such as ``"A2"``.

    Examples
    --------
    >>> from lorantk.theory import kernels, networks
    >>> from lorantk.theory.adapters import adapt, adapter
    >>> key, config = jax.random.key(0), adapter(2, alpha=2)
    >>> network = networks.init_network((4, 16, 3), key=key)
    >>> lora = adapt(network, config, roles=("full", "lora"), key=key)
    >>> sorted(kernels.zero_gradient_matrices(lora))
    ['A2']
    """
    layers = enumerate(network.layers, 1)
    return frozenset(f"A{l}" for l, layer in layers if _concrete(layer.B) and not np.asarray(layer.B).any())


@partial(jax.jit, static_argnames=("outputs", "skipped"))
def _terms_jit(network, x1, x2, outputs, skipped):
    left = gradient_factors(network, x1, skipped)
    right = None if x2 is None else gradient_factors(network, x2, skipped)
    terms = {name: _kernel([factor], None if right is None else [right[name]], outputs) for name, factor in left.items()}
    zero = jnp.zeros_like(next(iter(terms.values())))
    return {name: terms.get(name, zero) for name in trained_parameters(network)}


def ntk_from_factors(left: dict, right: dict | None, *, outputs: str) -> Array:
    """Return the kernel ``Σ ⟨u_c(x), u_c'(x')⟩ ⟨v(x), v(x')⟩`` from the factors of two batches.

    Parameters
    ----------
    left : dict of str to pair of arrays (N1, C, m), (N1, k)
        From `gradient_factors`.
    right : dict of str to pair of arrays (N2, C, m), (N2, k), or None
        Those of the second batch; None for the same batch.
    outputs : str
        One of `OUTPUTS`, see `ntk`.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        As for `ntk`.

    Examples
    --------
    >>> from lorantk.theory import kernels, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> factors = kernels.gradient_factors(network, jnp.array([[3.0, 4.0]]))
    >>> kernels.ntk_from_factors(factors, None, outputs="trace").tolist()
    [[25.0]]
    """
    return _kernel(list(left.values()), None if right is None else [right[name] for name in left], outputs)


@partial(jax.jit, static_argnames=("outputs", "skipped"))
def _ntk_jit(network, x1, x2, outputs, skipped):
    right = None if x2 is None else gradient_factors(network, x2, skipped)
    return ntk_from_factors(gradient_factors(network, x1, skipped), right, outputs=outputs)


def check_outputs(outputs: str) -> None:
    """Raise ValueError unless ``outputs`` is one of `OUTPUTS`.

    Parameters
    ----------
    outputs : str
        Name to check.

    Raises
    ------
    ValueError
        Any other name.

    Examples
    --------
    >>> from lorantk.theory import kernels
    >>> kernels.check_outputs("mean")
    Traceback (most recent call last):
        ...
    ValueError: outputs must be one of full, diagonal, trace; got 'mean'
    """
    one_of("outputs", outputs, OUTPUTS)


def check_arguments(network: Network, x1: Array, x2: Array | None, outputs: str) -> None:
    """Raise ValueError on what `ntk` does not take, before anything is computed.

    Parameters
    ----------
    network : Network
        The network.
    x1, x2 : array (N1, n_0) and array (N2, n_0) or None
        Inputs, one per row.
    outputs : str
        One of `OUTPUTS`.

    Raises
    ------
    ValueError
        As for `ntk`.

    Examples
    --------
    >>> from lorantk.theory import kernels, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> kernels.check_arguments(network, jnp.ones(2), None, "trace")
    Traceback (most recent call last):
        ...
    ValueError: x1 must be a matrix with one input per row; got shape (2,)
    """
    check_outputs(outputs)
    for name, x in (("x1", x1), ("x2", x2)):
        if x is not None:
            check_inputs(network, x, name)
            if x.ndim != 2:
                msg = f"{name} must be a matrix with one input per row; got shape {x.shape}"
                raise ValueError(msg)
    if not any(TRAINED[layer.role] for layer in network.layers):
        msg = "the network has no matrix that trains; give at least one layer a role other than 'frozen'"
        raise ValueError(msg)
    for l, layer in enumerate(network.layers, 1):
        for name in ("W", "A", "B"):
            matrix = getattr(layer, name)
            if _concrete(matrix) and not np.isfinite(matrix).all():
                msg = f"weights must be finite; got NaN or infinity in {name}{l}"
                raise ValueError(msg)


def ntk_terms(
    network: Network,
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    outputs: str,
) -> dict[str, Array]:
    """Return the part of the kernel that each matrix that trains contributes; their sum is `ntk`.

    ``K_p(x, x') = ⟨u_c(x), u_c'(x')⟩ ⟨v(x), v(x')⟩`` for matrix p, see the table of this module. Training at a rate η_p for
    matrix p follows the kernel ``Σ_p η_p K_p``.

    Parameters
    ----------
    network : Network
        The network.
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        As for `ntk`.

    Returns
    -------
    dict of str to array
        By the names of `lorantk.theory.networks.trained_parameters`; shapes as for `ntk`.

    Raises
    ------
    ValueError
        As for `ntk`.

    Examples
    --------
    At ``B = 0`` the gradient with respect to A vanishes:

    >>> from lorantk.theory import kernels, networks
    >>> A, B, x = jnp.array([[1.0, 1.0]]), jnp.zeros((2, 1)), jnp.array([[1.0, 2.0]])
    >>> layer = networks.Layer(jnp.eye(2), A=A, B=B, scale=1.0, role="lora")
    >>> network = networks.Network((layer,), "identity")
    >>> terms = kernels.ntk_terms(network, x, outputs="trace")
    >>> {name: float(K[0, 0]) for name, K in terms.items()}
    {'A1': 0.0, 'B1': 18.0}
    """
    check_arguments(network, x1, x2, outputs)
    return _terms_jit(network, x1, x2, outputs, zero_gradient_matrices(network))


def ntk(
    network: Network,
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    outputs: str,
) -> Array:
    """Return the neural tangent kernel ``K(x, x') = ∇_θ f(x) ∇_θ f(x')ᵀ`` over the parameters that train.

    Equation 2 of the paper (Jacot et al. 2018), in the standard parameterisation and exact at every width.

    Parameters
    ----------
    network : Network
        The network; each layer's role says what trains. In float32 the kernel is float32 too.
    x1 : array (N1, n_0)
        Inputs, one per row.
    x2 : array (N2, n_0), optional
        Second batch; ``x1`` where None.
    outputs : {"full", "diagonal", "trace"}
        ``"full"``: every pair of outputs. ``"diagonal"``: the equal ones, ``K_cc``. ``"trace"``: their sum (not the mean),
        ``Σ_c K_cc``.

    Returns
    -------
    array (N1, N2, C, C), (N1, N2, C) or (N1, N2)
        The kernel, by ``outputs``.

    Raises
    ------
    ValueError
        Inputs of a width other than the network's, unknown ``outputs``, a network in which nothing trains, or weights that are
        not finite.

    Examples
    --------
    ``f(x) = w²·relu(W¹x)`` with ``W¹ = I``: the kernel is ``|w²|² ⟨x, x'⟩ + ⟨h, h'⟩`` where all units are on.

    >>> from lorantk.theory import kernels, networks
    >>> network = networks.network_from_weights([np.eye(2), [[1.0, 2.0]]])
    >>> x1, x2 = jnp.array([[1.0, 0.5]]), jnp.array([[2.0, 4.0]])
    >>> kernels.ntk(network, x1, x2, outputs="trace").tolist()
    [[24.0]]
    """
    check_arguments(network, x1, x2, outputs)
    return _ntk_jit(network, x1, x2, outputs, zero_gradient_matrices(network))


def as_matrix(K: Float[Array, "N1 N2 C C"]) -> Float[Array, "N1C N2C"]:
    """Lay a full kernel out as the ``N1·C × N2·C`` Gram matrix of the gradients, outputs varying fastest.

    Parameters
    ----------
    K : array (N1, N2, C, C)
        From `ntk` with ``outputs="full"``.

    Returns
    -------
    array (N1·C, N2·C)
        Entry ``[i C + c, j C + c']`` is ``K[i, j, c, c']``.

    Examples
    --------
    One linear layer has ``K = ⟨x, x'⟩ I``:

    >>> from lorantk.theory import kernels, networks
    >>> network = networks.network_from_weights([np.eye(2)])
    >>> K = kernels.ntk(network, jnp.array([[1.0, 1.0]]), outputs="full")
    >>> kernels.as_matrix(K).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    N1, N2, C, _ = K.shape
    return jnp.transpose(K, (0, 2, 1, 3)).reshape(N1 * C, N2 * C)


def as_full_fine_tuning(network: Network) -> Network:
    """Return the same function with every layer trained in full: adapters are merged into their weights.

    ``W ← W + s B A``, and the role of each layer becomes ``"full"``. Nothing is trained here.

    Parameters
    ----------
    network : Network
        The network; it stays as it is.

    Returns
    -------
    Network
        A new one, with weights of the same shapes ``(n_l, n_{l-1})``.

    Examples
    --------
    >>> from lorantk.theory import kernels, networks
    >>> A, B = jnp.array([[1.0, 1.0]]), jnp.ones((2, 1))
    >>> layer = networks.Layer(jnp.eye(2), A=A, B=B, scale=0.5, role="lora")
    >>> network = networks.Network((layer,), "identity")
    >>> merged = kernels.as_full_fine_tuning(network)
    >>> merged.layers[0].W.tolist(), merged.layers[0].role
    ([[1.5, 0.5], [0.5, 1.5]], 'full')
    """
    layers = (replace(layer, W=effective_weight(layer), A=None, B=None, scale=None, role="full") for layer in network.layers)
    return replace(network, layers=tuple(layers))
