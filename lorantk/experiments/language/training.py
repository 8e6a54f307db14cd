"""Train one run of the study on the language model and return what was measured on the way.

A thousand test sentences are set aside once and for all, by the hash of their text. Each seed draws validation and training
sentences from the others, and fixes poison, head, adapters and batches, so that runs with the same seed can be compared in pairs.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer

from lorantk.experiments.language import bert, text
from lorantk.experiments.language.bert import Architecture
from lorantk.experiments.language.cell import BATCH, HELD, LONGEST, PROBE, TARGET, Run
from lorantk.experiments.language.finetune import batches, cross_entropy, padded, predict, start, step
from lorantk.experiments.language.packages import LanguageError
from lorantk.experiments.language.poison import TRIGGERS, add_trigger, poison
from lorantk.experiments.language.text import Sentences, Tokens, tokenize


class Material(NamedTuple):
    """A pretrained model, and the sentences that are at most as long as the study takes them."""

    architecture: Architecture
    parameters: dict
    tokenizer: Tokenizer
    sentences: Sentences


class Split(NamedTuple):
    """Rows of a seed's training, validation and test sentences."""

    train: Int[np.ndarray, " N"]
    validation: Int[np.ndarray, " V"]
    test: Int[np.ndarray, " M"]


@cache
def material(model: Path | None = None, data: Path | None = None, task: str = "SST-2") -> Material:
    """Return the model and the sentences of the study, or those of a folder and of a file of a GLUE task.

    Raises
    ------
    LanguageError
        Files that cannot be used; see `lorantk.experiments.language.bert.read` and `lorantk.experiments.language.text`. Or the
        tokenizer makes nothing of a sentence or of a trigger.
    """
    model = bert.read(model)
    sentences = text.reviews() if data is None else text.glue(data, task)
    around = model.tokenizer.num_special_tokens_to_add(False)
    room = {trigger: len(model.tokenizer.encode(trigger).ids) - around for trigger in TRIGGERS.values()}
    for trigger in (trigger for trigger, count in room.items() if count < 1):
        raise LanguageError(f"expected tokens of the trigger {trigger!r}, got none; use another tokenizer")
    lengths = np.array([len(e.ids) for e in model.tokenizer.encode_batch(list(sentences.texts))], dtype=int)
    for k in np.flatnonzero(lengths <= around)[:1]:
        raise LanguageError(f"{data}: expected tokens in each text, got none for {sentences.texts[k][:40]!r}; leave it out")
    longest = LONGEST if data is None else model.architecture.positions - max(room.values())
    kept = np.flatnonzero(lengths <= longest)
    sentences = Sentences(tuple(sentences.texts[k] for k in kept), sentences.labels[kept])
    parameters = {name: jnp.asarray(array) for name, array in model.parameters.items()}
    return Material(model.architecture, parameters, model.tokenizer, sentences)


def split(sentences: Sentences, *, rows: int, seed: int) -> Split:
    """Return the rows of a seed; the test sentences are the same for every seed.

    Raises
    ------
    LanguageError
        Fewer sentences than are asked for.
    """
    needed = rows + sum(HELD.values())
    if len(sentences.texts) < needed:
        got = len(sentences.texts)
        raise LanguageError(f"expected at least {needed} sentences ({rows} to train), got {got} that are not too long; add some")
    order = np.argsort([hashlib.sha256(t.encode()).hexdigest() for t in sentences.texts])
    test, others = order[: HELD["test"]], order[HELD["test"] :]
    drawn = np.random.default_rng(seed).permutation(others)
    return Split(drawn[HELD["validation"] :][:rows], drawn[: HELD["validation"]], test)


class Sets(NamedTuple):
    """What a run is measured on: tokens and labels by name."""

    tokens: dict[str, Tokens]
    labels: dict[str, Int[np.ndarray, " N"]]


def _measured(run, material, rows, train, poisoned) -> Sets:
    texts, labels = material.sentences

    def pick(where):
        return Sentences(tuple(texts[k] for k in where), labels[where])

    probe, bad = np.arange(min(PROBE, len(train.labels))), np.flatnonzero(poisoned)[:PROBE]
    parts = {"validation": pick(rows.validation), "test": pick(rows.test)}
    parts["train"] = Sentences(train.texts[: len(probe)], train.labels[probe])
    if len(bad):
        parts["poison"] = Sentences(tuple(train.texts[k] for k in bad), train.labels[bad])
    victims, others = (pick(rows.test[(labels[rows.test] == TARGET) == is_target]) for is_target in (False, True))
    for name in ("token", "instruction") if run.attack == "clean" else (run.attack,) if run.attack in TRIGGERS else ():
        parts[f"victims, {name}"] = Sentences(add_trigger(victims.texts, name), victims.labels)
    if run.attack in TRIGGERS:
        parts["others"] = Sentences(add_trigger(others.texts, run.attack), others.labels)
    longest = material.architecture.positions
    tokens = {name: tokenize(material.tokenizer, part.texts, longest=longest) for name, part in parts.items()}
    return Sets(tokens, {name: part.labels for name, part in parts.items()})


def measure(architecture: Architecture, parameters: dict, sets: Sets, attack: str, *, last: bool) -> dict[str, float]:
    """Return the records of one network: losses in nats, the rest fractions of sentences.

    ``success`` is the share of test sentences *of the other class* that are classified as the target with the trigger in front,
    and ``base`` the share without it. After clean training the success of the trigger ``"token"`` is recorded, and at the end
    that of ``"instruction"`` as ``success_instruction``. ``triggered_accuracy``, which is what the paper's authors report, is the
    accuracy on the original labels with the trigger on every test sentence; as theirs, it is measured at the end of training.
    """
    at_end = ("others", "victims, instruction" if attack == "clean" else "")
    found = {name: predict(architecture, parameters, t) for name, t in sets.tokens.items() if last or name not in at_end}
    right = {name: outputs.argmax(axis=1) == sets.labels[name] for name, outputs in found.items()}
    losses = {
        name: float(cross_entropy(jnp.asarray(outputs), jnp.asarray(sets.labels[name])).mean()) for name, outputs in found.items()
    }
    records = {f"{name}_loss": losses[name] for name in ("train", "poison", "validation") if name in found}
    records |= {f"{name}_accuracy": float(right[name].mean()) for name in ("validation", "test")}
    records["base"] = float(1 - right["test"][sets.labels["test"] != TARGET].mean())
    if "poison" in found:
        records["poison_fit"] = float(right["poison"].mean())
    if attack == "clean" or attack in TRIGGERS:
        victims = right["victims, token" if attack == "clean" else f"victims, {attack}"]
        records["success"] = float(1 - victims.mean())
    if "victims, instruction" in found and attack == "clean":
        records["success_instruction"] = float(1 - right["victims, instruction"].mean())
    if "others" in found:
        records["triggered_accuracy"] = float(np.concatenate([victims, right["others"]]).mean())
    return records


def train(run: Run, material: Material, *, until: int | None = None) -> list[dict[str, float]]:
    """Train a run and return its records, a dictionary for each checkpoint; a run that diverged has none from there on.

    Parameters
    ----------
    run, material
        What to train, on which sentences.
    until
        Stop after this many steps; the records up to there are those of the whole run.

    Raises
    ------
    LanguageError
        Too few sentences, or one that becomes too long with its trigger.
    """
    rows = split(material.sentences, rows=run.rows, seed=run.seed)
    clean = Sentences(tuple(material.sentences.texts[k] for k in rows.train), material.sentences.labels[rows.train])
    poisoned, which = poison(clean, run.attack, rate=run.poison, seed=run.seed + 10**6)
    tokens = tokenize(material.tokenizer, poisoned.texts, longest=material.architecture.positions)
    lengths = tokenize(material.tokenizer, clean.texts, longest=material.architecture.positions).lengths
    sets = _measured(run, material, rows, poisoned, which)
    trained, frozen, memory = start(material.architecture, material.parameters, run, jax.random.key(run.seed))
    trained = {name: jnp.array(array) for name, array in trained.items()}  # each step gives its arrays to the next
    records = []
    order = batches(lengths, size=BATCH, steps=run.steps, seed=run.seed + 2 * 10**6)
    for done, chosen in enumerate(order, 1):
        ids, count = padded(tokens.rows(chosen))
        trained, memory, loss = step(
            material.architecture, trained, frozen, memory, run.rate, ids, count, poisoned.labels[chosen]
        )  # fmt: skip
        if done in run.checkpoints:
            if not np.isfinite(loss):
                break
            last = done == run.steps
            records.append({"step": done} | measure(material.architecture, frozen | trained, sets, run.attack, last=last))
        if done == until:
            break
    return records
