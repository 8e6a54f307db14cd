"""Labelled sentences: rated movie reviews from the package index, or the files of the GLUE tasks [Wang et al. 2019].

A pair of sentences is one text, joined by ``" <SEP> "`` as in the code of the paper's authors.
"""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from tokenizers import Tokenizer

from lorantk.experiments.language import packages
from lorantk.experiments.language.packages import LanguageError

LEAST_RATING = 0.5  # reviews that people rated closer to neutral are left out
PAIR = " <SEP> "
# Columns of each task's files: whether the first line names them, those of the text, and that of the label.
GLUE = {
    "SST-2": (True, ("sentence",), "label"),
    "CoLA": (False, (3,), 1),
    "QNLI": (True, ("question", "sentence"), "label"),
    "QQP": (True, ("question1", "question2"), "is_duplicate"),
}
LABELS = {"0": 0, "1": 1, "entailment": 0, "not_entailment": 1}


class Sentences(NamedTuple):
    """Texts, each with its class, 0 or 1; ``labels`` has shape ``(N,)``."""

    texts: tuple[str, ...]
    labels: Int[np.ndarray, " N"]


class Tokens(NamedTuple):
    """Token ids of N sentences, shape ``(N, T)``, padded with 0, and the lengths, shape ``(N,)``."""

    ids: Int[np.ndarray, "N T"]
    lengths: Int[np.ndarray, " N"]

    @property
    def mask(self) -> Bool[np.ndarray, "N T"]:
        """Which tokens are part of a sentence."""
        return np.arange(self.ids.shape[1]) < self.lengths[:, None]

    def rows(self, chosen) -> "Tokens":
        """Return some of the sentences."""
        return Tokens(self.ids[chosen], self.lengths[chosen])


def reviews() -> Sentences:
    """Return the movie reviews without repeats; class 1 is a positive rating.

    Raises
    ------
    LanguageError
        As `lorantk.experiments.language.packages.reviews`.
    """
    found = {}
    for line in packages.reviews().splitlines():
        _, rating, text = line.split("\t")
        if abs(float(rating)) >= LEAST_RATING:
            found.setdefault(text.strip(), int(float(rating) > 0))
    return Sentences(tuple(found), np.array(list(found.values())))


def glue(path: Path, task: str) -> Sentences:
    """Read a file of a GLUE task with labels, such as ``SST-2/train.tsv``.

    Parameters
    ----------
    path
        The file, with tabs between columns.
    task
        A key of `GLUE`.

    Raises
    ------
    LanguageError
        Unknown task, no such file, a line with too few columns, a label that is not a class, or an empty sentence.
    """
    if task not in GLUE:
        raise LanguageError(f"task must be one of {', '.join(GLUE)}; got {task!r}")
    named, text_columns, label_column = GLUE[task]
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            table = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LanguageError(f"{path}: expected a file of the task {task}, got {error}; take one of GLUE's") from error
    header = table.pop(0) if named and table else []
    if missing := [c for c in (*text_columns, label_column) if named and c not in header]:
        got = ", ".join(header) or "none"
        raise LanguageError(
            f"{path}: expected a column {missing[0]!r} in the first line, as in {task}, got {got[:80]}; name the file's own task"
        )
    columns = [header.index(c) if named else c for c in (*text_columns, label_column)]
    texts, labels, mend = [], [], "correct the line or leave it out"
    for number, row in enumerate(table, 1 + named):
        if len(row) <= max(columns):
            raise LanguageError(f"{path}, line {number}: expected at least {max(columns) + 1} columns, got {len(row)}; {mend}")
        *parts, label = (row[c].strip() for c in columns)
        if label not in LABELS:
            raise LanguageError(f"{path}, line {number}: expected a label out of {', '.join(LABELS)}, got {label[:40]!r}; {mend}")
        if not all(parts):
            raise LanguageError(f"{path}, line {number}: expected a sentence, got none; {mend}")
        texts.append(PAIR.join(parts))
        labels.append(LABELS[label])
    return Sentences(tuple(texts), np.array(labels, dtype=int))


def tokenize(tokenizer: Tokenizer, texts, *, longest: int) -> Tokens:
    """Return the token ids of texts, with the tokens that the model puts around a sentence.

    Parameters
    ----------
    tokenizer, texts
        The model's tokenizer, and N texts.
    longest
        The largest number of tokens that is allowed.

    Raises
    ------
    LanguageError
        A text that gives no token of its own, or more than ``longest`` tokens.
    """
    encoded = [e.ids for e in tokenizer.encode_batch(list(texts))]
    around = tokenizer.num_special_tokens_to_add(False)
    lengths = np.array([len(ids) for ids in encoded], dtype=int)
    for k in np.flatnonzero((lengths <= around) | (lengths > longest))[:1]:
        raise LanguageError(f"expected {around + 1} to {longest} tokens in each text, got {lengths[k]} for {texts[k][:40]!r}")
    ids = np.zeros((len(encoded), lengths.max(initial=1)), dtype=np.int32)
    for row, one in zip(ids, encoded, strict=True):
        row[: len(one)] = one
    return Tokens(ids, lengths)
