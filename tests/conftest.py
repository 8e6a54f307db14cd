"""Every test runs in float64, and an implicit change of type or rank is an error."""

import jax
from time_left import TimeLeft

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    """Say what is left of a run where it can remember the last one; its workers say nothing."""
    if hasattr(config, "cache") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(TimeLeft(config))
