"""Theory: networks, adapters, their kernels, spectra and laws. Pure functions on arrays.

Each module is one idea, and loads when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "adapters",
        "attach",
        "blocks",
        "certificates",
        "chains",
        "conditions",
        "delta",
        "dynamics",
        "finite_width",
        "fisher",
        "gauge",
        "information",
        "kernels",
        "lanczos",
        "laws",
        "laziness",
        "limits",
        "matrix_free",
        "networks",
        "objectives",
        "order",
        "projection",
        "random_matrices",
        "rates",
        "recursions",
        "sharding",
        "spectra",
        "stacks",
        "tangents",
        "trained_order",
        "wishart",
    ],
)
