"""For any bytes, the audit gives a report or a one-line error.

By default this takes a minute at most. LORANTK_FUZZ=50000 tries that many examples of each kind, in about an hour.
"""

import json
import os
import struct
import tempfile
from pathlib import Path

import numpy as np
from auditing.written import CONFIGURATION, factors, raw, safetensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorantk import audit_adapter
from lorantk.auditing.errors import AuditError

EXAMPLES = int(os.environ.get("LORANTK_FUZZ", 150))
A, B = factors(B=0.1)
GOOD = safetensors({"x.q.lora_A.weight": A, "x.q.lora_B.weight": B})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    ["r", "lora_alpha", "peft_type", "rank_pattern", "alpha_pattern", "use_rslora", "init_lora_weights", "fan_in_fan_out"]
    + ["target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "eva_config", "use_dora", "task_type"]
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F4", "I8", "BOOL"]) | JSON,
        "shape": st.lists(st.integers(-1, 40) | st.sampled_from([2**31, 2**63, 10**300]), max_size=4) | JSON,
        "data_offsets": st.lists(st.integers(-1, 700), min_size=2, max_size=2) | JSON,
    }
)
ENTRY = ENTRIES | JSON
KNOWN = st.sampled_from(["x.q.lora_A.weight", "x.q.lora_B.weight", "e.lora_embedding_A", "e.lora_embedding_B", "w", ""])
NAMES = KNOWN | st.text(max_size=30)
PLACES = st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8)
HEADERS = st.dictionaries(NAMES, ENTRY, max_size=5) | JSON


def audited(weights, configuration):
    """Audit files of the given bytes; anything other than a complete report or a one-line error is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "adapter_model.safetensors").write_bytes(weights)
        (Path(folder) / "adapter_config.json").write_bytes(configuration)
        try:
            report = audit_adapter(folder)
        except AuditError as error:
            message = str(error)
            assert folder in message
            assert len(message.splitlines()) == 1
            assert len(message) < 2000
            return None
        json.dumps(report.to_dict(), allow_nan=False)
        assert str(report)
        assert report._repr_html_()
        return report


fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def written(value):
    """Return JSON as bytes, with surrogates and NaN, as an attacker might write it."""
    return json.dumps(value).encode()


@fuzz
@given(content=st.binary(max_size=300))
def test_any_bytes_as_weights(content):
    audited(content, written(CONFIGURATION))


@fuzz
@given(places=PLACES, cut=st.integers(0, 40))
def test_a_good_file_with_some_bytes_changed_or_cut(places, cut):
    content = bytearray(GOOD)
    for place, byte in places:
        content[place] = byte
    audited(bytes(content[: len(content) - cut]), written(CONFIGURATION))


@fuzz
@given(header=HEADERS, data=st.binary(max_size=700), length=st.none() | st.integers(0, 2**64 - 1))
def test_any_header(header, data, length):
    content = raw(written(header), data)
    audited(content if length is None else struct.pack("<Q", length) + content[8:], written(CONFIGURATION))


@fuzz
@given(changes=st.dictionaries(KEYS, JSON | st.integers(-2, 9) | st.floats(), max_size=4))
def test_any_values_in_a_configuration(changes):
    audited(GOOD, written(CONFIGURATION | changes))


@fuzz
@given(content=st.binary(max_size=200) | JSON.map(written))
def test_any_configuration(content):
    audited(GOOD, content)


WEIGHTS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@fuzz
@given(
    A=st.lists(WEIGHTS, min_size=4, max_size=40),
    B=st.lists(WEIGHTS, min_size=4, max_size=40),
    alpha=st.floats(1e-30, 1e30, exclude_min=True, exclude_max=True),
    init=st.sampled_from([True, False, "gaussian", "orthogonal", "eva", "mica", "pissa", "olora"]),
)
def test_any_finite_weights(A, B, alpha, init):
    A, B = np.array(A[: len(A) // 4 * 4], "f4").reshape(4, -1), np.array(B[: len(B) // 4 * 4], "f4").reshape(-1, 4)
    content = safetensors({"x.q.lora_A.weight": A, "x.q.lora_B.weight": B})
    assert audited(content, written(CONFIGURATION | {"lora_alpha": alpha, "init_lora_weights": init})) is not None


def test_the_good_file_is_audited():
    assert audited(GOOD, written(CONFIGURATION)).overall.modules == 1
    assert audited(GOOD, written(CONFIGURATION | {"r": 3})) is None
