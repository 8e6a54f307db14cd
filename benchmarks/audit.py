"""Time `lorantk audit` beside adaptersentry, another scanner of LoRA files.

    python benchmarks/audit.py OUTPUT.json [--quick] [--uv UV]

Two adapters are made: one of 200 MB, and one of 10 000 small modules. The programs take turns, so that both meet the same load of
the machine; the least of several runs counts, as wall time, processor time and peak memory. adaptersentry asks other questions of
a file (anomalies of its spectra), so the comparison is of cost, not of answers.
"""

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

VERSION = "2.0.2"
SIZES = {"200 MB in 96 modules": (24, 64, 4096), "10 000 modules": (2500, 8, 64)}
QUICK = {"8 modules": (2, 8, 64)}


def write(folder, layers, rank, width):
    """Write an adapter of four matrices in each layer."""
    names = [f"model.layers.{i}.self_attn.{part}_proj" for i in range(layers) for part in "qkvo"]
    shapes = {f"base_model.model.{name}.lora_{x}.weight": (rank, width)[:: 1 - 2 * (x == "B")] for name in names for x in "AB"}
    header = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [4 * rank * width * i, 4 * rank * width * (i + 1)]}
        for i, (name, shape) in enumerate(shapes.items())
    }
    rng, head = np.random.default_rng(0), json.dumps(header).encode()
    with (folder / "adapter_model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(head)) + head)
        for shape in shapes.values():
            stream.write((0.01 * rng.standard_normal(shape)).astype("<f4").tobytes())
    content = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": [f"{part}_proj" for part in "qkvo"]}
    (folder / "adapter_config.json").write_text(json.dumps(content))


def measure(command):
    """Return seconds, processor seconds and peak MiB of a command; its status may be 1, for what it found."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1, 2):
        raise subprocess.CalledProcessError(status, command)
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    """Make the adapters, measure both programs, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tiny adapter, once")
    parser.add_argument("--uv", default="uv")
    options = parser.parse_args()
    other = options.output.parent / f"adaptersentry-{VERSION}"
    options.output.parent.mkdir(parents=True, exist_ok=True)
    if not (other / "bin/adaptersentry").exists():
        subprocess.run([options.uv, "venv", "--quiet", "--python", sys.executable, str(other)], check=True)
        install = [options.uv, "pip", "install", "--quiet", "--python", str(other / "bin/python"), f"adaptersentry=={VERSION}"]
        subprocess.run(install, check=True)
    rows = []
    for name, size in (QUICK if options.quick else SIZES).items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), *size)
            weights = f"{folder}/adapter_model.safetensors"
            commands = {
                "lorantk": [sys.executable, "-m", "lorantk.cli", "audit", folder],
                f"adaptersentry {VERSION}": [str(other / "bin/adaptersentry"), "scan", weights],
            }
            runs = [
                {program: measure(command) for program, command in commands.items()} for _ in range(1 if options.quick else 3)
            ]
        for program in commands:
            seconds, processor, memory = (min(run[program][i] for run in runs) for i in range(3))
            rows.append({"adapter": name, "program": program, "seconds": seconds, "processor seconds": processor, "MiB": memory})
    options.output.write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        print("{adapter:22} {program:20} {seconds:6.2f} s {processor seconds:6.2f} s of processors {MiB:6.0f} MiB".format(**row))


if __name__ == "__main__":
    main()
