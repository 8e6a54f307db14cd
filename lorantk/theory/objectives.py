"""The objectives of poisoning attacks (equations 3 and 4 of the paper), through the kernel.

With ``g(x) = ∇_F L(x)``, the gradient of the loss with respect to the outputs, the chain rule gives, exactly and at every
width, ::

    ∇_θ L(x)ᵀ ∇_θ L(x') = g(x)ᵀ K(x, x') g(x'),

K being the C × C block of the kernel (equation 2). Both objectives are the absolute value of it: of a clean and a poisoned
sample in equation 3, which the attacker maximises, and of a clean and a triggered one in equation 4, which the attacker
minimises. A loss is that of one sample, without a mean over the batch.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lorantk.choices import one_of
from lorantk.theory.adapters import Adapter, sample_A
from lorantk.theory.kernels import gradient_factors
from lorantk.theory.networks import Network, forward

LOSSES = ("squared", "cross-entropy")
FORMS = ("signed", "absolute", "cosine")

# For each matrix that trains, the gradient of the loss of sample i is the outer product of row i of both factors.
Factors = dict[str, tuple[Array, Array]]


def _check(outputs: Array, targets: Array, loss: str) -> None:
    one_of("loss", loss, LOSSES)
    if outputs.shape != targets.shape:
        msg = f"targets must have the outputs' shape {outputs.shape}; got {targets.shape}"
        raise ValueError(msg)


def loss_values(outputs: Float[Array, "N C"], targets: Float[Array, "N C"], *, loss: str) -> Float[Array, " N"]:
    """Return the loss of each sample.

    ``"squared"``: ``½ |F - t|²``. ``"cross-entropy"``: ``-Σ_c t_c log softmax(F)_c``, in nats.

    Parameters
    ----------
    outputs : array (N, C)
        ``F``.
    targets : array (N, C)
        ``t``. For cross-entropy the rows are probabilities, one-hot for a label; that they sum to 1 is not checked.
    loss : {"squared", "cross-entropy"}
        One of `LOSSES`.

    Returns
    -------
    array (N,)
        The losses.

    Raises
    ------
    ValueError
        Unknown loss, or targets of another shape than the outputs.

    Examples
    --------
    >>> from lorantk.theory import objectives
    >>> outputs = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    >>> targets = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    >>> objectives.loss_values(outputs, targets, loss="squared").tolist()
    [12.5, 0.5]
    """
    _check(outputs, targets, loss)
    if loss == "squared":
        return ((outputs - targets) ** 2).sum(axis=1) / 2
    return -(targets * jax.nn.log_softmax(outputs)).sum(axis=1)


def output_gradients(outputs: Float[Array, "N C"], targets: Float[Array, "N C"], *, loss: str) -> Float[Array, "N C"]:
    """Return ``g = ∇_F L`` of each sample: ``F - t``, or ``softmax(F) - t`` for cross-entropy.

    Parameters
    ----------
    outputs, targets : array (N, C)
        ``F`` and ``t``, as for `loss_values`.
    loss : {"squared", "cross-entropy"}
        One of `LOSSES`.

    Returns
    -------
    array (N, C)
        ``g``.

    Raises
    ------
    ValueError
        As for `loss_values`.

    Examples
    --------
    >>> from lorantk.theory import objectives
    >>> outputs, label = jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]])
    >>> objectives.output_gradients(outputs, label, loss="cross-entropy").tolist()
    [[-0.5, 0.5]]
    """
    _check(outputs, targets, loss)
    return (outputs if loss == "squared" else jax.nn.softmax(outputs)) - targets


def loss_gradient_factors(network: Network, x: Float[Array, "N n0"], targets: Float[Array, "N C"], *, loss: str) -> Factors:
    """Return, for each matrix that trains, the two factors of the gradient of each sample's loss.

    The gradient of ``L(x_i)`` with respect to an ``m × k`` matrix is the outer product of row i of the first factor,
    ``Σ_c g_c u_c``, and of row i of the second, ``v``, with u and v from `lorantk.theory.kernels.gradient_factors`.

    Parameters
    ----------
    network : Network
        The network.
    x : array (N, n_0)
        Inputs, one per row.
    targets : array (N, C)
        As for `loss_values`.
    loss : {"squared", "cross-entropy"}
        One of `LOSSES`.

    Returns
    -------
    dict of str to pair of arrays (N, m), (N, k)
        By the names of `lorantk.theory.networks.trained_parameters`.

    Raises
    ------
    ValueError
        As for `loss_values`.

    Examples
    --------
    >>> from lorantk.theory import networks, objectives
    >>> network = networks.network_from_weights([[[1.0, 2.0]]])
    >>> x, t = jnp.array([[3.0, 4.0]]), jnp.array([[10.0]])
    >>> u, v = objectives.loss_gradient_factors(network, x, t, loss="squared")["W1"]
    >>> u.tolist(), v.tolist()
    ([[1.0]], [[3.0, 4.0]])
    """
    g = output_gradients(forward(network, x), targets, loss=loss)
    return {name: (jnp.einsum("ic,icm->im", g, u), v) for name, (u, v) in gradient_factors(network, x).items()}


def adapt_factors(factors: Factors, adapters: dict[str, tuple[float, Array]]) -> Factors:
    """Return the factors of LoRA at ``B = 0`` from those of full fine-tuning.

    A layer trained in full has factors ``(u, h)``; with an adapter of scale s and matrix A it has ``(s u, A h)``.

    Parameters
    ----------
    factors : dict of str to pair of arrays (N, m), (N, k)
        From `loss_gradient_factors` of the network trained in full.
    adapters : dict of str to pair of float and array (r, k)
        ``(s, A)`` for each matrix to adapt, by its name, such as ``"W2"``. The others stay.

    Returns
    -------
    dict of str to pair of arrays (N, m), (N, k) or (N, r)
        Under the same names.

    Raises
    ------
    ValueError
        A name that is not among the factors.

    Examples
    --------
    >>> from lorantk.theory import objectives
    >>> factors = {"W1": (jnp.array([[1.0]]), jnp.array([[3.0, 4.0]]))}
    >>> A = jnp.array([[1.0, 1.0]])
    >>> u, v = objectives.adapt_factors(factors, {"W1": (2.0, A)})["W1"]
    >>> u.tolist(), v.tolist()
    ([[2.0]], [[7.0]])
    """
    if unknown := set(adapters) - set(factors):
        msg = f"adapters must be for some of {', '.join(sorted(factors))}; got {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    adapted = {name: (s * factors[name][0], factors[name][1] @ A.T) for name, (s, A) in adapters.items()}
    return factors | adapted


def alignment(left: Factors, right: Factors, *, form: str) -> Float[Array, "N1 N2"]:
    """Return the inner products of the loss gradients of every pair of samples.

    ``"signed"``: ``∇L(x_i)ᵀ ∇L(x'_j)``; ``"absolute"``: its absolute value, equations 3 and 4 of the paper; ``"cosine"``: the
    signed value divided by the lengths of both gradients (0 where one of them is 0).

    Parameters
    ----------
    left, right : dict of str to pair of arrays (N1, m), (N1, k) and (N2, m), (N2, k)
        From `loss_gradient_factors` or `adapt_factors`, of one network.
    form : {"signed", "absolute", "cosine"}
        One of `FORMS`.

    Returns
    -------
    array (N1, N2)
        The values.

    Raises
    ------
    ValueError
        Unknown form, or factors of different matrices.

    Examples
    --------
    >>> from lorantk.theory import objectives
    >>> left = {"W1": (jnp.array([[1.0]]), jnp.array([[3.0, 4.0]]))}
    >>> right = {"W1": (jnp.array([[-2.0]]), jnp.array([[1.0, 0.0]]))}
    >>> forms = objectives.FORMS
    >>> values = [objectives.alignment(left, right, form=form) for form in forms]
    >>> [round(float(value[0, 0]), 5) for value in values]
    [-6.0, 6.0, -0.6]
    """
    one_of("form", form, FORMS)
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


def sample_alignments(
    left: Factors,
    right: Factors,
    config: Adapter,
    *,
    matrices: tuple[str, ...],
    draws: int,
    key: Array,
    forms: tuple[str, ...],
) -> dict[str, Float[Array, "draws N1 N2"]]:
    """Draw adapters at ``B = 0`` and return the `alignment` of every pair, in the given forms, for each draw of A.

    Parameters
    ----------
    left, right : dict of str to pair of arrays (N1, m), (N1, k) and (N2, m), (N2, k)
        From `loss_gradient_factors` of the network trained in full.
    config : Adapter
        What the adapters are.
    matrices : tuple of str
        Names of the matrices to adapt, such as ``("W1", "W2")``; the others train in full.
    draws : int
        Number of independent draws, all layers of a draw at once.
    key : JAX random key
        Source of the randomness.
    forms : tuple of str
        Some of `FORMS`.

    Returns
    -------
    dict of str to array (draws, N1, N2)
        By form.

    Raises
    ------
    ValueError
        Unknown form, a name that is not among the factors, or a rank above a layer's number of inputs.

    Examples
    --------
    The gradients are orthogonal under full fine-tuning; under LoRA their squared cosine is ``1/r`` in the mean:

    >>> from lorantk.theory import objectives
    >>> from lorantk.theory.adapters import adapter
    >>> features, config = jnp.eye(64)[:2], adapter(4, alpha=4, law="gaussian")
    >>> left, right = ({"W1": (jnp.ones((1, 1)), h[None])} for h in features)
    >>> options = {"matrices": ("W1",), "draws": 4000, "forms": ("cosine",)}
    >>> key = jax.random.key(0)
    >>> draws = objectives.sample_alignments(left, right, config, key=key, **options)
    >>> draws["cosine"].shape, round(float((draws["cosine"] ** 2).mean()), 2)
    ((4000, 1, 1), 0.25)
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
    """Return the length ``|∇_θ L(x_i)|`` of each sample's gradient.

    Parameters
    ----------
    factors : dict of str to pair of arrays (N, m), (N, k)
        From `loss_gradient_factors` or `adapt_factors`.

    Returns
    -------
    array (N,)
        The lengths.

    Examples
    --------
    >>> from lorantk.theory import objectives
    >>> factors = {"W1": (jnp.array([[2.0]]), jnp.array([[3.0, 4.0]]))}
    >>> objectives.gradient_norm(factors).tolist()
    [10.0]
    """
    return jnp.sqrt(sum((u**2).sum(axis=1) * (v**2).sum(axis=1) for u, v in factors.values()))


@partial(jax.jit, static_argnames=("loss", "form"))
def _objective_jit(network, clean, other, loss, form):
    left, right = (loss_gradient_factors(network, x, t, loss=loss) for x, t in (clean, other))
    return alignment(left, right, form=form)


def objective(
    network: Network,
    clean: tuple[Array, Array],
    other: tuple[Array, Array],
    *,
    loss: str,
    form: str,
) -> Float[Array, "N1 N2"]:
    """Return the objective of every pair of a clean and a poisoned (equation 3) or triggered (equation 4) sample.

    ``|∇_θ L(x_c)ᵀ ∇_θ L(x_u)| = |g(x_c)ᵀ K(x_c, x_u) g(x_u)|`` in the paper's form, ``"absolute"``.

    Parameters
    ----------
    network : Network
        The network; its layers' roles say what trains.
    clean, other : pair of arrays (N1, n_0), (N1, C) and pair of arrays (N2, n_0), (N2, C)
        Inputs and targets of both kinds of sample.
    loss : {"squared", "cross-entropy"}
        One of `LOSSES`.
    form : {"signed", "absolute", "cosine"}
        One of `FORMS`.

    Returns
    -------
    array (N1, N2)
        The objective.

    Raises
    ------
    ValueError
        Unknown loss or form, or targets of another shape than the outputs.

    Examples
    --------
    A flipped label turns the gradient around:

    >>> from lorantk.theory import networks, objectives
    >>> network = networks.network_from_weights([[[0.0, 0.0]]])
    >>> x, y = jnp.array([[3.0, 4.0]]), jnp.array([[1.0]])
    >>> pair = (x, y), (x, -y)
    >>> objectives.objective(network, *pair, loss="squared", form="absolute").tolist()
    [[25.0]]
    >>> objectives.objective(network, *pair, loss="squared", form="cosine").tolist()
    [[-1.0]]
    """
    return _objective_jit(network, clean, other, loss, form)
