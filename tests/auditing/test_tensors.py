"""The reader of safetensors files: what it reads, and how it refuses the rest."""

import json
import struct
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from auditing.written import raw, safetensors

from lorantk.auditing.errors import AuditError
from lorantk.auditing.tensors import ENTRIES_LIMIT, read_header, read_tensor


def put(folder, content):
    path = folder / "x.safetensors"
    path.write_bytes(content)
    return path


def entry(shape=(2,), dtype="F32", offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_every_float_type_is_read_exactly(dtype, tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 5)).astype(dtype)
    path = put(tmp_path, safetensors({"first": values[:1].copy(), "second": values}, metadata={"format": "pt"}))
    header = read_header(path)
    assert list(header) == ["first", "second"]
    np.testing.assert_array_equal(read_tensor(path, header["second"]), values.astype(np.float64))


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    bits = np.arange(1, 2**15, 127, dtype=np.uint16)
    bits = bits[bits < 0x7C00]
    expected = (bits.astype(np.uint32) << 16).view(np.float32)
    path = put(tmp_path, raw({"x": entry(bits.shape, "BF16", (0, 2 * bits.size))}, bits.tobytes()))
    np.testing.assert_array_equal(read_tensor(path, read_header(path)["x"]), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends before"),
        (b"\x01\x02", "ends before"),
        (struct.pack("<Q", 2**63), "ends before"),
        (raw(b"{"), "expected JSON"),
        (raw(b"\xff\xfe"), "expected JSON"),
        (raw(b"[" * 100_000), "expected JSON"),
        (raw(b"[]"), "expected a JSON object, got list"),
        (raw(b'{"a": NaN}'), 'NaN as "a", which is no JSON number'),
        (raw(b'{"a": 1, "a": 2}'), "the key 'a' appears twice"),
        (raw({"x": 3}), "'x': expected dtype, shape and data_offsets"),
        (raw({"x": entry() | {"more": 1}}, bytes(8)), "expected dtype, shape and data_offsets"),
        (raw({"x": entry(dtype="F31")}, bytes(8)), "expected a dtype of the format, got 'F31'"),
        (raw({"x": entry(dtype=["F32"])}, bytes(8)), "expected a dtype of the format"),
        (raw({"x": entry(shape=[True, 2])}, bytes(8)), "whole numbers"),
        (raw({"x": entry(shape=[-2])}, bytes(8)), "whole numbers"),
        (raw({"x": entry(shape=[1] * 9)}, bytes(8)), "at most 8 whole numbers"),
        (raw({"x": entry(shape=[10**4000] * 2)}, bytes(8)), "expected the bytes of shape"),
        (raw({"x": entry(offsets=[8, 0])}, bytes(8)), "expected the bytes of shape"),
        (raw({"x": entry(offsets=[0, 8.0])}, bytes(8)), "data_offsets"),
        (raw({"x": entry()}, bytes(7)), "expected 8 bytes of data, got 7: truncated"),
        (raw({"x": entry()}, bytes(9)), "expected 8 bytes of data, got 9"),
        (raw({"x": entry(), "y": entry()}, bytes(8)), "'y': expected its data at 8, got 0: a hole or an overlap"),
        (raw({"x": entry(offsets=[8, 16])}, bytes(16)), "a hole or an overlap"),
        (raw({"a\nb": entry()}, bytes(8)), "expected printable tensor names"),
        (raw({"\x1b[31m": entry()}, bytes(8)), "expected printable tensor names"),
        (raw({"x" * 2000: entry()}, bytes(8)), "expected printable tensor names"),
    ],
)
def test_a_malformed_header_is_one_line_that_names_the_file(content, message, tmp_path):
    path = put(tmp_path, content)
    with pytest.raises(AuditError) as error:
        read_header(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600 + len(str(path))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (np.array([1.0, np.nan], np.float32), "expected finite weights .*, got NaN"),
        (np.array([1.0, -np.inf], np.float32), "expected finite weights .*, got infinity"),
        (np.array([1e200]), r"expected finite weights of at most 1e\+40, got 1e\+200"),
    ],
)
def test_weights_that_are_not_finite_or_too_large_are_refused(tensor, message, tmp_path):
    path = put(tmp_path, safetensors({"w": tensor}))
    with pytest.raises(AuditError, match=f"tensor 'w': {message}"):
        read_tensor(path, read_header(path)["w"])


def test_integers_and_huge_matrices_are_refused_before_they_are_read(tmp_path):
    path = put(tmp_path, raw({"x": entry(dtype="I32")}, bytes(8)))
    with pytest.raises(AuditError, match="expected one of F64, F32, F16, BF16, .*, got I32"):
        read_tensor(path, read_header(path)["x"])
    size = 4 * (ENTRIES_LIMIT + 1)
    header = json.dumps({"x": entry((ENTRIES_LIMIT + 1,), "F32", (0, size))}).encode()
    with path.open("wb") as stream:  # a sparse file: it takes no space on the disk
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + size)
    with pytest.raises(AuditError, match="expected at most"):
        read_tensor(path, read_header(path)["x"])


def test_a_file_that_shrinks_is_noticed(tmp_path):
    path = put(tmp_path, safetensors({"w": np.zeros(100, np.float32)}))
    header = read_header(path)
    with path.open("r+b") as stream:
        stream.truncate(200)
    with pytest.raises(AuditError, match="the file was truncated"):
        read_tensor(path, header["w"])


def test_a_header_that_claims_absurd_sizes_takes_no_memory(tmp_path):
    path = tmp_path / "x.safetensors"
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", 2**37))
        stream.truncate(2**37 + 8)  # sparse, so the header really would fit into the file
    tracemalloc.start()
    try:
        with pytest.raises(AuditError, match="expected a header of at most"):
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
