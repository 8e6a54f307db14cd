"""Audit an adapter: what the theorems say about it, given numbers, a PEFT configuration or saved weights.

The audit uses the theory and reads files. It needs neither PEFT nor PyTorch, and no JAX if only scalars are asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "run": ["Audit", "audit_adapter", "audit_configuration", "audit_numbers"],
        "errors": ["AuditError"],
        "report": ["Report", "Module"],
    },
)
