"""What experiments share: protocols, statistics, results of sweeps, the five findings and the rule that judges them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "calibration",
        "chance",
        "effects",
        "equivalence",
        "findings",
        "kept",
        "plots",
        "poison",
        "protocols",
        "reported",
        "results",
        "statistics",
        "sweep",
    ],
)
