"""Effects of the language study from its kept table, by the same functions as for the digits."""

import numpy as np
import pytest

from lorantk.experiments.common import findings
from lorantk.experiments.common.equivalence import verdict
from lorantk.experiments.language import kept, study


@pytest.fixture
def arms(tmp_path):
    """A table in which LoRA loses 4 points more to flips, and full fine-tuning's backdoor succeeds by 20 points more."""
    cells = [cell for cell in study.arms() if cell.arm != "lora-fa"]
    place = kept.Place(root=tmp_path)
    rng = np.random.default_rng(0)
    for cell in cells:
        best = cell.rates[2 if cell.arm == "full" and cell.regime == "one epoch" else 1]
        for one in cell.runs:
            if one.rate == 1e-2:
                place.store(one, [], 1.0)  # diverged
                continue
            noise = 0.01 * rng.standard_normal()
            loss = 0.4 + (one.rate != best)
            success = {"clean": 0.1, "token": 0.9 if one.arm == "full" else 0.7}.get(one.attack)
            accuracy = {"clean": 0.85, "flips": 0.75 if one.arm == "full" else 0.71}.get(one.attack, 0.84)
            record = {"train_loss": loss, "validation_loss": loss, "validation_accuracy": 0.8, "base": 0.1}
            record |= {"test_accuracy": accuracy + noise, "success": success}
            record |= {} if one.attack == "clean" else {"poison_loss": 1.0, "poison_fit": 0.5}
            full = {name: value for name, value in record.items() if value is not None}
            place.store(one, [{"step": s} | full for s in one.checkpoints], 1.0)
    place.collect()
    return kept.Place(root=tmp_path).load(cells)


def test_effects_have_their_sign_size_and_seeds(arms):
    rates = findings.reference_rates(arms)
    assert rates == {("one epoch", "adam"): 1e-4, ("memorising", "adam"): 3e-5}
    effects = findings.arm_effects(arms, rates)
    assert {(e.part, e.protocol) for e in effects} == {
        (p, v) for p in ("arms-drop", "arms-lift") for v in ["i", "ii", "iii", "iv", "v"]
    }
    for effect in effects:
        assert not effect.void
        drop = effect.part == "arms-drop"
        assert len(effect.differences) == (10 if drop else 20)
        np.testing.assert_allclose(effect.differences.mean(), 0.04 if drop else 0.2, atol=0.02)
    assert verdict("finding-upa-bpa", effects).outcome == "confirmed"


def test_the_opposite_is_contradicted(arms):
    turned = [e._replace(differences=-e.differences) for e in findings.arm_effects(arms, findings.reference_rates(arms))]
    assert verdict("finding-upa-bpa", turned).outcome == "contradicted"
