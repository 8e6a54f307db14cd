"""Tables of runs that are kept."""

import pytest

from lorantk.experiments.disputes import fingerprints, kept, memory

ROW = {"rank": 1, "load": 0.5, "labels": 12, "seed": 0, "fitted": 1 / 3}


def test_a_table_comes_back_as_it_was_written(tmp_path):
    where = tmp_path / "memory.csv"
    assert kept.write(where, memory.COLUMNS, [ROW, ROW | {"seed": 1}]) == 2
    found = kept.read("memory", where)
    assert found["seed"].tolist() == [0, 1]
    assert found["fitted"].tolist() == pytest.approx([1 / 3] * 2, abs=1e-6)


@pytest.mark.parametrize(
    "text", ["rank,load\n1,2\n", ",".join(memory.COLUMNS) + "\n", ",".join(memory.COLUMNS) + "\n1,0.5,12,0\n"]
)
def test_a_damaged_table_is_refused_with_the_command_that_makes_it(tmp_path, text):
    where = tmp_path / "memory.csv"
    where.write_text(text)
    with pytest.raises(ValueError, match=r"expected rows of rank, .*disputes.kept memory` makes them"):
        kept.read("memory", where)


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
        list(kept.make("memory", tmp_path))
    assert [(row["rank"], row["load"]) for row in kept.make("memory", tmp_path)] == [(1, 0.5), (1, 1.0), (2, 0.5)]
    assert calls == [(1, 0.5), (1, 1.0), (2, 0.5), (2, 0.5)]


def test_the_fingerprints_are_kept_whole():
    table = kept.read("fingerprints")
    assert len(table) == len(list(fingerprints.parts())) * fingerprints.SEEDS
    assert set(zip(table["kind"], table["rate"].round(6), strict=True)) == {(k, round(r, 6)) for k, r in fingerprints.parts()}


def test_the_fits_of_random_labels_are_kept_whole():
    table = kept.read("memory")
    assert len(table) == len(memory.RANKS) * len(memory.LOADS) * memory.SEEDS
    assert (table["labels"] == [round(row.load * memory.dimension(row.rank)) for row in table.itertuples()]).all()
