"""Neural tangent kernels of full fine-tuning and of LoRA: every statement of a paper, derived and checked.

Submodules load on first use: `import lorantk` alone imports neither JAX nor any other heavy package.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["auditing", "experiments", "publishing", "theory"],
    submod_attrs={"auditing": ["audit_adapter", "audit_configuration", "audit_numbers"]},
)
