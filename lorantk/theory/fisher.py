"""Fisher information matrices of a network, in parameter space and through the kernel (equation 5 of the paper).

Every Fisher matrix here is ``F = Σ_i J_iᵀ M_i J_i``, with ``J_i = ∂f(x_i)/∂θ`` of shape C × P and ``M_i`` a C × C mean of
outer products of ``g = ∇_f L``. Which mean is taken makes its kind (Martens 2020; Kunstner et al. 2019):

=================  ============================================  ============================  ===================
kind               ``M_i``                                       squared                       cross-entropy
=================  ============================================  ============================  ===================
``"exact"``        ``E[g gᵀ]`` for labels that the model draws   ``I``                         ``diag p - p pᵀ``
``"monte-carlo"``  the mean of ``g gᵀ`` over S such labels       ``y ~ N(f, I)``               ``y ~ p``
``"empirical"``    ``g gᵀ`` at the label of the data set         ``g = f - y``                 ``g = p - y``
=================  ============================================  ============================  ===================

With a factor ``M_i = R_i R_iᵀ``, R_i of shape C × k, the non-zero eigenvalues of F are those of the dual matrix with
blocks ``R_iᵀ K(x_i, x_j) R_j``, K being the kernel: of size N k instead of P, with k = C for the exact Fisher matrix of the
squared loss, C - 1 for that of cross-entropy, S for Monte-Carlo and 1 for the empirical one (Karakida et al. 2019).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from lorantk.choices import one_of
from lorantk.theory.networks import Network, forward, replace_parameters, trained_parameters
from lorantk.theory.objectives import LOSSES, loss_values, output_gradients

KINDS = ("exact", "monte-carlo", "empirical")
REDUCTIONS = ("sum", "mean")


def softmax_factor(p: Float[Array, " C"]) -> Float[Array, "C C-1"]:
    """Return R of shape ``(C, C - 1)`` with ``R Rᵀ = diag p - p pᵀ``.

    ``R = (diag √p - p √pᵀ) Q = diag(√p) Q``, the columns of Q being an orthonormal basis of the complement of ``√p``: those of
    the Householder reflection that takes ``√p`` to ``-e_1``, without the first. Without Q the factor would be square and add
    one zero eigenvalue for each input.

    Parameters
    ----------
    p : array (C,)
        Probabilities; that they sum to 1 is not checked.

    Returns
    -------
    array (C, C - 1)
        ``R``.

    Examples
    --------
    >>> from lorantk.theory import fisher
    >>> R = fisher.softmax_factor(jnp.array([0.5, 0.25, 0.25]))
    >>> (R @ R.T).round(6).tolist()
    [[0.25, -0.125, -0.125], [-0.125, 0.1875, -0.0625], [-0.125, -0.0625, 0.1875]]
    """
    root = jnp.sqrt(p)
    v = root.at[0].add(1.0)
    reflection = jnp.eye(p.shape[0], dtype=p.dtype) - jnp.outer(v, v) / (1 + root[0])
    return root[:, None] * reflection[:, 1:]


def sample_targets(outputs: Float[Array, "N C"], *, loss: str, draws: int, key: Array) -> Float[Array, "S N C"]:
    """Draw labels from the model: ``y ~ N(f, I)`` for the squared loss, one-hot ``y ~ softmax(f)`` for cross-entropy.

    Parameters
    ----------
    outputs : array (N, C)
        ``f(x_i)``.
    loss : {"squared", "cross-entropy"}
        The loss, whose negative is the log-likelihood of the model.
    draws : int
        ``S``.
    key : JAX random key
        Source of the randomness.

    Returns
    -------
    array (S, N, C)
        The labels.

    Raises
    ------
    ValueError
        An unknown loss.

    Examples
    --------
    Softmax of ``(log 3, 0)`` gives the first class three times in four:

    >>> from lorantk.theory import fisher
    >>> outputs, key = jnp.log(jnp.array([[3.0, 1.0]])), jax.random.key(0)
    >>> options = {"loss": "cross-entropy", "draws": 10_000, "key": key}
    >>> labels = fisher.sample_targets(outputs, **options)
    >>> labels.shape, round(float(labels[:, 0, 0].mean()), 2)
    ((10000, 1, 2), 0.75)
    """
    one_of("loss", loss, LOSSES)
    if loss == "squared":
        return outputs[None] + jax.random.normal(key, (draws, *outputs.shape), outputs.dtype)
    labels = jax.random.categorical(key, outputs, shape=(draws, outputs.shape[0]))
    return jax.nn.one_hot(labels, outputs.shape[1], dtype=outputs.dtype)


def output_factor(
    outputs: Float[Array, "N C"],
    *,
    loss: str,
    kind: str,
    targets: Float[Array, "N C"] | Float[Array, "S N C"] | None = None,
) -> Float[Array, "N C k"]:
    """Return the factors ``R_i`` of the Fisher matrices of the outputs: ``R_i R_iᵀ = M_i``.

    Parameters
    ----------
    outputs : array (N, C)
        ``f(x_i)``.
    loss : {"squared", "cross-entropy"}
        ``½ |f - y|²`` (noise of variance 1), or cross-entropy in nats.
    kind : {"exact", "monte-carlo", "empirical"}
        Which mean ``M_i`` is, see the table of this module.
    targets : array (N, C) or (S, N, C), optional
        For ``"empirical"`` the labels, shape ``(N, C)``, one-hot for cross-entropy; for ``"monte-carlo"`` the draws of
        `sample_targets`, shape ``(S, N, C)``; for ``"exact"`` None.

    Returns
    -------
    array (N, C, k)
        ``R_i``, with k as in the module's description.

    Raises
    ------
    ValueError
        An unknown loss or kind, or targets of a shape that the kind does not take.

    Examples
    --------
    >>> from lorantk.theory import fisher
    >>> outputs = jnp.zeros((5, 3))
    >>> fisher.output_factor(outputs, loss="squared", kind="exact").shape
    (5, 3, 3)
    >>> fisher.output_factor(outputs, loss="cross-entropy", kind="exact").shape
    (5, 3, 2)
    """
    one_of("loss", loss, LOSSES)
    one_of("kind", kind, KINDS)
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
        return output_gradients(outputs, targets, loss=loss)[:, :, None]
    g = jax.vmap(lambda y: output_gradients(outputs, y, loss=loss), out_axes=-1)(targets)
    return g / jnp.sqrt(g.shape[-1])


def _weight(N: int, reduction: str) -> float:
    one_of("reduction", reduction, REDUCTIONS)
    return 1 / N if reduction == "mean" else 1.0


def fisher_matrix(J: Float[Array, "N C P"], R: Float[Array, "N C k"], *, reduction: str) -> Float[Array, "P P"]:
    """Return the Fisher matrix ``F = Σ_i J_iᵀ R_i R_iᵀ J_i``; over N with ``reduction="mean"`` (equation 5 of the paper).

    Parameters
    ----------
    J : array (N, C, P)
        From `jacobian`.
    R : array (N, C, k)
        From `output_factor`.
    reduction : {"sum", "mean"}
        Sum or mean over the batch.

    Returns
    -------
    array (P, P)
        ``F``, symmetric and positive semi-definite.

    Raises
    ------
    ValueError
        An unknown reduction.

    Examples
    --------
    >>> from lorantk.theory import fisher
    >>> J = jnp.array([[[3.0, 4.0]], [[1.0, 0.0]]])
    >>> fisher.fisher_matrix(J, jnp.ones((2, 1, 1)), reduction="sum").tolist()
    [[10.0, 12.0], [12.0, 16.0]]
    """
    root = jnp.einsum("icp,ick->ikp", J, R).reshape(-1, J.shape[-1])
    return _weight(J.shape[0], reduction) * root.T @ root


def dual_matrix(K: Float[Array, "N N C C"], R: Float[Array, "N C k"], *, reduction: str) -> Float[Array, "Nk Nk"]:
    """Return the matrix of blocks ``R_iᵀ K(x_i, x_j) R_j``, which has the non-zero eigenvalues of `fisher_matrix`.

    The precise form of equation 5 of the paper, which equates a number with the trace of this matrix; no infinite width is
    needed (Karakida et al. 2019).

    Parameters
    ----------
    K : array (N, N, C, C)
        Kernel with every pair of outputs, `lorantk.theory.kernels.ntk` with ``outputs="full"``.
    R : array (N, C, k)
        From `output_factor`.
    reduction : {"sum", "mean"}
        Sum or mean over the batch.

    Returns
    -------
    array (N k, N k)
        The k columns of R vary fastest.

    Raises
    ------
    ValueError
        An unknown reduction.

    Examples
    --------
    >>> from lorantk.theory import fisher
    >>> J, R = jnp.array([[[3.0, 4.0]], [[1.0, 0.0]]]), jnp.ones((2, 1, 1))
    >>> K = jnp.einsum("icp,jdp->ijcd", J, J)
    >>> G = fisher.dual_matrix(K, R, reduction="sum")
    >>> F = fisher.fisher_matrix(J, R, reduction="sum")
    >>> G.tolist(), float(jnp.trace(G)), float(jnp.trace(F))
    ([[25.0, 3.0], [3.0, 1.0]], 26.0, 26.0)
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
    """Return ``J_i = ∂f(x_i)/∂θ`` over the matrices that train, laid end to end, by automatic differentiation.

    Parameters
    ----------
    network : Network
        The network.
    x : array (N, n_0)
        Inputs, one per row.

    Returns
    -------
    array (N, C, P)
        ``J``.

    Examples
    --------
    >>> from lorantk.theory import fisher, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> fisher.jacobian(network, jnp.array([[3.0, 4.0]])).tolist()
    [[[3.0, 4.0]]]
    """
    theta, outputs = _as_function(network, x)
    return jax.jacrev(outputs)(theta)


@partial(jax.jit, static_argnames="loss")
def parameter_gradients(
    network: Network, x: Float[Array, "N n0"], targets: Float[Array, "N C"], *, loss: str
) -> Float[Array, "N P"]:
    """Return ``∇_θ L`` of each sample, by automatic differentiation of its loss, without J and without the kernel.

    Parameters
    ----------
    network : Network
        The network.
    x : array (N, n_0)
        Inputs, one per row.
    targets : array (N, C)
        As for `lorantk.theory.objectives.loss_values`.
    loss : {"squared", "cross-entropy"}
        As for `lorantk.theory.objectives.loss_values`.

    Returns
    -------
    array (N, P)
        Gradients over the matrices that train, laid end to end.

    Raises
    ------
    ValueError
        As for `lorantk.theory.objectives.loss_values`.

    Examples
    --------
    ``½ (w·x - y)²`` has the gradient ``(w·x - y) x``:

    >>> from lorantk.theory import fisher, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> x, y = jnp.array([[3.0, 4.0]]), jnp.array([[10.0]])
    >>> fisher.parameter_gradients(network, x, y, loss="squared").tolist()
    [[3.0, 4.0]]
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

    ``F = ∇²_θ Σ_i KL(p_{θ₀}(·|x_i) ‖ p_θ(·|x_i))`` at ``θ = θ₀`` (Amari 1998), by automatic differentiation twice,
    without J and without K. Over N with ``reduction="mean"``.

    Parameters
    ----------
    network : Network
        The network, at ``θ₀``.
    x : array (N, n_0)
        Inputs, one per row.
    loss : {"squared", "cross-entropy"}
        The loss, whose negative is the log-likelihood of the model.
    reduction : {"sum", "mean"}
        Sum or mean over the batch.

    Returns
    -------
    array (P, P)
        ``F``.

    Raises
    ------
    ValueError
        An unknown loss or reduction.

    Examples
    --------
    >>> from lorantk.theory import fisher, networks
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> x, options = jnp.array([[3.0, 4.0]]), {"loss": "squared", "reduction": "sum"}
    >>> F = fisher.exact_by_hessian(network, x, **options)
    >>> np.asarray(F).round(5).tolist()
    [[9.0, 12.0], [12.0, 16.0]]
    """
    one_of("loss", loss, LOSSES)
    theta, outputs = _as_function(network, x)
    reference = forward(network, x)
    return _weight(x.shape[0], reduction) * jax.hessian(lambda t: _divergence(outputs(t), reference, loss))(theta)
