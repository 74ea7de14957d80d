"""Redaction hides every covered pixel; what replaces a background leaves the object alone."""

import json

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import InputError
from stages.media.results.redacted import coverage, redact, redaction_methods
from stages.media.results.registry import build_results
from stages.media.results.result import ResultClip
from stages.media.results.settings import Redaction, ResultSettings
from stages.ops.cover import ABSENT, CARRIED, SIGHTED
from tests.stages.media.results.test_formats import CLASSES, scenes, timeline
from tests.support.result_files import result_clip, write_all

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


@pytest.mark.parametrize("method", ["blur", "pixelate", "solid"])
def test_covered_pixels_are_hidden_and_others_untouched(method):
    cover = np.zeros((60, 80, 2), np.bool_)
    cover[10:50, 20:60, 0] = True
    hidden = redact(NOISE, cover, [method, "none"], Redaction(strength=0.2))
    inside = cover[..., 0]
    np.testing.assert_array_equal(hidden[~inside], NOISE[~inside])
    # What is left of noise with a deviation of 74 in blocks of twelve pixels.
    assert hidden[inside].std() < 12


def test_each_class_is_hidden_in_its_own_way():
    cover = np.zeros((60, 80, 2), np.bool_)
    cover[:30, :, 0], cover[30:, :, 1] = True, True
    chosen = Redaction(method="none", classes={"Person": "solid"}, colour="#102030")
    methods = redaction_methods(result_clip(timeline(), classes=CLASSES), chosen)
    assert methods == ["solid", "none"]
    hidden = redact(NOISE, cover, methods, chosen)
    assert (hidden[:30] == (16, 32, 48)).all()
    np.testing.assert_array_equal(hidden[30:], NOISE[30:])


def test_a_class_that_no_clip_has_by_that_name_is_refused():
    clip = result_clip(timeline(), classes=CLASSES)
    with pytest.raises(InputError, match=r"no class 'face' in clip: it has person"):
        redaction_methods(clip, Redaction(classes={"face": "blur"}))


def test_the_report_names_what_was_carried_and_what_is_bare():
    states = np.array([[1], [0], [2], [1], [0], [0], [0], [1], [1], [0]], np.uint8)
    assert (ABSENT, SIGHTED, CARRIED) == (0, 1, 2)
    about = result_clip(timeline(), classes={3: "person"})
    whole = ResultClip(about.name, about.source, line_of(10), about.classes, first=100)
    report = coverage(states, whole)
    assert report["classes"]["person"] == {
        "frames": 5, "carried": [102], "uncovered": [101, 104, 105, 106],
    }  # fmt: skip
    cut = ResultClip(about.name, about.source, line_of(10), about.classes, shots=[(0, 5), (5, 10)])
    assert coverage(states, cut)["classes"]["person"]["uncovered"] == [1]


def line_of(frames):
    from stages.media.footage.timeline import Timeline

    return Timeline(frames, tuple(range(frames)), (1, 25), 1, 25.0, (49, 65))


def test_redaction_and_its_report_are_written_together(tmp_path):
    settings = ResultSettings(formats=("redacted",))
    clip = result_clip(timeline(), classes=CLASSES)
    assert [result.name for result in build_results(clip, settings)] == [
        "redacted.mp4", "coverage.json",
    ]  # fmt: skip
    covers = (np.stack([labels == k for k in CLASSES], axis=-1) for labels, _, _ in scenes())
    write_all(tmp_path, clip, scenes(), settings, length=2, covers=covers)
    assert json.loads((tmp_path / "coverage.json").read_text())["uncovered"] == 0
    with av.open(str(tmp_path / "redacted.mp4")) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for picture, (labels, original, _) in zip(shown, scenes(), strict=True):
        apart = np.abs(picture[:49, :65].astype(int) - original).mean(axis=-1)
        inside = cv2.erode((labels > 0).astype(np.uint8), np.ones((5, 5))) > 0
        assert apart[inside].mean() > 2 * apart[labels == 0].mean()


@pytest.mark.parametrize("kind", ["colour", "picture", "video", "blur"])
def test_the_background_is_replaced_and_the_object_stays(tmp_path, kind):
    line = timeline((48, 64))
    background = {"colour": "#0000ff", "blur": "blur"}.get(kind, str(tmp_path / f"b.{kind}"))
    if kind == "picture":
        background = str(tmp_path / "back.png")
        cv2.imwrite(background, np.full((20, 90, 3), (255, 0, 0), np.uint8))
    if kind == "video":
        background = str(tmp_path / "back.mp4")
        with av.open(background, "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
            for _ in range(2):  # shorter than the clip: it begins again
                frame = av.VideoFrame.from_ndarray(
                    np.full((48, 64, 3), (0, 0, 255), np.uint8), format="rgb24"
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    out = tmp_path / "out"
    out.mkdir()
    settings = ResultSettings(formats=("cutout",), background=background)
    assert bool(settings.background_digest) == (kind in ("picture", "video"))
    write_all(out, result_clip(line, classes=CLASSES), scenes(line.size), settings, length=2)
    with av.open(str(out / "cutout.mp4")) as container:
        shown = [
            frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)
        ]
    assert len(shown) == 5
    for picture, (_, original, alpha) in zip(shown, scenes(line.size), strict=True):
        inside = cv2.erode((alpha.sum(axis=-1) > 0.99).astype(np.uint8), np.ones((3, 3))) > 0
        far = cv2.dilate((alpha.sum(axis=-1) > 0).astype(np.uint8), np.ones((7, 7))) == 0
        assert np.abs(picture - original)[inside].mean() < 14
        if kind == "blur":
            assert picture[far].std() < original[far].std()
        else:
            assert np.abs(picture[far] - (0, 0, 255)).mean() < 12


def test_a_background_that_is_nothing_is_refused():
    settings = ResultSettings(formats=("cutout",), background="beach")
    with pytest.raises(InputError, match=r"'beach': expected blur, a colour"):
        build_results(result_clip(timeline()), settings)
