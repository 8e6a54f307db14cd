"""What a build and a run of the tests say of the time that is left."""

import json
from types import SimpleNamespace

import time_left

from lorantk.publishing import build


def test_time_left_is_by_the_last_run_and_then_by_this_one(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(build.time, "monotonic", lambda: clock[0])
    progress = build.Progress({"10_a": 40.0, "20_b": 20.0}, cores=2)
    progress.left = 3
    progress.show("running 10_a")
    progress.show("running 20_b")
    clock[0] = 10.0
    # 30 s and 10 s of the two that run, 30 s of the third, on two cores
    assert progress.seconds_left() == 35.0
    assert progress.words_left() == "3 left, about 35 s"
    progress.show("done 20_b in 10 s -> x")
    assert progress.usual["20_b"] == 10.0
    assert progress.seconds_left() == 30.0  # never less than what runs needs, here more than (30 + 25)/2


def test_without_any_run_only_the_count_is_known():
    progress = build.Progress()
    progress.left = 2
    assert progress.words_left() == "2 left"


def test_lines_say_what_is_left(capsys, monkeypatch):
    progress = build.Progress({"10_a": 300.0}, cores=1)
    progress.left = 2
    progress.show("running 10_a")
    progress.show("done 10_a in 0 s -> _build/executed/10_a.ipynb")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("_build/executed/10_a.ipynb (1 left, about 0 s)")


def test_usual_seconds_are_those_of_the_records(tmp_path):
    assert build.usual_seconds(tmp_path) == {}
    (tmp_path / "10_a.json").write_text(json.dumps({"seconds": 3.5}))
    assert build.usual_seconds(tmp_path) == {"10_a": 3.5}


def run_of_tests(monkeypatch, usual):
    """A run of three tests by two workers, at a clock that a test sets; the lines it prints and what it keeps."""
    clock, lines, kept = [0.0], [], {}
    monkeypatch.setattr(time_left.time, "monotonic", lambda: clock[0])
    reporter = SimpleNamespace(ensure_newline=lambda: None, write_line=lines.append)
    config = SimpleNamespace(
        cache=SimpleNamespace(get=lambda key, default: usual or default, set=lambda key, value: kept.update(value)),
        option=SimpleNamespace(numprocesses=2),
        pluginmanager=SimpleNamespace(get_plugin=lambda name: reporter),
    )
    plugin = time_left.TimeLeft(config)
    for _worker in range(2):
        plugin.pytest_xdist_node_collection_finished(["a", "b", "c"])

    def finish(name, seconds, now):
        clock[0] = now
        for when, duration in (("setup", 1.0), ("call", seconds - 1.0), ("teardown", 0.0)):
            plugin.pytest_runtest_logreport(SimpleNamespace(nodeid=name, duration=duration, when=when))

    return plugin, finish, lines, kept


def test_tests_say_what_is_left_by_the_last_run_at_the_pace_of_this_one(monkeypatch):
    plugin, finish, lines, kept = run_of_tests(monkeypatch, {"a": 10.0, "b": 60.0, "gone": 5.0})
    finish("a", 20.0, now=21.0)
    # b at half the speed of last time, c as long as the mean; two workers
    assert plugin.seconds_left() == (120 + 20) / 2
    assert lines == ["2 left, about 70 s"]
    finish("b", 120.0, now=22.0)
    finish("c", 5.0, now=90.0)
    assert len(lines) == 1  # not twice within seconds, and not when nothing is left
    plugin.pytest_sessionfinish()
    assert kept == {"a": 20.0, "b": 120.0, "c": 5.0, "gone": 5.0}


def test_the_first_run_of_tests_goes_by_its_own_mean(monkeypatch):
    plugin, finish, lines, _ = run_of_tests(monkeypatch, {})
    finish("a", 30.0, now=30.0)
    assert plugin.seconds_left() == 30.0
    assert lines == ["2 left, about 30 s"]
