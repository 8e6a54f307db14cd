"""The Makefile's help, and the workflow, which runs the same commands as a person would."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGETS = {"help", "book", "test", "smoke", "lint", "notebook", "lab", "bench", "peft", "check-site", "zip", "pdf", "cluster"}
TARGETS |= {"serve", "clean", "environment.yml", "calibrate", "check-data", "reference", "reproduce", "reproduce-threads"}
TARGETS |= {"digits", "faults", "fuzz", "kills", "language", "mutate", "audit-packages"}


def test_help_lists_every_target_with_one_line():
    out = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert lines.keys() == TARGETS
    assert all(text.strip() for text in lines.values())


def test_the_command_line_is_on_the_path_of_the_lab():
    out = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f'PATH="{ROOT}/.venv/bin:$PATH" jupyter lab' in out


def test_ci_runs_the_commands_of_the_readme():
    commands = re.findall(r"^make (\S+)$", (ROOT / ".ci/run").read_text(), flags=re.MULTILINE)
    assert commands == ["test", "book", "check-data", "zip", "pdf", "check-site", "peft"]
    readme = (ROOT / "README.md").read_text()
    assert "`make test`" in readme
    assert "`make book`" in readme
