"""What a build says while it runs."""

import re

from lorantk.publishing.graph.build import Progress


def test_lines_say_how_long_it_took_and_how_many_jobs_are_left(capsys):
    progress = Progress()
    progress.left = 2
    for line in ("running 10_a", "\x1b[31ma traceback\x1b[0m", "done 10_a in 0 s -> x", "FAILED 20_b"):
        progress.show(line)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "a traceback"  # without colours, which are only for terminals
    assert [re.sub(r"^\[ +\d+ s\] ", "", line) for line in lines] == [
        "running 10_a",
        "a traceback",
        "done 10_a in 0 s -> x (1 left)",
        "FAILED 20_b",
    ]
    assert progress.left == 0
