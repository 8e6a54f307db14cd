"""Run every test in float64, and make implicit changes of type or rank an error.

Programs here are tiny, and compiling them takes longer than running them. So XLA leaves out most of its optimisations and emits
code by its older route and in one piece, in four tenths of the time, also in the processes that a test starts. Builds of the book
do none of this.
"""

import os

os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["XLA_FLAGS"] = " ".join(
    ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1", os.environ.get("XLA_FLAGS", "")]
)

import jax  # reads the environment

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(items):
    """Put the room with the shortest files last, so that processes that take file after file end together."""
    items.sort(key=lambda item: "auditing" in item.path.parts)
