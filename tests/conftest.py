"""Run every test in float64, and make implicit changes of type or rank an error.

Programs here are tiny, and compiling them takes longer than running them. So XLA leaves out most of its optimisations, also in
the processes that a test starts. Builds of the book have them.
"""

import os

os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

import jax  # reads the environment

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
