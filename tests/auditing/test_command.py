"""`lorantk audit`: what it prints, how it ends, how fast it starts."""

import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from auditing.written import adapter

from lorantk import audit_adapter, audit_numbers, cli
from lorantk.auditing.terminal import progress, render, wants_colour

NUMBERS = ["audit", "--rank", "8", "--alpha", "8", "--features", "1024"]
LARGE = ["audit", "--rank", "8", "--alpha", "16", "--features", "1024"]


def test_numbers_are_a_table_of_what_holds(capsys):
    assert cli.main(NUMBERS) == 0
    out = capsys.readouterr().out
    assert re.search(r"^adapter +8 +8 +1024 +1 +0\.000326 +0\.395 +0\.0026 +yes$", out, flags=re.MULTILINE)
    assert re.search(r"for all data +yes +1 of 1 in order: 0\.395 against 1", out)
    assert "they do not measure robustness" in out
    assert max(map(len, out.splitlines())) <= 130


def test_json_is_the_report_whole(capsys):
    assert cli.main([*LARGE, "--json", "--dimension", "100"]) == 0
    content = json.loads(capsys.readouterr().out)
    [module] = content["modules"]
    assert content == audit_numbers(rank=8, alpha=16, features=1024, dimension=100).to_dict()
    assert {"name", "rank", "features_in", "scale", "variance", "condition"} <= module.keys()
    assert module["condition"]["holds"] is False
    assert module["condition"]["value"] == pytest.approx(4 / 3 * (1 + (8 / 1024) ** 0.5) ** 2)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(NUMBERS, 0), (LARGE, 1), ([*NUMBERS, "--init", "pissa"], 1), ([*NUMBERS, "--init", "orthonormal"], 0)],
)
def test_only_check_makes_an_order_that_does_not_hold_a_failure(arguments, status, capsys):
    assert cli.main(arguments) == 0
    assert cli.main([*arguments, "--check"]) == status
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit"], "expected a path, or --rank, --alpha and --features, got no path and no --rank, no --alpha, no --features"),
        (
            ["audit", "--rank", "4", "--alpha", "4"],
            "expected a path, or --rank, --alpha and --features, got no path and no --features",
        ),
        (["audit", "nowhere"], "nowhere: expected a file that can be read"),
        ([*NUMBERS, "--variance", "inf"], "variance: expected a number between"),
        ([*NUMBERS, "--html", "no/folder/x.html"], "no/folder/x.html: expected a place to write to, got: No such file"),
        ([*NUMBERS, "--failure", "2"], "failure: expected a probability"),
        ([*NUMBERS, "--model", "x"], "--model: expected an adapter_config.json beside it, got none"),
        (["audit", "x", "--rank", "4"], "x: expected no rank, alpha, rslora, init or variance with a path"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"lorantk audit: {message}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_refused_module_does_not_hide_the_others(capsys, tmp_path):
    folder = adapter(tmp_path, [f"x{i}.q" for i in range(10)])
    path = folder / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-4:] = b"\x01\x00\x80\x7f"  # the last entry of the last B is a signalling NaN
    path.write_bytes(content)
    assert cli.main(["audit", str(folder), "--json"]) == 2
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert [module["name"] for module in report["modules"]] == [f"x{i}.q" for i in range(9)]
    assert [entry["name"] for entry in report["refused"]] == ["x9.q"]
    assert (report["overall"]["order"], report["overall"]["refused"]) == (None, 1)
    assert "x9.q.lora_B.weight" in captured.err
    assert "got NaN" in captured.err
    assert captured.err.count("\n") == 1


def test_a_file_in_which_every_module_is_refused_prints_nothing(capsys, tmp_path):
    folder = adapter(tmp_path, ["x.q"], B=float("nan"))
    assert cli.main(["audit", str(folder), "--html", str(tmp_path / "x.html")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "x.html").exists()


class Page(HTMLParser):
    """What a page loads from elsewhere, and whether its tags nest."""

    def __init__(self):
        super().__init__()
        self.open, self.links, self.tags = [], [], []

    def handle_starttag(self, tag, attrs):
        """A tag opens."""
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") or "url(" in (value or "")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        """It must match the last one that opened."""
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        """A tag without content."""
        self.tags.append(tag)


@pytest.mark.parametrize("B", [0.0, 0.3])
def test_the_page_is_whole_and_needs_nothing_else(B, tmp_path):
    folder = adapter(tmp_path / "a<b>&'", [f"layers.{i}.q" for i in range(5)], B=B)
    assert cli.main(["audit", str(folder), "--html", str(tmp_path / "x.html")]) == 0
    text = (tmp_path / "x.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.links == []
    assert page.tags.count("svg") == 2
    assert "script" not in page.tags
    assert "<b>" not in text
    assert all(f"layers.{i}.q" in text for i in range(5))
    assert "nan" not in text.lower()


def test_a_notebook_shows_the_report():
    html = audit_numbers(rank=8, alpha=16, features=1024)._repr_html_()
    assert "<table" in html
    assert "α ≤ 12.7" in html


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        """Yes."""
        return True


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "")
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())


def test_colours_change_no_word():
    report = audit_numbers(rank=8, alpha=16, features=1024)
    coloured = render(report, colour=True)
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == render(report) == str(report) == repr(report)


def test_many_rows_are_cut_only_with_a_word(tmp_path):
    report = audit_adapter(adapter(tmp_path, [f"m{chr(97 + i // 26)}{chr(97 + i % 26)}.q" for i in range(50)]))
    assert "… and 10 further rows: --all shows every module" in render(report)
    assert "further" not in render(report, every=True)


def test_progress_changes_nothing():
    assert list(progress([1, 2, 3])) == [1, 2, 3]


def test_numbers_need_no_jax_and_no_plotting():
    code = f"import sys; from lorantk.cli import main; main({NUMBERS!r}); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in re.findall(r"'([^']+)'", out.splitlines()[-1])}
    assert not loaded & {"jax", "matplotlib", "pandas", "IPython", "torch", "peft", "safetensors"}


def test_a_closed_pipe_gives_no_traceback(tmp_path):
    folder = adapter(tmp_path, [f"m{i}.q" for i in range(1000)])
    command = f"{sys.executable} -m lorantk.cli audit {folder} --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "{\n"
    assert done.stderr == ""


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_a_table_fits_the_terminal_or_names_what_it_leaves_out(columns, tmp_path, monkeypatch):
    report = audit_adapter(adapter(tmp_path, ["model.layers.0.self_attn.q_proj"]))

    def shown(width):
        monkeypatch.setenv("COLUMNS", str(width))
        text = str(report)
        header = next(line for line in text.splitlines() if line.startswith("module"))
        named = " ".join(text.split()).partition("left out for want of width: ")[2].partition(";")[0]
        return text, set(re.split(r"\s{2,}", header)), set(filter(None, named.split(", ")))

    text, headings, dropped = shown(columns)
    assert headings | dropped - {"the beginnings of names"} == shown(1000)[1]
    assert {"type", "r", "α", "s", "saved κ", "order"} <= headings
    assert bool(dropped) == (columns < 140)
    table = [line for line in text.splitlines() if line.startswith(("module", "model.", "…")) and not line.endswith(".")]
    assert len(table) >= 2
    assert all(len(line) <= columns for line in table)
    assert any(line.startswith("…") for line in table) == ("the beginnings of names" in dropped) == (columns < 80)
