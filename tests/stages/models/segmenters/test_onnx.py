"""ONNX segmenters: tiny ones of every kind, and a real one."""

import cv2
import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from stages.metrics.accuracy import jaccard
from stages.models.segmenters.load import load_segmenter
from tests.support.tiny_onnx import FLOAT, INT64, UINT8, model

AS_IT_IS = {"mean": (0, 0, 0), "std": (1, 1, 1)}  # the network sees RGB in [0, 1]
CENTRED = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
FIRST = {"background": "first"}
SAME = ("Identity", {})
SIGMOID = ("Sigmoid", {})
SOFTMAX = ("Softmax", {"axis": 1})
TO_FIRST = ("Transpose", {"perm": [0, 3, 1, 2]})
TO_LAST = ("Transpose", {"perm": [0, 2, 3, 1]})
GREY = ("ReduceMean", {"axes": [1], "keepdims": 1})
BEST = ("ArgMax", {"axis": 1, "keepdims": 1})
BEST_FLAT = ("ArgMax", {"axis": 1, "keepdims": 0})
COLOUR = np.float32([20, 102, 51]) / 255  # red, green, blue; a frame's only one


@pytest.fixture
def write(tmp_path):
    def write(*nodes, shape=(1, 3, 30, 40), kind=FLOAT, output=FLOAT):
        path = tmp_path / "model.onnx"
        path.write_bytes(model(nodes, [(kind, shape)], output_type=output))
        return str(path)

    return write


def frame_of(colour=COLOUR, size=(45, 70)):
    return np.full((*size, 3), np.round(np.float32(colour) * 255), np.uint8)


@pytest.mark.parametrize(
    ("shape", "nodes"),
    [
        ((1, 3, 30, 40), [SAME]),
        ((1, 30, 40, 3), [SAME]),
        ((1, 30, 40, 3), [TO_FIRST]),
        ((1, 3, 30, 40), [TO_LAST]),
        ((1, 3, "h", "w"), [SAME]),
        (("n", "h", "w", 3), [SAME]),
        (("n", "c", "h", "w"), [SAME]),
        ((1, 3, 32, "w"), [SAME]),
        ((1, 3, 3, 3), [SAME]),
    ],
)
def test_layout_and_size_are_found_from_the_model(write, shape, nodes):
    net = load_segmenter(write(*nodes, shape=shape), **AS_IT_IS, **FIRST)
    assert net.class_ids == (1, 2)
    soft = net(frame_of())
    assert soft.shape == (2, 45, 70)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft[:, 20, 30], COLOUR[1:], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 90, 140), (1, 3, 140, 140), (1, 3, "h", "w")])
def test_masks_lie_where_the_picture_has_them(write, shape):
    frame = np.zeros((45, 70, 3), np.uint8)
    frame[:20, 40:, 1] = 255
    soft = load_segmenter(write(SAME, shape=shape), **AS_IT_IS, **FIRST)(frame)
    np.testing.assert_array_equal(soft[0] > 0.5, frame[..., 1] > 0)
    assert (soft[1] == 0).all()


@pytest.mark.parametrize(
    ("shape", "rows", "of"),
    [((1, 3, 60, 60), round(45 * 60 / 70), 60), ((1, 3, "h", "w"), 45, 64)],
)
def test_the_model_sees_the_picture_in_its_aspect_with_zeros_below(write, shape, rows, of):
    down_the_rows = ("Softmax", {"axis": 2})
    soft = load_segmenter(write(down_the_rows, shape=shape), **CENTRED, **FIRST)(frame_of())
    powers = np.exp(2 * COLOUR[1:] - 1)
    np.testing.assert_allclose(soft[:, 0, 0], powers / (rows * powers + of - rows), atol=1e-6)


def test_channels_may_be_wanted_in_reverse(write):
    soft = load_segmenter(write(SAME), channels="bgr", **AS_IT_IS, **FIRST)(frame_of())
    np.testing.assert_allclose(soft[:, 0, 0], COLOUR[1::-1], atol=1e-6)


def test_mean_and_deviation_are_of_red_green_and_blue_in_either_order(write):
    settings = {"mean": (0, 0.1, 0), "std": (1, 1, 2), "activation": "none", **FIRST}
    path, (red, green, blue) = write(SAME), COLOUR
    forward = load_segmenter(path, **settings)(frame_of())
    np.testing.assert_allclose(forward[:, 0, 0], [green - 0.1, blue / 2], atol=1e-6)
    reverse = load_segmenter(path, channels="bgr", **settings)(frame_of())
    np.testing.assert_allclose(reverse[:, 0, 0], [green - 0.1, red], atol=1e-6)


def test_several_channels_of_logits_go_through_a_softmax(write):
    soft = load_segmenter(write(SAME), **CENTRED)(frame_of())
    powers = np.exp(2 * COLOUR - 1)
    np.testing.assert_allclose(soft[:, 0, 0], (powers / powers.sum())[1:], atol=1e-6)


def test_one_channel_of_logits_goes_through_a_sigmoid(write):
    net = load_segmenter(write(GREY), **CENTRED)
    assert net.class_ids == (1,)
    expected = 1 / (1 + np.exp(1 - 2 * COLOUR.mean()))
    np.testing.assert_allclose(net(frame_of()), expected, atol=1e-6)


def test_one_channel_of_probabilities_is_taken_as_it_is(write):
    soft = load_segmenter(write(GREY), **AS_IT_IS)(frame_of())
    np.testing.assert_allclose(soft, COLOUR.mean(), atol=1e-6)


def test_the_activation_does_not_change_from_frame_to_frame(write):
    net = load_segmenter(write(GREY), **CENTRED)
    grey = net(frame_of((0.7, 0.7, 0.7)))  # logits that alone would pass as probabilities
    np.testing.assert_allclose(grey, 1 / (1 + np.exp(-0.4)), atol=5e-3)


def test_extreme_logits_do_not_overflow(write):
    soft = load_segmenter(write(GREY), mean=(0.5,) * 3, std=(1e-4,) * 3)(frame_of((0, 0, 0)))
    assert (soft == 0).all()


def test_probabilities_that_sum_to_more_than_one_are_scaled(write):
    soft = load_segmenter(write(SAME), **AS_IT_IS, **FIRST)(frame_of((0, 1, 1)))
    np.testing.assert_allclose(soft, 0.5, atol=1e-6)


@pytest.mark.parametrize("best", [BEST, BEST_FLAT])
def test_a_model_may_give_labels(write, best):
    path = write(best, output=INT64)
    net = load_segmenter(path, classes=(1, 2))
    np.testing.assert_array_equal(net(frame_of((0, 1, 0)))[:, 0, 0], [1, 0])
    np.testing.assert_array_equal(net(frame_of((1, 0, 0)))[:, 0, 0], [0, 0])
    with pytest.raises(ConfigError, match=r"gives labels: say which.*segment\.classes"):
        load_segmenter(path)


def test_a_model_of_bytes_sees_the_picture_as_it_is(write):
    net = load_segmenter(write(BEST, kind=UINT8, output=INT64), classes=(1, 2))
    np.testing.assert_array_equal(net(frame_of((0, 0, 1)))[:, 0, 0], [0, 1])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 30, 40), "expected one input, a picture of 4 dimensions"),
        ((1, 4, 30, 40), "expected an input of 3 channels, got"),
        ((2, 3, 30, 40), r"cannot take an input \(1, 3, 30, 40\)"),
    ],
)
def test_a_model_of_something_else_is_refused(write, shape, message):
    with pytest.raises(InputError, match=rf"model\.onnx: {message}"):
        load_segmenter(write(SAME, shape=shape))


def test_a_model_of_two_inputs_is_refused(tmp_path):
    shape = (1, 3, 30, 40)
    (tmp_path / "m.onnx").write_bytes(model([SAME], [(FLOAT, shape), (FLOAT, shape)]))
    with pytest.raises(InputError, match=r"m\.onnx: expected one input.*input1"):
        load_segmenter(str(tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("node", "got"),
    [
        (("Flatten", {}), r"\(1, 32400\)"),
        (("GlobalAveragePool", {}), r"\(1, 3, 1, 1\)"),
        (("Transpose", {"perm": [0, 1, 3, 2]}), r"\(1, 3, 120, 90\)"),
    ],
)
def test_an_output_that_is_no_picture_is_refused(write, node, got):
    with pytest.raises(InputError, match=rf"expected an output .*\(90, 120\), got {got}"):
        load_segmenter(write(node, shape=(1, 3, 90, 120)))


@pytest.mark.parametrize("kernel", [[8, 8], [16, 16], [32, 32]])
def test_an_output_may_be_coarser_than_the_input(write, kernel):
    pool = ("AveragePool", {"kernel_shape": kernel, "strides": kernel, "ceil_mode": 1})
    soft = load_segmenter(write(pool, shape=(1, 3, 225, 300)), **AS_IT_IS, **FIRST)(frame_of())
    np.testing.assert_allclose(soft[:, 20, 30], COLOUR[1:], atol=1e-5)


def test_several_planes_of_integers_are_refused(write):
    with pytest.raises(InputError, match="expected one plane of integer labels, got 3 of uint8"):
        load_segmenter(write(SAME, kind=UINT8, output=UINT8), classes=(1,))


@pytest.mark.parametrize(
    ("node", "settings", "got"),
    [(("Log", {}), {}, "got nan to nan"), (SAME, {"activation": "none"}, "got -1 to 0 with")],
)
def test_what_is_no_probability_is_refused(write, node, settings, got):
    net = load_segmenter(write(node), **CENTRED, **settings)
    with pytest.raises(InputError, match=rf"model\.onnx: expected probabilities .*{got}"):
        net(frame_of((0, 0, 0)))


def test_a_setting_that_does_not_fit_is_refused(write):
    with pytest.raises(ConfigError, match=r"segment\.activation = 'softmax': expected sigmoid"):
        load_segmenter(write(GREY), activation="softmax")
    with pytest.raises(ConfigError, match=r"segment\.device = 'abacus': .*CPUExecutionProvider"):
        load_segmenter(write(GREY), device="abacus")


def test_garbage_is_no_onnx_model(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"m\.onnx: not a readable ONNX model"):
        load_segmenter(str(tmp_path / "m.onnx"))


def test_a_real_model_finds_the_player(data):
    path = data / "weights" / "deeplab-dm05-person" / "deeplab_nchw.onnx"
    net = load_segmenter(str(path), **CENTRED)
    assert net.class_ids == (1,)
    clip = data / "sequences" / "tennis"
    frame = cv2.imread(str(clip / "JPEGImages" / "00030.jpg"))[..., ::-1]
    truth = cv2.imread(str(clip / "Annotations" / "00030.png"), cv2.IMREAD_UNCHANGED)
    truth = truth.max(-1) > 0 if truth.ndim == 3 else truth > 0
    soft = net(np.ascontiguousarray(frame))
    assert soft.shape == (1, *frame.shape[:2])
    assert jaccard(soft[0] > 0.5, truth) > 0.4


def written(tmp_path, outputs, shape=(1, 3, 30, 40)):
    path = tmp_path / "several.onnx"
    path.write_bytes(model([SAME], [(FLOAT, shape)], outputs=outputs))
    return str(path)


@pytest.mark.parametrize(
    ("outputs", "taken"),
    [
        ([("fgr", [SAME]), ("pha", [GREY])], "pha"),
        ([("1", [SAME]), ("2", [GREY])], "2"),
        ([("d0", [GREY]), ("d1", [GREY]), ("d2", [GREY])], "d0"),
        ([("aux", [SAME]), ("out", [SAME])], "out"),
        ([("image", [SAME]), ("logits", [SAME])], "logits"),
        ([("scores", [("GlobalAveragePool", {})]), ("masks", [GREY])], "masks"),
    ],
)
def test_the_mask_is_found_among_several_outputs(tmp_path, outputs, taken):
    net = load_segmenter(written(tmp_path, outputs), **AS_IT_IS)
    assert f"output {taken!r}" in net.notes[0]
    mask = net(frame_of())[:, 20, 30]
    np.testing.assert_allclose(mask, COLOUR.mean() if GREY in dict(outputs)[taken] else COLOUR,
                               atol=1e-5)  # fmt: skip


def test_outputs_of_which_each_may_be_the_mask_stop_the_run_until_one_is_chosen(tmp_path):
    path = written(tmp_path, [("a", [GREY]), ("b", [SAME, BEST_FLAT, ("Cast", {"to": FLOAT})])])
    assert "the first of several alike" in load_segmenter(path, **AS_IT_IS).notes[0]
    path = written(tmp_path, [("a", [("Concat", {"axis": 1})]), ("b", [GREY])])
    net = load_segmenter(path, **AS_IT_IS, output="b")
    assert net.class_ids == (1,)
    with pytest.raises(ConfigError, match=r"segment\.output = 'c': expected one of a, b"):
        load_segmenter(path, **AS_IT_IS, output="c")


def test_probabilities_that_do_not_sum_to_one_have_no_background(write):
    net = load_segmenter(write(SIGMOID), **AS_IT_IS)
    assert net.class_ids == (1, 2, 3)
    assert "independent classes without a background" in net.notes[0]


def test_probabilities_that_sum_to_one_begin_with_the_background(write):
    net = load_segmenter(write(SOFTMAX), **AS_IT_IS)
    assert net.class_ids == (1, 2)
    assert "the first being background" in net.notes[0]


def test_logits_of_independent_classes_are_asked_for(write):
    net = load_segmenter(write(SAME), **CENTRED, activation="sigmoid")
    assert net.class_ids == (1, 2, 3)


def test_two_outputs_of_different_shapes_need_a_choice(tmp_path):
    outputs = [("a", [GREY]), ("b", [("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
                                     GREY])]  # fmt: skip
    with pytest.raises(ConfigError, match=r"set segment\.output to one of a, b"):
        load_segmenter(written(tmp_path, outputs), **AS_IT_IS)
