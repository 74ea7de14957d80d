import json
import math

import av
import cv2
import numpy as np
import pytest

from pipeline.stage import Clip
from stages.exhibits import LONGEST_SLICE, Areas, Panes, Slices, thinning
from stages.io.palette import palette
from stages.report import Report, _thinned

FRAMES, SIZE = 23, (64, 96)
FACTS = {"frames": FRAMES, "shots": [[0, 12], [12, 23]], "size": SIZE, "rate": 25, "classes": [3]}


class Read:
    """Arrays of a made-up clip, as a sink reads them; counts what was read."""

    def __init__(self):
        rng = np.random.default_rng(0)
        pairs = np.zeros((FRAMES, 2, 2, 2), np.int64)
        pairs[..., 1] = 1000
        pairs[:, 0, :, 0] = 100  # before: wrong everywhere
        pairs[4, 1, 1, 0], pairs[5, 1, 0, 0] = 60, 40  # after: between frames 4 and 5 only
        labels = np.zeros((FRAMES, *SIZE), np.uint8)
        labels[:, 16:48, 16:48] = 1
        before = labels.copy()
        before[::2, 16:32] = 0
        self.arrays = {
            "ingest.frames": rng.integers(0, 256, (FRAMES, *SIZE, 3), np.uint8),
            "segment.labels": before,
            "smooth.labels": labels,
            "flow.flow": np.full((FRAMES, 2, 2, 32, 48), 64, np.int16),
            "visibility.seen": np.ones((FRAMES, 2, 32, 48), bool),
            "measure.pairs": pairs,
            "measure.boundary": np.full((FRAMES, 2), 120),
        }
        self.count = dict.fromkeys(self.arrays, 0)

    def __call__(self, stage, array, only=None):
        name = f"{stage}.{array}"
        for k in range(FRAMES) if only is None else only:
            self.count[name] += 1
            yield self.arrays[name][k]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder, read = tmp_path_factory.mktemp("clip"), Read()
    assert Report(radius=1).run(Clip("a", {}), FACTS, read, folder) == ["report"]
    return folder / "report", read


def test_the_worst_moment_is_where_masks_disagree(made):
    place, read = made
    text = json.loads((place / "clip.json").read_text())
    expected = (60 / 1000 + 40 / 1000) * SIZE[0] * SIZE[1] / 120
    assert text["flicker"]["after"][4] == pytest.approx(expected, abs=1e-3)
    assert text["flicker"]["before"][11] is None  # a cut
    assert text["flicker"]["before"][22] is None  # the end
    assert [moment["frame"] for moment in text["moments"]] == [4]
    strip = cv2.imread(str(place / text["moments"][0]["strip"]))
    assert strip.shape[1] == 5 * 202
    assert read.count["flow.flow"] == len(text["flows"]) < FRAMES


def test_the_film_has_every_frame_with_both_masks_below(made):
    place, _ = made
    with av.open(str(place / "film.mp4")) as film:
        stream = film.streams.video[0]
        frames = [(float(f.time), f.to_ndarray(format="rgb24")) for f in film.decode(stream)]
    assert [round(time * 25) for time, _ in frames] == list(range(FRAMES))
    colour = palette()[3]
    for t, (_, picture) in enumerate(frames):
        assert picture.shape == (96, 48, 3)
        before, after = picture[32:64], picture[64:]
        np.testing.assert_allclose(after[16, 16], colour, atol=30)
        np.testing.assert_allclose(before[12, 16], [0, 0, 0] if t % 2 == 0 else colour, atol=30)


def test_classes_have_their_areas_and_jumps(made):
    text = json.loads((made[0] / "clip.json").read_text())
    (one,) = text["classes"]
    assert (one["label"], one["colour"]) == (3, palette()[3].tolist())
    assert one["after"] == {"area": [1024] * FRAMES, "mean": 1024.0, "jump": 0.0}
    assert one["before"]["jump"] == pytest.approx(512 / 768)


def test_slices_show_a_row_through_time(made):
    text = json.loads((made[0] / "clip.json").read_text())
    after = cv2.imread(str(made[0] / text["slices"]["after"][3]))
    assert after.shape == (FRAMES, 48, 3)
    assert len(text["slices"]["rows"]) == len(text["slices"]["before"]) == 7


def test_long_clips_are_thinned_and_no_peak_is_lost():
    panes = Panes(SIZE, palette())
    assert Slices(10 * LONGEST_SLICE, panes).every == 10
    assert thinning(100_000) == 50
    values = [0.0] * 100
    values[37] = 5.0
    values[90:] = [math.nan] * 10
    assert _thinned(values, 10)[3] == 5.0
    assert math.isnan(_thinned(values, 10)[9])


def test_a_class_that_comes_and_goes_jumps_and_an_absent_one_does_not():
    areas = Areas(3, 2)
    full, empty = np.ones((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    for t, labels in enumerate((full, empty, full)):
        areas.add(t, labels, full)
    first, second = areas.summary()
    assert first["before"]["jump"] == 2
    assert first["after"]["jump"] == second["after"]["jump"] == 0


def test_switched_off_it_reads_next_to_nothing_and_writes_nothing(tmp_path):
    stage = Report(enabled=False)
    assert [(i.stage, i.array) for i in stage.inputs(FACTS)] == [("measure", "boundary")]
    assert stage.run(Clip("a", {}), FACTS, Read(), tmp_path) == []
    assert not list(tmp_path.iterdir())
