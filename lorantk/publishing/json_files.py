"""JSON, and the names of the files that hold records."""

import json

from lorantk.publishing.errors import PublishingError, RecordError

RECORD = "chapter.json"  # in the folder of one notebook's records
CLAIMS_FILE = "claims.json"  # below the build folder, like the next
FIGURES_FILE = "figures/index.json"
# Seconds by figure differ between two runs, so they are kept apart: in each notebook's records, and in the build folder.
DURATIONS = "durations.json"
DURATIONS_FILE = f"figures/{DURATIONS}"


def json_bytes(value):
    """A value as readable JSON.

    Raises
    ------
    TypeError, ValueError
        If it holds something that JSON cannot represent, including NaN and infinity.
    """
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def plain(role, value):
    """`value` after a round trip through JSON.

    Raises
    ------
    PublishingError
        If JSON cannot represent it.
    """
    try:
        return json.loads(json_bytes(value))
    except (TypeError, ValueError) as error:
        raise PublishingError(f"expected {role} that JSON can hold, got {value!r} ({error})") from error


def read_list(path):
    """A list of JSON objects, each with an `id`, from a file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RecordError
        If the file holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"expected {path}, which `make book` writes, got no such file")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise RecordError(f"expected JSON in {path}, got {error}") from error
    if not (isinstance(content, list) and all(isinstance(entry, dict) and "id" in entry for entry in content)):
        raise RecordError(f"expected a list of objects with ids in {path}, got something else")
    return content


def all_pieces(record):
    """Every piece of evidence and every check in a chapter's record."""
    return [piece for claim in record["claims"] for piece in claim["evidence"]] + record["checks"]
