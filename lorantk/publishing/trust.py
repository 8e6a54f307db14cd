"""Results of checks of the book itself that are too long for every build: kept in the repository, shown on its pages.

A result is a JSON object of one form for all checks (`schemas/trust.schema.json`): what was run on which commit and machine, one
paragraph on what came out, and a table. Two ledgers (`book/trust/ledgers/`) are shown in the same form: how often intervals
cover, and how likely checks fail by bad luck.
"""

import json
from datetime import UTC, datetime
from importlib.resources import files as resources

from lorantk.files import write_whole
from lorantk.publishing import provenance
from lorantk.publishing.display import number_text
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


def percent(share):
    """A share in percent, as a reader writes it."""
    return f"{100 * share:.1f} %"


def coverage_result(records):
    """Paragraph and table on the records of `lorantk.experiments.calibration`."""
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
    words = (f"{r['name']} ({percent(r['measured'])} in place of {percent(r['nominal'])})" for r in off)
    summary += f" The others: {'; '.join(words)}." if off else ""
    columns = ["Interval", "Chapters", "States", "Covers (99.9999 % interval)", "Simulated"]
    return {"title": "How often intervals cover", "summary": summary, "columns": columns, "rows": rows}


WITHOUT_RATE = "random, no rate: "  # in the ledger of chance, before the reason
KINDS = {
    "exact": "no chance enters, or none that could make it fail",
    "measurement": "of time or memory, which the machine decides, not a seed",
    "smoke sizes only": "made at tiny sizes only, not in the book",
}


def chance_result(ledger):
    """Paragraph and table on the ledger of chance: how many checks of which kind, and what their chances add up to."""
    entries = [(name, entry) for cells in ledger.values() for names in cells.values() for name, entry in names.items()]
    rates = [entry["rate"] for _, entry in entries if isinstance(entry, dict)]
    open_still = [(name, entry.removeprefix(WITHOUT_RATE)) for name, entry in entries if str(entry).startswith(WITHOUT_RATE)]
    rows = [[words, sum(entry == kind for _, entry in entries), "none"] for kind, words in KINDS.items()]
    rows.append(["random, with a bound for its chance to fail", len(rates), sum(rates)])
    rows.append(["random, without such a bound", len(open_still), "unknown"])
    rows += [[f"– {name}: {reason}", "", ""] for name, reason in open_still]
    bound = number_text(sum(rates), ".2g")
    summary = (
        f"Of {len(entries)} checks {len(rates) + len(open_still)} are random. "
        f"The {len(rates)} with a bound together fail by bad luck in at most about {bound} of all choices of seeds."
    )
    return {"title": "How likely bad luck is", "summary": summary, "columns": ["Checks", "Number", "Chance"], "rows": rows}


LEDGERS = {"calibration": coverage_result, "chance": chance_result}


def read_ledger(path):
    """What a ledger says, as title, paragraph and table, by the name of its file.

    Raises
    ------
    RecordError
        If there is no such file, or it is none of `LEDGERS`, or not of their form.
    """
    try:
        return LEDGERS[path.stem](json.loads(path.read_bytes()))
    except (OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        msg = f"expected one of the ledgers {', '.join(LEDGERS)} in {path}, got {type(error).__name__}: {error}"
        raise RecordError(msg) from error
