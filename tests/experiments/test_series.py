"""The second series of the digits is whole, and a slice of it is held to what is kept."""

import numpy as np
import pytest

from lorantk.experiments.common import effects, results
from lorantk.experiments.common import kept as table
from lorantk.experiments.common.effects import PARTS
from lorantk.experiments.common.protocols import PROTOCOLS
from lorantk.experiments.digits import series, sweeps

SETTINGS = {f"{regime}, {optimiser}" for regime in ("one epoch", "memorising") for optimiser in ("Adam", "SGD")}


@pytest.fixture(scope="module")
def kept():
    return series.second_series()


def test_every_part_setting_and_protocol_is_kept_for_every_seed(kept):
    assert len(kept) == len(PARTS) * len(SETTINGS) * len(PROTOCOLS)
    assert {effect[:3] for effect in kept} == {(part, p, place) for part in PARTS for p in PROTOCOLS for place in SETTINGS}
    assert {len(effect.differences) for effect in kept} == {sweeps.SIZES["kept"]["seeds"]}
    assert all(np.ptp(effect.differences) > 0 for effect in kept if not effect.void)


def test_the_series_has_its_own_networks_and_every_build_runs_a_slice():
    cells = sweeps.cells("series", "kept")
    assert len(set(cells)) == len(cells) == 4 * 3 * 13
    assert {cell.pretraining for cell in cells} == {"varied"}
    few = sweeps.cells("series", "default")
    assert {(cell.regime, cell.optimiser, cell.seeds) for cell in few} == {("memorising", "adam", sweeps.SLICE)}
    assert len(few) == 3 * 13


def test_a_wrong_number_is_noticed(kept):
    slice_ = [effect._replace(differences=effect.differences[:5].copy()) for effect in kept if effect.setting.startswith("memor")]
    found = series.distances(slice_, kept)
    assert found.shape == (3 * 2 * 6 * 5,)  # protocols, settings, parts and seeds
    assert found.max() == 0
    wrong = [effect._replace(differences=effect.differences + 0.1 * (effect.part == "rank-lift")) for effect in kept]
    found = series.distances(slice_, wrong)
    assert found.max() == pytest.approx(0.1)
    assert found.mean() == pytest.approx(0.1 / 6)
    with pytest.raises(ValueError, match="expected arms-drop / iii / memorising, Adam to be kept once; got it 0 times"):
        series.distances(slice_, [effect for effect in kept if effect.part != "arms-drop"])


def test_missing_results_are_named_in_one_line_and_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(table, "path", lambda _: tmp_path / "series.csv")
    monkeypatch.setattr(table, "project_root", lambda: tmp_path)
    monkeypatch.setattr(results, "folder", lambda *_: tmp_path)
    assert table.main(["digits.series"]) == 1
    assert "156 results cannot be used" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_table_has_what_is_written(kept, tmp_path):
    table.write(tmp_path / "series.csv", series.COLUMNS, effects.rows(kept))
    assert (tmp_path / "series.csv").read_bytes() == table.path("digits.series").read_bytes()
