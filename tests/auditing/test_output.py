"""How the report leaves the program: its schema, SARIF, terminals without Unicode, disks without space, closed pipes."""

import importlib.resources
import io
import json
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from html import escape
from pathlib import Path

import jsonschema
import pytest
from auditing.written import adapter, factors

import lorantk
from lorantk import audit_adapter, audit_configuration, audit_numbers, cli
from lorantk.auditing import report as named
from lorantk.auditing.html import page
from lorantk.auditing.sarif import sarif
from lorantk.auditing.table import verdict

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((importlib.resources.files(lorantk.auditing) / "schema.json").read_text(encoding="utf-8"))


def mixed(folder):
    """Write an adapter with modules in order, not in order and refused, and with findings."""
    A, B = factors(B=5.0)
    tensors = {"layers.1.q.lora_A.weight": A, "layers.1.q.lora_B.weight": B}
    tensors |= {"layers.2.q.lora_A.weight": A[:2].copy(), "layers.2.q.lora_B.weight": B}
    return adapter(folder, configuration={"use_ylora": 1, "target_modules": ["q", "v", "ω"]}, tensors=tensors)


def command(folder, *options, **environment):
    """Run the command with these variables; return it finished."""
    arguments = [sys.executable, "-m", "lorantk.cli", "audit", str(folder), *options]
    return subprocess.run(arguments, capture_output=True, env=os.environ | environment, cwd=ROOT)


def test_every_report_follows_the_schema_and_says_its_version(tmp_path):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    reports = [
        audit_numbers(rank=8, alpha=16, features=1024, dimension=100),
        audit_numbers(rank=8, alpha=16, features=64, init="pissa"),
    ]
    reports += [audit_adapter(folder) for folder in sorted((ROOT / "expected/adapters/fresh").iterdir())]
    reports += [audit_adapter(mixed(tmp_path)), audit_configuration(tmp_path / "adapter_config.json", features=32)]
    for report in reports:
        content = json.loads(json.dumps(report.to_dict()))
        jsonschema.validate(content, SCHEMA)
        assert content["schema"] == named.SCHEMA
    content["modules"][0]["order"] = "yes"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


def test_the_schema_lists_exactly_the_fields_of_a_report():
    for name, entry in SCHEMA["$defs"].items():
        fields = [field for field in getattr(named, name)._fields if field != "eigenvalues"]
        assert list(entry["properties"]) == entry["required"] == fields
    assert list(SCHEMA["properties"]) == SCHEMA["required"] == ["schema", *named.Report._fields]


def test_sarif_has_a_result_for_each_finding_each_refusal_and_each_module_not_in_order(tmp_path):
    report = audit_adapter(mixed(tmp_path / "a"))
    [run] = sarif(report)["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) == len(set(rules))
    found = {}
    for result in run["results"]:
        found.setdefault(result["ruleId"], []).append(result)
    assert found.keys() == set(rules) == {"refused", "not-in-order", *(entry.id for entry in report.consistency)}
    [refused], [outside] = found["refused"], found["not-in-order"]
    assert (refused["level"], outside["level"]) == ("error", "note")
    assert outside["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "layers.1.q"}]
    assert cli.main(["audit", str(tmp_path / "a"), "--sarif", str(tmp_path / "x.sarif")]) == 2
    assert json.loads((tmp_path / "x.sarif").read_text(encoding="utf-8")) == sarif(report)


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ({"rank": 8, "alpha": 8, "features": 1024}, "In the adapted module, LoRA's tangent kernel at the start lies below"),
        (
            {"rank": 8, "alpha": 16, "features": 1024},
            "at the start does not lie below that of full fine-tuning for all data, which is no",
        ),
        ({"rank": 8, "alpha": 16, "features": 1024, "init": "pissa"}, "the theorems do not decide whether"),
    ],
)
def test_the_first_line_answers_in_a_sentence(report, text):
    report = audit_numbers(**report)
    assert text in verdict(report)
    assert verdict(report).endswith("no robustness was measured.")
    assert str(report).replace("\n", " ").startswith(verdict(report))


def test_the_first_line_counts(tmp_path):
    text = verdict(audit_adapter(mixed(tmp_path)))
    assert text.startswith("In 2 of 3 adapted modules, LoRA's tangent kernel as saved lies below")
    assert "; in 1 it does not, which is no defect; 1 more cannot be audited;" in text


def told(encoding, *arguments):
    """Return the status of `lorantk audit` and what it writes to a terminal of an encoding, as bytes."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            status = cli.main(["audit", *map(str, arguments)])
        except SystemExit as end:  # of --help
            status = end.code
    for stream in streams:
        stream.flush()
    return status, *(stream.buffer.getvalue() for stream in streams)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_without_unicode_gets_what_it_can_show(encoding, tmp_path):
    folder = adapter(tmp_path, configuration={"target_modules": ["q", "v", "ω"]})
    for options in ((), ("--json",), ("--help",)):
        status, out, err = told(encoding, folder, *options)
        assert (status, err) == (0, b"")
        out = out.decode(encoding)
        if options == ("--json",):
            assert json.loads(out) == audit_adapter(folder).to_dict()
        assert ("ω" in out) is (encoding == "utf-8" and options != ("--help",))
    status, _, err = told(encoding, tmp_path / "ω")
    assert (status, err.count(b"\n")) == (2, 1)


def test_a_process_without_unicode_writes_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folder = adapter(tmp_path, configuration={"target_modules": ["q", "v", "ω"]})
    done = command(folder, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stdout, done.stderr) == told("ascii", folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(tmp_path):
    folder = adapter(tmp_path, [f"m{i}.q" for i in range(50)])
    for options in (["--json"], []):
        with open("/dev/full", "wb") as full:
            arguments = [sys.executable, "-m", "lorantk.cli", "audit", str(folder), *options]
            done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, cwd=ROOT)
        assert done.returncode == 2
        assert done.stderr.decode() == "lorantk audit: expected to write the output, got: No space left on device\n"
    done = command(folder, "--sarif", "/dev/full/x")
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_a_closed_pipe_does_not_change_the_status(tmp_path):
    folder = adapter(tmp_path, [f"m{i}.q" for i in range(300)], {"lora_alpha": 40})
    for options, status in (("", 0), ("--check", 1)):
        shell = f"{sys.executable} -m lorantk.cli audit {folder} --json {options} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, cwd=ROOT)
        assert (done.returncode, done.stderr) == (status, b"")


def test_an_interruption_is_one_line(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lorantk.auditing.run.audit_numbers", interrupted)
    assert cli.main(["audit", "--rank", "8", "--alpha", "8", "--features", "64"]) == 130
    assert capsys.readouterr().err == "lorantk audit: interrupted\n"


def test_the_page_answers_before_it_shows_figures(tmp_path):
    report = audit_adapter(mixed(tmp_path))
    text = page(report)
    assert text.index(escape(verdict(report))) < text.index("<svg") < text.index("<th ")


def test_long_names_among_words_may_break_after_a_dot_and_numbers_may_not(tmp_path):
    text = page(audit_adapter(mixed(tmp_path)))
    words = "".join(re.findall(r"<table class='words'.*?</table>", text))
    assert re.search(r"[a-z]\.<wbr/>[a-z0-9]", words)
    assert not re.search(r"\d\.<wbr/>\d+(?!\.)", words)
    assert "<wbr/>" not in re.sub(r"<table class='words'.*?</table>", "", text)
