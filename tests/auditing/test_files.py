"""Which files are opened: only the adapter's, and none that needs pickle."""

import json
import os

import pytest
from auditing.written import CONFIGURATION, adapter, safetensors

from lorantk import audit_adapter
from lorantk.auditing.errors import AuditError
from lorantk.auditing.safe_files import find
from lorantk.auditing.tensors import read_header, read_tensor


def test_folder_weights_and_configuration_lead_to_the_same_adapter(tmp_path):
    folder = adapter(tmp_path / "a")
    weights, configuration = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    assert find(folder) == find(weights) == (configuration, weights)
    assert find(configuration) == (configuration, None)
    weights.unlink()
    assert find(folder) == (configuration, None)


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt"])
def test_a_pickle_is_refused_with_the_reason(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIGURATION))
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(AuditError, match=r"expected safetensors, got a \.\w+ file \(reading a pickle can run any code"):
            audit_adapter(path)


def test_a_configuration_alone_is_not_a_saved_adapter(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps(CONFIGURATION))
    with pytest.raises(AuditError, match="expected saved weights, got a configuration alone; audit_configuration reads that"):
        audit_adapter(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    elsewhere, folder = adapter(tmp_path / "elsewhere"), tmp_path / "a"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        os.symlink(elsewhere / name, folder / name)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        with pytest.raises(AuditError, match=f"{name}: expected a file inside its folder, got a link out of it"):
            audit_adapter(folder)
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content)
    assert audit_adapter(folder).overall.modules == 2


def test_links_inside_the_folder_and_in_the_hubs_cache_are_followed(tmp_path):
    elsewhere = adapter(tmp_path / "elsewhere")
    for blobs, folder in ((tmp_path / "a/files", tmp_path / "a"), (tmp_path / "hub/blobs", tmp_path / "hub/snapshots/0f1e")):
        blobs.mkdir(parents=True)
        folder.mkdir(parents=True, exist_ok=True)
        for i, name in enumerate(("adapter_config.json", "adapter_model.safetensors")):
            (blobs / str(i)).write_bytes((elsewhere / name).read_bytes())
            os.symlink(os.path.relpath(blobs / str(i), folder), folder / name)
        assert audit_adapter(folder).overall.modules == 2


def test_other_kinds_of_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "adapter_config.json")
    with pytest.raises(AuditError, match="expected a regular file, got another kind"):
        audit_adapter(tmp_path)
    (tmp_path / "loop.safetensors").symlink_to("loop.safetensors")
    for name in ("loop.safetensors", "none.safetensors", "none", "a\0b.json"):
        with pytest.raises(AuditError, match="expected a file that can be read"):
            audit_adapter(tmp_path / name)
    (tmp_path / "x.txt").touch()
    with pytest.raises(AuditError, match="got another kind of file"):
        audit_adapter(tmp_path / "x.txt")


def test_a_folder_without_an_adapter_says_what_lies_near(tmp_path):
    out = tmp_path / "out"
    for step in (500, 1000):
        adapter(out / f"checkpoint-{step}")
        (out / f"checkpoint-{step}/optimizer.pt").write_bytes(b"x")
    assert audit_adapter(out / "checkpoint-500").overall.modules == 2
    with pytest.raises(AuditError, match="the output of a trainer, with checkpoints in checkpoint-500, checkpoint-1000"):
        audit_adapter(out)
    adapter(tmp_path / "several/first")
    adapter(tmp_path / "several/second")
    with pytest.raises(AuditError, match="got neither; adapters lie in first, second"):
        audit_adapter(tmp_path / "several")
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose/style.safetensors").write_bytes(b"")
    with pytest.raises(AuditError, match="got neither; it has style.safetensors"):
        audit_adapter(tmp_path / "loose")
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuditError, match=r"got neither$"):
        audit_adapter(tmp_path / "empty")


def test_the_cache_of_a_hub_says_where_the_snapshot_is(tmp_path):
    elsewhere, root = adapter(tmp_path / "elsewhere"), tmp_path / "models--o--n"
    (root / "blobs").mkdir(parents=True)
    (root / "snapshots/0f1e").mkdir(parents=True)
    for name, blob in (("adapter_config.json", "a"), ("adapter_model.safetensors", "b")):
        (root / "blobs" / blob).write_bytes((elsewhere / name).read_bytes())
        (root / "snapshots/0f1e" / name).symlink_to(f"../../blobs/{blob}")
    assert audit_adapter(root / "snapshots/0f1e").overall.modules == 2
    assert audit_adapter(root / "snapshots/0f1e/adapter_model.safetensors").overall.modules == 2
    with pytest.raises(AuditError, match="it is the cache of a hub, with adapters in snapshots/0f1e"):
        audit_adapter(root)


def test_a_name_on_the_hub_is_told_from_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuditError, match="o/n: expected a path, got none here; .* hf download o/n"):
        audit_adapter("o/n")


def test_a_pointer_of_git_lfs_is_told_from_a_broken_file(tmp_path):
    folder = adapter(tmp_path)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (folder / name).write_bytes(pointer)
        with pytest.raises(AuditError, match=f"{name}: expected the file itself, got a Git LFS pointer"):
            audit_adapter(folder)


def test_an_adapter_in_several_files_is_read_by_its_index(tmp_path):
    whole, parts = adapter(tmp_path / "whole", B=0.1), tmp_path / "parts"
    parts.mkdir()
    (parts / "adapter_config.json").write_bytes((whole / "adapter_config.json").read_bytes())
    path = whole / "adapter_model.safetensors"
    places = {}
    for i, (name, tensor) in enumerate(read_header(path).items()):
        file = f"adapter_model-{i + 1:05}.safetensors"
        (parts / file).write_bytes(safetensors({name: read_tensor(path, tensor).astype("float32")}))
        places[name] = file
    index = parts / "adapter_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert audit_adapter(parts).modules == audit_adapter(whole).modules
    for wrong, message in (
        ({"weight_map": {"x": "../a.safetensors"}}, "beside the index"),
        (
            {"weight_map": {"x": "adapter_model-00001.safetensors"}},
            "expected tensor 'x' in adapter_model-00001.safetensors, got none",
        ),
        ({}, "expected a weight_map"),
    ):
        index.write_text(json.dumps(wrong))
        with pytest.raises(AuditError, match=message):
            audit_adapter(parts)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\xef\xbb\xbf{}", "got: UTF-8 with a byte order mark"),
        ('{"r": 4}'.encode("utf-16"), "got: UTF-16"),
        (b'{"r": "\xff"}', "byte 0xff in position 7"),
        (b'{"r": 4,}', "line 1 column 9"),
        (b'{"r": 4, "r": 8}', "the key 'r' appears twice"),
        (b'{"r": NaN}', 'NaN as "r", which is no JSON number'),
        (b'{"r": 4, "x": {"y z":\n -Infinity}}', '-Infinity as "y z"'),
        (b'{"r": [1, NaN]}', "got: NaN, which is no JSON number"),
        (b'{"r": 4} // a comment', "line 1 column 10"),
    ],
)
def test_json_that_other_tools_accept_is_one_line_that_names_the_place(content, place, tmp_path):
    folder = adapter(tmp_path)
    (folder / "adapter_config.json").write_bytes(content)
    with pytest.raises(AuditError) as error:
        audit_adapter(folder)
    assert place in str(error.value)
    assert "\n" not in str(error.value)
