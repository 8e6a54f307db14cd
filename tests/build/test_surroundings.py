"""Builds in adverse surroundings: each works, or ends with one clear line and nothing lost.

Surroundings in which a build must work as usual, such as another language, are in `test_twice`.
"""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_sweep
from apart import apart, fill
from tiny_tree import ROOT, chapter, grow, run, write

from lorantk.disk import write_whole
from lorantk.fingerprint import files
from lorantk.publishing.graph.build import Progress, read_log
from lorantk.publishing.site.stage import layout, write_stage

TAKES_NOTHING = pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full, which accepts nothing, needs Linux")
FULL = r"expected free space on the disk, got \[Errno 28\] No space left on device(: '\S+')?"
FULL += "; free some and run the same command again: finished work is kept\n"
READ_ONLY = r"expected files that can be read and written, got \[Errno 30\] Read-only file system: '_build/\S+'"
READ_ONLY += "; make them accessible, or work in a copy\n"
NO_BROWSER = "expected one of chromium, chromium-browser, google-chrome, google-chrome-stable on the PATH, got none"
NO_BROWSER += "; install one, on Debian by `apt install chromium`\n"
CONNECT = """import socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    print(error.errno)"""


class Checkout:
    """A small checkout on a separate disk: `tree` is its path there, `seen` the path by which tests see it."""

    def __init__(self, away, tree, size, plant):
        self.through, self.tree, self.seen = away.through(tree), tree, away.disk(tree, size)
        plant(self.seen)

    def run(self, *command, **options):
        """Run a command of the package there."""
        surroundings = {"PYTHONDONTWRITEBYTECODE": "1"}  # to leave space for what the test is about
        return run(self.tree, *command, through=self.through, surroundings=surroundings, **options)

    def state(self, *parts):
        """Return size and modification time of every file, or of those in some parts of the build."""
        found = files(*(self.seen / "_build" / part for part in parts)) if parts else files(self.seen)
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.fixture(scope="module")
def away():
    """A view of the machine without network and with separate disks."""
    with apart() as found:
        yield found


@pytest.fixture(scope="module")
def checkout(away, tmp_path_factory):
    """A checkout that was built once without network."""
    found = Checkout(away, tmp_path_factory.mktemp("checkout"), "48m", grow)
    status, out, err = found.run("publishing.graph.build", "book")
    assert status == 0, out + err
    return found


def ran(out):
    """Return the jobs that a build says it started."""
    return sorted(re.findall(r"running (\d\d_[a-z]+|site)", out))


def test_a_build_needs_no_network(away, checkout):
    assert subprocess.check_output([*away.enter, sys.executable, "-c", CONNECT], text=True) == f"{errno.ENETUNREACH}\n"
    assert (checkout.seen / "_build/site/notebooks/02_two.html").is_file()


@pytest.mark.parametrize("command", [("publishing.graph.build", "book"), ("publishing.site.takeaway", "zip")], ids=" ".join)
def test_a_checkout_that_is_read_only_stays_as_it_is(away, checkout, command):
    before = checkout.state()
    away.run("mount", "-o", "remount,bind,ro", checkout.tree)
    try:
        status, out, err = checkout.run(*command)
    finally:
        away.run("mount", "-o", "remount,bind,rw", checkout.tree)
    assert (status, out) == (1, "")
    assert re.fullmatch(rf"{re.escape(f'lorantk.{command[0]}')}: {READ_ONLY}", err)
    assert checkout.state() == before


def test_a_full_disk_stops_a_chapter_in_one_line_and_loses_nothing(checkout):
    write(checkout.seen, "02_two", chapter("def-ntk", "1 + 1"))
    finished = ("claims.json", "executed/01_one.ipynb", "executed/records/01_one", "site")
    before = checkout.state(*finished)
    filler = fill(checkout.seen, left=0)
    status, out, err = checkout.run("publishing.graph.build", "book")
    filler.unlink()
    assert (status, ran(out)) == (1, ["02_two"]), out + err
    assert "FAILED" not in out
    assert re.fullmatch(rf"lorantk\.publishing\.graph\.build: {FULL}", err)
    assert checkout.state(*finished) == before


def test_a_full_disk_stops_the_site_and_the_next_build_does_the_rest(checkout):
    page, build = checkout.seen / "book/index.md", checkout.seen / "_build"
    page.write_text(page.read_text() + "\nMore.\n")
    before = checkout.state("site")
    del before[build / "site/.complete"]  # which says that the site belongs to the current sources
    filler = fill(checkout.seen, left=2**20)
    status, out, err = checkout.run("publishing.graph.build", "book")
    filler.unlink()
    assert (status, ran(out)) == (1, ["02_two", "site"]), out + err
    assert "FAILED" not in out
    assert re.fullmatch(rf"lorantk\.publishing\.graph\.build: {FULL}", err)
    assert checkout.state("site") == before
    status, out, err = checkout.run("publishing.graph.build", "book")
    assert (status, ran(out)) == (0, ["site"]), out + err
    assert "More." in (build / "site/index.html").read_text()
    assert "1 + 1" in (build / "site/notebooks/02_two.ipynb").read_text()
    assert write_stage(layout(checkout.seen, build), build / "stage") == (0, 0)
    assert not list(build.rglob("*.tmp"))


def test_a_full_disk_keeps_the_results_of_a_sweep_that_are_whole(away, tmp_path):
    checkout = Checkout(away, tmp_path, "8m", tiny_sweep.untrained)
    filler = fill(checkout.seen, left=6 * os.sysconf("SC_PAGE_SIZE"))
    status, out, err = checkout.run("experiments.common.sweep", tiny_sweep.SWEEP)
    filler.unlink()
    assert status == 1, out + err
    assert re.fullmatch(rf"lorantk\.experiments\.common\.sweep: {FULL}", err)
    kept = checkout.state("sweeps")
    assert 0 < len(kept) < 18
    assert {path.suffix for path in kept} == {".npz"}
    status, out, err = checkout.run("experiments.common.sweep", tiny_sweep.SWEEP)
    assert status == 0, out + err
    assert sum(map(int, re.findall(r"(\d+) of 9 cells computed", out))) == 18 - len(kept)
    assert kept.items() <= checkout.state("sweeps").items()


@TAKES_NOTHING
def test_what_cannot_be_written_leaves_the_old_file_and_names_it(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    (tmp_path / ".result.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"No space left on device: '{path}'"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result"]


@TAKES_NOTHING
def test_the_build_graphs_messages_are_read_to_the_end_where_their_log_takes_none():
    progress, refused = Progress(), []
    lines = ["Error recording metadata ([Errno 28] No space left on device).\n", "site 1\n"]
    with open("/dev/full", "wb", buffering=0) as log:
        read_log(lines, log, progress, refused)
    assert progress.left == 1
    assert [error.errno for error in refused] == [errno.ENOSPC]


@pytest.fixture
def without_browser(tmp_path, monkeypatch):
    """A built site with a PDF and a screenshot, and a machine on which no program is found."""
    for name in ("site/index.html", "site/lorantk-book.pdf", "screenshots/old.png"):
        (tmp_path / "_build" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "_build" / name).write_text("old")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_without_a_browser_the_old_pdf_stays(without_browser):
    before = files(without_browser)
    status, out, err = run(without_browser, "publishing.site.takeaway", "pdf", surroundings={"PYTHONPATH": str(ROOT)})
    assert (status, out, err) == (1, "", f"lorantk.publishing.site.takeaway: {NO_BROWSER}")
    assert [path for path in files(without_browser) if path.name != ".site.lock"] == before
    assert (without_browser / "_build/site/lorantk-book.pdf").read_text() == "old"


@pytest.mark.parametrize("spread", [[], ["--numprocesses", "2"]], ids=["one process", "two"])
def test_without_a_browser_the_checks_of_the_site_end_at_once_and_the_old_screenshots_stay(without_browser, spread):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", *spread]
    command.append(ROOT / "tests/site")
    done = subprocess.run(command, cwd=without_browser, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).count(NO_BROWSER.strip()) == 1
    assert (without_browser / "_build/screenshots/old.png").read_text() == "old"
