"""Training runs per second: all runs of a cell in one jitted program, against jitted runs one at a time, side by side.

    .venv/bin/python benchmarks/sweeps.py [OUTPUT.json]

Both ways train the same runs, with the same code for a single run, in turns; compilation is timed separately. Other processes
may use the processor too, so the best repetition is reported, along with all of them.
"""

import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np

from lorantk.experiments.common import results
from lorantk.experiments.digits import sweeps
from lorantk.experiments.digits import training as cells
from lorantk.experiments.digits.finetune import fine_tune

REPETITIONS = 5
ALONE = 12  # runs one at a time, in each repetition


def timed(call):
    """Return the processor seconds and wall seconds that a call takes."""
    clock, processor = time.perf_counter(), time.process_time()
    jax.block_until_ready(call())
    return {"seconds": time.perf_counter() - clock, "cpu seconds": time.process_time() - processor}


def one(tree, k):
    """Return the k-th element of a stack, as a stack of one."""
    return jax.tree.map(lambda leaf: leaf[k : k + 1], tree)


def measure(cell):
    """Return the runs per second of one cell, both ways."""
    networks, tasks, rates = cells.networks(cell), cells.tasks(cell), np.asarray(cell.rates)
    options = {"optimiser": cell.optimiser, "checkpoints": cell.checkpoints}

    def together():
        return fine_tune(networks, tasks, rates, **options)

    def alone():
        return [fine_tune(one(networks, k), one(tasks, k), rates[:1], **options) for k in range(ALONE)]

    first = {"together": timed(together)["seconds"], "alone": timed(lambda: alone()[:1])["seconds"]}
    repeats = [{"together": timed(together), "alone": timed(alone)} for _ in range(REPETITIONS)]
    runs = {"together": cell.seeds * len(rates), "alone": ALONE}
    best = {way: runs[way] / min(r[way]["seconds"] for r in repeats) for way in runs}
    per_cpu = {way: runs[way] / min(r[way]["cpu seconds"] for r in repeats) for way in runs}
    return {
        "cell": {"regime": cell.regime, "arm": cell.arm, "optimiser": cell.optimiser, "steps": cell.steps},
        "runs": runs, "first call, seconds": first, "runs per second": best, "runs per cpu second": per_cpu,
        "speed-up": best["together"] / best["alone"], "repetitions": repeats,
    }  # fmt: skip


def main():
    """Measure four cells and print or write the results."""
    chosen = [c for c in sweeps.cells("arms", "default") if c.attack == "clean" and c.optimiser == "adam" and c.arm != "lora-fa"]
    rows = [measure(cell) for cell in chosen]
    for row in rows:
        rate = row["runs per second"]
        print(f"{row['cell']}: {rate['together']:.1f} runs/s together, {rate['alone']:.1f} alone, {row['speed-up']:.1f} times")
    machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine(), "load": os.getloadavg()}
    if len(sys.argv) > 1:
        content = {"machine": machine, "versions": results.versions(), "rows": rows}
        Path(sys.argv[1]).write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
