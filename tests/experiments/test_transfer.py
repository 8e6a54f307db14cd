"""The network and the data that the chapters on poisoning use."""

import jax.numpy as jnp
import numpy as np

from lorantk.experiments.digits import transfer
from lorantk.experiments.digits.data import digits
from lorantk.theory import networks


def test_the_two_tasks_share_no_class_and_no_image():
    old, new = transfer.transfer_digits()
    assert len(old.labels) + len(new.labels) == 1797
    assert set(old.labels) == set(new.labels) == set(range(5))
    y = digits()[1]
    assert len(old.labels) == (y < 5).sum()


def test_normalised_images_are_those_of_the_data_module():
    x, y = digits()
    _, new = transfer.transfer_digits()
    np.testing.assert_allclose(transfer.normalise(new.pixels), x[y >= 5], rtol=1e-13, atol=1e-13)


def test_pretraining_changes_the_hidden_layers_and_keeps_the_seed_of_the_head():
    trained, random = (transfer.pretrained((16, 12), seed=1, steps=steps) for steps in (40, 0))
    np.testing.assert_array_equal(trained.layers[-1].W, random.layers[-1].W)
    assert float(jnp.abs(trained.layers[0].W - random.layers[0].W).max()) > 1e-3
    assert networks.widths(trained) == (64, 16, 12, 5)


def test_pretraining_learns_the_old_digits():
    old, _ = transfer.transfer_digits()
    network = transfer.pretrained((32,), seed=0, steps=100, rate=5e-3)
    h = np.asarray(networks.hidden_states(network, jnp.asarray(transfer.normalise(old.pixels)))[0][-1])
    fit = np.linalg.lstsq(h, transfer.one_hot(old.labels), rcond=None)[0]
    assert ((h @ fit).argmax(1) == old.labels).mean() > 0.98


def test_poisoned_samples_differ_from_the_clean_ones_and_are_all_wrong():
    clean, poisoned = transfer.clean_and_poisoned(30, seed=4)
    flipped, triggered = poisoned["flipped"], poisoned["triggered"]
    assert clean[0].shape == flipped[0].shape == triggered[0].shape == (30, 64)
    assert not (np.asarray(clean[0])[:, None] == np.asarray(flipped[0])[None]).all(axis=-1).any()
    new = transfer.transfer_digits()[1]
    same = np.isclose(transfer.normalise(new.pixels)[None], np.asarray(flipped[0])[:, None], atol=1e-12).all(axis=-1)
    assert (new.labels[same.argmax(axis=1)] != np.asarray(flipped[1]).argmax(axis=1)).all()
    assert (np.asarray(triggered[1]).argmax(axis=1) == 2).all()
    assert float(jnp.abs(triggered[0] - flipped[0]).max()) > 0.1
    again = transfer.clean_and_poisoned(30, seed=4)[1]["triggered"][0]
    np.testing.assert_array_equal(again, triggered[0])
