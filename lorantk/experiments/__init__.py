"""Experiments: one subpackage for each system that is trained, and one for what they share.

- ``digits``: networks pretrained on handwritten digits, fine-tuned on others, with and without poison;
- ``language``: a small pretrained BERT, fine-tuned on rated sentences, with and without poison;
- ``kernels``: spectra and attack objectives measured at the start of training, how far training moves kernels, and a small
  transformer;
- ``disputes``: what other papers say of LoRA and poison, put to the digits;
- ``common``: protocols, statistics, results of sweeps, and how likely a check is to fail by bad luck.

Each module loads on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["common", "digits", "disputes", "kernels", "language"])
