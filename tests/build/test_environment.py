"""One set of versions: the lock, the conda and Binder environment, the requirements of `pip install .`."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
GROUPS = ("book", "test")  # what set-up installs; the others come with the one command that needs them
NEVER = "sys_platform == 'never'"  # the marker that keeps TensorFlow out, see pyproject.toml


def pip_section():
    """The requirements below `pip:` in environment.yml."""
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    [section] = [entry["pip"] for entry in content["dependencies"] if isinstance(entry, dict)]
    return [Requirement(line) for line in section]


def post_build():
    """The requirements that postBuild installs."""
    return [Requirement(pin) for pin in re.findall(r"\S+==\S+", (ROOT / "postBuild").read_text())]


def locked():
    """Versions in uv.lock by name, without this project and packages that are never installed."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    everyone = {}
    for package in packages:
        if package["name"] != "lorantk":
            everyone.setdefault(package["name"], set()).add(package["version"])
    return everyone


def installed_by_lock():
    """Names of packages that the project and its groups need on some platform, by the lock."""
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]

    def wanted(package, extras):
        """Dependencies of a package with some of its extras, each with the extras that are asked of it."""
        groups = package.get("dev-dependencies", {}) if package["name"] == "lorantk" else {}
        optional = package.get("optional-dependencies", {})
        lists = [package.get("dependencies", []), *(groups.get(g, []) for g in GROUPS), *(optional.get(x, []) for x in extras)]
        return {(d["name"], tuple(d.get("extra", ()))) for group in lists for d in group if NEVER not in d.get("marker", "")}

    reached, frontier = set(), {("lorantk", ())}
    while frontier:
        reached |= frontier
        frontier = {d for p in packages for name, extras in frontier if p["name"] == name for d in wanted(p, extras)} - reached
    reached = {name for name, _ in reached}
    return reached - {"lorantk"}


def test_every_pin_is_the_locks():
    versions = locked()
    for requirement in [*pip_section(), *post_build()]:
        [specifier] = requirement.specifier
        assert specifier.operator == "=="
        assert specifier.version in versions[canonicalize_name(requirement.name)], requirement


def test_every_package_of_the_lock_is_pinned():
    pinned = {canonicalize_name(requirement.name) for requirement in [*pip_section(), *post_build()]}
    assert pinned == installed_by_lock()


def test_each_supported_python_gets_one_version_of_each_package():
    for python in ("3.11.7", "3.12.1", "3.13.0"):
        here = {"python_full_version": python, "python_version": python.rpartition(".")[0], "sys_platform": "linux"}
        names = [r.name for r in pip_section() if r.marker is None or r.marker.evaluate(here)]
        assert len(names) == len(set(names))


def test_tensorflow_is_nowhere():
    names = {canonicalize_name(requirement.name) for requirement in [*pip_section(), *post_build()]}
    assert not names & {"tensorflow", "tf2jax"}


def test_pip_installs_theory_and_command_line_alone():
    needed = {canonicalize_name(Requirement(line).name) for line in requires("lorantk")}
    known = {"jax", "jaxtyping", "lazy-loader", "matfree", "ml-dtypes", "numpy", "optax", "python-flint", "scipy", "tqdm"}
    assert needed <= known
