r"""Fisher information matrices of a network, in parameter space and through the kernel (equation 5 of the paper).

Every Fisher matrix here is ``F = Σ_i J_iᵀ M_i J_i``, with ``J_i = ∂f(x_i)/∂θ`` of shape C × P and ``M_i`` a C × C mean of outer
products of ``g = ∇_f L``. Which mean is taken makes its kind:

=================  ==========================================================  ============  ========================
kind               ``M_i``                                                     squared       cross-entropy
=================  ==========================================================  ============  ========================
``"exact"``        ``E[g gᵀ]`` for labels that the model itself draws          ``I``         ``diag p - p pᵀ``
``"monte-carlo"``  the mean of ``g gᵀ`` over S such labels                     S draws of ``y ~ N(f, I)`` or ``y ~ p``
``"empirical"``    ``g gᵀ`` at the label of the data set                       ``g = f - y``  ``g = p - y``
=================  ==========================================================  ============  ========================

With a factor ``M_i = R_i R_iᵀ``, R_i of shape C × k, the non-zero eigenvalues of F are those of the dual matrix with
blocks ``R_iᵀ K(x_i, x_j) R_j``, K being the kernel: of size N k in place of P, with k = C for the exact Fisher of the squared
loss, C - 1 for that of cross-entropy, S for Monte-Carlo and 1 for the empirical Fisher.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from lorantk.theory.networks import Network, forward, replace_parameters, trained_parameters
from lorantk.theory.objectives import LOSSES, loss_gradient, loss_values

KINDS = ("exact", "monte-carlo", "empirical")
REDUCTIONS = ("sum", "mean")


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        msg = f"{name} must be one of {', '.join(allowed)}; got {value!r}"
        raise ValueError(msg)


def softmax_factor(p: Float[Array, " C"]) -> Float[Array, "C C-1"]:
    r"""Return R of shape ``(C, C - 1)`` with ``R Rᵀ = diag p - p pᵀ``.

    ``R = (diag √p - p √pᵀ) Q = diag(√p) Q``, the columns of Q being an orthonormal basis of the complement of ``√p``: those of
    the Householder reflection that takes ``√p`` to ``-e_1``, without the first. Without Q the factor would be square and add
    one zero eigenvalue for each input.

    Parameters
    ----------
    p
        Probabilities, shape ``(C,)``; that they sum to 1 is not checked.
    """
    root = jnp.sqrt(p)
    v = root.at[0].add(1.0)
    reflection = jnp.eye(p.shape[0], dtype=p.dtype) - jnp.outer(v, v) / (1 + root[0])
    return root[:, None] * reflection[:, 1:]


def sample_targets(outputs: Float[Array, "N C"], *, loss: str, draws: int, key: Array) -> Float[Array, "S N C"]:
    """Draw labels from the model: ``y ~ N(f, I)`` for the squared loss, one-hot ``y ~ softmax(f)`` for cross-entropy.

    Returns
    -------
    Array
        Shape ``(draws, N, C)``.

    Raises
    ------
    ValueError
        An unknown loss.
    """
    _check("loss", loss, LOSSES)
    if loss == "squared":
        return outputs[None] + jax.random.normal(key, (draws, *outputs.shape), outputs.dtype)
    labels = jax.random.categorical(key, outputs, shape=(draws, outputs.shape[0]))
    return jax.nn.one_hot(labels, outputs.shape[1], dtype=outputs.dtype)


def loss_factor(
    outputs: Float[Array, "N C"],
    *,
    loss: str,
    kind: str,
    targets: Float[Array, "N C"] | Float[Array, "S N C"] | None = None,
) -> Float[Array, "N C k"]:
    """Return the factors ``R_i`` with ``R_i R_iᵀ = M_i``.

    Parameters
    ----------
    outputs
        ``f(x_i)``, shape ``(N, C)``.
    loss
        ``"squared"``, ``½|f - y|²`` (noise of variance 1), or ``"cross-entropy"`` in nats.
    kind
        One of `KINDS`.
    targets
        For ``"empirical"`` the labels, shape ``(N, C)``, one-hot for cross-entropy; for ``"monte-carlo"`` the draws of
        `sample_targets`, shape ``(S, N, C)``; for ``"exact"`` none.

    Returns
    -------
    Array
        Shape ``(N, C, k)``, k as in the module's description.

    Raises
    ------
    ValueError
        An unknown loss or kind, or targets of a shape that the kind does not take.
    """
    _check("loss", loss, LOSSES)
    _check("kind", kind, KINDS)
    N, C = outputs.shape
    shape = None if targets is None else targets.shape
    expected = {"exact": None, "empirical": (N, C), "monte-carlo": ("S", N, C)}[kind]
    if shape != expected and not (kind == "monte-carlo" and shape is not None and shape[1:] == (N, C)):
        msg = f"targets of the {kind} Fisher must have shape {expected}; got {shape}"
        raise ValueError(msg)
    if kind == "exact":
        if loss == "squared":
            return jnp.broadcast_to(jnp.eye(C, dtype=outputs.dtype), (N, C, C))
        return jax.vmap(softmax_factor)(jax.nn.softmax(outputs))
    if kind == "empirical":
        return loss_gradient(outputs, targets, loss=loss)[:, :, None]
    g = jax.vmap(lambda y: loss_gradient(outputs, y, loss=loss), out_axes=-1)(targets)
    return g / jnp.sqrt(g.shape[-1])


def _weight(N: int, reduction: str) -> float:
    _check("reduction", reduction, REDUCTIONS)
    return 1 / N if reduction == "mean" else 1.0


def primal(J: Float[Array, "N C P"], R: Float[Array, "N C k"], *, reduction: str) -> Float[Array, "P P"]:
    """Return the Fisher matrix ``Σ_i J_iᵀ R_i R_iᵀ J_i``, shape ``(P, P)``; over N with ``reduction="mean"``.

    Raises
    ------
    ValueError
        An unknown reduction.
    """
    root = jnp.einsum("icp,ick->ikp", J, R).reshape(-1, J.shape[-1])
    return _weight(J.shape[0], reduction) * root.T @ root


def dual(K: Float[Array, "N N C C"], R: Float[Array, "N C k"], *, reduction: str) -> Float[Array, "Nk Nk"]:
    """Return the matrix of blocks ``R_iᵀ K(x_i, x_j) R_j``, which has the non-zero eigenvalues of `primal`.

    Parameters
    ----------
    K
        Kernel with every pair of outputs, `lorantk.theory.kernels.ntk` with ``outputs="full"``.
    R
        From `loss_factor`.
    reduction
        ``"sum"`` over the batch, or ``"mean"``: the sum over N.

    Returns
    -------
    Array
        Shape ``(N k, N k)``, the k columns of R varying fastest.

    Raises
    ------
    ValueError
        An unknown reduction.
    """
    N, _, k = R.shape
    blocks = jnp.einsum("ica,ijcd,jdb->iajb", R, K, R)
    return _weight(N, reduction) * blocks.reshape(N * k, N * k)


def _as_function(network: Network, x: Array):
    """Return the parameters that train, laid end to end, and the outputs as a function of them."""
    theta, unravel = ravel_pytree(trained_parameters(network))
    return theta, lambda t: forward(replace_parameters(network, unravel(t)), x)


@jax.jit
def jacobian(network: Network, x: Float[Array, "N n0"]) -> Float[Array, "N C P"]:
    """Return ``∂f_c(x_i)/∂θ`` over the matrices that train, laid end to end, by automatic differentiation."""
    theta, outputs = _as_function(network, x)
    return jax.jacrev(outputs)(theta)


@partial(jax.jit, static_argnames="loss")
def loss_gradients(
    network: Network, x: Float[Array, "N n0"], targets: Float[Array, "N C"], *, loss: str
) -> Float[Array, "N P"]:
    """Return ``∇_θ L`` of each sample, by automatic differentiation of its loss; it knows nothing of J or of the kernel.

    Targets, losses and errors are those of `lorantk.theory.objectives.loss_values`.
    """
    theta, outputs = _as_function(network, x)
    return jax.jacrev(lambda t: loss_values(outputs(t), targets, loss=loss))(theta)


def _divergence(outputs: Array, reference: Array, loss: str) -> Array:
    if loss == "squared":
        return ((outputs - reference) ** 2).sum() / 2
    p = jax.nn.softmax(reference)
    return (p * (jax.nn.log_softmax(reference) - jax.nn.log_softmax(outputs))).sum()


@partial(jax.jit, static_argnames=("loss", "reduction"))
def exact_by_hessian(network: Network, x: Float[Array, "N n0"], *, loss: str, reduction: str) -> Float[Array, "P P"]:
    """Return the exact Fisher matrix by another route: the Hessian of the Kullback-Leibler divergence.

    ``F = ∇²_θ Σ_i KL(p_{θ₀}(·|x_i) ‖ p_θ(·|x_i))`` at ``θ = θ₀``, by automatic differentiation twice; it knows neither J nor K.
    Over N with ``reduction="mean"``.

    Raises
    ------
    ValueError
        An unknown loss or reduction.
    """
    _check("loss", loss, LOSSES)
    theta, outputs = _as_function(network, x)
    reference = forward(network, x)
    return _weight(x.shape[0], reduction) * jax.hessian(lambda t: _divergence(outputs(t), reference, loss))(theta)
