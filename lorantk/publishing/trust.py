"""Results of checks of the book itself that are too long for every build: kept in the repository, shown on its pages.

A result is a JSON object of one form for all checks (`schemas/trust.schema.json`): what was run on which commit and machine, one
paragraph on what came out, and a table.
"""

import json
from datetime import UTC, datetime
from importlib.resources import files as resources

from lorantk.files import write_whole
from lorantk.publishing import provenance
from lorantk.publishing.errors import RecordError
from lorantk.publishing.files import json_bytes


def read_result(path):
    """A result from its file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RecordError
        If it does not fit the schema, or a row has another length than the head of the table.
    """
    import jsonschema

    if not path.is_file():
        raise FileNotFoundError(f"expected the result of a check in {path}, got no such file")
    schema = json.loads((resources("lorantk.publishing") / "schemas/trust.schema.json").read_bytes())
    try:
        result = json.loads(path.read_bytes())
        jsonschema.validate(result, schema)
    except (ValueError, jsonschema.ValidationError) as error:
        raise RecordError(f"expected {path} to fit its schema, got {getattr(error, 'message', error)}") from error
    width = len(result["columns"])
    if wrong := [row for row in result["rows"] if len(row) != width]:
        raise RecordError(f"expected rows of {width} cells in {path}, got {wrong[0]}")
    return result


def write_result(path, *, title, command, commit, summary, columns, rows):
    """Keep a result, with today's date, this machine and the versions that computed.

    Parameters
    ----------
    path : Path
        Its file, in `book/trust/`.
    title, command, commit, summary : str
        What the table shows; what was run, on which commit; what came out, in Markdown.
    columns : list of str
        The head of the table.
    rows : list of list of str, int or float
        Its rows; strings are Markdown.
    """
    result = {"title": title, "command": command, "commit": commit, "date": datetime.now(UTC).date().isoformat()}
    result |= {"device": provenance.device(), "versions": provenance.versions()}
    result |= {"summary": summary, "columns": columns, "rows": rows}
    write_whole(path, json_bytes(result))
    read_result(path)
