"""The report as SARIF 2.1.0, which the tools of a pipeline show beside the code."""

from importlib.metadata import version

from lorantk.auditing.report import Report
from lorantk.auditing.summary import deciding

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
RULES = {
    "not-in-order": "The conditions of the theorems do not hold for this module. This is no defect: it says that on some data "
    "LoRA's kernel exceeds that of full fine-tuning.",
    "refused": "This module cannot be audited.",
}


def sarif(report: Report) -> dict:
    """Return a report as the object of a SARIF file: what was refused, what the files say, and modules not in order."""
    found = [("refused", "error", entry.reason, [entry.name]) for entry in report.refused]
    for entry in report.consistency:
        found.append((entry.id, entry.level, f"{entry.text}. What to do: {entry.advice}", entry.names))
    for module in report.modules:
        if module.order is False:
            text = f"{module.name}: {deciding(module):.4g} against 1, so the order for all data does not hold"
            found.append(("not-in-order", "note", text, [module.name]))
    rules = {rule: RULES.get(rule, "What the files of the adapter say that its numbers do not.") for rule, *_ in found}
    driver = {
        "name": "lorantk audit",
        "version": version("lorantk"),
        "rules": [{"id": rule, "shortDescription": {"text": text}} for rule, text in rules.items()],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": _results(report, found)}]}


def _results(report: Report, found: list) -> list[dict]:
    place = {"artifactLocation": {"uri": report.source.replace("\\", "/")}}
    return [
        {
            "ruleId": rule,
            "level": level,
            "message": {"text": text},
            "locations": [{"physicalLocation": place, "logicalLocations": [{"fullyQualifiedName": name} for name in names]}],
        }
        for rule, level, text, names in found
    ]
