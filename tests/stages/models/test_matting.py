"""Matting by a network of the user's: only the band is its own, and failures say which it was."""

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from stages.export import Export
from stages.models.matting import matted, matting_digest
from stages.ops.trimap import UNKNOWN, trimap
from tests.support.tiny_onnx import FLOAT, model

SIZE = (50, 70)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
SOFT = np.clip((15 - np.hypot(X - 35, Y - 25)) / 6, 0, 1).astype(np.float32)[..., None]
PICTURE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


def red_channel(picture, known):
    return picture[..., 0] / np.float32(255)


def whole_numbers(picture, known):
    return known


def broken(picture, known):
    raise RuntimeError("no weights")


def test_a_function_decides_the_band_and_nothing_else():
    alpha = matted(f"{__name__}:red_channel", PICTURE, SOFT)[..., 0]
    band = trimap(SOFT[..., 0]) == UNKNOWN
    np.testing.assert_allclose(alpha[band], PICTURE[..., 0][band] / 255, atol=1e-6)
    np.testing.assert_array_equal(alpha[~band], (SOFT[..., 0] > 0.5)[~band])


def test_classes_share_what_lies_between_them():
    both = np.concatenate([SOFT, np.roll(SOFT, 12, axis=1)], axis=-1)
    both /= np.maximum(both.sum(axis=-1, keepdims=True), 1)
    assert matted(f"{__name__}:red_channel", PICTURE, both).sum(axis=-1).max() <= 1 + 1e-6


def test_a_frame_without_the_class_asks_no_network():
    empty = np.zeros_like(SOFT)
    np.testing.assert_array_equal(matted(f"{__name__}:broken", PICTURE, empty), empty)


@pytest.mark.parametrize(
    ("name", "why"),
    [("whole_numbers", r"expected an alpha \(50, 70\) of floats"), ("broken", "no weights")],
)
def test_a_function_that_fails_is_named(name, why):
    with pytest.raises(InputError, match=rf"export\.matting = .*:{name}.*{why}"):
        matted(f"{__name__}:{name}", PICTURE, SOFT)


@pytest.mark.parametrize("channels", [[4], [3, 1]])
def test_an_onnx_model_takes_picture_and_trimap(tmp_path, channels):
    inputs = [(FLOAT, [1, count, "rows", "columns"]) for count in channels]
    path = tmp_path / "matting.onnx"
    path.write_bytes(model([("ReduceMean", {"axes": [1], "keepdims": 1})], inputs))
    alpha = matted(str(path), PICTURE, SOFT)[..., 0]
    known = trimap(SOFT[..., 0])
    wanted = np.dstack([PICTURE, known])[..., : channels[0]].mean(axis=-1) / 255
    band = known == UNKNOWN
    np.testing.assert_allclose(alpha[band], wanted[band], atol=1e-5)


def test_a_model_of_other_inputs_is_refused(tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(model([("Relu", {})], [(FLOAT, [1, 3, "rows", "columns"])]))
    with pytest.raises(InputError, match=r"other\.onnx: expected one input \(1, 4, H, W\)"):
        matted(str(path), PICTURE, SOFT)


def test_the_network_is_in_the_key_and_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        matting_digest(str(tmp_path / "absent.onnx"))
    assert set(Export(matting=f"{__name__}:red_channel").code_digests) == {"matting"}
    assert Export().code_digests == {}
