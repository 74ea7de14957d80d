"""Refiners as ONNX files: what they see, what they may answer, how their failures read."""

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from stages.models.refiners.load import load_refiner
from tests.support.tiny_onnx import FLOAT, UINT8, adding, model

SIZE = (50, 70)
PICTURE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
MASK = np.hypot(X - 35, Y - 25) < 15
OPEN = ["rows", "columns"]
LARGEST = [("ReduceMax", {"axes": [1], "keepdims": 1})]

CAST = [("Cast", {"to": FLOAT}), *LARGEST]


def write_model(folder, nodes, inputs, **more):
    path = folder / "refiner.onnx"
    path.write_bytes(model(nodes, inputs, **more))
    return str(path)


def test_a_model_sees_the_picture_and_the_mask(tmp_path):
    path = write_model(tmp_path, LARGEST, [(FLOAT, [1, 4, *OPEN])])
    expected = np.where(MASK, 1, PICTURE.max(axis=-1) / 255)
    np.testing.assert_allclose(load_refiner(path)(PICTURE, MASK), expected, atol=1e-6)


@pytest.mark.parametrize("channels", [[1, 3], [3, 1]])
def test_a_model_of_two_inputs_has_each_in_its_own(tmp_path, channels):
    path = write_model(tmp_path, LARGEST, [(FLOAT, [1, count, *OPEN]) for count in channels])
    expected = MASK if channels[0] == 1 else PICTURE.max(axis=-1) / 255
    np.testing.assert_allclose(load_refiner(path)(PICTURE, MASK), expected, atol=1e-6)


def test_of_several_outputs_the_one_plane_counts(tmp_path):
    outputs = [("all", [("Identity", {})]), ("largest", LARGEST)]
    path = write_model(tmp_path, [("Abs", {})], [(FLOAT, [1, 4, *OPEN])], outputs=outputs)
    refined = load_refiner(path)(PICTURE, MASK)
    np.testing.assert_allclose(refined, np.where(MASK, 1, PICTURE.max(axis=-1) / 255), atol=1e-6)


@pytest.mark.parametrize(
    ("nodes", "inputs", "why"),
    [
        (LARGEST, [(FLOAT, [1, 3, *OPEN])], r"expected one float input \(1, 4, H, W\)"),
        (CAST, [(UINT8, [1, 4, *OPEN])], r"expected one float input \(1, 4, H, W\)"),
        ([("Abs", {})], [(FLOAT, [1, 4, *OPEN])], r"expected an output of one plane of \(64, 96\)"),
        (LARGEST, [(FLOAT, [1, 4, 32, 32])], r"cannot take a picture of \(64, 96\)"),
        ([*LARGEST, ("Neg", {})], [(FLOAT, [1, 4, *OPEN])], r"expected values in \[0, 1\], got -1"),
    ],
)
def test_a_model_that_does_not_fit_is_named(tmp_path, nodes, inputs, why):
    path = write_model(tmp_path, nodes, inputs)
    with pytest.raises(InputError, match=rf"refiner\.onnx: {why}"):
        load_refiner(path)(PICTURE, MASK)


def test_a_model_that_is_none_or_missing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--refiner .*gone\.onnx: no such file"):
        load_refiner(str(tmp_path / "gone.onnx"))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match=r"text\.onnx: not a readable ONNX model"):
        load_refiner(str(tmp_path / "text.onnx"))


def test_a_model_may_not_read_files_of_elsewhere(tmp_path):
    path = tmp_path / "refiner.onnx"
    path.write_bytes(adding("../weights"))
    with pytest.raises(InputError, match="a model may not read other files"):
        load_refiner(str(path))
