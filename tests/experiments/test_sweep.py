"""Results of sweeps as files: their names, what is computed again, and what a bad file does."""

import json
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_sweep
from tiny_tree import run, start

from lorantk.experiments.common import results, sweep
from lorantk.experiments.digits import sweeps
from lorantk.experiments.digits.cell import Cell
from lorantk.fingerprint import code_of

ROOT = Path(__file__).parents[2]
CELLS = [Cell("memorising", "sgd", "clean", arm, (0.1,), 2, 32, 4, width=8, rank=2) for arm in ("full", "lora")]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A checkout with one sweep of two tiny cells, and a function that runs the command in it."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sweeps.SWEEPS, "arms", lambda profile: CELLS)

    def command(*arguments):
        return sweep.main(["arms", *arguments])

    return command


def files():
    return sorted(Path("_build/sweeps/arms").glob("*.npz"))


def test_a_sweep_writes_one_file_for_each_cell_and_nothing_the_second_time(tiny, capsys):
    assert tiny() == 0
    assert [path.stem for path in files()] == sorted(results.cell_name(cell) for cell in CELLS)
    before = [path.stat().st_mtime_ns for path in files()]
    assert "2 of 2 cells computed" in capsys.readouterr().out
    assert tiny() == 0
    assert "0 of 2 cells computed" in capsys.readouterr().out
    assert [path.stat().st_mtime_ns for path in files()] == before
    assert tiny("--check") == 0


def test_a_file_says_how_it_was_made(tiny):
    tiny()
    full = results.load("arms", "default")[0]
    assert full.cell == CELLS[0]
    assert full.made["seeds"] == [0, 1]
    assert full.made["versions"]["jax"]
    assert full.made["seconds"] > 0
    assert full.made["config"] == json.loads(json.dumps(CELLS[0].config()))
    assert full.records["train_loss"].shape == (2, 1, len(CELLS[0].checkpoints))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def corrupt(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(bytes(content))


def other_cell(path):
    path.write_bytes(next(other for other in files() if other != path).read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "missing"),
        (truncate, "truncated or corrupt"),
        (corrupt, "truncated or corrupt"),
        (lambda path: path.write_bytes(b""), "truncated or corrupt"),
        (other_cell, "the result of other config"),
    ],
)
def test_a_bad_file_is_named_and_computed_again(tiny, capsys, damage, message):
    tiny()
    bad = files()[0]
    good = dict(np.load(bad))
    damage(bad)
    with pytest.raises(results.ResultError, match=rf"{bad.name}: {message}.*python -m lorantk.experiments.common.sweep arms"):
        results.load("arms", "default")
    capsys.readouterr()
    assert tiny("--check") == 1
    assert f"{bad.name}: {message}" in capsys.readouterr().out
    [batch] = results.batches("arms", "default", Path("."))
    assert [why.partition(": ")[0] for why in results.reopen(batch)] == [str(bad)]
    assert not batch.done.exists()
    assert tiny() == 0
    out = capsys.readouterr().out
    assert "1 of 2 cells computed" in out
    assert (bad.name in out) == (message != "missing")
    assert results.reopen(batch) == []
    again = dict(np.load(bad))
    np.testing.assert_array_equal(good["train_loss"], again["train_loss"])


def test_no_byte_of_a_result_can_change_unnoticed(tmp_path):
    path, cell = tmp_path / "cell.npz", CELLS[0]
    losses = np.random.default_rng(0).normal(size=(cell.seeds, len(cell.rates), len(cell.checkpoints)))
    results.store(path, cell, {"train_loss": losses}, 1.0)
    np.testing.assert_array_equal(results.read(path, cell).records["train_loss"], losses.astype(np.float32))
    good = path.read_bytes()
    with path.open("r+b", buffering=0) as file:  # changed in place: so many new files would take longer than the checks

        def put(where, byte):
            file.seek(where)
            file.write(bytes([byte]))

        for where, byte in enumerate(good):
            for flipped in (1, 8, 255):
                put(where, byte ^ flipped)
                with pytest.raises(results.ResultError, match="truncated or corrupt"):
                    results.read(path, cell)
            put(where, byte)
        assert path.read_bytes() == good
        for length in reversed(range(len(good))):
            file.truncate(length)
            with pytest.raises(results.ResultError, match="truncated or corrupt"):
                results.read(path, cell)


def test_results_of_other_code_are_not_used(tiny, monkeypatch, capsys):
    tiny()
    old, name = files(), results.cell_name(CELLS[0])
    monkeypatch.setattr(results, "sources", lambda: {"code": "other", "data": "same"})
    assert results.cell_name(CELLS[0]) != name
    assert tiny() == 0
    assert "2 of 2 cells computed" in capsys.readouterr().out
    new = [path for path in files() if path not in old]
    assert len(new) == 2
    assert all(path.exists() for path in old)
    # Not even under the right name.
    new[0].write_bytes(old[0].read_bytes())
    cell = next(c for c in CELLS if results.cell_name(c) == new[0].stem)
    assert "the result of other" in results.fault(new[0], cell)


def test_the_code_is_what_computes_and_nothing_that_draws_or_judges():
    names = {path.relative_to(ROOT / "lorantk").as_posix() for path in code_of(results.ENTRY)}
    digits = {f"experiments/digits/{name}.py" for name in ("training", "finetune", "data")}
    assert digits | {"theory/networks.py"} <= names
    assert not any(name.startswith("publishing") for name in names)
    assert {name for name in names if name.startswith("experiments/common")} == {"experiments/common/poison.py"}
    assert "experiments/digits/sweeps.py" not in names


def test_a_diverged_run_is_stored_as_it_is(tiny, monkeypatch):
    wild = [Cell("memorising", "sgd", "clean", "full", (1e30,), 2, 32, 4, width=8)]
    monkeypatch.setitem(sweeps.SWEEPS, "arms", lambda profile: wild)
    assert tiny() == 0
    assert not np.isfinite(results.load("arms", "default")[0].records["train_loss"][..., -1]).any()


def test_a_cell_that_cannot_be_computed_is_named(tiny, monkeypatch, capsys):
    bad = [CELLS[0], Cell("memorising", "sgd", "flips", "full", (0.1,), 2, 32, 4, width=8, poison=1.5)]
    monkeypatch.setitem(sweeps.SWEEPS, "arms", lambda profile: bad)
    assert tiny() == 1
    assert "flips, full, memorising: rate must lie in [0, 1]; got 1.5" in capsys.readouterr().out
    assert len(files()) == 1  # the other is kept
    assert not list(Path("_build/sweeps/arms").glob("*.done"))


def test_one_batch_can_be_asked_for(tiny, capsys):
    [batch] = results.batches("arms", "default", Path("."))
    assert tiny("--batch", batch.done.stem) == 0
    assert batch.done.is_file()
    with pytest.raises(SystemExit, match="2"):
        tiny("--batch", "none")
    assert f"expected a batch out of {batch.done.stem}; got 'none'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected a profile out of default, smoke, paper, kept; got 'huge'"):
        sweeps.cells("arms", "huge")


def test_finished_results_can_be_copied_elsewhere(tiny, tmp_path):
    assert tiny("--copy", "kept") == 0
    for path in files():
        assert (Path("kept/arms") / path.name).read_bytes() == path.read_bytes()


def test_smoke_results_lie_apart():
    assert results.folder("arms", "smoke", Path("x")) == Path("x/_build/smoke/sweeps/arms")
    assert results.folder("arms", "paper", Path("x")) == Path("x/_build/sweeps/arms")


# The third cell waits until it is told to go on.
WAITS = """
at_once = run

def run(cell):
    import time
    from pathlib import Path
    while len(list(Path("_build").rglob("*.npz"))) == 2 and not Path("go").exists():
        time.sleep(0.05)
    return at_once(cell)
"""


def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path):
    training = tiny_sweep.untrained(tmp_path) / "lorantk/experiments/digits/training.py"
    training.write_text(training.read_text() + WAITS)
    command = (tmp_path, "experiments.common.sweep", tiny_sweep.SWEEP)
    where = tmp_path / "_build/sweeps" / tiny_sweep.SWEEP
    first = start(*command, start_new_session=True)
    while len(list(where.glob("*.npz"))) < 2:
        assert first.poll() is None
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert not list(where.glob("*.done"))
    (tmp_path / "go").touch()
    status, out, err = run(*command)
    assert status == 0, out + err
    assert sum(int(count) for count in re.findall(r"(\d+) of 9 cells computed", out)) == 18 - 2
    assert len(list(where.glob("*.npz"))) == 18


def test_every_sweep_has_what_the_plan_names():
    cells = {name: sweeps.cells(name, "default") for name in sweeps.SWEEPS}
    assert {name: {cell.seeds for cell in group} for name, group in cells.items()} == dict.fromkeys(cells, {20}) | {
        "series": {sweeps.SLICE},
        "trade-off": {sweeps.SLICE},
        "frozen-grid": {sweeps.GRID_SEEDS},
    }
    assert {cell.rank for cell in cells["ranks"]} == set(sweeps.RANKS)
    for name in ("arms", "ranks", "variances"):
        places = {(c.regime, c.optimiser, c.attack) for c in cells[name]}
        assert len([p for p in places if p[2] != "clean label"]) == 12
    for name in sweeps.SWEEPS:
        batched = [cell for group in sweeps.batches(name, "default") for cell in group]
        assert sorted(map(repr, batched)) == sorted(map(repr, cells[name]))
