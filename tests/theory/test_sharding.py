"""Kernels over several devices and over several processes, in subprocesses: a process's devices are fixed when JAX starts."""

import ast
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import adapted_network

from lorantk.theory import sharding

SETUP = """
import sys
sys.path.insert(0, "tests")
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
"""

CHECK = """
from reference import adapted_network
from lorantk.theory import kernels, sharding
from jax.experimental.multihost_utils import process_allgather
x = [jax.random.normal(jax.random.key(k), (12 * n, 5)) for k, n in ((7, 4), (8, 2))]
worst = dict.fromkeys(counts, 0.0)
for trained in (True, False):
    network = adapted_network((5, 9, 7, 3), ("full", "lora", "lora"), trained=trained)
    for outputs in kernels.OUTPUTS:
        for second in (None, x[1]):
            truth = np.asarray(kernels.ntk(network, x[0], second, outputs=outputs))
            for count in counts:
                mesh = sharding.device_mesh(jax.devices()[:count])
                K = sharding.ntk_on_mesh(network, x[0], second, outputs=outputs, mesh=mesh)
                assert len(K.sharding.device_set) == count, K.sharding
                assert K.addressable_shards[0].data.shape[0] == 48 // count
                K = process_allgather(K, tiled=True)
                assert K.shape == truth.shape
                worst[count] = max(worst[count], float(np.abs(K - truth).max() / np.abs(truth).max()))
print(worst)
"""


def run(*codes, devices):
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    options = {"cwd": Path(__file__).parents[2], "env": environment, "text": True}
    started = [
        subprocess.Popen([sys.executable, "-c", c], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) for c in codes
    ]
    try:
        results = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
    assert all(process.returncode == 0 for process in started), results
    return [out for out, _ in results]


def test_several_devices_give_the_kernel_of_one():
    # An odd and an even ring, which differ half-way round, and the smallest one.
    [out] = run(SETUP + "counts = [1, 2, 3, 4]" + CHECK, devices=4)
    worst = ast.literal_eval(out)
    assert list(worst) == [1, 2, 3, 4]
    assert max(worst.values()) < 1e-12


def test_two_processes_of_two_devices_give_the_kernel_of_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = 'jax.distributed.initialize("127.0.0.1:{}", num_processes=2, process_id={})\ncounts = [4]'
    for out in run(*(SETUP + start.format(port, i) + CHECK for i in range(2)), devices=2):
        worst = ast.literal_eval(out.splitlines()[-1])
        assert list(worst) == [4]
        assert worst[4] < 1e-12


def test_what_does_not_fit_is_refused():
    network, mesh = adapted_network((5, 9, 3), "full"), sharding.device_mesh([jax.devices()[0]])
    with pytest.raises(ValueError, match="x1 must have shape"):
        sharding.ntk_on_mesh(network, jnp.ones((4, 6)), outputs="trace", mesh=mesh)
    other = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("x",))
    with pytest.raises(ValueError, match="the one axis 'rows'; got"):
        sharding.ntk_on_mesh(network, jnp.ones((4, 5)), outputs="trace", mesh=other)


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    code = """
from reference import adapted_network
from lorantk.theory import sharding
network, mesh = adapted_network((5, 9, 3), "full"), sharding.device_mesh()
try:
    sharding.ntk_on_mesh(network, np.ones((4, 5)), np.ones((7, 5)), outputs="trace", mesh=mesh)
except ValueError as error:
    print(error)
"""
    assert run(SETUP + code, devices=2)[0].strip() == "the number of inputs must be a multiple of the 2 devices; got 7 in x2"
