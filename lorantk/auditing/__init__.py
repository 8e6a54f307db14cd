"""Auditing: what the theorems say about an adapter, from numbers, PEFT's configuration or saved weights.

Uses the theory and knows files; needs neither PEFT nor PyTorch, and no JAX where only scalars are asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"run": ["audit"], "errors": ["AuditError"], "report": ["Report", "Module"]}
)
