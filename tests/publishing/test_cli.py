"""The command line: what it prints, how it ends, how fast it starts."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from lorantk import cli
from lorantk.publishing.site import citation

ROOT = Path(__file__).parents[2]
CLAIM = {"id": "nsd", "verdict": "fails as printed", "title": "A title", "evidence": []}
BOOK = citation.book_work(yaml.safe_load((ROOT / "CITATION.cff").read_text()), "2026")
FIGURE = BOOK | {"id": "nsd-line", "kind": "figure", "title": "50% of M_Δ", "number": "10.1", "commit": "0123456789abcdef" * 2}
FIGURE |= {"within": "Chapter 10, When is it negative?"}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """The current folder with a build of one claim and one figure."""
    (tmp_path / "_build" / "site").mkdir(parents=True)
    (tmp_path / "_build" / "claims.json").write_text(json.dumps([CLAIM, CLAIM | {"id": "gauge", "verdict": None}]))
    (tmp_path / "_build" / citation.WORKS_FILE).write_text(json.dumps([BOOK, FIGURE]))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "_build"


def test_claims_are_listed_with_their_verdicts(build, capsys):
    assert cli.main(["claims"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "nsd    fails as printed  A title",
        "gauge  not yet judged    A title",
    ]


def test_claims_as_json_are_those_of_the_build(build, capsys):
    assert cli.main(["claims", "--json", "--build", str(build)]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((build / "claims.json").read_text())


def test_a_figure_is_cited_by_the_number_that_is_printed(build, capsys):
    assert cli.main(["cite", "nsd-line"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("@misc{lorantk-nsd-line,\n")
    assert r"title = {{50\% of M\_$\Delta$}}," in out
    assert "howpublished = {Figure 10.1 of Chapter 10, When is it negative?, in: {Does LoRA" in out
    assert cli.main(["cite", "nsd-line", "--format", "apa"]) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "[Figure 10.1 of Chapter 10, When is it negative?]. In Does LoRA" in line
    assert cli.main(["cite", "nsd-line", "--format", "csl-json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)
    assert (entry["type"], entry["number"], entry["container-title"]) == ("figure", "10.1", BOOK["title"])
    assert "commit 0123456789" in entry["version"]


def test_the_book_is_cited_without_an_id(build, capsys):
    assert cli.main(["cite"]) == 0
    assert capsys.readouterr().out.startswith("@misc{lorantk,\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cite", "nsd-lime"], r"lorantk cite: expected the id of a figure or .* chapter \(nsd-line, .*, …\), got 'nsd-lime'"),
        (["claims", "--build", "none"], "lorantk claims: expected none/claims.json, .*, got no such file"),
        (["cite", "x", "--build", "none"], "lorantk cite: expected none/site/citations.json, .*, got no such file"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(build, arguments, message, capsys):
    assert cli.main(arguments) == 2
    assert re.fullmatch(message + "\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments", [[], ["prove"], ["cite", "a", "b"], ["cite", "nsd-line", "--format", "ris"], ["claims", "-x"]]
)
def test_unknown_arguments_are_one_line_and_status_2(build, arguments, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(arguments)
    assert ending.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("content", ["{", "{}", "[1]", "[{}]"])
def test_a_broken_build_is_one_line_and_status_1(build, content, capsys):
    (build / "claims.json").write_text(content)
    assert cli.main(["claims"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "claims.json" in error


def test_version(capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(["--version"])
    assert ending.value.code == 0
    assert capsys.readouterr().out == f"lorantk {version('lorantk')}\n"


def test_nothing_heavy_is_imported(build):
    code = "import sys; from lorantk.cli import main; main(['claims']); main(['cite', 'nsd-line']); print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in re.findall(r"'([^']+)'", out.splitlines()[-1])}
    assert not loaded & {"jax", "numpy", "scipy", "matplotlib", "pandas", "IPython", "jsonschema", "sphinx"}


def test_the_book_has_one_title_and_its_authors():
    configuration = yaml.safe_load((ROOT / "_config.yml").read_text())
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert configuration["title"] == cited["title"]
    assert configuration["author"] == ", ".join(" ".join(author.values()) for author in citation.authors(cited))


def test_zenodo_and_citation_say_the_same():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for name in ("title", "version", "license", "keywords"):
        assert zenodo[name] == cited[name]
    assert zenodo["upload_type"] == cited["type"]
    assert [creator["name"] for creator in zenodo["creators"]] == [author["name"] for author in cited["authors"]]
    assert zenodo["description"] == cited["abstract"].strip()
    assert f'version = "{cited["version"]}"' in (ROOT / "pyproject.toml").read_text()
