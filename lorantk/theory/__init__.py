"""Theory: networks, adapters, their kernels, spectra and laws. Pure functions on arrays.

Each module is one idea, and loads when first used. "The paper" is Liang, Hu, Ye, Xiao and Li, "Does Low Rank Adaptation Lead
to Lower Robustness against Training-Time Attacks?" (ICML 2025, arXiv:2505.12871). Examples in docstrings take ``import jax``,
``import jax.numpy as jnp`` and ``import numpy as np`` for granted.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "adapters",
        "attach",
        "blocks",
        "capacity",
        "certificates",
        "chains",
        "closeness",
        "conditions",
        "delta",
        "dynamics",
        "effective_ridge",
        "ensembles",
        "equivalents",
        "features",
        "finite_width",
        "fisher",
        "gauge",
        "gradient_rows",
        "head_law",
        "information",
        "kernels",
        "lanczos",
        "laws",
        "laziness",
        "limits",
        "linear_maps",
        "linearised",
        "matrix_free",
        "networks",
        "neural_tangents",
        "objectives",
        "order",
        "projection",
        "random_matrices",
        "rank_expansion",
        "rank_order",
        "rates",
        "recursions",
        "scatter",
        "sharding",
        "spectra",
        "trained_order",
        "wishart",
    ],
)
