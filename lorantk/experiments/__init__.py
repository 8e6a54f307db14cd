"""Experiments: data, poison, and sweeps over adapters.

Each module loads when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "bridge",
        "calibration",
        "cells",
        "chance",
        "configuration",
        "data",
        "drawing",
        "findings",
        "finetune",
        "poison",
        "prediction",
        "protocols",
        "results",
        "spectra",
        "statistics",
        "sweep",
        "sweeps",
        "transfer",
        "transformer",
    ],
)
