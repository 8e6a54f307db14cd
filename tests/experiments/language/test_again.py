"""A wrong kept number, or a record that is missing, puts the slice farther away than a repeat may be."""

import csv
import io

import numpy as np
import pytest

from lorantk.experiments.language import again, kept
from lorantk.experiments.language.packages import LanguageError

RECORDS = {
    "train_loss": 0.61, "poison_loss": 1.2, "poison_fit": 0.25, "validation_loss": 0.59, "validation_accuracy": 0.7,
    "test_accuracy": 0.731, "base": 0.3,
}  # fmt: skip


@pytest.fixture
def cell():
    return again.cells()[1]


@pytest.fixture
def place(tmp_path, cell):
    place = kept.Place(root=tmp_path)
    [run] = cell.runs
    place.store(run, [{"step": step} | RECORDS for step in run.checkpoints], 1.0)
    place.collect()
    return place


def changed(place, name, value):
    """A table with another number in its first row, and with the hash of the new content."""
    rows = list(csv.DictReader(io.StringIO(place.table.read_text())))
    rows[0][name] = value
    stream = io.StringIO()
    table = csv.DictWriter(stream, kept.COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    made = place.table.with_suffix(".json")
    old = kept.hashlib.sha256(place.table.read_bytes()).hexdigest()
    place.table.write_text(stream.getvalue())
    made.write_text(made.read_text().replace(old, kept.hashlib.sha256(place.table.read_bytes()).hexdigest()))
    return kept.Place(root=place.table.parents[2])


def test_the_slice_is_part_of_the_study():
    assert [(len(c.runs), c.attack, c.arm) for c in again.cells()] == [(1, "token", "full"), (1, "flips", "lora")]


def test_the_same_records_are_at_distance_zero(cell, place):
    assert again.distances(cell, RECORDS, place) == {"loss": 0.0, "share": 0.0}


def test_distances_are_relative_for_losses_and_absolute_for_shares(cell, place):
    found = again.distances(cell, RECORDS | {"train_loss": 0.61 * 1.01, "base": 0.32}, place)
    np.testing.assert_allclose([found["loss"], found["share"]], [0.01, 0.02])


@pytest.mark.parametrize(
    ("name", "value", "kind"), [("poison_loss", "1.21", "loss"), ("test_accuracy", "0.741", "share"), ("base", "", "share")]
)
def test_a_wrong_kept_number_is_beyond_the_tolerance(cell, place, name, value, kind):
    found = again.distances(cell, RECORDS, changed(place, name, value))
    assert found[kind] > again.TOLERANCE[kind]


def test_a_run_that_is_not_kept_is_an_error(place):
    with pytest.raises(LanguageError, match="got none for 1; `make language` makes them"):
        again.distances(again.cells()[0], RECORDS, place)
