"""What a build says of the time that is left."""

import json

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
