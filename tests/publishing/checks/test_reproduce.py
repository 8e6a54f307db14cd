"""Building a commit twice in fresh clones: equal builds agree, and each kind of difference is caught.

The repository used here has a Makefile that writes a build folder in an instant.
"""

import json
import subprocess

import pytest

from lorantk.publishing.checks import reproduce

MAKEFILE = """book:
\tmkdir -p _build/figures _build/executed/runs .venv
\tcp figure.csv _build/figures/one.csv
\techo '[{{"id": "one"}}]' > _build/figures/index.json
\tdate +%N > _build/executed/runs/10_a.json
\t@echo "cores $(CORES) only $(N) threads $(THREADS)"
\t@echo "flags $$XLA_FLAGS"
\t{more}
"""
TOLERANCES = '[default]\nrelative = 1e-6\nabsolute = 0\nreason = "rounding"\n'


def commit(folder, more="true"):
    """Commit a repository whose build also runs the command `more`; return the commit."""
    (folder / "Makefile").write_text(MAKEFILE.format(more=more))
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "A build"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder to commit, which is the current one; variables of the make that runs the tests do not reach the inner make."""
    for name in ("XLA_FLAGS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "expected/figures").mkdir(parents=True)
    (tmp_path / "expected/tolerances.toml").write_text(TOLERANCES)
    (tmp_path / ".gitignore").write_text("_build\n")
    for name in ("figure.csv", "expected/figures/one.csv"):
        (tmp_path / name).write_text("x,y\n1,2.5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_equal_builds_agree_and_the_result_is_kept(checkout, capsys):
    made = commit(checkout)
    assert reproduce.main(["bytes", "--keep", "--cores", "3"]) == 0
    out = capsys.readouterr().out
    assert "first: cores 3 only  threads \nfirst: flags \n" in out
    assert out.endswith("the builds agree\n")
    result = json.loads((checkout / "book/trust/reproduce.json").read_text())
    assert result["commit"] == made
    assert result["rows"] == [["list of figures", 1, 0], ["data of figures", 1, 0]]
    assert "gave 2 files, and the same bytes in each" in result["summary"]
    assert not (reproduce.PLACE / "first/.venv").exists()


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("date +%N >> _build/figures/one.csv", "DIFFERS figures/one.csv\n  line 3: "),
        ("pwd > _build/figures/one.svg", "DIFFERS figures/one.svg\n  line 1: "),
        ("case $$PWD in *second*) touch _build/figures/two.csv;; esac", "DIFFERS figures/two.csv\n  only in the second build"),
    ],
)
def test_a_time_a_path_and_a_missing_file_are_caught(checkout, capsys, more, where):
    commit(checkout, more)
    assert reproduce.main(["bytes"]) == 1
    out = capsys.readouterr().out
    assert where in out
    assert "DIFFER; they are kept in _build/reproduce" in out


def test_only_some_notebooks(checkout, capsys):
    commit(checkout)
    assert reproduce.main(["bytes", "--only", "nsd gauge"]) == 0
    assert "only nsd gauge threads" in capsys.readouterr().out


def test_a_kept_result_says_that_it_is_about_some_notebooks(checkout):
    records = "_build/executed/records/10_a/figures"
    commit(checkout, f"mkdir -p {records} && cp figure.csv {records}/one.csv")
    for what, name in reproduce.RESULTS.items():
        assert reproduce.main([what, "--only", "nsd gauge", "--keep"]) == 0
        result = json.loads((checkout / f"book/trust/{name}.json").read_text())
        assert 'N="nsd gauge"' in result["command"]
        assert "of the notebooks nsd, gauge alone" in result["summary"]


def test_other_threads_and_instructions_are_checked_against_the_reference(checkout, capsys, monkeypatch):
    commit(checkout)
    monkeypatch.setenv("XLA_FLAGS", "--of=mine")
    monkeypatch.setattr(reproduce.platform, "machine", lambda: "x86_64")
    assert reproduce.main(["threads", "--threads", "5", "--keep"]) == 0
    assert "cores 5 only  threads 5\nfirst: flags --of=mine --xla_cpu_max_isa=AVX\n" in capsys.readouterr().out
    result = json.loads((checkout / "book/trust/threads.json").read_text())
    assert result["rows"] == [["`one`", "`x`", 0.0]]
    assert "2 entries of the data behind 1 figures were compared. Outside their tolerance: none." in result["summary"]


def test_where_the_instructions_have_other_names_only_the_threads_differ(monkeypatch):
    monkeypatch.setattr(reproduce.platform, "machine", lambda: "arm64")
    assert reproduce.elsewhere() == {}


def test_other_data_with_other_threads_are_caught(checkout, capsys):
    commit(checkout, "sed -i s/2.5/2.6/ _build/figures/one.csv")
    assert reproduce.main(["threads", "--keep"]) == 1
    assert "DIFFERS one, column 'y', row 1: 2.6, reference 2.5: 4e+04 times the tolerance" in capsys.readouterr().out
    result = json.loads((checkout / "book/trust/threads.json").read_text())
    assert "Outside their tolerance: `one, column 'y', row 1`." in result["summary"]


def test_a_commit_that_does_not_build_is_an_error_in_one_line(checkout, capsys):
    made = commit(checkout, "false")
    assert reproduce.main(["bytes"]) == 1
    assert f"expected {made} to build in _build/reproduce/first, got exit status 2" in capsys.readouterr().err


def test_uncommitted_changes_are_reported_as_ignored(checkout, capsys):
    made = commit(checkout)
    (checkout / "figure.csv").write_text("x,y\n1,3\n")
    assert reproduce.main(["bytes"]) == 0
    assert f"uncommitted changes are not built: this is about {made}" in capsys.readouterr().out
