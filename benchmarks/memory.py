"""Print the peak memory of one call above that before it, in MiB: python benchmarks/memory.py METHOD MODE N n L C DTYPE."""

import ctypes
import gc
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import jax
import methods


def status(key):
    """Return a line of /proc/self/status, in MiB."""
    with open("/proc/self/status") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith(key))) / 1024


name, mode, *size, dtype = sys.argv[1:]
function = methods.method(name, mode, *map(int, size), dtype)
# The first call compiles. Memory that it no longer needs is returned to the system before the second call is measured.
jax.block_until_ready(function())
gc.collect()
ctypes.CDLL("libc.so.6").malloc_trim(0)
with open("/proc/self/clear_refs", "w") as reset:
    reset.write("5")
before = status("VmRSS")
jax.block_until_ready(function())
print(status("VmHWM") - before)
