"""Checks of the result: the reference data, two builds compared, and the stored results of longer checks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "compare",
        "copies",
        "kills",
        "mutate",
        "prose",
        "reference",
        "reproduce",
        "trust",
    ],
)
