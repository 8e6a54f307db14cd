"""Results of checks of the book itself that take too long for every build: stored in the repository, shown on its pages.

A result is a JSON object of one form for all checks (`schemas/trust.schema.json`): what was run on which commit and machine, one
paragraph on what came out, and a table. Two more are shown in the same form: how often intervals cover, from simulations
(`book/trust/calibration.json`), and how likely checks come out the other way by bad luck, from what the chapters of a build
recorded.
"""

import json
from datetime import UTC, datetime
from importlib.resources import files as resources

from lorantk.disk import write_whole
from lorantk.publishing.errors import RecordError
from lorantk.publishing.json_files import json_bytes
from lorantk.publishing.notebook import provenance
from lorantk.publishing.notebook.display import number_text


def read_result(path):
    """A result from its file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RecordError
        If it does not fit the schema, or a row is not as long as the head of the table.
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
    """Store a result with today's date, this machine and the versions of the packages.

    Parameters
    ----------
    path : Path
        Its file, in `book/trust/`.
    title, command, commit, summary : str
        What the table shows; what was run, on which commit; the outcome, in Markdown.
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


def percent(share):
    """A share in percent."""
    return f"{100 * share:.1f}%"


def coverage_result(records):
    """Paragraph and table for the records of `lorantk.experiments.common.calibration`."""
    rows = [
        [
            f"{record['name']}: {record['setting']}",
            ", ".join(sorted(record["chapters"])),
            percent(record["nominal"]),
            f"{percent(record['measured'])} ({percent(record['low'])} to {percent(record['high'])})",
            record["replicates"],
        ]
        for record in records
    ]
    off = [record for record in records if not record["low"] <= record["nominal"] <= record["high"]]
    good = len(records) - len(off)
    summary = f"Of {len(records)} kinds of intervals, {good} cover as often as they say, as far as the simulation can tell."
    words = (f"{r['name']} ({percent(r['measured'])} instead of {percent(r['nominal'])})" for r in off)
    summary += f" The others: {'; '.join(words)}." if off else ""
    columns = ["Interval", "Chapters", "States", "Covers (99.9999 % interval)", "Simulated"]
    return {"title": "How often intervals cover", "summary": summary, "columns": columns, "rows": rows}


def chance_result(pieces):
    """Paragraph and table on how likely bad luck is: how many checks are random, and what their chances add up to."""
    rates = [piece["chance"] for piece in pieces if not isinstance(piece["chance"], str) and piece["chance"] > 0]
    reasons = [(piece["name"], piece["chance"]) for piece in pieces if isinstance(piece["chance"], str)]
    rows = [["no chance enters, or none that could change the outcome", len(pieces) - len(rates) - len(reasons), "none"]]
    rows.append(["random, with a bound for its chance", len(rates), sum(rates)])
    rows.append(["without such a bound", len(reasons), "unknown"])
    rows += [[f"– {name}: {reason}", "", ""] for name, reason in reasons]
    summary = (
        f"Of {len(pieces)} checks {len(rates)} are random with a bound for the chance that they come out the other way. "
        f"Together they do in at most about {number_text(sum(rates), '.2g')} of all choices of seeds."
    )
    return {"title": "How likely bad luck is", "summary": summary, "columns": ["Checks", "Number", "Chance"], "rows": rows}


def read_coverage(path):
    """What the ledger of calibration says, as title, paragraph and table.

    Raises
    ------
    RecordError
        If there is no such file, or it is not of its form.
    """
    try:
        return coverage_result(json.loads(path.read_bytes()))
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        msg = f"expected the records of `make calibrate` in {path}, got {type(error).__name__}: {error}"
        raise RecordError(msg) from error
