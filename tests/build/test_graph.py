"""The build graph in a small checkout: what runs again, and what a failure or an interruption leaves."""

import json
import os
import signal
import time

import pytest
from tiny_tree import TOC, chapter, grow, run, start, write


def build(tree):
    """Build the site of the tree."""
    return run(tree, "publishing.graph.build", "book")


def ran(out):
    """Return the jobs that a build says it started."""
    return sorted(line.split("running ")[1] for line in out.splitlines() if "] running " in line)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A tree whose first build was killed while a notebook ran, and the files that were left."""
    tree = grow(tmp_path_factory.mktemp("checkout"))
    write(tree, "01_one", chapter("def-lora", "import time; open('../started', 'w').close(); time.sleep(60)"))
    process = start(tree, "publishing.graph.build", "book", start_new_session=True)
    while not (tree / "started").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    left = {path.relative_to(tree).as_posix() for path in tree.glob("_build/**/*") if path.is_file()}
    write(tree, "01_one", chapter("def-lora"))
    return tree, left


@pytest.fixture(scope="module")
def tree(killed):
    """The tree after a complete build."""
    status, out, err = build(killed[0])
    assert status == 0, out + err
    return killed[0]


def test_killed_build_leaves_nothing_that_looks_finished(killed):
    left = killed[1]
    assert "_build/executed/01_one.ipynb" not in left
    assert "_build/claims.json" not in left
    assert not any(path.startswith("_build/site/") for path in left)


def test_build_after_a_killed_one_is_complete(tree):
    assert {"index.html", "notebooks/01_one.html", "notebooks/02_two.html", ".nojekyll"} <= {
        path.relative_to(tree / "_build/site").as_posix() for path in (tree / "_build/site").rglob("*")
    }
    verdicts = {entry["id"]: entry["verdict"] for entry in json.loads((tree / "_build/claims.json").read_text())}
    assert verdicts["def-lora"] == verdicts["def-ntk"] == "holds exactly"
    assert json.loads((tree / "_build/figures/index.json").read_text()) == []


def test_nothing_changed_runs_nothing(tree):
    status, out, _ = build(tree)
    assert (status, out) == (0, "nothing changed since the last book build\n")


def test_edited_notebook_runs_alone(tree):
    write(tree, "01_one", chapter("def-lora", "1 + 1"))
    status, out, err = build(tree)
    assert status == 0, out + err
    assert ran(out) == ["01_one", "site"]


def test_edited_page_missing_list_and_module_that_no_notebook_imports_run_no_notebook(tree):
    for name, more in {"book/index.md": "\nMore.\n", "lorantk/theory/order.py": "\nREMARK = 1\n"}.items():
        (tree / name).write_text((tree / name).read_text() + more)
    (tree / "_build/claims.json").unlink()
    status, out, err = build(tree)
    assert status == 0, out + err
    assert ran(out) == ["site"]
    assert "More." in (tree / "_build/site/index.html").read_text()
    assert (tree / "_build/claims.json").exists()


def test_edited_module_runs_the_notebooks_that_import_it(tree):
    path = tree / "lorantk/publishing/notebook/chapter.py"
    path.write_text(path.read_text() + "\nREMARK = 1\n")
    status, out, err = build(tree)
    assert status == 0, out + err
    assert ran(out) == ["01_one", "02_two", "site"]


def test_failed_notebook_stops_the_build_and_leaves_the_old_site(tree):
    before = (tree / "_build/site/index.html").stat().st_mtime_ns
    write(tree, "02_two", chapter("def-ntk", "1 / 0"))
    status, out, _ = build(tree)
    assert status == 1
    for part in ("FAILED notebooks/02_two.ipynb", "'code-1'", "ZeroDivisionError", "_build/failed/02_two.ipynb"):
        assert part in out
    assert (tree / "_build/site/index.html").stat().st_mtime_ns == before


def test_chapter_that_does_not_conclude_is_named(tree):
    content = chapter("def-ntk")
    code = content.cells[-2]
    code.source = code.source.rpartition("\n")[0]  # without its last line, which concludes
    write(tree, "02_two", content)
    status, out, _ = build(tree)
    assert status == 1
    assert "02_two" in out
    assert "'def-ntk'" in out
    assert not (tree / "_build/failed/02_two.ipynb").exists()  # all its cells ran this time
    write(tree, "02_two", chapter("def-ntk"))


def test_second_build_waits_for_the_first(tree):
    write(tree, "01_one", chapter("def-lora", "1 + 2"))
    first = start(tree, "publishing.graph.build", "book")
    first.stdout.readline()
    status, out, err = build(tree)
    assert status == 0, out + err
    assert "another build runs in this checkout" in out
    assert first.wait(60) == 0
    first.communicate()


def test_warning_fails_every_time_and_leaves_the_old_site(tree):
    page = tree / "book/index.md"
    good = page.read_text()
    page.write_text(good + "\n[Nowhere](/book/nowhere.md)\n")
    for _ in range(2):
        status, out, _ = build(tree)
        assert status == 1
        assert "nowhere.md" in out
        assert "Nowhere" not in (tree / "_build/site/index.html").read_text()
    page.write_text(good)


def test_smoke_run_publishes_nothing(tree):
    claims = (tree / "_build/claims.json").stat().st_mtime_ns
    status, out, err = run(tree, "publishing.graph.build", "smoke")
    assert status == 0, out + err
    assert sorted(path.name for path in (tree / "_build/smoke").glob("*.ipynb")) == ["01_one.ipynb", "02_two.ipynb"]
    assert "'smoke'" in (tree / "_build/smoke/01_one.ipynb").read_text().replace('\\"', "'")
    assert (tree / "_build/claims.json").stat().st_mtime_ns == claims


def test_unknown_profile_changes_nothing(tree):
    assert run(tree, "publishing.graph.build", "book", "--profile", "huge") == (
        2,
        "",
        "lorantk.publishing.graph.build: expected a profile out of default, paper, smoke, got 'huge'\n",
    )


def test_removed_notebook_leaves_the_site(tree):
    (tree / "notebooks/02_two.ipynb").unlink()
    (tree / "_toc.yml").write_text(TOC.replace("  - file: notebooks/02_two\n", ""))
    status, out, err = build(tree)
    assert status == 0, out + err
    assert ran(out) == ["site"]
    assert not (tree / "_build/site/notebooks/02_two.html").exists()
    assert "02_two" not in (tree / "_build/site/notebooks/01_one.html").read_text()
