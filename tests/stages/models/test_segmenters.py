"""Segmenters by every way of naming them."""

import cv2
import numpy as np
import pytest
import skimage.data

from pipeline.errors import ConfigError, InputError
from stages.metrics.accuracy import jaccard
from stages.models.segmenters import load_segmenter

FRAME = skimage.data.astronaut()[:60, :90]


def bright(frame):
    return (frame.mean(-1) > 128).astype(np.uint8) * 7


def halves(frame):
    return np.full((2, *frame.shape[:2]), 0.5, np.float32)


def wrong_size(frame):
    return np.zeros((3, 3), np.uint8)


def not_a_number(frame):
    return np.full((1, *frame.shape[:2]), np.nan)


HERE = __name__


def test_a_users_function_may_give_labels():
    model = load_segmenter(f"{HERE}:bright", classes=(7,))
    np.testing.assert_array_equal(model(FRAME)[0], FRAME.mean(-1) > 128)


def test_a_users_function_may_give_probabilities():
    model = load_segmenter(f"{HERE}:halves", classes=(1, 4))
    assert model.class_ids == (1, 4)
    assert (model(FRAME) == 0.5).all()


def test_all_classes_may_be_merged():
    model = load_segmenter(f"{HERE}:halves", classes=(1, 4), union=True)
    assert model.class_ids == (1,)
    assert (model(FRAME) == 1).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [("wrong_size", r"got uint8 \(3, 3\)"), ("not_a_number", r"expected values in \[0, 1\]")],
)
def test_what_a_users_function_gives_is_checked(name, message):
    with pytest.raises(InputError, match=message):
        load_segmenter(f"{HERE}:{name}", classes=(1,))(FRAME)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:f", "No module named"),
        (f"{HERE}:nothing", "has no attribute 'nothing'"),
        (f"{HERE}:bright", "say which labels it gives"),
        ("deeplab", "expected one of .*deeplabv3_resnet50"),
        ("none.onnx", "no such file"),
    ],
)
def test_a_segmenter_that_is_not_there_is_named(spec, message):
    with pytest.raises(ConfigError, match=message):
        load_segmenter(spec)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_a_torchvision_model_gives_probabilities_at_the_pictures_size(name):
    model = load_segmenter(name, weights="random")
    soft = model(FRAME)
    assert soft.shape == (20, 60, 90)
    assert model.class_ids == tuple(range(1, 21))
    assert (soft >= 0).all()
    assert soft.sum(axis=0).max() <= 1 + 1e-5


def test_weights_of_another_model_are_refused(tmp_path):
    import torch

    torch.save({"layer": torch.zeros(3)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: not weights of lraspp"):
        load_segmenter("lraspp_mobilenet_v3_large", weights=str(tmp_path / "w.pth"))


def test_garbage_is_no_onnx_model(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"m\.onnx: not a readable ONNX model"):
        load_segmenter(str(tmp_path / "m.onnx"))


def test_a_real_onnx_model_finds_the_player(data):
    path = data / "weights" / "deeplab-dm05-person" / "deeplab_nchw.onnx"
    model = load_segmenter(str(path), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert model.class_ids == (1,)
    clip = data / "sequences" / "tennis"
    frame = cv2.imread(str(clip / "JPEGImages" / "00030.jpg"))[..., ::-1]
    truth = cv2.imread(str(clip / "Annotations" / "00030.png"), cv2.IMREAD_UNCHANGED)
    truth = truth.max(-1) > 0 if truth.ndim == 3 else truth > 0
    soft = model(np.ascontiguousarray(frame))
    assert soft.shape == (1, *frame.shape[:2])
    assert jaccard(soft[0] > 0.5, truth) > 0.4
