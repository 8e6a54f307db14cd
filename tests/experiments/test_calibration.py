"""Intervals have the stated coverage, and the recorded coverage belongs to the current code."""

import json
from pathlib import Path

import numpy as np
import pytest

from lorantk.experiments.common.calibration import CASES, count_interval, covered, measure

LEDGER = Path(__file__).parents[2] / "book/trust/calibration.json"
RECORDS = {record["name"]: record for record in json.loads(LEDGER.read_text())}


def sound(record):
    """An exact interval has its nominal coverage, any other at least what it must have; a shortened one is noticed."""
    enough = record["high"] >= record["nominal"] if record["least"] == record["nominal"] else record["low"] >= record["least"]
    return enough and record["control"]["high"] < record["least"]


def test_the_ledger_holds_every_case():
    assert list(RECORDS) == [case.name for case in CASES]
    for case in CASES:
        stored = RECORDS[case.name]
        assert stored["chapters"] == list(case.chapters)
        for key in ("function", "setting", "nominal", "least", "replicates"):
            assert stored[key] == getattr(case, key)


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_the_measured_coverage_is_sound(record):
    assert sound(record)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_new_measurement_agrees_with_the_ledger(case):
    record, stored = measure(case, seed=1, replicates=min(1000, case.replicates // 2)), RECORDS[case.name]
    # Each interval contains the true coverage, except with probability 1e-6.
    assert record["low"] <= stored["high"]
    assert stored["low"] <= record["high"]
    assert record["control"]["measured"] < record["measured"]


def test_a_case_that_is_too_narrow_or_off_its_truth_is_not_sound():
    case = CASES[0]

    def nearer(rng):
        low, high, truth = case.draw(rng)
        return 0.9 * low + 0.1 * high, 0.1 * low + 0.9 * high, truth

    narrow = case._replace(draw=nearer)
    shifted = case._replace(draw=lambda rng: np.add(case.draw(rng), [0.2, 0.2, 0]))
    assert not sound(measure(narrow, replicates=4000))
    assert not sound(measure(shifted, replicates=4000))


def test_all_truths_of_a_draw_must_be_covered():
    low, high = np.zeros(2), np.ones(2)
    assert covered(low, high, np.array([0.1, 0.9]))
    assert not covered(low, high, np.array([0.1, 1.1]))
    assert not covered(low, high, np.array([0.1, 0.9]), length=0.7)


def test_the_interval_of_a_count_holds_the_count():
    low, high = count_interval(90, 100)
    assert 0 < low < 0.9 < high < 1
    assert count_interval(100, 100)[1] == 1
