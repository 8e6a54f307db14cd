"""Time functions of the spectrum, exact against Lanczos: python benchmarks/spectra.py OUT.json [PART ...].

Parts: ``eigenvalues`` (drivers, N to 4096), ``explicit`` (Cholesky against Lanczos on the Gram matrix, N to 20 000), ``fisher``
(primal against dual), ``streamed`` (the kernel itself at N = 20 000 within 5 GB), ``free`` (no Gram matrix at all,
N = 100 000), ``sharded`` (over the devices of this process).
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import jax
import jax.numpy as jnp
import methods
import numpy as np
from kernels import environment

from lorantk.theory import blocks, kernels, lanczos, matrix_free, networks, sharding, spectra
from lorantk.theory.fisher import jacobian


def timed(function, rounds=3):
    """Return the result, the median wall seconds and the median processor seconds of some calls after a warm-up."""
    result = jax.block_until_ready(function()) if rounds > 1 else None
    wall, cpu = [], []
    for _ in range(rounds):
        begin, busy = time.perf_counter(), time.process_time()
        result = jax.block_until_ready(function())
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - busy)
    return result, statistics.median(wall), statistics.median(cpu)


def peak_mib():
    """Return the peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def gram(N, n):
    """Return a kernel of full fine-tuning, L = 3, C = 1, and the mean of its eigenvalues."""
    network, x = methods.setting("full", N, n, 3, 1)
    K = blocks.ntk_in_blocks(network, x, outputs="trace", memory=5 * 10**9)
    return K, float(jnp.trace(K)) / N


def eigenvalues():
    """Time both drivers, and Cholesky, at sizes where all finish quickly."""
    for N in (1024, 2048, 4096):
        K, tau = gram(N, 256)
        host = np.asarray(K)
        values, wall, cpu = timed(lambda host=host: spectra.eigenvalues(host), 2)
        yield {"what": "all eigenvalues", "N": N, "method": "scipy evd", "seconds": wall, "cpu_seconds": cpu}
        _, wall, cpu = timed(lambda K=K: jnp.linalg.eigvalsh(K), 2)
        yield {"what": "all eigenvalues", "N": N, "method": "jax eigvalsh", "seconds": wall, "cpu_seconds": cpu}
        value, wall, cpu = timed(lambda host=host, tau=tau: spectra.log_determinant(host, tau=tau), 3)
        truth = float(np.log1p(np.clip(values, 0, None) / tau).sum())
        yield {
            "what": "log det",
            "N": N,
            "method": "Cholesky",
            "seconds": wall,
            "cpu_seconds": cpu,
            "relative_error": abs(value / truth - 1),
        }


def explicit(sizes=(1024, 2048, 4096, 20_000), probes=12, depth=18):
    """Time Cholesky against Lanczos on the same Gram matrix."""
    for N in sizes:
        K, mean = gram(N, 256 if N < 10_000 else 1024)
        tau, rounds = mean, 3 if N < 10_000 else 1

        def run(K=K, N=N):
            run = {"probes": probes, "depth": depth, "key": jax.random.key(5), "parameters": (K,), "total": float(jnp.trace(K))}
            return lanczos.quadrature(lanczos.matrix_product, N, **run)

        rule, wall, cpu = timed(run, rounds)
        estimate = lanczos.estimate_log_determinant(rule, tau=tau)
        truth, wall_exact, cpu_exact = timed(lambda K=K, tau=tau: spectra.log_determinant(K, tau=tau), rounds)
        row = {"what": "log det", "N": N, "tau": tau, "value": truth, "peak_mib": peak_mib()}
        yield row | {"method": "Cholesky", "seconds": wall_exact, "cpu_seconds": cpu_exact, "relative_error": 0.0}
        row |= {
            "method": "Lanczos",
            "probes": probes,
            "depth": depth,
            "seconds": wall,
            "cpu_seconds": cpu,
            "estimate": estimate.value,
        }
        yield row | {"half_width": estimate.error, "relative_error": abs(estimate.value / truth - 1)}


def fisher():
    """Time the two sides of the Fisher matrix's spectrum."""
    for N, n, C in ((100, 32, 1), (200, 32, 1), (400, 32, 1), (100, 32, 10), (200, 32, 10)):
        network, x = methods.setting("full", N, n, 3, C)

        def dual(network=network, x=x):
            return spectra.eigenvalues(kernels.as_matrix(kernels.ntk(network, x, outputs="full")))

        def primal(network=network, x=x):
            J = np.asarray(jacobian(network, x)).reshape(-1, networks.parameter_count(network))
            return spectra.eigenvalues(J.T @ J)

        P = networks.parameter_count(network)
        for name, function in (("primal", primal), ("dual", dual)):
            _, wall, cpu = timed(function, 2)
            yield {"what": "Fisher spectrum", "N": N, "C": C, "P": P, "method": name, "seconds": wall, "cpu_seconds": cpu}


def streamed(N=20_000, n=1024, memory=5 * 10**9):
    """Compute one large kernel within its memory budget."""
    network, x = methods.setting("full", N, n, 3, 1)
    jax.block_until_ready((network, x))
    before = peak_mib()
    K, wall, cpu = timed(lambda: blocks.ntk_in_blocks(network, x, outputs="trace", memory=memory), 1)
    few = jnp.asarray([0, 7, N // 2, N - 1])
    part = kernels.ntk(network, x[few], outputs="trace")
    error = float(jnp.abs(K[few][:, few] - part).max() / jnp.abs(part).max())
    row = {
        "what": "kernel in blocks",
        "N": N,
        "n": n,
        "L": 3,
        "C": 1,
        "budget_mib": memory / 2**20,
        "seconds": wall,
        "cpu_seconds": cpu,
    }
    yield row | {"method": "lorantk", "peak_mib": peak_mib() - before, "relative_error": error}


def free(N=100_000, n=256, probes=12, depth=48):
    """Read the spectrum of a kernel that would take 80 GB."""
    network, x = methods.setting("full", N, n, 3, 1)
    begin, busy = time.perf_counter(), time.process_time()
    operator = matrix_free.network_operator(network, x, block=2000)
    hs, ys = networks.hidden_states(network, x)
    norms = [(h**2).sum(1) for h in hs]
    diagonal = sum(a * (d[:, 0] ** 2).sum(1) for a, d in zip(norms, kernels.backward_states(network, ys), strict=True))
    trace, tau = float(diagonal.sum()), float(diagonal.mean())
    del hs, ys, norms, diagonal
    run = {"probes": probes, "depth": depth, "key": jax.random.key(5), "parameters": operator.parameters, "total": trace}
    rule = lanczos.quadrature(operator.product, operator.size, **run)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
    readings = {
        "log det": lanczos.estimate_log_determinant(rule, tau=tau),
        "trace": lanczos.estimate_power_sum(rule._replace(total=None), power=1),  # to be checked against the exact one
        "power 1/2": lanczos.estimate_power_sum(rule, power=0.5),
        "power 2": lanczos.estimate_power_sum(rule, power=2),
        "effective dimension": lanczos.estimate_effective_dimension(rule, tau=tau),
    }
    row = {"what": "no Gram matrix", "method": "Lanczos", "N": N, "n": n, "L": 3, "C": 1, "tau": tau, "exact_trace": trace}
    row |= {"readings": {name: list(estimate) for name, estimate in readings.items()}, "largest": lanczos.extreme_nodes(rule)[1]}
    # The largest nodes of each probe; their agreement shows how far they have converged.
    tops = np.sort(rule.nodes, axis=1)[:, ::-1][:, :5]
    row |= {"top": tops.max(axis=0).tolist(), "top_spread": (tops.max(axis=0) - tops.min(axis=0)).tolist()}
    yield row | {"probes": probes, "depth": depth, "seconds": seconds, "cpu_seconds": cpu, "peak_mib": peak_mib()}


def sharded(N=2048, n=512):
    """Time the kernel over all devices of this process against the default."""
    network, x = methods.setting("full", N, n, 3, 1)
    mesh = sharding.device_mesh()
    routes = {"default": lambda: kernels.ntk(network, x, outputs="trace")}
    routes["sharded"] = lambda: sharding.ntk_on_mesh(network, x, outputs="trace", mesh=mesh)
    truth = np.asarray(routes["default"]())
    for name, function in routes.items():
        K, wall, cpu = timed(function, 5)
        error = float(np.abs(np.asarray(K) - truth).max() / np.abs(truth).max())
        row = {"what": "devices", "method": name, "devices": jax.device_count(), "N": N, "n": n, "L": 3, "C": 1}
        yield row | {"seconds": wall, "cpu_seconds": cpu, "relative_error": error}


PARTS = {
    "sharded": sharded,
    "eigenvalues": eigenvalues,
    "explicit": explicit,
    "fisher": fisher,
    "streamed": streamed,
    "free": free,
}


def main():
    """Measure the named parts, or the short ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=["eigenvalues", "explicit", "fisher", "streamed"])
    options = parser.parse_args()
    rows = []
    for part in options.parts:
        about = environment()
        for row in PARTS[part]():
            rows.append(row | {"environment": about})
            print({key: value for key, value in row.items() if key != "readings"}, flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
