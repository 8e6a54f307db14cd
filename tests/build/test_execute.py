"""Executing one notebook with papermill gives a complete result, or a clear failure and nothing else."""

import json
import os
import signal
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from tiny_book import figure_words, verdict_words
from tiny_tree import notebook, run, start

from lorantk.publishing.notebook.execute import find_notebook, main
from lorantk.publishing.notebook.normalise import normalised

EXECUTE = "publishing.notebook.execute"


@pytest.fixture
def tree(tmp_path):
    """A folder with one notebook that works, one that fails and one that takes its time."""
    (tmp_path / "notebooks").mkdir()
    fails = notebook("print('before')", "raise ValueError('no such luck')", "print('after')")
    slow = notebook("open('../started', 'w').close()", "import time; time.sleep(delay)")
    for stem, content in {"01_works": notebook("print(profile, seed)"), "02_fails": fails, "03_slow": slow}.items():
        nbformat.write(content, tmp_path / "notebooks" / f"{stem}.ipynb")
    return tmp_path


def results(tree):
    """Return the notebooks in the build folder."""
    return sorted(path.relative_to(tree / "_build").as_posix() for path in tree.glob("_build/**/*.ipynb"))


def printed(tree, path):
    """Return what an executed notebook printed."""
    cells = nbformat.read(tree / "_build" / path, as_version=4).cells
    return "".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))


REACHED = """from ipykernel.connect import get_connection_info
how = get_connection_info(unpack=True)
print(how["transport"], how["ip"])"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A folder with a notebook that was executed with other parameters on one thread, and what the command gave."""
    tree = tmp_path_factory.mktemp("executed")
    (tree / "notebooks").mkdir()
    nbformat.write(notebook("print(profile, seed)", REACHED), tree / "notebooks/01_works.ipynb")
    return tree, run(tree, EXECUTE, "works", "--threads", "1", "-p", "seed=7 profile=smoke")


def test_parameters_reach_the_notebook(executed):
    tree, (status, out, err) = executed
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].endswith("-> _build/interactive/01_works.ipynb")
    assert printed(tree, "interactive/01_works.ipynb").startswith("smoke 7\n")


def test_the_kernel_is_reached_through_files_instead_of_ports(executed):
    transport, place = printed(executed[0], "interactive/01_works.ipynb").splitlines()[-1].split()
    assert transport == "ipc"
    assert not Path(place).parent.exists()


# A busy machine may delay a kernel between its last answer and the end of the work on it; here it is always delayed.
ANSWERS_LONG = """
import time
handlers = get_ipython().kernel.shell_handlers
answer = handlers["kernel_info_request"]
async def answer_long(*request):
    await answer(*request)
    time.sleep(0.5)
handlers["kernel_info_request"] = answer_long
"""


def test_a_kernel_stopped_while_it_still_answers_reports_no_error(tree):
    nbformat.write(notebook(ANSWERS_LONG), tree / "notebooks/04_answers.ipynb")
    status, _, err = run(tree, EXECUTE, "answers")
    assert (status, err) == (0, "")


def test_defaults_are_not_injected(tree):
    assert run(tree, EXECUTE, "01_works", "--into", "executed", "-p", "profile=default")[0] == 0
    executed = nbformat.read(tree / "_build/executed/01_works.ipynb", as_version=4)
    assert [cell.id for cell in executed.cells] == ["title", "parameters", "code-1"]
    assert (tree / "_build/executed/records/01_works").is_dir()


WORDS = "```{verdict} nsd\nlargest\n: largest of {glue:text}`count` values\n```"
RECORDS = """from lorantk.publishing import Chapter
chapter = Chapter("nsd", profile=profile)
chapter.evidence("largest", 1, "<=", 2)
chapter.glue(count=3)
chapter.conclude("holds exactly")"""


def test_the_record_has_the_words_of_the_text(tree):
    content = notebook(RECORDS)
    content.cells.append(nbformat.v4.new_markdown_cell(WORDS, id="words"))
    nbformat.write(content, tree / "notebooks/04_records.ipynb")
    assert run(tree, EXECUTE, "records")[0] == 0
    record = json.loads((tree / "_build/interactive/records/04_records/chapter.json").read_text())
    assert record["claims"][0]["evidence"][0]["name"] == "largest of 3 values"


def test_words_that_are_missing_fail_the_notebook(tree):
    nbformat.write(notebook(RECORDS), tree / "notebooks/04_records.ipynb")
    status, out, _ = run(tree, EXECUTE, "records")
    assert status == 1
    assert "FAILED notebooks/04_records.ipynb" in out
    assert "WordsError: expected words for verdict nsd in a Markdown cell, got none" in out
    assert results(tree) == ["failed/04_records.ipynb"]


def test_how_a_run_went_is_kept_with_its_records(executed):
    how = json.loads((executed[0] / "_build/interactive/runs/01_works.json").read_text())
    assert how.keys() == {"profile", "seconds", "peak_bytes", "threads", "device", "versions"}
    assert (how["profile"], how["threads"]) == ("smoke", 1)
    assert 0 < how["seconds"] < 300
    assert 10e6 < how["peak_bytes"] < 10e9  # of a Python process, not of one memory page or in a wrong unit
    assert how["device"]["cores"] >= 1
    assert how["versions"]["python"].startswith("3.")


@pytest.mark.parametrize("name", ["01_works", "01", "works", "notebooks/01_works.ipynb"])
def test_a_notebook_is_found_by_file_number_or_topic(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").mkdir()
    for stem in ("01_works", "02_fails"):
        (tmp_path / f"notebooks/{stem}.ipynb").touch()
    assert find_notebook(name) == Path("notebooks/01_works.ipynb")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("works", "-p", "rank=3"), "expected a declared parameter (profile, seed, delay), got 'rank'"),
        (("works", "-p", "profile=huge"), "expected a profile out of default, paper, smoke, got 'huge'"),
        (("nothing",), "expected a notebook (01_works, 02_fails, 03_slow), got 'nothing'"),
    ],
)
def test_wrong_usage_changes_nothing(tree, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tree)
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"lorantk.publishing.notebook.execute: {arguments[0]}: {message}\n")
    assert not (tree / "_build").exists()


def test_failure_names_notebook_cell_and_error_and_keeps_the_part(tree):
    (tree / "_build/executed").mkdir(parents=True)
    (tree / "_build/executed/02_fails.ipynb").write_text("the last good one")
    status, out, _ = run(tree, EXECUTE, "fails", "--into", "executed")
    assert status == 1
    for part in ("FAILED notebooks/02_fails.ipynb", "'code-2'", "ValueError: no such luck", "_build/failed/02_fails.ipynb"):
        assert part in out
    assert "before" in printed(tree, "failed/02_fails.ipynb")
    assert "after" not in printed(tree, "failed/02_fails.ipynb")
    assert (tree / "_build/executed/02_fails.ipynb").read_text() == "the last good one"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import warnings\nwarnings.warn('careful')", "code-2:2: UserWarning: careful\n  warnings.warn('careful')"),
        ("import sys; print('careful', file=sys.stderr)", "careful"),
        ("import logging; logging.warning('take care')", "WARNING:root:take care"),
    ],
    ids=["warning", "standard error", "log"],
)
def test_a_warning_fails_with_notebook_and_cell_and_no_process(tree, source, words):
    nbformat.write(notebook("print('fine')", source, "print('after')"), tree / "notebooks/04_warns.ipynb")
    status, out, _ = run(tree, EXECUTE, "warns", "--into", "executed")
    assert status == 1
    for part in ("FAILED notebooks/04_warns.ipynb", f"of id 'code-2': {words}\n", "_build/failed/04_warns.ipynb"):
        assert part in out
    assert "code-1" not in out
    assert results(tree) == ["failed/04_warns.ipynb"]
    assert "after" in printed(tree, "failed/04_warns.ipynb")


# At first the kernel is between two cells, later inside one.
@pytest.mark.parametrize(("stop", "after"), [(signal.SIGINT, 0.0), (signal.SIGINT, 0.5), (signal.SIGKILL, 0.5)])
def test_interruption_leaves_nothing_that_looks_finished(tree, stop, after):
    # If the tests run in the background of a shell, they ignore SIGINT, and so would the processes that they start.
    own = {"start_new_session": True, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = start(tree, EXECUTE, "slow", "-p", "delay=60", **own)
    while not (tree / "started").exists():
        assert process.poll() is None
        time.sleep(0.001)
    time.sleep(after)
    os.killpg(process.pid, stop)
    process.communicate(timeout=30)
    assert [path for path in results(tree) if "/." not in path] == []
    assert run(tree, EXECUTE, "slow")[0] == 0
    assert results(tree) == ["interactive/03_slow.ipynb"]


def test_normalised_removes_what_differs_between_runs():
    content = notebook("pass")
    content.metadata["papermill"] = {"start_time": "now"}
    content.cells[2].metadata |= {"papermill": {"duration": 1}, "execution": {"iopub.status.busy": "now"}, "tags": ["x"]}
    content.cells[1].metadata["tags"] = ["injected-parameters"]
    clean = normalised(content)
    assert "papermill" not in clean.metadata
    assert clean.cells[2].metadata == {"tags": ["x"]}
    assert clean.cells[1].id == "injected-parameters"
    assert clean.cells[1].metadata["tags"] == ["injected-parameters", "remove-cell"]  # bookkeeping, not for the page
    assert "papermill" in content.metadata


def test_styled_tables_have_the_same_name_in_every_run():
    kept = []

    def shown():
        content = notebook("table")
        style = pd.DataFrame({"a": [1.0]}).style.format("{:.1f}").highlight_max()
        kept.append(style)  # so that the next one lies elsewhere in memory
        data = {"text/html": style.to_html(), "text/plain": repr(style)}
        content.cells[2].outputs = [nbformat.v4.new_output("display_data", data)]
        return content

    one, other = shown(), shown()
    assert one != other
    assert normalised(one) == normalised(other)
    data = normalised(one).cells[2].outputs[0].data
    assert data["text/plain"] == "<pandas.io.formats.style.Styler object>"
    html = data["text/html"]
    assert html.count("T_code-1-0") == one.cells[2].outputs[0].data["text/html"].count("T_")


def test_a_figure_shows_once_although_it_is_drawn_and_recorded_in_two_cells(tree):
    draw = "import matplotlib.pyplot as plt\nfrom lorantk.publishing import Chapter\nchapter = Chapter('nsd')\n"
    draw += "fig, axis = plt.subplots()\naxis.plot([1, 2]);"
    content = notebook(draw, "chapter.figure(fig, 'one', data={'x': [1, 2]})")
    content.cells.append(nbformat.v4.new_markdown_cell(figure_words("one") + verdict_words("nsd"), id="words"))
    nbformat.write(content, tree / "notebooks/04_draws.ipynb")
    assert run(tree, EXECUTE, "draws")[0] == 0
    cells = nbformat.read(tree / "_build/interactive/04_draws.ipynb", as_version=4).cells
    shown = [(cell.id, "lorantk" in output.metadata) for cell in cells for output in cell.get("outputs", [])]
    assert shown == [("code-2", True)]
