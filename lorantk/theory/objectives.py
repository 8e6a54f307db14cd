r"""The objectives of poisoning attacks (equations 3 and 4 of the paper), through the kernel.

With ``g(x) = ∇_F L(x)``, the gradient of the loss with respect to the outputs, the chain rule gives, exactly and at every width,

    ``∇_θ L(x)ᵀ ∇_θ L(x') = g(x)ᵀ K(x, x') g(x')``,

K being the C × C block of the kernel (equation 2). Both objectives are the absolute value of it: of a clean and a poisoned
sample in equation 3, which the attacker maximises, and of a clean and a triggered one in equation 4, which the attacker
minimises. A loss is that of one sample, without a mean over the batch.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.theory.adapters import Adapter, sample_A
from lorantk.theory.kernels import gradient_factors
from lorantk.theory.networks import Network, forward

LOSSES = ("squared", "cross-entropy")
FORMS = ("signed", "absolute", "cosine")

# For each matrix that trains: the gradient of the loss of sample i is the outer product of row i of both.
Factors = dict[str, tuple[Array, Array]]


def _check(outputs: Array, targets: Array, loss: str) -> None:
    if loss not in LOSSES:
        msg = f"loss must be one of {', '.join(LOSSES)}; got {loss!r}"
        raise ValueError(msg)
    if outputs.shape != targets.shape:
        msg = f"targets must have the outputs' shape {outputs.shape}; got {targets.shape}"
        raise ValueError(msg)


def loss_values(outputs: Float[Array, "N C"], targets: Float[Array, "N C"], *, loss: str) -> Float[Array, " N"]:
    """Return the loss of each sample.

    ``"squared"``: ``½ |F - t|²``. ``"cross-entropy"``: ``-Σ_c t_c log softmax(F)_c``, in nats.

    Parameters
    ----------
    outputs, targets
        ``F`` and ``t``, shape ``(N, C)``. For cross-entropy the rows of ``t`` are probabilities, one-hot for a label; that
        they sum to 1 is not checked.
    loss
        One of `LOSSES`.

    Raises
    ------
    ValueError
        Unknown loss, or targets of another shape than the outputs.
    """
    _check(outputs, targets, loss)
    if loss == "squared":
        return ((outputs - targets) ** 2).sum(axis=1) / 2
    return -(targets * jax.nn.log_softmax(outputs)).sum(axis=1)


def loss_gradient(outputs: Float[Array, "N C"], targets: Float[Array, "N C"], *, loss: str) -> Float[Array, "N C"]:
    """Return ``∇_F L`` of each sample: ``F - t``, or ``softmax(F) - t`` for cross-entropy.

    Parameters and errors are those of `loss_values`.
    """
    _check(outputs, targets, loss)
    return (outputs if loss == "squared" else jax.nn.softmax(outputs)) - targets


def loss_factors(network: Network, x: Float[Array, "N n0"], targets: Float[Array, "N C"], *, loss: str) -> Factors:
    """Return, for each matrix that trains, the two factors of the gradient of each sample's loss.

    The gradient of ``L(x_i)`` with respect to an ``m × k`` matrix is the outer product of row i of the first factor, of shape
    ``(N, m)``, and of row i of the second, ``(N, k)``. Names are those of `lorantk.theory.networks.trained_parameters`, losses,
    targets and errors those of `loss_values`.
    """
    g = loss_gradient(forward(network, x), targets, loss=loss)
    return {name: (jnp.einsum("ic,icm->im", g, u), v) for name, (u, v) in gradient_factors(network, x).items()}


def adapt_factors(factors: Factors, adapters: dict[str, tuple[float, Array]]) -> Factors:
    """Return the factors of LoRA at ``B = 0`` from those of full fine-tuning.

    A layer trained in full has factors ``(u, h)``; with an adapter of scale s and matrix A it has ``(s u, A h)``.

    Parameters
    ----------
    factors
        From `loss_factors` of the network trained in full.
    adapters
        ``(s, A)`` for each matrix to adapt, by its name, such as ``"W2"``; A of shape ``(r, n_{l-1})``. The others stay.

    Raises
    ------
    ValueError
        A name that is not among the factors.
    """
    if unknown := set(adapters) - set(factors):
        msg = f"adapters must be of {', '.join(sorted(factors))}; got {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    adapted = {name: (s * factors[name][0], factors[name][1] @ A.T) for name, (s, A) in adapters.items()}
    return factors | adapted


def alignment(left: Factors, right: Factors, *, form: str) -> Float[Array, "N1 N2"]:
    r"""Inner products of the loss gradients of every pair of samples.

    ``"signed"``: ``∇L(x_i)ᵀ ∇L(x'_j)``; ``"absolute"``: its absolute value, equations 3 and 4; ``"cosine"``: the signed value
    divided by the lengths of both gradients (0 where one of them is 0).

    Parameters
    ----------
    left, right
        From `loss_factors` or `adapt_factors`, of N1 and N2 samples and of one network.
    form
        One of `FORMS`.

    Raises
    ------
    ValueError
        Unknown form, or factors of different matrices.
    """
    if form not in FORMS:
        msg = f"form must be one of {', '.join(FORMS)}; got {form!r}"
        raise ValueError(msg)
    if set(left) != set(right):
        msg = f"both sides must have the same matrices; got {sorted(left)} and {sorted(right)}"
        raise ValueError(msg)
    signed = sum((left[name][0] @ right[name][0].T) * (left[name][1] @ right[name][1].T) for name in left)
    if form == "signed":
        return signed
    if form == "absolute":
        return abs(signed)
    lengths = gradient_norm(left)[:, None] * gradient_norm(right)[None, :]
    return jnp.where(lengths > 0, signed / jnp.where(lengths > 0, lengths, 1), 0)


@partial(jax.jit, static_argnames=("config", "features", "dtype"))
def _draw_A(keys, config, features, dtype):
    return jax.vmap(lambda key: sample_A(config, features, key=key, dtype=dtype))(keys)


def sample_lora(
    left: Factors,
    right: Factors,
    config: Adapter,
    *,
    matrices: tuple[str, ...],
    draws: int,
    key: Array,
    forms: tuple[str, ...],
) -> dict[str, Float[Array, "draws N1 N2"]]:
    """Draw adapters at ``B = 0`` and return the alignment of every pair, in the given forms, for each draw of A.

    Parameters
    ----------
    left, right
        From `loss_factors` of the network trained in full.
    config
        What the adapters are.
    matrices
        Names of the matrices to adapt, such as ``("W1", "W2")``; the others train in full.
    draws
        Number of independent draws, all layers of a draw at once.
    key
        JAX random key.
    forms
        Some of `FORMS`.

    Raises
    ------
    ValueError
        Unknown form, a name that is not among the factors, or a rank above a layer's number of inputs.
    """
    if unknown := set(forms) - set(FORMS):
        msg = f"forms must be some of {', '.join(FORMS)}; got {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    if unknown := set(matrices) - set(left):
        msg = f"matrices must be some of {', '.join(sorted(left))}; got {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    scales, projections = {}, {}
    for name, subkey in zip(matrices, jax.random.split(key, len(matrices)), strict=True):
        v, other = (np.asarray(side[name][1]) for side in (left, right))
        A = np.asarray(_draw_A(jax.random.split(subkey, draws), config, v.shape[1], v.dtype))
        scales[name], projections[name] = float(config.scale), (v @ A.swapaxes(1, 2), other @ A.swapaxes(1, 2))
    signed, squares, other_squares = 0.0, 0.0, 0.0
    for name in left:
        s, (v, w) = scales.get(name, 1.0), projections.get(name, (np.asarray(left[name][1]), np.asarray(right[name][1])))
        u, z = (s * np.asarray(side[name][0]) for side in (left, right))
        signed = signed + (u @ z.T) * (v @ w.swapaxes(-1, -2))
        squares = squares + (u**2).sum(1) * (v**2).sum(-1)
        other_squares = other_squares + (z**2).sum(1) * (w**2).sum(-1)
    lengths = np.sqrt(squares[..., :, None] * other_squares[..., None, :])
    cosine = np.divide(signed, lengths, out=np.zeros_like(signed), where=lengths > 0)
    values = {"signed": signed, "absolute": np.abs(signed), "cosine": cosine}
    return {form: values[form] for form in forms}


def gradient_norm(factors: Factors) -> Float[Array, " N"]:
    """Return the length ``|∇_θ L(x_i)|`` of each sample's gradient."""
    return jnp.sqrt(sum((u**2).sum(axis=1) * (v**2).sum(axis=1) for u, v in factors.values()))


@partial(jax.jit, static_argnames=("loss", "form"))
def _objective_jit(network, clean, other, loss, form):
    left, right = (loss_factors(network, x, t, loss=loss) for x, t in (clean, other))
    return alignment(left, right, form=form)


def objective(
    network: Network,
    clean: tuple[Array, Array],
    other: tuple[Array, Array],
    *,
    loss: str,
    form: str,
) -> Float[Array, "N1 N2"]:
    """Objective of every pair of a clean and a poisoned (equation 3) or triggered (equation 4) sample.

    Parameters
    ----------
    network
        The network; its layers' roles say what trains.
    clean, other
        Inputs ``(N, n_0)`` and targets ``(N, C)`` of both kinds of sample.
    loss
        One of `LOSSES`.
    form
        One of `FORMS`; the paper's is ``"absolute"``.

    Raises
    ------
    ValueError
        Unknown loss or form, or targets of another shape than the outputs.
    """
    return _objective_jit(network, clean, other, loss, form)
