"""The outputs of an ONNX model are read by what they give for a clip's first frames."""

import json

import numpy as np
import pytest

from pipeline.errors import ConfigError, InputError
from stages.media.masks.palette import read_labels
from stages.models.segmenters.load import find_output_roles, load_segmenter
from stages.models.segmenters.onnx_roles import OutputRoles
from steadymask.cli.main import main
from tests.support.small_library import write_clip
from tests.support.tiny_onnx import FLOAT, model

SAME = ("Identity", {})
GREY = ("ReduceMean", {"axes": [1], "keepdims": 1})
AREAS = ("AveragePool", {"kernel_shape": [8, 8], "strides": [8, 8]})
ROUND = ("Round", {})
SOFTMAX = ("Softmax", {"axis": 1})
AS_IT_IS = {"mean": (0, 0, 0), "std": (1, 1, 1)}  # the network sees RGB in [0, 1]
OTHER = {
    "channels": "rgb",
    "activation": "auto",
    "background": "auto",
    "output": "",
    "device": "cpu",
}
FRAME = np.zeros((64, 96, 3), np.uint8)
FRAME[8:40, 16:48] = (250, 200, 90)
FRAME[40:, :48, 2] = 160
FRAME[:24, 64:] = (60, 90, 250)


def written(tmp_path, *nodes, outputs=None, shape=(1, 3, 64, 96)):
    path = tmp_path / "model.onnx"
    path.write_bytes(model([*nodes] or [SAME], [(FLOAT, shape)], outputs=outputs))
    return str(path)


def roles_on(path, frames=(FRAME,), **settings):
    return find_output_roles(path, frames, **{**OTHER, **AS_IT_IS, **settings})[0]


def test_logits_that_noise_keeps_between_0_and_1_are_logits_on_frames(tmp_path):
    """Means over areas of noise are near one half; those of a picture reach its ends."""
    path = written(tmp_path, AREAS, GREY)
    shifted = {"mean": (0.3,) * 3, "std": (1,) * 3}
    assert roles_on(path, (), **shifted).activation == "none"
    assert roles_on(path, **shifted).activation == "sigmoid"


def test_an_output_that_copies_the_frames_is_a_picture_whatever_its_name(tmp_path):
    path = written(tmp_path, outputs=[("1", [SAME]), ("2", [SOFTMAX])])
    assert roles_on(path, ()).output == "1"  # of noise alone it may be a mask as well
    assert roles_on(path) == OutputRoles("2", "none", "first")


def test_a_model_that_gives_nothing_but_the_picture_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"none of its outputs is a mask \(.*a picture, 3 channels"
    ):
        roles_on(written(tmp_path))


def test_outputs_of_one_shape_that_show_something_else_need_a_choice(tmp_path):
    both = [("1", [GREY]), ("2", [GREY, ("Neg", {})])]
    path = written(tmp_path, outputs=both)
    with pytest.raises(ConfigError, match=r"'1': a map, 1 channel of 96x64, values 0 to .*; '2': .*"
                       r"set segment\.output to one of 1, 2"):  # fmt: skip
        roles_on(path)
    assert roles_on(path, output="2") == OutputRoles("2", "sigmoid", "none")


def test_outputs_that_show_the_same_are_one_mask(tmp_path):
    path = written(tmp_path, outputs=[("1", [GREY]), ("2", [GREY, ("Sqrt", {})])])
    assert roles_on(path).output == "1"


def test_whole_floats_are_labels_or_greys_and_never_logits(tmp_path):
    path = written(tmp_path, GREY, ROUND)
    labels = {"mean": (0,) * 3, "std": (1 / 3,) * 3}
    with pytest.raises(ConfigError, match=r"whole numbers from 0 to 3.*labels \(segment\.activation"
                       r"=labels.*255ths.*set segment\.activation"):  # fmt: skip
        roles_on(path, **labels)
    net = load_segmenter(path, **labels, activation="labels", classes=(1, 2))
    wanted = np.round(FRAME.mean(axis=-1) / 85)
    np.testing.assert_array_equal(net(FRAME), np.stack([wanted == 1, wanted == 2]))


def test_a_mask_in_255ths_is_said_to_be_one(tmp_path):
    path = written(tmp_path, GREY)
    of_255 = {"mean": (0,) * 3, "std": (1 / 255,) * 3}
    with pytest.raises(ConfigError, match=r"values from 0 to 2.*255ths \(segment\.activation=grey"):
        roles_on(path, **of_255)
    net = load_segmenter(path, **of_255, activation="grey")
    np.testing.assert_allclose(net(FRAME)[0], FRAME.mean(axis=-1) / 255, atol=1e-5)


def test_logits_below_0_of_all_classes_leave_two_readings(tmp_path):
    low = {"mean": (-0.1,) * 3, "std": (1,) * 3}
    path = written(tmp_path, AREAS, ("Neg", {}))
    with pytest.raises(ConfigError, match=r"in 100% of the first frames' pixels the logits of all 3"
                       r".*activation=sigmoid.*activation=softmax"):  # fmt: skip
        roles_on(path, **low)
    assert roles_on(path, **low, activation="sigmoid").background == "none"
    assert roles_on(path, **low, activation="softmax").background == "first"


def test_roles_are_found_again_from_their_settings(tmp_path):
    path = written(tmp_path, outputs=[("1", [SAME]), ("2", [SOFTMAX])])
    roles = roles_on(path)
    net = load_segmenter(path, **AS_IT_IS, **roles.to_json())
    assert OutputRoles.from_json(json.loads(json.dumps(roles.to_json()))) == roles
    assert net.class_ids == (1, 2)


def test_a_run_reads_every_chunk_by_the_clips_first_frames_and_says_so(tmp_path, capsys):
    write_clip(tmp_path, "a", 7)
    path = written(tmp_path, outputs=[("1", [SAME]), ("2", [SOFTMAX])])
    command = [str(tmp_path / "footage"), "--segmenter", path, "--executor", "inline"]
    command += ["--set", "segment.check=false", "--set", "report.enabled=false"]
    assert main([*command, "--out", str(tmp_path / "plan"), "--plan"]) == 0
    assert "output '2', of '1': a picture, 3 channels" in " ".join(capsys.readouterr().out.split())
    results = []
    for chunk in (2, 64):
        out = tmp_path / f"out{chunk}"
        assert main([*command, "--out", str(out), "--set", f"engine.chunk={chunk}"]) == 0
        results.append(np.stack([read_labels(p) for p in sorted((out / "a/masks").iterdir())]))
    np.testing.assert_array_equal(*results)
    known = json.loads((tmp_path / "out2/a/metrics.json").read_text())
    assert "output '2', of '1': a picture" in known["masks_read_as"]
