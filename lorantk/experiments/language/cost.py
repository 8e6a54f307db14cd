"""Count the operations of a training step at the sizes of any BERT, without weights and without running anything."""

import jax
import jax.numpy as jnp

from lorantk.choices import one_of
from lorantk.experiments.language import bert, study
from lorantk.experiments.language.cell import ARMS
from lorantk.experiments.language.finetune import start, step

WORDS, INNER = 30_522, 4  # words of an uncased BERT's tokenizer, and the width between the two maps of a block over the model's


def step_operations(architecture: bert.Architecture, *, arm: str, sentences: int, tokens: int) -> float:
    """Return the floating-point operations of one step of AdamW, as XLA counts them in the program before it optimises it.

    Parameters
    ----------
    architecture
        Layers, heads and width of the model.
    arm
        One of `lorantk.experiments.language.cell.ARMS`; adapters as in the study.
    sentences, tokens
        Of one batch, padded to ``tokens`` each.

    Raises
    ------
    ValueError
        An unknown arm.
    """
    one_of("arm", arm, ARMS)
    layers, _, width, _, positions = architecture
    shapes = bert.shapes_by_name(layers, width, INNER * width, WORDS, positions, 2)
    with jax.enable_x64(False):  # the study trains in float32
        pretrained = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
        run = next(cell for cell in study.arms() if cell.arm == arm).run(1e-4, 0)
        key = jax.eval_shape(lambda: jax.random.key(0))
        state = jax.eval_shape(lambda pretrained, key: start(architecture, pretrained, run, key), pretrained, key)
        ids, one_each = (jax.ShapeDtypeStruct(shape, jnp.int32) for shape in ((sentences, tokens), (sentences,)))
        return step.lower(architecture, *state, run.rate, ids, one_each, one_each).cost_analysis()["flops"]
