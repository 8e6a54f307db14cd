"""Peak memory of one call above that before it; as a script, of a method for networks.

python benchmarks/memory.py METHOD MODE N n L C DTYPE
"""

import ctypes
import gc
import sys


def status(key):
    """Return a line of /proc/self/status, in MiB."""
    with open("/proc/self/status") as lines:
        return int(next(line.split()[1] for line in lines if line.startswith(key))) / 1024


def peak_mib(call):
    """Return the peak memory of a call above that before it, in MiB.

    The first call compiles. Memory that it no longer needs is returned to the system before the second call is measured.
    """
    call()
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = status("VmRSS")
    call()
    return status("VmHWM") - before


def main():
    """Print the peak of the method that the arguments name."""
    import jax
    import methods

    name, mode, *size, dtype = sys.argv[1:]
    function = methods.method(name, mode, *map(int, size), dtype)
    print(peak_mib(lambda: jax.block_until_ready(function())))


if __name__ == "__main__":
    main()
