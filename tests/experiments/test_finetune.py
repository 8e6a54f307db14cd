"""Batched fine-tuning: what it computes, and how padding, batching and divergence affect it."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lorantk.experiments.digits import finetune
from lorantk.experiments.digits import training as cells
from lorantk.experiments.digits.cell import Cell
from lorantk.theory.networks import Network, forward, replace_parameters, trained_parameters

TINY = Cell("memorising", "adam", "flips", "lora", (1e-3, 1e-2), 2, 64, 6, poison=0.3, rank=3, scale=1.0, width=12)


def one(tree, k):
    return jax.tree.map(lambda leaf: leaf[k], tree)


trained = cache(cells.run)


def runs(cell=TINY, **options):
    return trained(replace(cell, **options))


@jax.jit
@jax.grad
def gradient(parameters, network, x, y):
    outputs = forward(replace_parameters(network, parameters), x)
    return optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()


def by_hand(cell, seed, rate, steps):
    """Do one run explicitly: no batching over runs, optax's complete optimiser, a Python loop over steps."""
    network, task = one(cells.networks(cell), seed), one(cells.tasks(cell), seed)
    rule = optax.adam(rate) if cell.optimiser == "adam" else optax.sgd(rate)
    parameters = trained_parameters(network)
    with jax.numpy_dtype_promotion("standard"):
        state = rule.init(parameters)
        for rows in task.batches[:steps]:
            updates, state = rule.update(gradient(parameters, network, task.x[rows], task.y[rows]), state, parameters)
            parameters = optax.apply_updates(parameters, updates)
    return replace_parameters(network, parameters), task


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@pytest.mark.parametrize("arm", ["full", "lora", "lora-fa"])
def test_every_run_is_that_of_a_plain_loop(optimiser, arm):
    cell = replace(TINY, optimiser=optimiser, arm=arm)
    found = jax.tree.map(np.asarray, runs(cell))
    for seed in range(2):
        network, task = by_hand(cell, seed, cell.rates[1], cell.steps)
        outputs = np.asarray(forward(network, task.x_test))
        right = float((outputs.argmax(1) == np.asarray(task.y_test)).mean())
        assert found.test_accuracy[seed, 1, -1] == pytest.approx(right, abs=1e-12)
        validation = np.asarray(forward(network, task.x_validation))
        logs = validation - np.log(np.exp(validation).sum(1, keepdims=True))
        expected = -logs[np.arange(len(logs)), np.asarray(task.y_validation)].mean()
        assert found.validation_loss[seed, 1, -1] == pytest.approx(expected, rel=1e-7)


def features(network, x):
    """The outputs at the start and their derivative by all trained numbers in one row, entry by entry, from a Jacobian."""
    start = trained_parameters(network)
    derivative = jax.jacrev(lambda p: forward(replace_parameters(network, p), x))(start)
    flat = [np.asarray(part).reshape(*part.shape[:2], -1) for part in derivative.values()]
    return np.asarray(forward(network, x)), np.concatenate(flat, axis=-1)


@pytest.mark.parametrize("arm", ["full", "lora-fa"])
def test_a_linearised_run_is_that_of_a_linear_model_with_the_jacobian_as_features(arm):
    cell = replace(TINY, optimiser="sgd", arm=arm, model="linearised", rates=(1e-3, 0.3))
    network, task = one(cells.networks(cell), 1), one(cells.tasks(cell), 1)
    f, J = features(network, task.x)
    weights = np.zeros(J.shape[-1])
    labels = np.eye(5)[np.asarray(task.y)]
    for rows in np.asarray(task.batches)[: cell.steps]:
        outputs = f[rows] + J[rows] @ weights
        shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
        weights -= 0.3 * np.einsum("nc,ncp->p", shares - labels[rows], J[rows]) / len(rows)
    f, J = features(network, task.x_validation)
    outputs = f + J @ weights
    loss = np.log(np.exp(outputs).sum(axis=1)) - outputs[np.arange(len(f)), np.asarray(task.y_validation)]
    assert runs(cell).validation_loss[1, 1, -1] == pytest.approx(loss.mean(), rel=1e-9)
    # The network itself trains otherwise, so the test could fail.
    assert abs(runs(cell, model="network").validation_loss[1, 1, -1] / loss.mean() - 1) > 1e-4


def test_where_only_the_head_moves_training_is_linear_already():
    cell = replace(TINY, arm="lora-fa", scale=1e-9)  # an adapter without effect leaves the head, which is linear
    for one_way, other in zip(runs(cell), runs(cell, model="linearised"), strict=True):
        np.testing.assert_allclose(one_way, other, rtol=1e-9, atol=1e-12)


def test_shares_are_counted_as_their_names_say():
    cell = replace(TINY, attack="patch", poison=0.2)
    network, task = by_hand(cell, 0, cell.rates[1], cell.steps)
    found = jax.tree.map(float, finetune.measure(network, task))
    victims = np.asarray(task.y_test) != 0
    inputs = {"plain": task.x_test, "stamped": task.x_stamped}
    answers = {name: np.asarray(forward(network, x)).argmax(1) for name, x in inputs.items()}
    assert found.success == pytest.approx((answers["stamped"][victims] == 0).mean(), abs=1e-12)
    assert found.base == pytest.approx((answers["plain"][victims] == 0).mean(), abs=1e-12)
    rows = cells.training_rows(cell, 0)[2]
    poisoned = np.asarray(forward(network, task.x[rows])).argmax(1)
    assert found.poison_fit == pytest.approx((poisoned == np.asarray(task.y)[rows]).mean(), abs=1e-12)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_padding_the_rank_changes_no_run(optimiser, monkeypatch):
    cell = replace(TINY, optimiser=optimiser)
    padded = runs(cell)
    monkeypatch.setattr(cells, "padded_rank", lambda rank: rank)
    for one_way, other in zip(padded, cells.run(cell), strict=True):
        np.testing.assert_allclose(one_way, other, rtol=1e-9, atol=1e-12)
    assert one(cells.networks(cell), 0).layers[0].A.shape == (3, 64)


def test_a_run_does_not_depend_on_the_others_in_its_batch():
    together, alone = runs(), runs(rates=(1e-2,))
    np.testing.assert_allclose(together.train_loss[:, 1:], alone.train_loss, rtol=1e-10)
    assert abs(together.train_loss[0, 1, -1] - together.train_loss[1, 1, -1]) > 1e-6  # seeds differ


def test_the_variance_of_A_is_what_the_cell_says():
    cell = replace(TINY, width=64, rank=32, seeds=8, variance=0.5)
    A = cells.networks(cell).layers[0].A
    assert A.shape == (8, 32, 64)
    # 16 384 uniform entries: the relative error of the variance has standard deviation √(0.8/16384) = 0.7%.
    assert float(A.var() * 64) == pytest.approx(0.5, rel=0.05)
    assert cell.speeds == (32 * 0.5 / 64, 32 * 0.5 / 64)


def test_matching_the_scale_gives_the_mean_kernel_of_full_fine_tuning():
    cell = replace(TINY, width=64, rank=8, match="scale", variance=0.1)
    layers = cells.networks(cell).layers[:-1]
    for layer in layers:
        # c = s² r σ_a², with r σ_a² the mean square of a column of A: 4096 entries, 5 standard deviations.
        c = layer.scale**2 * (np.asarray(layer.A) ** 2).sum(axis=1).mean(axis=-1)
        np.testing.assert_allclose(c, 1.0, rtol=0.25)


def test_matched_rates_and_scales_take_the_same_first_step():
    options = {"optimiser": "sgd", "steps": 1, "width": 32}
    scaled, faster = runs(match="scale", **options), runs(match="rate", **options)
    plain = runs(**options)
    np.testing.assert_allclose(scaled.train_loss, faster.train_loss, rtol=1e-10)
    assert (abs(scaled.train_loss - plain.train_loss)[..., -1] > 1e-9).all()


def test_slowed_full_fine_tuning_moves_its_hidden_layers_less():
    cell = replace(TINY, arm="full", match="slowed")
    assert cells.multipliers(cell) == {"W1": 3 / 3 / 64, "W2": 3 / 3 / 12}
    assert (runs(cell).train_loss[..., -1] > runs(cell, match="").train_loss[..., -1]).all()


def test_a_diverged_run_leaves_the_others_alone():
    found = runs(optimiser="sgd", rates=(0.01, 1e30))
    assert np.isfinite(found.train_loss[:, 0]).all()
    assert not np.isfinite(found.train_loss[:, 1, -1]).any()


def test_one_epoch_shows_each_variant_once():
    cell = replace(TINY, regime="one epoch", rows=192, steps=6)
    task = cells.task(cell, 0)
    assert sorted(task.batches.ravel()) == list(range(192))


def test_the_parts_of_a_seed_share_no_image_and_pair_over_cells():
    x, y, poisoned, held = cells.training_rows(TINY, 3)
    images = [{row.tobytes() for row in part} for part in (x, held["validation"][0], held["test"][0])]
    assert not images[0] & images[1] | images[0] & images[2] | images[1] & images[2]
    clean = cells.training_rows(replace(TINY, attack="clean", poison=0.0, arm="full"), 3)
    np.testing.assert_array_equal(clean[0], x)
    np.testing.assert_array_equal(clean[1][~poisoned], y[~poisoned])
    np.testing.assert_array_equal(clean[3]["test"][1], held["test"][1])
    assert (cells.training_rows(TINY, 4)[3]["test"][0] != held["test"][0]).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: replace(TINY, rank=13), "rank must be at most 12, the smallest number of inputs; got 13"),
        (lambda: replace(TINY, attack="noise"), "attack must be one of clean, .*got 'noise'"),
        (lambda: replace(TINY, model="kernel"), "model must be one of network, linearised; got 'kernel'"),
        (lambda: replace(TINY, attack="clean"), "a clean cell must have poison rate 0; got 0.3"),
        (lambda: runs(poison=1.5), r"rate must lie in \[0, 1\]; got 1.5"),
        (lambda: runs(rows=1000), "rows must be at most the .* training images; got 1000"),
        (lambda: runs(optimiser="lion"), "optimiser must be one of sgd, adam; got 'lion'"),
    ],
)
def test_bad_cells_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_calls_are_refused():
    networks, tasks = cells.networks(TINY), cells.tasks(TINY)
    rates = np.asarray(TINY.rates)
    assert isinstance(networks, Network)
    for points in ((0, 7), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="checkpoints must ascend from at least 0 to at most 6"):
            finetune.fine_tune(networks, tasks, rates, optimiser="sgd", checkpoints=points)
    with pytest.raises(ValueError, match="matrices that train .*; got W1"):
        finetune.fine_tune(networks, tasks, rates, optimiser="sgd", checkpoints=(0, 6), multipliers={"W1": 2.0})
    assert jnp.asarray(1.0).dtype == jnp.float64
