"""Test-time augmentation: the mean over scales and mirror images."""

import cv2
import numpy as np
import pytest
import skimage.data

from pipeline.errors import ConfigError
from stages.catalogue import build_steps
from stages.models.segmenters.load import load_segmenter
from stages.models.segmenters.torchvision import working_size
from stages.segment import Segment
from steadymask.cli.main import main
from tests.support.small_library import write_clip
from tests.support.tiny_onnx import FLOAT, model

FRAME = np.ascontiguousarray(skimage.data.astronaut()[:61, 150:241])  # odd sides
HERE = __name__
SCALES = (0.5, 1.0, 1.7)
LIGHT = "lraspp_mobilenet_v3_large"
SEEN_FRAMES = []


def ramps(frame):
    """Two classes that depend on colours and on where they are: a mirror changes them."""
    SEEN_FRAMES.append(frame.copy())
    across = np.linspace(0, 1, frame.shape[1], dtype=np.float32)
    values = frame.astype(np.float32) / 255
    return np.stack([values[..., 0] * across, (1 - values[..., 1]) * (1 - across)])


def bright(frame):
    return (frame.mean(-1) > 128).astype(np.uint8)


def eager(frame):
    """Over 1 in sum, and more so the larger the picture."""
    return np.full((2, *frame.shape[:2]), min(frame.shape[0] / 61, 1), np.float32)


def slow_mean(segment, channels, scales, *, flip):
    """Return the mean of what `segment` gives for pictures made one by one, pixel by pixel."""
    rows, columns = FRAME.shape[:2]
    gathered = []
    for scale in scales:
        size = round(columns * scale), round(rows * scale)
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(FRAME, size, interpolation=how)
        for mirrored in (False, True) if flip else (False,):
            view = np.stack([row[::-1] for row in small]) if mirrored else small
            answer = segment(view)
            total = answer.sum(axis=0)
            back = np.zeros((channels, rows, columns))
            large = [cv2.resize(plane, (columns, rows)) for plane in answer]
            whole = np.stack(large)
            for y, x in np.ndindex(rows, columns):
                back[:, y, x] = whole[:, y, columns - 1 - x if mirrored else x]
            assert total.max() <= 1 + 1e-6
            gathered.append(back)
    return np.mean(gathered, axis=0)


@pytest.mark.parametrize("flip", [False, True])
def test_masks_are_the_mean_over_scales_and_mirror_images(flip):
    net = load_segmenter(f"{HERE}:ramps", classes=(4, 9), scales=SCALES, flip=flip)
    assert net.class_ids == (4, 9)
    soft = net(FRAME)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft, slow_mean(ramps, 2, SCALES, flip=flip), atol=2e-6)


def test_a_function_sees_each_scale_and_its_mirror_image_once():
    SEEN_FRAMES.clear()
    load_segmenter(f"{HERE}:ramps", classes=(1, 2), scales=SCALES, flip=True)(FRAME)
    assert [picture.shape[:2] for picture in SEEN_FRAMES] == [
        *((30, 46), (30, 46)),
        *((61, 91), (61, 91)),
        *((104, 155), (104, 155)),
    ]
    np.testing.assert_array_equal(SEEN_FRAMES[1], SEEN_FRAMES[0][:, ::-1])


def test_labels_become_the_share_of_looks_that_gave_them():
    soft = load_segmenter(f"{HERE}:bright", classes=(1,), flip=True)(FRAME)
    np.testing.assert_array_equal(soft[0], bright(FRAME))  # it sees the same pixels mirrored
    several = load_segmenter(f"{HERE}:bright", classes=(1,), scales=(1.0, 0.5))(FRAME)
    assert ((several > 0) & (several < 1)).mean() > 0.05


def test_each_look_is_scaled_to_one_before_the_mean():
    soft = load_segmenter(f"{HERE}:eager", classes=(1, 2), scales=(0.25, 1.0))(FRAME)
    np.testing.assert_allclose(soft, (15 / 61 + 0.5) / 2, atol=1e-6)


def test_the_defaults_are_the_segmenter_itself():
    plain = load_segmenter(f"{HERE}:ramps", classes=(1, 2))(FRAME)
    by_default = load_segmenter(f"{HERE}:ramps", classes=(1, 2), scales=(1.0,), flip=False)(FRAME)
    np.testing.assert_array_equal(plain, by_default)


def test_chosen_classes_and_their_union_are_augmented_too():
    looks = {"scales": (0.5, 1.0), "flip": True}
    both = load_segmenter(f"{HERE}:ramps", classes=(1, 2), **looks)(FRAME)
    union = load_segmenter(f"{HERE}:ramps", classes=(1, 2), union=True, **looks)(FRAME)
    np.testing.assert_allclose(union[0], both.sum(axis=0), atol=1e-6)


def test_a_torchvision_model_sees_its_own_size_times_the_scale():
    assert working_size(480, 854, 0.5) == (260, 463)
    assert working_size(1, 4000, 2.0) == (32, 4160)
    segmenter = load_segmenter(LIGHT, weights="random")
    two = [segmenter(FRAME, scale=scale) for scale in (0.3, 0.5)]
    assert (two[0] != two[1]).mean() > 0.9
    mean = load_segmenter(LIGHT, weights="random", scales=(0.3, 0.5))(FRAME)
    np.testing.assert_allclose(mean, (two[0] + two[1]) / 2, atol=1e-6)


@pytest.fixture
def write(tmp_path):
    def write(shape, node=("Softmax", {"axis": 2})):  # down the rows: it tells their number
        path = tmp_path / "model.onnx"
        path.write_bytes(model([node], [(FLOAT, shape)]))
        return str(path)

    return write


CENTRED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


@pytest.mark.parametrize(
    ("shape", "scale", "rows", "of"),
    [
        ((1, 3, "h", "w"), 2.0, 90, 96),
        ((1, 3, "h", "w"), 0.5, 22, 32),
        ((1, 3, 70, 70), 0.5, 22, 70),
        ((1, 3, 70, "w"), 0.5, 31, 70),
    ],
)
def test_an_onnx_model_sees_a_scaled_picture_on_its_canvas(write, shape, scale, rows, of):
    colour = np.float32([20, 102, 51]) / 255
    frame = np.full((45, 70, 3), (20, 102, 51), np.uint8)
    soft = load_segmenter(write(shape), scales=(scale,), background="first", **CENTRED)(frame)
    powers = np.exp(2 * colour[1:] - 1)
    np.testing.assert_allclose(soft[:, 0, 0], powers / (rows * powers + of - rows), rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3, 70, 70), (1, 3, "h", 70)])
def test_a_model_of_a_fixed_size_refuses_to_see_more(write, shape):
    path = write(shape)
    load_segmenter(path, scales=(0.5, 1.0), flip=True)
    for more in ({}, {"union": True}):
        with pytest.raises(ConfigError, match=r"segment\.scales = \[1\.0, 1\.5\]: expected at mo"):
            load_segmenter(path, scales=(1.0, 1.5), **more)


@pytest.mark.parametrize("scales", [(), (1.0, 1.0), (0.0, 1.0), (-1.0,)])
def test_scales_are_different_and_above_0(scales):
    with pytest.raises(ConfigError, match=r"segment\.scales = .*: expected different factors"):
        load_segmenter(f"{HERE}:ramps", classes=(1, 2), scales=scales)


@pytest.mark.parametrize("scales", [[], [0.01], [9], [1, 1.0]])
def test_settings_hold_scales_to_bounds(scales):
    sections = {"segment": {"segmenter": f"{HERE}:ramps", "classes": [1, 2], "scales": scales}}
    with pytest.raises(ConfigError, match=r"segment\.scales = "):
        build_steps(sections, "test")


def test_the_stage_hands_its_settings_on():
    stage = Segment(segmenter=f"{HERE}:ramps", classes=(1, 2), scales=(0.5, 1.0), flip=True)
    expected = slow_mean(ramps, 2, (0.5, 1.0), flip=True)
    np.testing.assert_allclose(stage.load()(FRAME), expected, atol=2e-6)


def test_a_run_looks_several_times(tmp_path, monkeypatch):
    write_clip(tmp_path, "a", 3)
    monkeypatch.syspath_prepend(tmp_path)
    code = "def f(frame):\n    return (frame[..., 0] > 120).astype('uint8')\n"
    (tmp_path / "looker.py").write_text(code)
    command = [str(tmp_path / "footage"), "--segmenter", "looker:f", "--executor", "inline"]
    command += ["--set", "segment.classes=[1]", "--set", "report.enabled=false"]
    command += ["--set", "refine.method=vote"]  # soft differences reach the labels
    looks = ["--set", "segment.scales=[0.5, 1]", "--set", "segment.flip=true"]
    for out, more, chunk in (("one", [], 9), ("two", looks, 9), ("three", looks, 2)):
        store = ["--store", str(tmp_path / f"store-{chunk}"), "--out", str(tmp_path / out)]
        assert main([*command, *store, *more, "--set", f"engine.chunk={chunk}"]) == 0
    results = {
        out: [path.read_bytes() for path in sorted((tmp_path / out / "a" / "masks").iterdir())]
        for out in ("one", "two", "three")
    }
    assert results["one"] != results["two"]
    assert results["two"] == results["three"]
