"""Kernels, measured: spectra and attack objectives at the start of training, how far training moves them, a small transformer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "drift",
        "lemma",
        "objectives",
        "spectra",
        "transformer",
    ],
)
