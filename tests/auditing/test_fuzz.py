"""For any bytes, every reader gives a report or a one-line error, in bounded time and memory.

By default this takes a minute at most. `make fuzz SECONDS=3600` goes on for an hour with other seeds.
"""

import json
import math
import os
import resource
import struct
import tempfile
import time
from pathlib import Path

import numpy as np
from auditing.headers import model
from auditing.written import CONFIGURATION, factors, raw, safetensors
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorantk import audit_adapter, audit_configuration
from lorantk.auditing.errors import AuditError
from lorantk.auditing.sarif import sarif

EXAMPLES = int(os.environ.get("LORANTK_FUZZ", 60))
A, B = factors(B=0.1)
GOOD = safetensors({"x.q.lora_A.weight": A, "x.q.lora_B.weight": B})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    [
        "r",
        "lora_alpha",
        "peft_type",
        "lora_bias",
        "use_bdlora",
        "modules_to_save",
        "peft_version",
        "velora_config",
        "use_xlora",
        "rank_pattern",
        "alpha_pattern",
        "use_rslora",
        "init_lora_weights",
        "fan_in_fan_out",
    ]
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
    """Audit files of PEFT of the given bytes."""
    return audited_files({"adapter_model.safetensors": weights, "adapter_config.json": configuration})


def audited_files(contents, name=""):
    """Audit a folder of these files, or the one called `name`; anything but a whole report or a one-line error is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        for file, content in contents.items():
            (Path(folder) / file).write_bytes(content)
        begin, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            report = audit_adapter(Path(folder) / name)
        except AuditError as error:
            message = str(error)
            assert folder in message
            assert len(message.splitlines()) == 1
            assert len(message) < 2000
            report = None
        else:
            json.dumps(report.to_dict(), allow_nan=False)
            json.dumps(sarif(report), allow_nan=False)
            assert str(report)
            assert report._repr_html_()
        assert time.process_time() - begin < 10  # the contract for files below 1 MB: 10 seconds and 1 GiB
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 2**20  # KiB
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


PARTS = st.sampled_from(
    [
        "model",
        "layers",
        "h",
        "encoder",
        "bert",
        "0",
        "1",
        "٣",
        "9" * 30,
        "experts",
        "mlp",
        "self_attn",
        "q_proj",
        "w1",
        "embed_tokens",
    ]
    + ["lm_head", "gate", "gate_up_proj", "down_proj", "base_layer", "attention", "query", "", "é"]
)
LASTS = [
    "weight",
    "bias",
    "qweight",
    "scales",
    "g_idx",
    "in_proj_weight",
    "weight_packed",
    "weight.quant_state.bitsandbytes__nf4",
]
TENSORS = st.dictionaries(
    st.tuples(st.lists(PARTS, max_size=6), st.sampled_from([*LASTS, "out_proj.weight", "gate_up_proj", "down_proj"])).map(
        lambda name: ".".join([*name[0], name[1]])
    ),
    st.tuples(st.sampled_from(["F32", "U8", "I32", "F8_E4M3", "BOOL"]), st.lists(st.integers(0, 12), max_size=4).map(tuple)),
    max_size=12,
)
CLASSES = st.sampled_from(
    ["LlamaForCausalLM", "MixtralForCausalLM", "GPT2LMHeadModel", "T5ForConditionalGeneration", "LlavaForConditionalGeneration"]
    + ["ViTForImageClassification", "Qwen3MoeForCausalLM", "GptOssForCausalLM", "ResNetForImageClassification", "None"]
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "target_modules": st.lists(PARTS, max_size=4) | st.sampled_from(["all-linear", ".*", r".*\.[01]\..*", "(", ""]) | JSON,
        "target_parameters": st.lists(PARTS, max_size=2) | JSON,
        "exclude_modules": st.lists(PARTS, max_size=2) | st.sampled_from([".*q_proj", "("]) | JSON,
        "modules_to_save": st.lists(PARTS, max_size=2) | JSON,
        "layers_to_transform": st.integers(-1, 3) | st.lists(st.integers(0, 2), max_size=2) | JSON,
        "layers_pattern": PARTS | st.lists(PARTS, max_size=2) | JSON,
        "layer_replication": st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=2), max_size=3) | JSON,
        "rank_pattern": st.dictionaries(PARTS, st.integers(1, 8), max_size=2),
        "trainable_token_indices": st.just([1]) | st.dictionaries(PARTS, st.just([1]), max_size=2) | JSON,
        "task_type": st.sampled_from(["SEQ_CLS", "TOKEN_CLS", "CAUSAL_LM"]) | JSON,
        "ensure_weight_tying": st.booleans(),
        "lora_bias": st.booleans(),
        "use_dora": st.booleans(),
    },
)


@fuzz
@given(
    tensors=TENSORS,
    options=OPTIONS,
    name=CLASSES,
    beside=st.dictionaries(st.sampled_from(["tie_word_embeddings", "model_type"]), st.booleans() | st.just("llama") | JSON),
    state=st.binary(max_size=40) | JSON.map(written),
)
def test_any_model_and_any_options(tensors, options, name, beside, state):
    with tempfile.TemporaryDirectory() as folder:
        data = {key: state[: math.prod(shape)] for key, (_, shape) in tensors.items() if "quant_state" in key}
        config = {"architectures": [name]} | beside if name != "None" else None
        path = model(Path(folder), tensors, config, data) / "adapter_config.json"
        path.write_bytes(written(CONFIGURATION | options))
        try:
            report = audit_configuration(path, model=folder)
        except AuditError as error:
            message = str(error)
            assert len(message.splitlines()) == 1
            assert len(message) < 3000
            return
        json.dumps(report.to_dict(), allow_nan=False)
        assert str(report)
        assert len(report.modules) + len(report.refused) < 10_000


@fuzz
@given(tensors=TENSORS, options=OPTIONS, name=CLASSES)
def test_saved_weights_beside_any_model(tensors, options, name):
    with tempfile.TemporaryDirectory() as folder:
        base = model(Path(folder), tensors, {"architectures": [name]} if name != "None" else None)
        modules = {key.rpartition(".")[0] for key in tensors} - {""} or {"x.q"}
        pairs = {f"base_model.model.{name}.lora_{X}.weight": value for name in modules for X, value in (("A", A), ("B", B))}
        (base / "adapter_model.safetensors").write_bytes(safetensors(pairs))
        (base / "adapter_config.json").write_bytes(written(CONFIGURATION | options))
        try:
            report = audit_adapter(base / "adapter_model.safetensors", model=base / "model.safetensors")
        except AuditError as error:
            message = str(error)
            assert len(message.splitlines()) == 1
            return
        json.dumps(report.to_dict(), allow_nan=False)


def test_the_good_file_is_audited():
    assert audited(GOOD, written(CONFIGURATION)).overall.modules == 1
    assert audited(GOOD, written(CONFIGURATION | {"r": 3})) is None


def mutated(content, places, cut):
    """Return bytes with some of them changed, and some cut off."""
    content = bytearray(content)
    for place, byte in places:
        content[place % len(content)] = byte
    return bytes(content[: len(content) - cut])


SCALAR = np.array(2, "f4")
KOHYA = safetensors(
    {"lora_unet_q.lora_down.weight": A, "lora_unet_q.lora_up.weight": B, "lora_unet_q.alpha": SCALAR}, {"alpha": "4"}
)
MLX = safetensors({"x.q.lora_a": np.ascontiguousarray(A.T), "x.q.lora_b": np.ascontiguousarray(B.T)})
MLX_CONFIGURATION = {"fine_tune_type": "lora", "num_layers": 2, "lora_parameters": {"rank": 4, "scale": 2.0}}
CHANGES = {"places": st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8), "cut": st.integers(0, 40)}


def string(text):
    """Return a string of GGUF."""
    return struct.pack("<Q", len(text)) + text


def gguf(tensors, values):
    """Return a GGUF file with these tensors, given as name, shape, type, offset and data, and these values, by type."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values))
    for key, (kind, value) in values.items():
        head += string(key) + struct.pack("<I", kind) + value
    for name, shape, kind, offset, _ in tensors:
        head += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape[::-1], kind, offset)
    return head + bytes(-len(head) % 32) + b"".join(data for *_, data in tensors)


VALUES = {
    "general.type": (8, string(b"adapter")),
    "adapter.type": (8, string(b"lora")),
    "adapter.lora.alpha": (6, struct.pack("<f", 8)),
}
TENSORS = [(b"q.weight.lora_a", A.shape, 0, 0, A.tobytes()), (b"q.weight.lora_b", B.shape, 0, A.nbytes, B.tobytes())]
VALUES = {key.encode(): value for key, value in VALUES.items()}
GGUF = gguf(TENSORS, VALUES)


@fuzz
@given(**CHANGES)
def test_a_good_file_of_kohya_with_some_bytes_changed_or_cut(places, cut):
    audited_files({"x.safetensors": mutated(KOHYA, places, cut)}, "x.safetensors")


@fuzz
@given(**CHANGES, parameters=st.dictionaries(st.sampled_from(["rank", "scale", "alpha", "keys"]), JSON | st.floats(), max_size=3))
def test_a_good_adapter_of_mlx_with_some_bytes_or_values_changed(places, cut, parameters):
    content = MLX_CONFIGURATION | {"lora_parameters": {"rank": 4, "scale": 2.0} | parameters}
    audited_files({"adapters.safetensors": mutated(MLX, places, cut), "adapter_config.json": written(content)})


@fuzz
@given(**CHANGES)
def test_a_good_gguf_file_with_some_bytes_changed_or_cut(places, cut):
    audited_files({"x.gguf": mutated(GGUF, places, cut)}, "x.gguf")


@fuzz
@given(content=st.binary(max_size=300))
def test_any_bytes_as_gguf(content):
    audited_files({"x.gguf": b"GGUF" + struct.pack("<I", 3) + content}, "x.gguf")


GGUF_SHAPES = st.lists(st.integers(0, 70) | st.sampled_from([2**31, 2**63, 2**64 - 1]), min_size=1, max_size=4)
GGUF_TENSORS = st.tuples(
    st.sampled_from(
        [b"q.weight.lora_a", b"q.weight.lora_b", b"token_embd.weight.lora_a", b"q.lora_a", b"x_norm.weight", b"\xff", b""]
    ),
    GGUF_SHAPES,
    st.sampled_from([0, 1, 2, 8, 28, 30, 99]),
    st.sampled_from([0, 32, 2**63]),
    st.binary(max_size=64),
)


@fuzz
@given(
    tensors=st.lists(GGUF_TENSORS, max_size=4),
    values=st.dictionaries(
        st.sampled_from([b"general.alignment", b"adapter.lora.alpha", b"k"]),
        st.tuples(st.integers(0, 13), st.binary(max_size=24)),
        max_size=3,
    ),
)
def test_any_gguf_header(tensors, values):
    audited_files({"x.gguf": gguf(tensors, VALUES | values)}, "x.gguf")


IMAGE = [
    f"{module}{part}"
    for module in ("lora_unet_q", "x.q", "base_model.model.x.q", "transformer.q")
    for part in (
        ".lora_down.weight",
        ".lora_up.weight",
        "_lora.up.weight",
        ".alpha",
        ".lora_A.weight",
        ".lora_B.weight",
        ".lora_a",
        ".lora_b",
        ".m",
        ".hada_w1_a",
        ".lokr_w1",
        ".lora_mid.weight",
        ".dora_scale",
        ".lora_magnitude_vector",
        ".weight",
        ".lora_A.default.weight",
        "_lora1.down.weight",
        "_lora1.up.weight",
        ".lora_B.bias",
        ".base_layer.out_proj.lora_A.weight",
        ".base_layer.out_proj.lora_B.weight",
        ".lora_a.weight",
        ".A",
        ".diff",
    )
]
SHAPES = st.sampled_from([(4, 6), (6, 4), (4, 4), (4,), (), (1,), (0, 4), (4, 2, 3, 3), (6, 4, 1, 1), (2, 4, 6), (2, 6, 4)])
METADATA = st.dictionaries(
    st.sampled_from(["alpha", "ss_network_alpha", "lora_adapter_metadata", "format"]),
    st.sampled_from(
        ["8", "nan", "x", "None", "1e400", "-1", "[]", "{}", '{"transformer.r": 4}', '{"transformer.lora_alpha": "x"}']
    ),
    max_size=3,
)


@fuzz
@given(
    names=st.dictionaries(st.sampled_from(IMAGE), SHAPES, max_size=8),
    metadata=METADATA,
    place=st.sampled_from(["x.safetensors", "adapters.safetensors"]),
    configuration=st.none() | st.sampled_from([CONFIGURATION, MLX_CONFIGURATION]),
)
def test_any_mixture_of_names(names, metadata, place, configuration):
    files = {place: safetensors({name: np.full(shape, 0.25, "f4") for name, shape in names.items()}, metadata)}
    if configuration is not None:
        files["adapter_config.json"] = written(configuration)
    audited_files(files, place)


@fuzz
@given(
    index=st.fixed_dictionaries(
        {"weight_map": st.dictionaries(NAMES, st.sampled_from(["a.safetensors", "../a.safetensors", "b", ""]), max_size=3) | JSON}
    )
    | JSON
)
def test_any_index_of_several_files(index):
    files = {
        "a.safetensors": GOOD,
        "adapter_model.safetensors.index.json": written(index),
        "adapter_config.json": written(CONFIGURATION),
    }
    audited_files(files)


EXPRESSIONS = st.text(alphabet="aqx.(){}[]*+?|^$\\1,2:=!<", max_size=16)


@fuzz
@given(
    patterns=st.dictionaries(EXPRESSIONS, st.integers(-1, 9), max_size=3),
    key=st.sampled_from(["rank_pattern", "alpha_pattern"]),
    targets=EXPRESSIONS,
)
def test_any_expressions(patterns, key, targets):
    audited(GOOD, written(CONFIGURATION | {key: patterns, "target_modules": targets}))


def test_the_good_files_are_audited():
    assert audited_files({"x.safetensors": KOHYA}, "x.safetensors").format == "kohya"
    assert audited_files({"x.gguf": GGUF}, "x.gguf").modules[0].scale == 2
    assert audited_files({"adapters.safetensors": MLX, "adapter_config.json": written(MLX_CONFIGURATION)}).format == "MLX"
