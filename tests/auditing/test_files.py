"""Which files are opened: only the adapter's, and none that needs pickle."""

import json
import os

import pytest
from auditing.written import CONFIGURATION, adapter

from lorantk import audit_adapter
from lorantk.auditing.errors import AuditError
from lorantk.auditing.safe_files import find


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
    with pytest.raises(AuditError, match=r"adapter_config\.json: expected a file inside its folder, got a link out of it"):
        audit_adapter(folder)
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_config.json").write_text(json.dumps(CONFIGURATION))
    with pytest.raises(AuditError, match=r"adapter_model\.safetensors: expected a file inside its folder"):
        audit_adapter(folder)


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
