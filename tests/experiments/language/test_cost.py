"""The operations of a training step, against products counted by hand."""

import pytest

from lorantk.experiments.language.bert import Architecture
from lorantk.experiments.language.cost import step_operations

SIZES = Architecture(layers=3, heads=4, width=128, epsilon=1e-12, positions=64)
RANK = 8


def by_hand(layers, width, arm, *, sentences, tokens):
    """Operations of the products; in the last layer only the first token is needed above keys and values."""
    weights = 12 * width**2
    every, last = (layers - 1) * weights + 2 * width**2, weights - 2 * width**2
    maps = 2 * sentences * (every * tokens + last)
    attention = 4 * sentences * width * tokens * ((layers - 1) * tokens + 1)
    if arm == "full":
        return 3 * (maps + attention)
    ratio = RANK * (4 * 2 * width + 2 * 5 * width) / weights  # of the adapters' weights to the maps'
    return 2 * maps + 3 * (attention + ratio * maps)


@pytest.mark.parametrize("arm", ["full", "lora"])
def test_the_products_of_a_step_make_up_nearly_all_operations(arm):
    found = step_operations(SIZES, arm=arm, sentences=64, tokens=16)
    wanted = by_hand(3, 128, arm, sentences=64, tokens=16)
    assert wanted < found < 1.15 * wanted  # norms, activations and the optimiser


def test_a_frozen_factor_saves_its_gradient_only():
    lora, frozen = (step_operations(SIZES, arm=arm, sentences=64, tokens=16) for arm in ("lora", "lora-fa"))
    assert 0.9 * lora < frozen < lora


def test_twice_the_sentences_take_twice_the_operations_except_the_optimiser():
    one, two, four = (step_operations(SIZES, arm="lora", sentences=N, tokens=16) for N in (32, 64, 128))
    assert four - two == pytest.approx(2 * (two - one), rel=1e-6)


def test_an_unknown_arm_is_refused():
    with pytest.raises(ValueError, match="arm must be one of full, lora, lora-fa; got 'dora'"):
        step_operations(SIZES, arm="dora", sentences=8, tokens=16)
