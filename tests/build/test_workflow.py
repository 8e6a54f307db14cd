"""Whatever runs with permissions on a server is pinned by hashes and has only the permissions that it needs."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
NEVER = {"tensorflow", "tf2jax"}  # overridden in pyproject.toml: in the lock, installed nowhere
PIN = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def content(workflow):
    """Return the content of a workflow."""
    return yaml.safe_load(workflow.read_text())


def steps(workflow):
    """Return every step of every job of a workflow."""
    return [step for job in content(workflow)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert [action for action in used if not PIN.fullmatch(action)] == []
    named = re.findall(r"uses: \S+@\S+ # v\d+\.\d+\.\d+$", workflow.read_text(), re.MULTILINE)
    assert len(named) == len(used)  # each hash comes with a readable version


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_only_the_job_that_publishes_may_write(workflow):
    found = content(workflow)
    assert found["permissions"] == {"contents": "read"}
    rights = {name: job["permissions"] for name, job in found["jobs"].items() if "permissions" in job}
    assert rights == {"publish": {"pages": "write", "id-token": "write"}}
    assert {"run": ".ci/run"} in found["jobs"]["check"]["steps"]
    assert "main" in found["jobs"]["publish"]["if"]
    # The job that may write does not run code from this repository or from packages that it installs.
    assert not any("run" in step or "checkout" in step["uses"] for step in found["jobs"]["publish"]["steps"])
    assert "pull_request_target" not in found[True]  # YAML reads the key `on` as true


def test_checkouts_keep_no_credentials():
    checkouts = [step for workflow in WORKFLOWS for step in steps(workflow) if "actions/checkout@" in step.get("uses", "")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_the_lock_has_a_hash_of_every_file():
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    fetched = [package for package in packages if "registry" in package["source"]]
    assert [package["name"] for package in packages if package not in fetched] == ["lorantk"]
    for package in fetched:
        files = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert files or package["name"] in NEVER, package["name"]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"]) for file in files), package["name"]
