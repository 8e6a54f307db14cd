"""The sweeps through a real SLURM: one node on loopback, started by slurm.sh. Skipped where SLURM is not installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_sweep import SWEEP, grow

SCRIPT = Path(__file__).with_name("slurm.sh")
NEEDED = ("slurmctld", "slurmd", "munged", "sbatch", "srun")
PATH = f"{os.environ['PATH']}:/usr/sbin"

pytestmark = pytest.mark.skipif(
    not all(shutil.which(name, path=PATH) for name in NEEDED),
    reason=f"needs {', '.join(NEEDED)}: apt-get install slurm-wlm munge",
)


@pytest.fixture
def cluster(tmp_path):
    """The environment of a running cluster."""
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="`make cluster` installs it")
    folder = tmp_path / "slurm"
    try:
        started = subprocess.run(
            [SCRIPT, "start", folder], env=os.environ | {"PATH": PATH}, stdout=subprocess.PIPE, text=True, check=True, timeout=60
        )
        conf = re.search(r"SLURM_CONF=(\S+)", started.stdout)[1]
        yield os.environ | {"SLURM_CONF": conf, "PATH": f"{folder / 'bin'}:{PATH}"}
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True)


def test_the_batches_of_a_sweep_run_as_jobs(cluster, tmp_path):
    tree = grow(tmp_path / "checkout")
    command = [sys.executable, "-m", "snakemake", "sweeps", "--workflow-profile", "profiles/slurm", "--jobs", "2"]
    command += ["--seconds-between-status-checks", "1", "--slurm-init-seconds-before-status-checks", "1", "--slurm-no-account"]
    command += ["--default-resources", "slurm_partition=main", "mem_mb=1500", "runtime=10", "cpus_per_task=1"]
    environment = cluster | {"PYTHONPATH": str(tree)}
    # The first interrupt makes Snakemake wait for its jobs; -k ends it for good.
    done = subprocess.run(
        ["timeout", "-k", "5", "400", *command],
        cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert len(list((tree / "_build/sweeps" / SWEEP).glob("*.npz"))) == 18
    assert len(list((tree / "_build/sweeps" / SWEEP).glob("*.done"))) == 2
    # SLURM's own log of finished jobs.
    jobs = (tmp_path / "slurm/log/jobs.txt").read_text().splitlines()
    assert sum("JobState=COMPLETED" in line for line in jobs) == 2, jobs
