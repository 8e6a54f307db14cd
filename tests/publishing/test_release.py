"""Lists of releases, what changed between them, and one set of facts about the book for all who archive it."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from lorantk.publishing import release
from lorantk.publishing.errors import RecordError

ROOT = Path(__file__).parents[2]


def test_changes_are_told_apart():
    found = release.changes({"same": "1", "other": "2", "gone": "3"}, {"same": "1", "other": "4", "fresh": "5"})
    assert found == {"new": ["fresh"], "changed": ["other"], "removed": ["gone"]}


def test_releases_come_in_the_order_of_versions(tmp_path):
    for version in ("0.10.0", "0.9.1", "1.0.0"):
        (tmp_path / f"{version}.json").write_text("{}")
    assert [version for version, _ in release.releases(tmp_path)] == ["0.9.1", "0.10.0", "1.0.0"]
    (tmp_path / "next.json").write_text("{}")
    with pytest.raises(RecordError, match=r"next\.json to be named as a version"):
        release.releases(tmp_path)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of version 0.2.0 with the reference of one figure."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    (tmp_path / "expected/figures").mkdir(parents=True)
    (tmp_path / "expected/figures/nsd-line.csv").write_text("x\n1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_release_keeps_the_hash_of_each_figures_data(checkout, capsys):
    assert release.main(["0.2.0"]) == 0
    hashes = json.loads((checkout / "book/releases/0.2.0.json").read_text())
    assert hashes == {"nsd-line": hashlib.sha256(b"x\n1\n").hexdigest()}


def test_another_version_or_no_reference_is_an_error(checkout, capsys):
    assert release.main(["0.3.0"]) == 2
    assert "expected 0.2.0, the version of pyproject.toml, got 0.3.0" in capsys.readouterr().err
    (checkout / "expected/figures/nsd-line.csv").unlink()
    assert release.main(["0.2.0"]) == 1
    assert "expected the data of figures in expected/figures, got no CSV file" in capsys.readouterr().err


def test_zenodo_and_citation_say_the_same():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    for here, there in (("title", "title"), ("version", "version"), ("license", "license"), ("keywords", "keywords")):
        assert zenodo[here] == cited[there]
    assert zenodo["upload_type"] == cited["type"]
    assert [creator["name"] for creator in zenodo["creators"]] == [author["name"] for author in cited["authors"]]
    assert zenodo["description"] == cited["abstract"].strip()
    assert f'version = "{cited["version"]}"' in (ROOT / "pyproject.toml").read_text()
