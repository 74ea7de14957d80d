"""Files of weights, good and bad."""

import hashlib

import pytest

from pipeline.errors import InputError
from stages.models.weights import download, file_digest, load_checkpoint, tensors


def test_a_digest_is_the_files_sha256(tmp_path):
    (tmp_path / "w").write_bytes(b"weights")
    assert file_digest(tmp_path / "w") == hashlib.sha256(b"weights").hexdigest()


def test_missing_weights_are_named():
    from pathlib import Path

    with pytest.raises(InputError, match=r"none\.pth: no such weights"):
        file_digest(Path("none.pth"))


@pytest.mark.parametrize("name", ["w.pth", "w.ckpt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 half a zip"])
def test_damaged_weights_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: not readable as weights"):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors", "."])
def test_a_path_that_is_no_file_is_named(tmp_path, name):
    with pytest.raises(InputError, match="not readable as weights"):
        load_checkpoint(tmp_path / name)


def test_python_objects_are_not_unpickled(tmp_path):
    import torch

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"state_dict": Trap()}, tmp_path / "w.ckpt")
    with pytest.raises(InputError, match=r"w\.ckpt: .*Python objects.*expected tensors only"):
        load_checkpoint(tmp_path / "w.ckpt")
    assert not (tmp_path / "sprung").exists()


def test_a_lone_tensor_is_no_checkpoint(tmp_path):
    import torch

    torch.save(torch.zeros(3), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: expected tensors by name, got a Tensor"):
        load_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "wrapped", [{"a": 1}, {"state_dict": {"a": 1}}, {"model": {"module.a": 1}, "epoch": 3}]
)
def test_tensors_are_unwrapped(wrapped):
    assert tensors(wrapped) == {"a": 1}


def test_a_download_is_checked_against_the_hash_in_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "net-0123456789.pth").write_bytes(b"something else")
    url = (tmp_path / "net-0123456789.pth").as_uri()
    with pytest.raises(InputError, match=r"invalid hash.*--set segment\.weights=PATH"):
        download(url, setting="segment.weights")


def test_an_option_that_takes_a_path_is_named_as_it_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = (tmp_path / "absent.pth").as_uri()
    with pytest.raises(InputError, match=r"give its path with --backbone-weights PATH$"):
        download(url, setting="--backbone-weights")


def test_a_file_put_by_hand_is_not_downloaded(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / "net.pth"
    path.parent.mkdir(parents=True)
    path.touch()
    assert download("https://nowhere.invalid/net.pth", setting="flow.weights") == path
