"""Run every benchmark, in the project's environment and in one with JAX 0.5.3, and merge the results.

Writes kernels.json, spectra.json, language.json and audit.json into _build/bench; with --keep also copies the first three to
benchmarks/results, which the book's chapter on cost reads. The long run without a Gram matrix needs --long.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parent / "_build" / "bench"
OLD = BUILD / "jax-0.5.3"


def run(python, script, *arguments, **environment):
    """Run one of the scripts beside this one."""
    variables = os.environ | {"PYTHONPATH": str(HERE.parent)} | environment
    subprocess.run([str(python), str(HERE / script), *map(str, arguments)], check=True, env=variables)


def old_python(uv):
    """Return the interpreter of the environment with JAX 0.5.3, which is created if it is missing."""
    python = OLD / "bin" / "python"
    if not python.exists():
        install = [uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "-r", str(HERE / "jax-0.5.3.txt")]
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(OLD)], check=True)
        subprocess.run(install, check=True)
    return python


def main():
    """Measure, merge, and keep the results if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see whether it works")
    parser.add_argument("--long", action="store_true", help="also the run at N = 100 000")
    parser.add_argument("--keep", action="store_true", help="replace benchmarks/results")
    parser.add_argument("--uv", default="uv")
    options = parser.parse_args()
    quick = ["--quick"] if options.quick else []
    parts = {"new.json": (sys.executable, quick), "old.json": (old_python(options.uv), quick)}
    if not options.quick:
        parts["growth.json"] = (sys.executable, ["--growth", "--seconds", "3"])
    for name, (python, extra) in parts.items():
        run(python, "kernels.py", BUILD / name, *extra)
    # Rows of one run were interleaved and can be compared; `growth` marks those where one size varies.
    found = [(name, row) for name in parts for row in json.loads((BUILD / name).read_text())]
    rows = [row | {"run": name.removesuffix(".json"), "growth": name == "growth.json"} for name, row in found]
    (BUILD / "kernels.json").write_text(json.dumps(rows, indent=1) + "\n")
    found = []
    # Each part runs in its own process, because peak memory is that of the process.
    for part in [] if options.quick else ["eigenvalues", "explicit", "fisher", "streamed", *["free"] * options.long]:
        run(sys.executable, "spectra.py", BUILD / f"{part}.json", part)
        found += json.loads((BUILD / f"{part}.json").read_text())
    if not options.quick:
        flags = "--xla_force_host_platform_device_count=2"
        run(sys.executable, "spectra.py", BUILD / "sharded.json", "sharded", XLA_FLAGS=flags)
        found += json.loads((BUILD / "sharded.json").read_text())
    (BUILD / "spectra.json").write_text(json.dumps(found, indent=1) + "\n")
    run(sys.executable, "language.py", BUILD / "language.json", *quick)
    run(sys.executable, "audit.py", BUILD / "audit.json", "--uv", options.uv, *quick)
    if options.keep:
        for name in ("kernels.json", "spectra.json", "language.json"):
            shutil.copy(BUILD / name, HERE / "results" / name)


if __name__ == "__main__":
    main()
