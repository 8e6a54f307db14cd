"""The site: pages from executed notebooks, the Sphinx extension, the search, and the book as a zip and a PDF."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "build",
        "chain",
        "citation",
        "finish",
        "linked_data",
        "notebooks",
        "outline",
        "preview",
        "search",
        "sphinx_ext",
        "stage",
        "takeaway",
    ],
)
