"""What a result was made with: the commit, the versions and the machine."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("lorantk", "jax", "jaxlib", "numpy", "scipy", "matplotlib", "scikit-learn", "neural-tangents")


def git(*arguments):
    """The output of a git command in the current folder."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def versions():
    """The versions of Python and of the installed packages that affect the numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def device():
    """What computes: JAX's platform, the processor, and how many of its cores this process may use."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": os.environ.get("JAX_PLATFORMS", "default"), "processor": model, "cores": cores}


def stamp():
    """The commit that is checked out, whether anything differs from it, and the versions.

    Outside of a repository, `commit` and `dirty` are None.
    """
    try:
        commit, dirty = git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
    except (OSError, subprocess.CalledProcessError):
        commit = dirty = None
    return {"commit": commit, "dirty": dirty, "versions": versions()}
