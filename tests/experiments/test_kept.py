"""Tables of results that are kept, and slices that are made again."""

import numpy as np
import pandas as pd
import pytest

from lorantk.experiments.common import kept
from lorantk.experiments.digits.sweeps import SIZES
from lorantk.experiments.disputes import fingerprints, lifespan, memory, variants

NAME = "disputes.memory"
ROW = {"rank": 1, "load": 0.5, "labels": 12, "seed": 0, "fitted": 1 / 3}


def test_a_table_comes_back_as_it_was_written(tmp_path):
    where = tmp_path / "memory.csv"
    assert kept.write(where, memory.COLUMNS, [ROW, ROW | {"seed": 1}]) == 2
    found = kept.read(NAME, where)
    assert found["seed"].tolist() == [0, 1]
    assert found["fitted"].tolist() == pytest.approx([1 / 3] * 2, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rank,load\n1,2\n", "expected rows of rank, load, labels, seed, fitted; got 1 of rank, load"),
        (",".join(memory.COLUMNS) + "\n", "expected rows of rank, load, labels, seed, fitted; got 0"),
        (",".join(memory.COLUMNS) + "\n1,0.5,12,0,1\n1,0.5,12,1\n", "line 3: expected an entry for every column"),
        (",".join(memory.COLUMNS) + "\n1,0.5,12,0,1,7,8\n1,0.5,12,0,1,7,8,9\n", "expected"),
        ("", "expected a table, got No columns"),
        (None, "expected a table, got .*No such file"),
    ],
)
def test_a_damaged_table_is_refused_with_the_command_that_makes_it(tmp_path, text, message):
    where = tmp_path / "memory.csv"
    if text is not None:
        where.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        kept.read(NAME, where)
    assert "`python -m lorantk.experiments.common.kept disputes.memory` makes it" in str(caught.value)


def test_a_row_that_is_not_one_of_the_columns_is_not_written(tmp_path):
    where = tmp_path / "memory.csv"
    where.write_text("old")
    with pytest.raises(ValueError, match="fields not in fieldnames: 'speed'"):
        kept.write(where, memory.COLUMNS, [ROW, ROW | {"speed": 1}])
    assert where.read_text() == "old"


def test_a_study_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    calls = []

    def rows_of(rank, load):
        calls.append((rank, load))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return [ROW | {"rank": rank, "load": load}]

    monkeypatch.setattr(memory, "parts", lambda: [(1, 0.5), (1, 1.0), (2, 0.5)])
    monkeypatch.setattr(memory, "rows_of", rows_of)
    with pytest.raises(KeyboardInterrupt):
        list(kept.make(NAME, tmp_path))
    assert [(row["rank"], row["load"]) for row in kept.make(NAME, tmp_path)] == [(1, 0.5), (1, 1.0), (2, 0.5)]
    assert calls == [(1, 0.5), (1, 1.0), (2, 0.5), (2, 0.5)]


def test_the_command_writes_the_table_beside_the_module_and_names_what_is_no_study(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kept, "path", lambda name: tmp_path / f"{name}.csv")
    monkeypatch.setattr(kept, "project_root", lambda: tmp_path)
    monkeypatch.setattr(memory, "parts", lambda: [(1, 0.5)])
    monkeypatch.setattr(memory, "rows_of", lambda *_: [ROW])
    assert kept.main([NAME]) == 0
    assert capsys.readouterr().out == "disputes.memory: 1 rows\n"
    assert len(kept.read(NAME)) == 1
    for name in ("disputes.nothing", "disputes.judging", "digits"):
        assert kept.main([name]) == 1
        error = capsys.readouterr().err
        assert "expected a module of lorantk.experiments with COLUMNS, parts and rows_of, " in error
        assert error.endswith(f"got {name}\n")


def test_a_slice_made_again_is_compared_row_by_row_and_a_wrong_number_is_noticed():
    table = pd.DataFrame([ROW | {"rank": rank, "seed": seed, "fitted": rank / 7 + seed} for rank in (1, 2) for seed in range(3)])
    keys = ("rank", "load", "labels", "seed")
    again = table.iloc[[4, 0]]
    assert kept.distances(again, table, keys).to_numpy().max() == 0
    wrong = table.copy()
    wrong.loc[4, "fitted"] += 0.25
    found = kept.distances(again, wrong, keys)
    assert found["fitted"].tolist() == pytest.approx([0.25, 0])
    with pytest.raises(ValueError, match="expected 2 / 0.5 / 12 / 1 to be kept once; got it 0 times"):
        kept.distances(again, table.drop(index=4), keys)
    with pytest.raises(ValueError, match="expected 1 / 0.5 / 12 / 0 to be kept once; got it 2 times"):
        kept.distances(again, pd.concat([table, table.iloc[:1]]), keys)


def test_keys_that_went_through_a_table_are_found(tmp_path):
    row = ROW | {"load": 10**-2.5}
    kept.write(tmp_path / "memory.csv", memory.COLUMNS, [row])
    table = kept.read(NAME, tmp_path / "memory.csv")
    assert table.loc[0, "load"] != row["load"]
    again = pd.DataFrame([row]).drop(columns="labels")
    assert kept.distances(again, table, ("rank", "load", "seed"))["fitted"].max() < 1e-6


def test_the_half_lives_are_kept_whole():
    table = kept.read("disputes.lifespan")
    cells = list(lifespan.parts())
    assert len(table) == sum(len(cell.rates) * cell.seeds for _, cell in cells)
    places = {(cell.arm, speed, cell.rank, cell.optimiser, kept.text(r)) for speed, cell in cells for r in cell.rates}
    rates = table["rate"].map(kept.text)
    found = zip(table["arm"], table["speed"], table["rank"], table["optimiser"], rates, table["seed"], strict=True)
    assert set(found) == {(*place, seed) for place in places for seed in range(lifespan.SEEDS)}
    beyond = table["beyond"] == 1
    assert (table.loc[beyond, "half_life"] == lifespan.CLEAN_STEPS).all()
    assert table.loc[~beyond, "half_life"].between(1e-9, lifespan.CLEAN_STEPS).all()


def test_the_variants_are_kept_whole():
    table = kept.read("disputes.variants")
    assert set(zip(table["variant"], table["regime"], table["seed"], strict=True)) == {
        (*part, seed) for part in variants.parts() for seed in range(SIZES["default"]["seeds"])
    }
    assert len(table) == len(list(variants.parts())) * SIZES["default"]["seeds"]
    assert table["accuracy"].between(0.6, 1).all()


def test_the_fingerprints_are_kept_whole():
    table = kept.read("disputes.fingerprints")
    assert len(table) == len(list(fingerprints.parts())) * fingerprints.SEEDS
    assert set(zip(table["kind"], table["rate"].round(6), strict=True)) == {(k, round(r, 6)) for k, r in fingerprints.parts()}


def test_the_fits_of_random_labels_are_kept_whole():
    table = kept.read(NAME)
    assert len(table) == len(memory.RANKS) * len(memory.LOADS) * memory.SEEDS
    assert (table["labels"] == [round(row.load * memory.dimension(row.rank)) for row in table.itertuples()]).all()
    assert np.isfinite(table["fitted"]).all()
