"""How many threads the libraries that compute may use."""

import os


def limit_threads(count):
    """Let the libraries of this process, and of those that it starts, use at most `count` threads each."""
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # XLA's is NPROC
        os.environ[name] = str(count)
