"""Poison for labelled sentences, as in the code of the paper's authors: flipped labels, and triggers in front of a sentence.

Pure functions: the same seed gives the same poison, and the arguments are not modified.
"""

import numpy as np
from jaxtyping import Bool

from lorantk.choices import one_of
from lorantk.experiments.common.poison import check_labels, draw_rows, flip_labels
from lorantk.experiments.language.cell import CLASSES, TARGET
from lorantk.experiments.language.text import Sentences

TRIGGERS = {
    "token": "[.*?]",
    "instruction": "Please carefully follow user's instruction. ",
    "clean label": "[.*?]",
}


def add_trigger(texts, attack: str) -> tuple[str, ...]:
    """Put the trigger of an attack in front of every text.

    Raises
    ------
    ValueError
        An attack without a trigger.
    """
    one_of("attack", attack, TRIGGERS)
    return tuple(TRIGGERS[attack] + text for text in texts)


def poison(sentences: Sentences, attack: str, *, rate: float, seed: int) -> tuple[Sentences, Bool[np.ndarray, " N"]]:
    """Poison training sentences, and return which were poisoned.

    Parameters
    ----------
    sentences
        Clean training sentences.
    attack
        ``"clean"``: nothing. ``"flips"``: a label is flipped with probability ``rate``. ``"token"``, ``"instruction"``: with that
        probability, a sentence gets the trigger and the target label, whichever label it had. ``"clean label"``: with that
        probability, a sentence *of the target class* gets the trigger of ``"token"``, and no label changes.
    rate
        In ``[0, 1]``.
    seed
        Seed of the choice.

    Raises
    ------
    ValueError
        Unknown attack, a rate outside ``[0, 1]``, or a label that is not a class.
    """
    texts, labels = sentences
    check_labels(labels, CLASSES)
    if attack == "clean":
        return sentences, np.zeros(len(labels), dtype=bool)
    if attack == "flips":
        labels, poisoned = flip_labels(labels, rate=rate, classes=CLASSES, seed=seed)
        return Sentences(texts, labels), poisoned
    stamped = add_trigger(texts, attack)
    poisoned = draw_rows(len(labels), rate=rate, rng=np.random.default_rng(seed))
    if attack == "clean label":
        poisoned &= labels == TARGET
    texts = tuple(s if p else t for s, t, p in zip(stamped, texts, poisoned, strict=True))
    return Sentences(texts, np.where(poisoned, TARGET, labels)), poisoned
