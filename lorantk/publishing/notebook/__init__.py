"""What a notebook calls (`Chapter` and its parts), and what executes a notebook."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "chapter",
        "claims",
        "display",
        "execute",
        "figures",
        "normalise",
        "parameters",
        "plots",
        "provenance",
        "reading",
        "style",
        "tables",
        "verdicts",
        "words",
    ],
)
