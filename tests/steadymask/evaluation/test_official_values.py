"""Scores of real masks equal those that the official programs gave on the same masks.

davis2017-evaluation for J and F, the program of DAVIS 2016 for T (first 30 frames), VSPW's
evaluator and scripts for the classes. Numbers only: nothing of theirs is here.
"""

import numpy as np
import pytest
from PIL import Image

from stages.metrics.davis_instability import SCALE, davis_instability
from steadymask.evaluation.protocols import PROTOCOLS
from steadymask.evaluation.score_clip import Options
from steadymask.evaluation.score_library import score_library
from steadymask.evaluation.summary import summarise_clips

OSVOS, DEEPLAB = "Predictions_osvos", "Predictions_deeplabv3-mnv2-pascal"
CLOSE = 1e-4

# (mean, recall, decay) of J and F over all frames, then without the first and the last.
SINGLE = {
    ("dog", OSVOS): (
        (0.7186678, 0.7333333, 0.1393138), (0.7003310, 0.8, 0.1267887),
        (0.7107923, 0.7241379, 0.1481500), (0.6911088, 0.7931034, 0.1314404),
    ),
    ("car-shadow", OSVOS): (
        (0.9236748, 1.0, 0.1251414), (0.9131069, 1.0, 0.1843786),
        (0.9284016, 1.0, 0.1102802), (0.9174072, 1.0, 0.1697487),
    ),
    ("libby", OSVOS): (
        (0.6197655, 0.6122449, 0.5289045), (0.7474057, 0.8979592, 0.3821935),
        (0.6230270, 0.6170213, 0.4986131), (0.7512319, 0.9148936, 0.3494713),
    ),
    ("dog-agility", DEEPLAB): (
        (0.7317852, 0.96, -0.0281540), (0.5665463, 0.8, 0.1268824),
        (0.7652724, 1.0, -0.1364628), (0.5911400, 0.8260870, 0.0696245),
    ),
}  # fmt: skip
# The same of each of the two objects of bmx-trees by OSVOS, without the first and the last frame.
OBJECTS = (
    (0.3441739, 0.1923077, 0.3144748, 0.6798186, 0.7820513, 0.4234811),
    (0.6066951, 0.7564103, 0.1753398, 0.7777423, 0.9743590, 0.0176192),
)
INSTABILITY = {
    ("dog", OSVOS): 0.7430827,
    ("libby", OSVOS): 0.8615689,
    ("bus", DEEPLAB): 0.0404957,
    ("tennis", DEEPLAB): 0.7162023,
}
STATISTICS = ("J", "J_recall", "J_decay", "F", "F_recall", "F_decay")


class NoFlow:
    """Judges accuracy alone."""

    radius = 0

    def links(self, frames):
        for _ in frames:
            yield []


def pictures(folder):
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix != ".txt"}


def scores(data, names, kind, options):
    """Score one kind of masks of several sequences."""
    clips = {name: pictures(data / "sequences" / name / "JPEGImages") for name in names}
    masks = {name: pictures(data / "sequences" / name / kind) for name in names}
    truth = {name: pictures(data / "sequences" / name / "Annotations") for name in names}
    actual, failures = score_library(clips, {"net": masks}, truth, NoFlow(), options)
    assert failures == []
    return actual


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), SINGLE)
@pytest.mark.parametrize("protocol", ["all", "davis2016"])
def test_j_and_f_of_single_objects(data, name, kind, protocol):
    options = Options(union=True, protocol=PROTOCOLS[protocol])
    values = scores(data, [name], kind, options)[0].values["net"]
    overlap, contour = SINGLE[name, kind][0 if protocol == "all" else 2 :][:2]
    ours = [values[measure] for measure in STATISTICS]
    assert ours == pytest.approx([*overlap, *contour], abs=CLOSE)


@pytest.mark.slow
def test_a_set_of_davis_2017_is_a_mean_over_objects(data):
    clips = scores(
        data, ["bmx-trees", "car-shadow"], OSVOS, Options(protocol=PROTOCOLS["davis2017"])
    )
    means = summarise_clips(clips, ["net"]).means["net"]
    single = [number for triple in SINGLE["car-shadow", OSVOS][2:] for number in triple]
    expected = np.mean([*OBJECTS, single], axis=0)
    ours = [means[measure].value for measure in STATISTICS]
    assert ours == pytest.approx(expected.tolist(), abs=CLOSE)
    assert means["J&F"].value == pytest.approx((expected[0] + expected[3]) / 2, abs=CLOSE)
    over_clips = np.mean([clip.values["net"]["J"] for clip in clips])
    assert over_clips != pytest.approx(expected[0], abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), INSTABILITY)
def test_t_of_thirty_frames(data, name, kind):
    paths = list(pictures(data / "sequences" / name / kind).values())[1:29]
    masks = [np.asarray(Image.open(path)) for path in paths]
    masks = [(mask > 0) & (mask != 255) for mask in masks]
    wobbles = [davis_instability(masks[t], masks[t + 1]) for t in range(27)]
    assert SCALE * np.nanmean(wobbles) == pytest.approx(INSTABILITY[name, kind], abs=CLOSE)


@pytest.mark.slow
def test_classes_of_camvid(data):
    strip = "Predictions_deeplab-edgetpu-cityscapes"
    options = Options("classes", protocol=PROTOCOLS["vspw"], void=(0,))
    clips = scores(data, ["camvid-0016E5-15hz"], strip, options)
    means = summarise_clips(clips, ["net"]).means["net"]
    expected = {
        "mIoU_vspw": 0.5140993,
        "fwIoU_vspw": 0.7627909,
        "accuracy_vspw": 0.8589966,
        "class_accuracy_vspw": 0.6703775,
        "VC8_vspw": 0.8761115,
        "VC16_vspw": 0.8638891,
        "VC8": 0.8565727,
        "VC16": 0.8588472,
    }
    assert {name: means[name].value for name in expected} == pytest.approx(expected, abs=CLOSE)
