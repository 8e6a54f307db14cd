"""Time the ways to compute a kernel side by side: python benchmarks/kernels.py OUT.json [--quick].

Calls are interleaved in rounds, each in a different order, so that other load on the machine, and whatever a call leaves behind
in caches and threads, affects all methods alike. Each row has the median. The rate of JAX's and NumPy's own matrix products is
measured in the same rounds. Peak memory is measured in a separate process.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Threads of NumPy's library go to sleep as soon as they are done; busy waiting would take a core from what runs next.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
sys.path.insert(0, str(Path(__file__).parent))
import jax
import jax.numpy as jnp
import methods
import numpy as np

from lorantk.publishing.notebook.provenance import device

SIZES = [(256, 512, 3, 1), (512, 1024, 3, 1), (256, 512, 3, 10), (1024, 2048, 4, 1)]
QUICK = [(64, 64, 3, 1)]
# One of N, n, L and C varies at a time.
GROWTH = [(N, 512, 3, 1) for N in (128, 512, 1024, 2048)] + [(256, n, 3, 1) for n in (256, 1024, 2048)]
GROWTH += [(256, 512, L, 1) for L in (2, 4, 6, 10)] + [(256, 512, 3, C) for C in (2, 4, 20)]


def environment():
    """Return the facts that the numbers depend on: versions, processor, load and time."""
    versions = {"python": sys.version.split()[0], "jax": jax.__version__, "numpy": np.__version__}
    return versions | {
        "cpu": device()["processor"],
        "cores": os.cpu_count(),
        "load": [round(v, 2) for v in os.getloadavg()],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def available():
    """Return the number of free bytes of memory, by Linux's own estimate."""
    with open("/proc/meminfo") as info:
        return 1024 * int(next(line.split()[1] for line in info if line.startswith("MemAvailable")))


def interleaved(functions, seconds, least=3, enough=15, most=25):
    """Return wall and processor seconds of each function, called in turn until about ``seconds`` have passed.

    Quick functions are called at least ``enough`` times, mostly after the slow ones are done, because those leave memory in
    disorder.
    """
    times, slow = {name: [] for name in functions}, set()
    for function in functions.values():
        jax.block_until_ready(function())
    start, rounds = time.perf_counter(), 0
    order = random.Random(0)
    while rounds < (enough if len(slow) < len(functions) else least) or (rounds < most and time.perf_counter() - start < seconds):
        for name in order.sample(list(functions), len(functions)):
            if name in slow:
                continue
            begin, busy = time.perf_counter(), time.process_time()
            jax.block_until_ready(functions[name]())
            times[name].append((time.perf_counter() - begin, time.process_time() - busy))
            # A method that takes a quarter of the time for all rounds is called once; a slow one, no more often than it must be.
            if times[name][-1][0] > (seconds / 4 if rounds < least else seconds / 10):
                slow.add(name)
        rounds += 1
    return times


def median(times, which):
    """Return the median of the wall (0) or the processor (1) seconds."""
    return statistics.median(pair[which] for pair in times)


def products(size):
    """Return functions that multiply square matrices, and the operations of one product."""
    a = jnp.asarray(np.random.default_rng(0).standard_normal((size, size)))
    multiply, b = jax.jit(jnp.matmul), np.asarray(a)
    return {"gemm jax": lambda: multiply(a, a), "gemm numpy": lambda: b @ b}, 2 * size**3


def peak(name, case):
    """Return the peak memory of a method above that before the call, in MiB, measured in a separate process."""
    code = [sys.executable, str(Path(__file__).with_name("memory.py")), name, *map(str, case)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def measure(mode, size, names, dtype, seconds, memory):
    """Return one row for each method."""
    rows, functions = [], {}
    for name in names:
        case = {"mode": mode, **dict(zip("NnLC", size, strict=True)), "dtype": dtype, "outputs": "trace", "method": name}
        if methods.bytes_needed(name, mode, *size) > available() - 3 * 2**30:
            gib = methods.bytes_needed(name, mode, *size) / 2**30
            rows.append(case | {"seconds": None, "peak_mib": None, "note": f"not tried: needs about {gib:.0f} GiB"})
            continue
        functions[name] = methods.method(name, mode, *size, dtype)
        rows.append(case)
    gemm, operations = products(1024 if size[1] < 2000 else 2048)
    load = [round(os.getloadavg()[0], 2)]
    times = interleaved(functions | gemm, seconds)
    rate, busy = ({name: operations / median(times[name], which) / 1e9 for name in gemm} for which in (0, 1))
    truth = None
    for row in rows:
        name = row["method"]
        if name not in functions:
            continue
        row |= {"seconds": median(times[name], 0), "cpu_seconds": median(times[name], 1), "rounds": len(times[name])}
        if len(times[name]) > 1:
            K = np.asarray(functions[name](), np.float64)
            truth = K if truth is None else truth
            row |= {"difference": float(np.abs(K - truth).max() / np.abs(truth).max())}
        row |= {"gemm_gflops": rate["gemm jax"], "numpy_gflops": rate["gemm numpy"], "load": load}
        row |= {"gemm_gflops_per_cpu_second": busy["gemm jax"]}
        if name == "lorantk":
            work = methods.operations(mode, *size) / 1e9
            row["fraction_of_gemm"] = work / row["seconds"] / rate["gemm jax"]
            row["fraction_of_gemm_by_cpu"] = work / row["cpu_seconds"] / busy["gemm jax"]
        else:
            row["fraction_of_gemm"] = None
        row["peak_mib"] = peak(name, (mode, *size, dtype)) if name in memory else None
    return rows


def main():
    """Measure everything in this environment and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="one tiny size, to see whether it works")
    parser.add_argument("--seconds", type=float, default=20, help="for each size and mode")
    parser.add_argument("--methods", nargs="*", help="only these")
    parser.add_argument("--sizes", nargs="*", type=int, help="only these, by place")
    parser.add_argument("--growth", action="store_true", help="only lorantk, as one of N, n, L and C grows, and in float32")
    options = parser.parse_args()
    seconds = 1 if options.quick else options.seconds
    names = ["lorantk", "jacrev", "nt1", "nt2"] + (["nt3"] if jax.__version_info__ < (0, 6) else [])
    # Peaks of the methods that do not need the old JAX are measured under the new one.
    weighed = names if options.quick or len(names) == 4 else ["lorantk", "nt3"]
    names = [name for name in names if options.methods is None or name in options.methods]
    about, rows = environment(), []
    sizes = QUICK if options.quick else SIZES if options.sizes is None else [SIZES[k] for k in options.sizes]
    # Implementation 2 with ten outputs takes many minutes a call.
    feasible = {size: [name for name in names if name != "nt2" or size[3] == 1] for size in sizes}
    modes = {"full": weighed, "lora": ["lorantk"]}
    cases = [(mode, size, feasible[size], "float64", memory) for size in sizes for mode, memory in modes.items()]
    if options.growth:
        cases = [("full", size, ["lorantk"], "float64", []) for size in [SIZES[0], *GROWTH]]
        cases += [("full", size, ["lorantk"], "float32", []) for size in SIZES]
    for mode, size, which, dtype, memory in cases:
        try:
            new = measure(mode, size, which, dtype, seconds, memory)
        except Exception as error:
            print(f"{mode} {size}: {error!r}"[:500], file=sys.stderr)
            continue
        rows += [row | {"environment": about} for row in new]
        for row in new:
            print(
                *(row.get(key) for key in ("mode", "N", "n", "L", "C", "method", "seconds", "peak_mib", "fraction_of_gemm")),
                flush=True,
            )
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
