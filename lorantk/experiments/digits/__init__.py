"""Digits: a network pretrained on the digits 0 to 4 and fine-tuned on 5 to 9, with and without poison."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "cell",
        "data",
        "finetune",
        "frozen",
        "linearised",
        "poison",
        "prediction",
        "series",
        "start_kernel",
        "sweeps",
        "training",
        "transfer",
    ],
)
