"""Poisoning objectives through the kernel against gradients of the loss by automatic differentiation."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lorantk.theory import kernels, networks, objectives
from lorantk.theory.adapters import adapt, adapter, sample_A

N1 = N2 = 5
C = 3
ROLES = [("full", "lora-fa"), ("lora", "lora")]


@cache
def setting(*roles):
    """Return a network with ``B ≠ 0`` where it has adapters, and two batches with targets that are probabilities."""
    rng = np.random.default_rng(0)
    network = networks.network_from_weights([rng.normal(size=shape) for shape in ((6, 4), (C, 6))], "erf")
    if roles:
        network = adapt(network, adapter(2, alpha=5), roles=roles, key=jax.random.key(1))
        ups = {f"B{l}": rng.normal(size=layer.B.shape) for l, layer in enumerate(network.layers, 1) if layer.B is not None}
        network = networks.replace_parameters(network, ups)
    batches = [(rng.normal(size=(N, 4)), rng.dirichlet(np.ones(C), size=N)) for N in (N1, N2)]
    return network, *(tuple(map(jnp.asarray, batch)) for batch in batches)


def loss_of_one(parameters, network, x, t, loss):
    """Return the loss of one sample, written from its definition."""
    F = networks.forward(networks.replace_parameters(network, parameters), x)
    if loss == "squared":
        return 0.5 * jnp.sum((F - t) ** 2)
    return -jnp.sum(t * jnp.log(jnp.exp(F) / jnp.exp(F).sum()))


@partial(jax.jit, static_argnames="loss")
def gradients_of_batch(parameters, network, x, t, loss):
    return jax.vmap(jax.grad(loss_of_one), in_axes=(None, None, 0, 0, None))(parameters, network, x, t, loss)


def gradients(network, batch, loss):
    """Return ``∇_θ L`` of each sample, shape ``(N, P)``."""
    gradient = gradients_of_batch(networks.trained_parameters(network), network, *batch, loss)
    return np.concatenate([gradient[name].reshape(len(batch[0]), -1) for name in gradient], axis=1)


@pytest.mark.parametrize("loss", objectives.LOSSES)
@pytest.mark.parametrize("roles", ROLES, ids=str)
def test_the_objectives_equal_inner_products_of_loss_gradients(roles, loss):
    network, clean, other = setting(*roles)
    g1, g2 = gradients(network, clean, loss), gradients(network, other, loss)
    truth = g1 @ g2.T
    lengths = np.linalg.norm(g1, axis=1)[:, None] * np.linalg.norm(g2, axis=1)
    left, right = (objectives.loss_gradient_factors(network, *batch, loss=loss) for batch in (clean, other))
    for form, expected in (("signed", truth), ("absolute", np.abs(truth)), ("cosine", truth / lengths)):
        value = objectives.alignment(left, right, form=form)
        np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(objectives.objective(network, clean, other, loss=loss, form="signed"), truth, atol=1e-12)


def test_the_kernel_between_the_output_gradients_is_the_signed_objective():
    network, clean, other = setting("lora", "lora")
    g1, g2 = (objectives.output_gradients(networks.forward(network, x), t, loss="squared") for x, t in (clean, other))
    K = kernels.ntk(network, clean[0], other[0], outputs="full")
    through_kernel = jnp.einsum("ic,ijcd,jd->ij", g1, K, g2)
    signed = objectives.objective(network, clean, other, loss="squared", form="signed")
    np.testing.assert_allclose(through_kernel, signed, rtol=1e-11, atol=1e-12)


def test_the_traced_kernel_does_not_give_the_objective():
    network, clean, other = setting("lora", "lora")
    g1, g2 = (objectives.output_gradients(networks.forward(network, x), t, loss="squared") for x, t in (clean, other))
    wrong = (g1 @ g2.T) * kernels.ntk(network, clean[0], other[0], outputs="trace") / C
    signed = objectives.objective(network, clean, other, loss="squared", form="signed")
    assert float(jnp.abs(wrong - signed).max() / jnp.abs(signed).max()) > 0.05


def test_losses_are_those_of_one_sample_each():
    F, t = jnp.array([[1.0, 2.0], [0.0, 0.0]]), jnp.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_array_equal(objectives.loss_values(F, t, loss="squared"), [2, 0.5])
    values = objectives.loss_values(F, t, loss="cross-entropy")
    np.testing.assert_allclose(values, [np.log(1 + np.e), np.log(2)], rtol=1e-14)


@pytest.mark.parametrize("loss", objectives.LOSSES)
def test_the_output_gradient_is_the_derivative_of_the_loss(loss):
    F, t = jax.random.normal(jax.random.key(0), (N1, C)), jax.nn.softmax(jax.random.normal(jax.random.key(1), (N1, C)))
    truth = jax.grad(lambda F: objectives.loss_values(F, t, loss=loss).sum())(F)
    np.testing.assert_allclose(objectives.output_gradients(F, t, loss=loss), truth, rtol=1e-12, atol=1e-14)


def test_adapted_factors_are_those_of_the_lora_network_at_the_start():
    network, (x, t), _ = setting()
    lora = adapt(network, adapter(2, alpha=5), roles=("full", "lora"), key=jax.random.key(9))
    full = objectives.loss_gradient_factors(network, x, t, loss="cross-entropy")
    adapters = {f"W{l}": (layer.scale, layer.A) for l, layer in enumerate(lora.layers, 1) if layer.A is not None}
    factors = objectives.adapt_factors(full, adapters)
    truth = objectives.objective(lora, (x, t), (x, t), loss="cross-entropy", form="signed")
    np.testing.assert_allclose(objectives.alignment(factors, factors, form="signed"), truth, rtol=1e-12, atol=1e-14)


def test_sampled_objectives_have_the_mean_of_the_closed_form():
    network, clean, other = setting()
    left, right = (objectives.loss_gradient_factors(network, *batch, loss="squared") for batch in (clean, other))
    config = adapter(2, scale=1.5, law="rademacher", variance=0.3)
    draws = objectives.sample_alignments(
        left, right, config, matrices=("W2",), draws=4000, key=jax.random.key(0), forms=("signed", "cosine")
    )
    terms = [objectives.alignment({m: left[m]}, {m: right[m]}, form="signed") for m in ("W1", "W2")]
    expected = np.asarray(terms[0] + 1.5**2 * 2 * 0.3 * terms[1])
    signed = np.asarray(draws["signed"])
    assert (np.abs(signed.mean(0) - expected) < 6 * signed.std(0) / np.sqrt(4000) + 1e-12).all()
    assert signed.std(0).max() > 0
    assert np.abs(draws["cosine"]).max() <= 1 + 1e-12


def test_options_of_a_sample_are_given_by_name():
    with pytest.raises(TypeError, match="positional"):
        objectives.sample_alignments({}, {}, adapter(2, scale=1.0), (), 1, jax.random.key(0), ("signed",))


def test_one_sampled_adapter_gives_the_objectives_of_its_network():
    network, clean, other = setting()
    left, right = (objectives.loss_gradient_factors(network, *batch, loss="squared") for batch in (clean, other))
    config = adapter(2, scale=1.5, law="gaussian", variance=0.3)
    drawn = objectives.sample_alignments(
        left, right, config, matrices=("W1",), draws=1, key=jax.random.key(5), forms=objectives.FORMS
    )
    A = sample_A(config, 4, key=jax.random.split(jax.random.split(jax.random.key(5), 1)[0], 1)[0])
    pair = [objectives.adapt_factors(side, {"W1": (1.5, A)}) for side in (left, right)]
    for form in objectives.FORMS:
        np.testing.assert_allclose(drawn[form][0], objectives.alignment(*pair, form=form), rtol=1e-12, atol=1e-14)


def test_the_cosine_of_a_sample_with_itself_is_one_and_ignores_the_scale():
    network, clean, other = setting("lora", "lora")
    cosine = objectives.objective(network, clean, clean, loss="squared", form="cosine")
    np.testing.assert_allclose(jnp.diag(cosine), 1, rtol=1e-12)
    left, right = (objectives.loss_gradient_factors(network, *b, loss="squared") for b in (clean, other))
    scaled = {name: (3 * u, 5 * v) for name, (u, v) in left.items()}
    value = objectives.alignment(scaled, right, form="cosine")
    np.testing.assert_allclose(value, objectives.alignment(left, right, form="cosine"), rtol=1e-12, atol=1e-15)


def test_the_cosine_with_a_gradient_of_zero_is_zero():
    network, (x, _), other = setting()
    fitted = (x, networks.forward(network, x))
    value = objectives.objective(network, fitted, other, loss="squared", form="cosine")
    assert (value == 0).all()


def test_a_flipped_target_and_the_right_one_can_have_the_same_absolute_objective():
    network = networks.network_from_weights([jnp.zeros((1, 1))], "identity")
    x, right, flipped = jnp.ones((1, 1)), jnp.ones((1, 1)), -jnp.ones((1, 1))
    value = {
        name: {
            form: float(objectives.objective(network, (x, right), (x, t), loss="squared", form=form)[0, 0])
            for form in ("signed", "absolute")
        }
        for name, t in (("right", right), ("flipped", flipped))
    }
    assert value == {"right": {"signed": 1.0, "absolute": 1.0}, "flipped": {"signed": -1.0, "absolute": 1.0}}


def test_one_step_on_the_poison_moves_the_clean_loss_by_minus_the_signed_objective():
    network, clean, other = setting("lora", "lora")
    signed = np.asarray(objectives.objective(network, clean, other, loss="squared", form="signed"))[:, 0]
    parameters = networks.trained_parameters(network)

    @jax.jit
    def change(rate):
        gradient = jax.grad(loss_of_one)(parameters, network, other[0][0], other[1][0], "squared")
        stepped = networks.replace_parameters(network, {k: parameters[k] - rate * gradient[k] for k in parameters})
        before, after = (((networks.forward(n, clean[0]) - clean[1]) ** 2).sum(1) / 2 for n in (network, stepped))
        return (after - before) / rate

    errors = [float(np.abs(change(rate) + signed).max()) for rate in (1e-6, 1e-7)]
    assert errors[1] < 0.11 * errors[0]


def sample(factors, matrices=("W1",), forms=("signed",)):
    config = adapter(2, scale=1.0)
    return objectives.sample_alignments(factors, factors, config, matrices=matrices, draws=1, key=jax.random.key(0), forms=forms)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n, c, o: objectives.objective(n, c, o, loss="mse", form="signed"), "loss must be one of squared, cross-"),
        (lambda n, c, o: objectives.objective(n, c, o, loss="squared", form="abs"), "form must be one of signed, abs"),
        (lambda n, c, o: objectives.objective(n, c, (o[0], o[1][:, :2]), loss="squared", form="signed"), r"shape \(5, 3\)"),
        (lambda n, c, o: objectives.objective(n, c, (o[0], o[1][:4]), loss="squared", form="signed"), r"shape \(5, 3\); got"),
        (lambda n, c, o: objectives.loss_values(o[0][:, :2], o[1], loss="squared"), r"shape \(5, 2\); got \(5, 3\)"),
        (lambda n, c, o: objectives.adapt_factors({"W1": (c[0], c[0])}, {"W2": (1.0, c[0])}), "must be for some of W1; got W2"),
        (lambda n, c, o: sample({"W1": c}, forms=("signed", "abs")), "forms must be some of signed, absolute, cosine; got abs"),
        (lambda n, c, o: sample({"W1": c}, matrices=("W2",)), "matrices must be some of W1; got W2"),
        (lambda n, c, o: objectives.alignment({"W1": c}, {"W2": o}, form="signed"), "the same matrices"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(*setting("lora", "lora"))
