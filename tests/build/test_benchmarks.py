"""The benchmarks compare the same kernel, and the recorded results are complete."""

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COLUMNS = {"mode", "N", "n", "L", "C", "dtype", "outputs", "method", "environment", "seconds", "peak_mib"}


@pytest.fixture
def methods(monkeypatch):
    """The module of the benchmarks, which does not belong to the package."""
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import methods

    return methods


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_the_ways_to_be_compared_compute_the_same_kernel(methods, mode):
    K, other = (methods.method(name, mode, 5, 12, 3, 2)() for name in ("lorantk", "jacrev"))
    assert float(jnp.abs(K - other).max() / jnp.abs(K).max()) < 1e-12


def test_operations_are_those_of_the_products_written_out(methods):
    # Widths 64, 8, 3 and N = 5: forward, backward through the second layer, and half of each Gram matrix with its diagonal.
    assert methods.operations("full", 5, 8, 2, 3) == 2 * 5 * (64 * 8 + 8 * 3) + 2 * 5 * 3 * 24 + 30 * (64 + 3 * 8 + 8 + 3 * 3)


def test_recorded_results_are_whole_and_agree():
    rows = json.loads((BENCHMARKS / "results" / "kernels.json").read_text())
    assert all(row.keys() >= COLUMNS for row in rows)
    assert all(len(row["environment"]["load"]) == 3 for row in rows)
    differences = [row["difference"] for row in rows if "difference" in row and row["dtype"] == "float64"]
    assert len(differences) > 10
    assert max(differences) < 1e-12
    assert {"lorantk", "jacrev", "nt1", "nt2", "nt3"} <= {row["method"] for row in rows}
