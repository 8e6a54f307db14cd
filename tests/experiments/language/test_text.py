"""Reading sentences: the package's reviews, and files of GLUE's tasks."""

import numpy as np
import pytest
from language import REFERENCE

from lorantk.experiments.language import bert, packages, text
from lorantk.experiments.language.packages import LanguageError

# One tiny file in the format of each task, and what it should give.
FILES = {
    "SST-2": ("sentence\tlabel\na fine film \t1\nbad \t0\n", ("a fine film", "bad"), (1, 0)),
    "CoLA": ("gj04\t1\t\tHe ran.\ngj04\t0\t*\tHim run.\n", ("He ran.", "Him run."), (1, 0)),
    "QNLI": (
        'index\tquestion\tsentence\tlabel\n0\tWho "won?\tAnn won.\tentailment\n1\tWhere?\tIt rained.\tnot_entailment\n',
        ('Who "won? <SEP> Ann won.', "Where? <SEP> It rained."),
        (0, 1),
    ),
    "QQP": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\tHow so?\t1\n", ("Why? <SEP> How so?",), (1,)),
}


@pytest.mark.parametrize("task", FILES)
def test_a_file_of_each_task_is_read(tmp_path, task):
    content, texts, labels = FILES[task]
    (tmp_path / "train.tsv").write_text(content)
    found = text.glue(tmp_path / "train.tsv", task)
    assert found.texts == texts
    np.testing.assert_array_equal(found.labels, labels)


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("SST-2", "sentence\nfine\n", "expected a column 'label' in the first line"),
        ("SST-2", "sentence\tlabel\nfine\n", "line 2: expected at least 2 columns, got 1"),
        ("SST-2", "sentence\tlabel\nfine\t2\n", "line 2: expected a label out of 0, 1, entailment, not_entailment, got '2'"),
        ("SST-2", "sentence\tlabel\n \t1\n", "line 2: expected a sentence, got none"),
        ("CoLA", "gj04\t1\n", "line 1: expected at least 4 columns, got 2"),
        ("CoLA", "gj04\t-1\t\tHe ran.\n", "line 1: expected a label out of"),
        ("MNLI", "", "task must be one of SST-2, CoLA, QNLI, QQP; got 'MNLI'"),
    ],
)
def test_a_file_that_is_not_of_the_task_is_refused_in_one_line(tmp_path, task, content, message):
    (tmp_path / "train.tsv").write_text(content)
    with pytest.raises(LanguageError) as error:
        text.glue(tmp_path / "train.tsv", task)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(LanguageError, match="expected a file of the task SST-2"):
        text.glue(tmp_path / "train.tsv", "SST-2")
    (tmp_path / "train.tsv").write_bytes(b"sentence\tlabel\n\xff\xfe\t1\n")
    with pytest.raises(LanguageError, match="expected a file of the task SST-2"):
        text.glue(tmp_path / "train.tsv", "SST-2")


@pytest.fixture(scope="module")
def tokenizer():
    return bert.read(REFERENCE).tokenizer


@pytest.mark.parametrize("sentence", ["", "  ", "\t"])
def test_a_sentence_without_tokens_is_refused(tokenizer, sentence):
    with pytest.raises(LanguageError, match="expected 3 to 8 tokens in each text, got 2"):
        text.tokenize(tokenizer, ["bad", sentence], longest=8)


def test_a_sentence_that_is_too_long_is_refused(tokenizer):
    with pytest.raises(LanguageError, match="expected 3 to 8 tokens in each text, got 9"):
        text.tokenize(tokenizer, ["bad " * 7], longest=8)
    assert text.tokenize(tokenizer, ["bad " * 6], longest=8).lengths == [8]


def test_the_reviews_have_their_known_number_and_no_repeats():
    found = text.reviews()
    assert len(found.texts) == len(set(found.texts)) == 10_070
    assert set(found.labels) == {0, 1}
    assert abs(found.labels.mean() - 0.5) < 0.01


def test_other_bytes_are_refused(monkeypatch, tmp_path):
    packages.model_file.cache_clear()
    monkeypatch.setitem(packages.HASHES, "tokenizer.json", "0" * 64)
    with pytest.raises(LanguageError, match=r"tokenizer\.json: expected the SHA-256 000000000000…, got be50c3628f2b…"):
        packages.model_file("tokenizer.json")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", None])
def test_a_missing_or_cut_package_is_refused_in_one_line(monkeypatch, tmp_path, content):
    packages.model_file.cache_clear()
    packages.reviews.cache_clear()
    monkeypatch.setattr(packages, "project_root", lambda: tmp_path)
    (tmp_path / packages.FOLDER).mkdir()
    for name, read in ((packages.WEIGHTS, lambda: packages.model_file("config.json")), (packages.TEXT, packages.reviews)):
        if content is not None:
            (tmp_path / packages.FOLDER / name).write_bytes(content)
        with pytest.raises(LanguageError) as error:
            read()
        assert name in str(error.value)
        assert "\n" not in str(error.value)
