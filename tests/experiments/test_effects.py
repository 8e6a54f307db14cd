"""Effects are paired differences with the sign that the finding predicts, and survive a file."""

import numpy as np
import pandas as pd
import pytest

from lorantk.experiments.common import effects
from lorantk.experiments.common.effects import Outcome

SEEDS = 6
WHERE = {"protocol": "v", "setting": "somewhere"}


def made(drop=0.1, lift=0.3, accuracy=0.9):
    """Return an outcome whose seeds differ by a thousandth."""
    noise = 0.001 * np.arange(SEEDS)
    return Outcome(np.full(SEEDS, accuracy), np.full(SEEDS, accuracy), drop + noise, lift + noise)


def by_part(found):
    return {effect.part: effect for effect in found}


def test_arms_that_behave_as_the_finding_says_have_positive_effects():
    found = by_part(effects.of_arms(made(drop=0.1, lift=0.4), made(drop=0.3, lift=0.1), **WHERE))
    assert found["arms-drop"].differences == pytest.approx(0.2)
    assert found["arms-lift"].differences == pytest.approx(0.3)
    assert [(e.protocol, e.setting, e.void, e.quantity) for e in found.values()] == [
        ("v", "somewhere", False, "drop"),
        ("v", "somewhere", False, "lift"),
    ]
    lost = effects.of_arms(made(), made(accuracy=0.5), **WHERE)
    assert all(effect.void for effect in lost)


def test_a_trade_over_the_ranks_has_positive_effects():
    found = by_part(
        effects.of_ranks({r: made(drop=0.3 - 0.05 * k, lift=0.1 + 0.1 * k) for k, r in enumerate((1, 4, 16))}, **WHERE)
    )
    assert found["rank-drop"].differences == pytest.approx(0.1)
    assert found["rank-lift"].differences == pytest.approx(0.2)
    assert found["low-rank-lift"].differences == pytest.approx(0.2)
    assert not any(effect.void for effect in found.values())


def test_only_ranks_that_perform_are_compared():
    slow = {1: made(lift=0.0, accuracy=0.85), 4: made(lift=0.1), 16: made(lift=0.4)}
    assert effects.admissible(slow) == [4, 16]
    assert by_part(effects.of_ranks(slow, **WHERE))["low-rank-lift"].differences == pytest.approx(0.3)
    near = {1: made(accuracy=0.885), 4: made(accuracy=0.895), 16: made(accuracy=0.9), 64: made(accuracy=0.895)}
    assert effects.admissible(near) == [4, 16, 64]
    lost = {1: made(accuracy=0.55), 4: made(accuracy=0.55)}
    assert by_part(effects.of_ranks(lost, **WHERE))["low-rank-lift"].void
    alone = {1: made(accuracy=0.85), 4: made(accuracy=0.85), 16: made()}
    assert by_part(effects.of_ranks(alone, **WHERE))["low-rank-lift"].void


def test_void_configurations_leave_a_sweep_and_too_few_make_it_void():
    lost = made(drop=-0.5, accuracy=0.3)
    sweep = {0.001: lost, 0.01: made(drop=0.1), 0.1: made(drop=0.2), 1.0: made(drop=0.3)}
    drop, lift = effects.of_variances(sweep, **WHERE)
    assert drop.differences == pytest.approx(0.2)  # over two decades, not three
    assert lift.differences == pytest.approx(0.0)
    assert not drop.void
    few = effects.of_variances(sweep | {0.01: lost}, **WHERE)
    assert all(effect.void for effect in few)


def test_effects_survive_a_table():
    found = effects.of_arms(made(drop=0.1234567), made(drop=0.3), **WHERE)
    found[1] = found[1]._replace(void=True)
    for before, after in zip(found, effects.of_table(pd.DataFrame(effects.rows(found))), strict=True):
        assert after[:3] == before[:3]
        assert after.void == before.void
        assert after.differences == pytest.approx(before.differences, abs=5e-7)


@pytest.mark.parametrize(
    ("place", "entry", "message"),
    [
        ((0, "part"), "arms-drip", "expected a known part.* got arms-drip / v / somewhere, 0 and"),
        ((0, "2"), np.nan, "a finite number for each seed; got arms-drop"),
        ((1, "3"), "two", "a finite number for each seed; got arms-lift"),
        ((1, "void"), 2, "0 or 1 for void.* got arms-lift / v / somewhere, 2 and"),
        ((1, "protocol"), "i", "every part in the same settings and protocols; got 1 of arms-drop, 1 of arms-lift"),
    ],
)
def test_a_damaged_table_is_refused(place, entry, message):
    table = pd.DataFrame(effects.rows(effects.of_arms(made(), made(drop=0.3), **WHERE))).astype(object)
    table.loc[place] = entry
    with pytest.raises(ValueError, match=message):
        effects.of_table(table)


def test_a_table_without_rows_is_refused():
    table = pd.DataFrame(effects.rows(effects.of_arms(made(), made(), **WHERE)))
    with pytest.raises(ValueError, match="got no rows"):
        effects.of_table(table.iloc[:0])
