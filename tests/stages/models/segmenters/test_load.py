"""Segmenters by name: users' own functions, and the choice of classes."""

import numpy as np
import pytest
import skimage.data

from pipeline.errors import ConfigError, InputError, ShapeError
from stages.models.segmenters.load import load_segmenter, segmenter_digest

FRAME = skimage.data.astronaut()[:60, :90]
HERE = __name__


def bright(frame):
    return (frame.mean(-1) > 128).astype(np.uint8) * 7


def halves(frame):
    return np.full((2, *frame.shape[:2]), 0.5, np.float32)


def eager(frame):
    return np.full((2, *frame.shape[:2]), 0.8)


def grey(frame):
    return frame.mean(-1) / 255


def wrong_size(frame):
    return np.zeros((3, 3), np.uint8)


def whole_numbers(frame):
    return np.zeros((1, *frame.shape[:2]), int)


def not_a_number(frame):
    return np.full((1, *frame.shape[:2]), np.nan)


def logits(frame):
    return np.full((1, *frame.shape[:2]), 3.0)


def failing(frame):
    raise KeyError("person")


def untidy(frame):
    labels = bright(frame)
    frame[:] = 0
    return labels


NO_FUNCTION = 3


def test_a_users_function_may_give_labels():
    model = load_segmenter(f"{HERE}:bright", classes=(7,))
    assert model.class_ids == (7,)
    np.testing.assert_array_equal(model(FRAME)[0], FRAME.mean(-1) > 128)


def test_a_users_function_may_write_to_its_picture():
    model, frame = load_segmenter(f"{HERE}:untidy", classes=(7,)), FRAME.copy()
    np.testing.assert_array_equal(model(frame)[0], FRAME.mean(-1) > 128)
    np.testing.assert_array_equal(frame, FRAME)


def test_labels_that_are_not_named_are_background():
    assert (load_segmenter(f"{HERE}:bright", classes=(1,))(FRAME) == 0).all()


def test_a_users_function_may_give_probabilities():
    model = load_segmenter(f"{HERE}:halves", classes=(1, 4))
    assert model.class_ids == (1, 4)
    assert (model(FRAME) == 0.5).all()


def test_one_class_may_come_without_its_axis():
    soft = load_segmenter(f"{HERE}:grey", classes=(1,))(FRAME)
    np.testing.assert_allclose(soft[0], FRAME.mean(-1) / 255, atol=1e-6)


def test_probabilities_that_sum_to_more_than_one_are_scaled():
    np.testing.assert_allclose(load_segmenter(f"{HERE}:eager", classes=(1, 2))(FRAME), 0.5)


def test_all_classes_may_be_merged():
    model = load_segmenter(f"{HERE}:halves", classes=(1, 4), union=True)
    assert model.class_ids == (1,)
    assert (model(FRAME) == 1).all()


def test_only_some_classes_may_be_kept_in_any_order():
    name = "lraspp_mobilenet_v3_large"
    everything = load_segmenter(name, weights="random")(FRAME)
    model = load_segmenter(name, weights="random", classes=(15, 8))
    assert model.class_ids == (15, 8)
    np.testing.assert_array_equal(model(FRAME), everything[[14, 7]])
    with pytest.raises(ConfigError, match=r"segment\.classes: expected some of .*got \[21\]"):
        load_segmenter(name, weights="random", classes=(15, 21))


@pytest.mark.parametrize("classes", [(0,), (1, 1), (-3,)])
def test_classes_are_different_and_not_background(classes):
    with pytest.raises(ConfigError, match=r"segment\.classes: expected different labels above 0"):
        load_segmenter(f"{HERE}:halves", classes=classes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong_size", r"expected integer labels \(60, 90\) .* got uint8 \(3, 3\)"),
        ("whole_numbers", r"float probabilities \(1, 60, 90\), got int64 \(1, 60, 90\)"),
        ("halves", r"got float32 \(2, 60, 90\)"),
        ("not_a_number", r"expected values in \[0, 1\], got nan"),
        ("logits", r"expected values in \[0, 1\], got 3 to 3"),
        ("failing", r"failing: raised KeyError: 'person'"),
    ],
)
def test_what_a_users_function_gives_is_checked(name, message):
    with pytest.raises(InputError, match=message):
        load_segmenter(f"{HERE}:{name}", classes=(1,))(FRAME)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module:f", "No module named"),
        (f"{HERE}:nothing", "has no attribute 'nothing'"),
        (f"{HERE}:NO_FUNCTION", "expected a function, got a int"),
        (f"{HERE}:bright", "say which labels it gives"),
        (":f", "Empty module name"),
        ("none.onnx", "no such file"),
    ],
)
def test_a_segmenter_that_is_not_there_is_named(spec, message):
    with pytest.raises(ConfigError, match=message):
        load_segmenter(spec)


def test_a_picture_without_colours_is_refused():
    with pytest.raises(ShapeError, match=r"frame: expected \(H W 3\), got \(60, 90\)"):
        load_segmenter(f"{HERE}:bright", classes=(7,))(FRAME[..., 0])


def test_a_changed_function_changes_the_digest(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "segmenter_of_a_test.py"
    path.write_text("def f(frame): return frame[..., 0] > 3")
    before = segmenter_digest("segmenter_of_a_test:f")
    path.write_text("def f(frame): return frame[..., 0] > 4")
    assert segmenter_digest("segmenter_of_a_test:f") != before
    assert segmenter_digest("no_such_module:f") != segmenter_digest("no.such.module:f")
