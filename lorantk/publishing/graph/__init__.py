"""The build graph: what runs it, and what merges the records of the chapters."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "build",
        "records",
    ],
)
