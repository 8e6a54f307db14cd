"""Disputes: what other papers say of LoRA and poison, put to the digits."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "detector",
        "fingerprints",
        "judging",
        "lifespan",
        "memory",
        "variants",
    ],
)
