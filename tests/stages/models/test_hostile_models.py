"""Models of strangers: no file of elsewhere is read, nothing is run, nothing huge is built."""

import json
import struct

import numpy as np
import pytest

from pipeline.errors import InputError
from stages.models.decoders.load import decoder_window, load_decoder
from stages.models.segmenters.load import load_segmenter, segmenter_digest
from stages.models.weights import load_checkpoint
from tests.support.tiny_onnx import FLOAT, adding, model

WEIGHTS = np.float32([0.1, 0.2, 0.3]).tobytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "secret.bin").write_bytes(WEIGHTS)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(WEIGHTS)
    (tmp_path / "model" / "link.bin").symlink_to("../secret.bin")
    return tmp_path / "model"


@pytest.mark.parametrize("location", ["../secret.bin", "link.bin", "{absolute}", "/dev/zero"])
def test_a_model_reads_no_file_of_elsewhere(folder, location):
    location = location.replace("{absolute}", str(folder.parent / "secret.bin"))
    path = folder / "m.onnx"
    path.write_bytes(adding(location))
    for ask in (load_segmenter, segmenter_digest):
        with pytest.raises(InputError, match=r"m\.onnx: expected tensors in its own folder, got"):
            ask(str(path))


def test_weights_beside_a_model_are_part_of_its_digest(folder):
    path = folder / "m.onnx"
    path.write_bytes(adding("weights.bin"))
    before = segmenter_digest(str(path))
    assert load_segmenter(str(path))(np.zeros((32, 32, 3), np.uint8)).shape[0] == 2
    (folder / "weights.bin").write_bytes(WEIGHTS[::-1])
    assert segmenter_digest(str(path)) != before


def test_a_tensor_larger_than_its_file_is_refused(folder):
    path = folder / "m.onnx"
    path.write_bytes(adding("weights.bin", dims=(10**5, 10**6)))
    with pytest.raises(InputError, match=r"m\.onnx: not a readable ONNX model"):
        load_segmenter(str(path))


def test_any_damage_to_a_model_is_refused_or_harmless(folder):
    rng = np.random.default_rng(0)
    whole = model([("Relu", {})], [(FLOAT, [1, 3, "rows", "columns"])])
    path = folder / "m.onnx"
    for k in range(150):
        data = bytearray(whole if k % 3 else whole[: int(rng.integers(1, len(whole)))])
        for index in rng.integers(0, len(data), 2):
            data[index] = rng.integers(0, 256)
        path.write_bytes(data)
        load_segmenter.cache_clear()
        try:
            load_segmenter(str(path))
        except InputError as error:
            output = str(error)
        else:
            continue
        assert str(path) in output


def safetensors(header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**30) + b"{}",
        safetensors(b"{" * 100_000),
        safetensors({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]}}, bytes(4)),
        safetensors({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
        safetensors({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors({"a": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    ],
)
def test_tensors_that_lie_about_their_size_are_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    for load in (load_checkpoint, lambda path: load_decoder("aligned", str(path))):
        with pytest.raises(InputError, match=r"w\.safetensors: not readable as weights"):
            load(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"window": 10**9},
        {"window": "7"},
        {"window": [7]},
        {"window": 7, "widths": [10**9, 10**9]},
        {"window": 7, "widths": [8] * 10**5},
        {"window": 7, "widths": [8, -1]},
        {"window": 7, "encoder_weights": "/etc/passwd"},
        [1, 2],
        "text",
        None,
    ],
)
def test_settings_of_a_decoder_that_no_machine_could_hold_are_refused(tmp_path, settings):
    path = tmp_path / "w.safetensors"
    about = {"format": "steadymask.decoder", "version": "1", "kind": "aligned"}
    about["settings"] = json.dumps(settings)
    path.write_bytes(safetensors({"__metadata__": about}))
    for load in (load_decoder, decoder_window):
        with pytest.raises(InputError, match=r"w\.safetensors: "):
            load("aligned", str(path))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_any_damage_to_a_checkpoint_is_refused_or_harmless(tmp_path):
    import torch

    path, rng = tmp_path / "w.pth", np.random.default_rng(0)
    for legacy in (False, True):
        torch.save(
            {"state_dict": {"a": torch.zeros(3), "b": torch.ones(2, 2)}, "epoch": 3},
            path, _use_new_zipfile_serialization=not legacy,
        )  # fmt: skip
        whole = path.read_bytes()
        for _ in range(150):
            data = bytearray(whole)
            for index in rng.integers(0, len(data), 3):
                data[index] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                load_checkpoint(path)
            except InputError as error:
                output = str(error)
            else:
                continue
            assert str(path) in output
