r"""Neural tangent kernels of networks at finite width, in closed form.

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
``B = 0`` neither the terms of A are computed nor what the adapter adds to the outputs. With a budget of memory the kernel is
computed in blocks, see `lorantk.theory.blocks`.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

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

# A symmetric kernel is halved at most this often, as each time copies the rows of all factors: a third time is a twentieth
# faster at 1024 rows, and takes a fifth more memory. It is halved no further than to blocks of so many rows: smaller products
# lose more of the machine's rate than the symmetry saves.
HALVINGS = 2
LEAST_ROWS = 128


def backward_states(network: Network, ys: list[Array]) -> list[Array]:
    """Return ``[δ¹, …, δᴸ]``, each of shape ``(N, C, n_l)``, from the pre-activations of `hidden_states`."""
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
    """Return the network without the adapters whose A is skipped, see `silent`: the same function."""
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
    """Return, for each matrix that trains, its backward factor ``(N, C, m)`` and its forward factor ``(N, k)``.

    The gradient of ``f_c(x_i)`` with respect to the matrix is the outer product of row ``[i, c]`` of the first and row ``i``
    of the second. Names are those of `lorantk.theory.networks.trained_parameters`; those in ``skipped``, see `silent`, are
    left out.
    """
    speaking = _without(network, skipped)
    hs, ys = hidden_states(speaking, x)
    factors = {}
    for l, (layer, h, delta) in enumerate(zip(network.layers, hs, backward_states(speaking, ys), strict=True), 1):
        for name in TRAINED[layer.role]:
            if f"{name}{l}" in skipped:
                continue
            if name == "W":
                factors[f"W{l}"] = (delta, h)
            # The scale falls on the factor with r entries a row.
            elif name == "B":
                factors[f"B{l}"] = (delta, layer.scale * (h @ layer.A.T))
            else:
                factors[f"A{l}"] = (layer.scale * (delta @ layer.B), h)
    return factors


def contract(left: tuple[Array, Array], right: tuple[Array, Array], outputs: str) -> Array:
    """Return one matrix's part of the kernel from its factors on two batches, see `gradient_factors`; shapes as in `ntk`."""
    (u1, v1), (u2, v2) = left, right
    forward = v1 @ v2.T
    if outputs == "trace":
        N1, N2 = forward.shape
        return (u1.reshape(N1, -1) @ u2.reshape(N2, -1).T) * forward
    if outputs == "diagonal":
        return jnp.einsum("icm,jcm->ijc", u1, u2) * forward[:, :, None]
    return jnp.einsum("icm,jdm->ijcd", u1, u2) * forward[:, :, None, None]


def mirror(block: Array) -> Array:
    """Return the block of the kernel at ``(x', x)`` from the one at ``(x, x')``."""
    return jnp.transpose(block, (1, 0, *reversed(range(2, block.ndim))))


def _rows(factor: tuple[Array, Array], start: int, stop: int) -> tuple[Array, Array]:
    return factor[0][start:stop], factor[1][start:stop]


def _product(left, right, outputs):
    return sum(contract(a, b, outputs) for a, b in zip(left, right, strict=True))


def _symmetric(factors, outputs, halvings):
    """Return the kernel of a batch with itself: of the two blocks off the diagonal only one is computed."""
    N = factors[0][1].shape[0]
    half = N // 2
    if halvings == 0 or half < LEAST_ROWS:
        return _product(factors, factors, outputs)
    top, bottom = ([_rows(f, *ends) for f in factors] for ends in ((0, half), (half, N)))
    below = _product(bottom, top, outputs)
    upper = jnp.concatenate([_symmetric(top, outputs, halvings - 1), mirror(below)], axis=1)
    lower = jnp.concatenate([below, _symmetric(bottom, outputs, halvings - 1)], axis=1)
    return jnp.concatenate([upper, lower])


def _kernel(left, right, outputs):
    """Sum the parts of several matrices, given as lists of factors; ``right`` None: the same batch."""
    return _symmetric(left, outputs, HALVINGS) if right is None else _product(left, right, outputs)


def trailing(C: int, outputs: str) -> tuple[int, ...]:
    """Return the axes of the kernel after the two of the batches, for C outputs."""
    return {"full": (C, C), "diagonal": (C,), "trace": ()}[outputs]


def _concrete(array) -> bool:
    return array is not None and not isinstance(array, jax.core.Tracer)


def silent(network: Network) -> frozenset[str]:
    """Return the names of the matrices A whose gradient is zero because their B is; none where B is traced."""
    layers = enumerate(network.layers, 1)
    return frozenset(f"A{l}" for l, layer in layers if _concrete(layer.B) and not np.asarray(layer.B).any())


@partial(jax.jit, static_argnames=("outputs", "skipped"))
def _terms_jit(network, x1, x2, outputs, skipped):
    left = gradient_factors(network, x1, skipped)
    right = None if x2 is None else gradient_factors(network, x2, skipped)
    terms = {name: _kernel([factor], None if right is None else [right[name]], outputs) for name, factor in left.items()}
    zero = jnp.zeros_like(next(iter(terms.values())))
    return {name: terms.get(name, zero) for name in trained_parameters(network)}


def from_factors(left: dict, right: dict | None, *, outputs: str) -> Array:
    """Return the kernel from the `gradient_factors` of two batches, or of one where ``right`` is None; shapes as in `ntk`."""
    return _kernel(list(left.values()), None if right is None else [right[name] for name in left], outputs)


@partial(jax.jit, static_argnames=("outputs", "skipped"))
def _ntk_jit(network, x1, x2, outputs, skipped):
    right = None if x2 is None else gradient_factors(network, x2, skipped)
    return from_factors(gradient_factors(network, x1, skipped), right, outputs=outputs)


def check_outputs(outputs: str) -> None:
    """Raise ValueError unless ``outputs`` is one of `OUTPUTS`."""
    if outputs not in OUTPUTS:
        msg = f"outputs must be one of {', '.join(OUTPUTS)}; got {outputs!r}"
        raise ValueError(msg)


def check(network: Network, x1: Array, x2: Array | None, outputs: str) -> None:
    """Raise ValueError on what `ntk` does not take, before anything is computed."""
    check_outputs(outputs)
    for name, x in (("x1", x1), ("x2", x2)):
        if x is not None:
            check_inputs(network, x, name)
            if x.ndim != 2:
                msg = f"{name} must be a matrix with one input a row; got shape {x.shape}"
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

    Training at a rate η_p for matrix p follows the kernel ``Σ_p η_p K_p``.

    Parameters, shapes and errors are those of `ntk`; names are those of `lorantk.theory.networks.trained_parameters`.
    """
    check(network, x1, x2, outputs)
    return _terms_jit(network, x1, x2, outputs, silent(network))


def ntk(
    network: Network,
    x1: Float[Array, "N1 n0"],
    x2: Float[Array, "N2 n0"] | None = None,
    *,
    outputs: str,
    memory: int | None = None,
) -> Array:
    r"""Neural tangent kernel ``K(x, x') = ∇_θ f(x) ∇_θ f(x')ᵀ`` over the parameters that train (equation 2 of the paper).

    Parameters
    ----------
    network
        The network; each layer's role says what trains. In float32 the kernel is float32 too.
    x1
        Inputs, shape ``(N1, n_0)``, one a row.
    x2
        Second batch, shape ``(N2, n_0)``; ``x1`` where None.
    outputs
        ``"full"``: every pair of outputs, shape ``(N1, N2, C, C)``. ``"diagonal"``: the equal ones, ``K_cc``, shape
        ``(N1, N2, C)``. ``"trace"``: their sum (not the mean), ``Σ_c K_cc``, shape ``(N1, N2)``.
    memory
        What the call may allocate, in bytes, the kernel itself included; beyond it the kernel is computed in blocks, see
        `lorantk.theory.blocks.ntk_in_blocks`. No bound where None.

    Raises
    ------
    ValueError
        Inputs of another width than the network's, unknown ``outputs``, a network in which nothing trains, weights that are
        not finite, or a budget of memory that is too small for the kernel and one block of it.
    """
    check(network, x1, x2, outputs)
    if memory is not None:
        from lorantk.theory.blocks import ntk_in_blocks

        return ntk_in_blocks(network, x1, x2, outputs=outputs, memory=memory)
    return _ntk_jit(network, x1, x2, outputs, silent(network))


def as_matrix(K: Float[Array, "N1 N2 C C"]) -> Float[Array, "N1C N2C"]:
    """Lay a full kernel out as the ``N1·C × N2·C`` Gram matrix of the gradients, outputs varying fastest."""
    N1, N2, C, _ = K.shape
    return jnp.transpose(K, (0, 2, 1, 3)).reshape(N1 * C, N2 * C)


def train_in_full(network: Network) -> Network:
    """Return the same function with every layer trained in full: adapters are merged into their weights."""
    layers = (replace(layer, W=effective_weight(layer), A=None, B=None, scale=None, role="full") for layer in network.layers)
    return replace(network, layers=tuple(layers))
