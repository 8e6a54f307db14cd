"""A language model: a small pretrained BERT, fine-tuned on rated sentences, with and without poison."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "again",
        "bert",
        "cell",
        "cost",
        "finetune",
        "kept",
        "kernels",
        "packages",
        "poison",
        "study",
        "sweeps",
        "text",
        "training",
    ],
)
