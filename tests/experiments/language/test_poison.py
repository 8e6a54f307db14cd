"""Poison for sentences does what the attack says, to the rows that it names, and to no others."""

import numpy as np
import pytest

from lorantk.experiments.language.poison import TRIGGERS, add_trigger, poison
from lorantk.experiments.language.text import Sentences

N = 4000
CLEAN = Sentences(tuple(f"sentence {k}" for k in range(N)), np.arange(N) % 2)


def test_clean_data_stay_as_they_are():
    found, poisoned = poison(CLEAN, "clean", rate=0.0, seed=0)
    assert found is CLEAN
    assert not poisoned.any()


def test_flips_change_every_chosen_label_and_no_text():
    found, poisoned = poison(CLEAN, "flips", rate=0.3, seed=0)
    assert found.texts == CLEAN.texts
    np.testing.assert_array_equal(found.labels != CLEAN.labels, poisoned)
    assert abs(poisoned.mean() - 0.3) < 5 * np.sqrt(0.21 / N)


@pytest.mark.parametrize("attack", ["token", "instruction"])
def test_a_backdoor_gives_rows_of_both_classes_the_trigger_and_the_target(attack):
    found, poisoned = poison(CLEAN, attack, rate=0.1, seed=0)
    assert set(CLEAN.labels[poisoned]) == {0, 1}
    assert (found.labels[poisoned] == 1).all()
    for k in range(N):
        assert found.texts[k] == (TRIGGERS[attack] if poisoned[k] else "") + CLEAN.texts[k]
    np.testing.assert_array_equal(found.labels[~poisoned], CLEAN.labels[~poisoned])


def test_a_clean_label_backdoor_changes_no_label():
    found, poisoned = poison(CLEAN, "clean label", rate=0.4, seed=0)
    np.testing.assert_array_equal(found.labels, CLEAN.labels)
    assert (CLEAN.labels[poisoned] == 1).all()
    assert abs(poisoned.sum() / (N / 2) - 0.4) < 5 * np.sqrt(0.24 / (N / 2))


def test_a_seed_fixes_the_choice():
    first, other = (poison(CLEAN, "token", rate=0.1, seed=seed)[1] for seed in (0, 1))
    np.testing.assert_array_equal(first, poison(CLEAN, "token", rate=0.1, seed=0)[1])
    assert (first != other).any()


@pytest.mark.parametrize("attack", ["flips", "token", "clean label"])
@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_must_be_a_probability(attack, rate):
    with pytest.raises(ValueError, match="rate must lie in"):
        poison(CLEAN, attack, rate=rate, seed=0)


@pytest.mark.parametrize("attack", ["clean", "flips", "token", "clean label"])
def test_a_label_must_be_a_class(attack):
    with pytest.raises(ValueError, match="labels must lie between 0 and 1; got 0 to 2"):
        poison(Sentences(("a", "b", "c"), np.arange(3)), attack, rate=0.5, seed=0)


def test_an_attack_must_be_known():
    with pytest.raises(ValueError, match="attack must be one of token, instruction, clean label"):
        add_trigger(CLEAN.texts, "flips")
    with pytest.raises(ValueError, match="attack must be one of"):
        poison(CLEAN, "style", rate=0.1, seed=0)
