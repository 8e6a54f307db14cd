"""Publishing: verdicts from evidence, figures with provenance, and the pages that show them.

The rooms follow what a person does:

- ``notebook``: what a notebook calls, and what executes it; a notebook needs two names from it, `Chapter` and `typeset`;
- ``graph``: the build graph, from notebooks to the lists of statements and figures;
- ``site``: the pages, the Sphinx extension, the search, and the book as a zip and a PDF;
- ``checks``: checks of the result: the reference data, two builds compared, planted faults.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["checks", "graph", "notebook", "site"],
    submod_attrs={"notebook.chapter": ["Chapter", "PROFILES"], "notebook.tables": ["typeset"]},
)
