"""Two builds are compared byte by byte, and every difference is reported with its position."""

import io
import json
import re
import shutil

import numpy as np
import pytest
from tiny_book import NSD, judge_nsd, write_notebook

from lorantk.publishing.checks.compare import LEFT_OUT, compare, main, without_measured_cells
from lorantk.publishing.graph.records import collect
from lorantk.publishing.notebook import figures

PAGE = """<html><div class="cell docutils"><div>a table</div></div>
<div class="cell tag_measured docutils container"><div>12 <div>ms</div></div></div>
<p>text</p></html>
"""


def write_npz(path, values, seconds):
    """Write the result of a training run as `lorantk.experiments.common.results` does."""
    stream = io.BytesIO()
    np.savez_compressed(stream, made=np.array(json.dumps({"code": "c", "seconds": seconds})), loss=np.float32(values))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue())


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """Two equal builds of a book with one chapter; they differ only where they may."""
    monkeypatch.setattr(figures, "drawing_bytes", lambda name, figure, extension, dpi=0: f"{name}{extension}".encode())
    monkeypatch.setattr(figures, "cut_off", lambda png: False)  # such a drawing is no image
    first, second = tmp_path / "first", tmp_path / "second"
    write_notebook(first, "30_nsd", ("nsd",), judge_nsd, NSD)
    collect(first)
    (first / "site/book").mkdir(parents=True)
    (first / "site/index.html").write_text(PAGE)
    write_npz(first / "sweeps/arms/cell.npz", [1, 2], seconds=3.0)
    shutil.copytree(first, second)
    write_npz(second / "sweeps/arms/cell.npz", [1, 2], seconds=4.0)
    (second / "site/index.html").write_text(PAGE.replace("12", "13"))
    for folder, took in ((first, "1"), (second, "2")):
        records = "executed/records/30_nsd/durations.json"
        for name in ("executed/runs/30_nsd.json", "figures/durations.json", records, "site/book/runs.html"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(took)
        (folder / "snakemake.log").write_text(took)
    return first, second


def test_equal_builds_agree_and_what_may_differ_is_listed(builds, capsys):
    found = compare(*builds)
    assert found.differing == {}
    assert found.counts["data of figures"] == 1
    assert found.counts["figures as PNG"] == 2  # with the thumbnail
    assert found.counts["pages"] == found.counts["results of training runs"] == found.counts["executed notebooks"] == 1
    assert set(found.left_out.values()) == set(LEFT_OUT.values()) - {LEFT_OUT["site/lorantk-book.*"]}
    assert main([str(folder) for folder in builds]) == 0
    assert "DIFFERS" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "old", "new", "where"),
    [
        ("claims.json", b"0.44", b"0.45", r"line \d+, in nsd: '.*0.44,' and '.*0.45,'"),
        ("figures/nsd-line.csv", b"1.0,1.0", b"1.0,1.1", r"line 4: '1.0,1.0' and '1.0,1.1'"),
        ("figures/nsd-line.png", b"png", b"\x89PNG", r"byte 8 of 11 and 12"),
        ("executed/30_nsd.ipynb", b"1 of 2 pieces", b"2 of 2 pieces", r"line \d+, in cell-1: .*1 of 2.* and .*2 of 2.*"),
        ("site/index.html", b"text", b"other text", r"line 3: '<p>text</p></html>' and '<p>other text</p></html>'"),
        ("figures/nsd-line.svg", b"nsd-linesvg", b"nsd-linesvg\n", r"line 1: 'nsd-linesvg' and 'nsd-linesvg'|line 2"),
    ],
)
def test_a_changed_byte_is_found_with_its_place(builds, capsys, name, old, new, where):
    path = builds[1] / name
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    assert main([str(folder) for folder in builds]) == 1
    lines = capsys.readouterr().out.splitlines()
    [place] = [i for i, line in enumerate(lines) if line.startswith("DIFFERS")]
    assert lines[place] == f"DIFFERS {name}"
    assert re.fullmatch(where, lines[place + 1].strip()), lines[place + 1]


def test_a_changed_result_of_a_training_run_is_found(builds):
    write_npz(builds[1] / "sweeps/arms/cell.npz", [1, 2.5], seconds=3.0)
    assert list(compare(*builds).differing) == ["sweeps/arms/cell.npz"]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_figure_is_found(builds, missing):
    (builds[missing] / "figures/nsd-line.pdf").unlink()
    assert compare(*builds).differing == {"figures/nsd-line.pdf": f"only in the {['second', 'first'][missing]} build"}


def test_only_the_measured_cell_leaves_a_page():
    rest = without_measured_cells(PAGE)
    assert "ms" not in rest
    assert "a table" in rest
    assert rest.endswith("</div></div>\n\n<p>text</p></html>\n")


def test_a_folder_without_results_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), str(tmp_path)])
    assert "expected a folder that `make book` wrote, got" in capsys.readouterr().err
