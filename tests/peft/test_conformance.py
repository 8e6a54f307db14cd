"""The conformance set, loaded by PEFT itself."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_peft_applies_the_one_update():
    command = [ROOT / ".venv-peft/bin/python", ROOT / "scripts/peft_conformance.py", ROOT / "book/conformance"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    index = json.loads((ROOT / "book/conformance/index.json").read_text())
    scales = {case["folder"]: case["scale"] for case in index["cases"]}
    assert len(found) == 5
    for folder, loaded in found.items():
        assert loaded == {"scale": scales[folder], "difference": 0.0}
