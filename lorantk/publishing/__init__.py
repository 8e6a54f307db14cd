"""Publishing: verdicts from evidence, figures with provenance, and the pages that show them.

A notebook needs one name of it, `Chapter`; everything else runs when the book is built.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"chapter": ["Chapter", "PROFILES"]})
