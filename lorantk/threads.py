"""Limit the threads of numerical libraries."""

import os


def limit_threads(count):
    """Let the libraries of this process, and of the processes that it starts, use at most `count` threads each."""
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # NPROC is XLA's
        os.environ[name] = str(count)
