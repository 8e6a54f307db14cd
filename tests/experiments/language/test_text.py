"""Reading sentences: the package's reviews, and files of GLUE's tasks."""

import io
import random
import tarfile
import zipfile

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
        ("SST-2", "sentence\nfine\n", "expected a column 'label' in the first line, as in SST-2, got sentence; name"),
        ("SST-2", "", "expected a column 'sentence' in the first line, as in SST-2, got none; name the file's own task"),
        ("SST-2", f"sentence\tlabel\n{'x' * 200_000}\t1\n", "expected a file of the task SST-2, got field larger than"),
        ("SST-2", "sentence\tlabel\nfine\n", "line 2: expected at least 2 columns, got 1; correct the line or leave it out"),
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


@pytest.mark.parametrize(
    ("name", "got", "read"),
    [
        ("model.safetensors", "53aa51172d14", lambda: packages.model_file("model.safetensors")),
        ("tokenizer.json", "be50c3628f2b", lambda: packages.model_file("tokenizer.json")),
        ("hutto_ICWSM_2014.tar.gz", "d5bb07d87474", packages.reviews),
    ],
)
def test_weights_and_text_with_another_hash_are_refused(monkeypatch, name, got, read):
    packages.model_file.cache_clear()
    packages.reviews.cache_clear()
    monkeypatch.setitem(packages.HASHES, name, "0" * 64)
    with pytest.raises(LanguageError) as error:
        read()
    assert str(error.value) == f"{name}: expected the SHA-256 000000000000…, got {got}…; {packages.AGAIN}"


def damaged(kind):
    """The bytes of an archive with what is read from it, of which some in the middle are lost."""
    stream, content = io.BytesIO(), random.Random(0).randbytes(4000).hex().encode()
    if kind == "wheel":
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr(f"{packages.MODEL}config.json", content)
    else:
        with tarfile.open(fileobj=stream, mode="w:gz") as made:
            member = tarfile.TarInfo("vader/additional_resources/hutto_ICWSM_2014.tar.gz")
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    found = stream.getvalue()
    return found[:2000] + bytes(100) + found[2100:]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", damaged("wheel"), damaged("tar"), None])
def test_a_missing_or_damaged_package_is_refused_in_one_line(monkeypatch, tmp_path, content):
    packages.model_file.cache_clear()
    packages.reviews.cache_clear()
    monkeypatch.setattr(packages, "project_root", lambda: tmp_path)
    (tmp_path / packages.FOLDER).mkdir()
    for name, read in ((packages.WEIGHTS, lambda: packages.model_file("config.json")), (packages.TEXT, packages.reviews)):
        if content is not None:
            (tmp_path / packages.FOLDER / name).write_bytes(content)
        with pytest.raises(LanguageError) as error:
            read()
        assert name in str(error.value) or "hutto_ICWSM_2014.tar.gz: expected the SHA-256" in str(error.value)
        assert packages.AGAIN in str(error.value)
        assert "\n" not in str(error.value)
