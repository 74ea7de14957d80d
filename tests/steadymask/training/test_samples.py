import numpy as np
import pytest
import torch

from pipeline.stage import Span
from stages.arrays import neighbour_offsets
from stages.ops.visibility import visible
from steadymask.training.fit import _tell_pairs
from steadymask.training.samples import Shape, WindowSamples, pairs_of
from steadymask.training.stored_library import SampleFrame

FRAMES, SIZE, WINDOW = 16, (24, 32), 7


class StoredClip:
    """Stands for a library of one shot; flow from i to j is (j - i + i / 64, 0) everywhere."""

    def __init__(self, radius):
        rng = np.random.default_rng(5)
        flow = np.zeros((FRAMES, 2 * radius, 2, *SIZE), np.int16)
        for i in range(FRAMES):
            for k, step in enumerate(neighbour_offsets(radius)):
                flow[i, k, 0] = 64 * step + i
        self._arrays = {
            "ingest.frames": rng.integers(0, 255, (FRAMES, *SIZE, 3), np.uint8),
            "segment.masks": rng.integers(0, 255, (FRAMES, *SIZE, 1), np.uint8),
            "flow.flow": flow,
        }

    def span(self, sample, name, start, stop):
        start, stop = max(start, sample.shot[0]), min(stop, sample.shot[1])
        return Span(start, self._arrays[name][start:stop])


def window_sample(radius, frame):
    places = [SampleFrame(0, frame, (0, FRAMES))]
    shape = Shape(WINDOW, radius, 12.0, 16)
    samples = WindowSamples(StoredClip(radius), places, range(1), shape, seed=2)
    return samples.pairs, samples[0]


def test_flow_of_six_frames_reaches_every_ordered_pair_of_seven():
    every = [(i, j) for i in range(7) for j in range(7) if i != j]
    assert pairs_of(7, 6) == every
    assert len(every) == 42
    assert len(pairs_of(7, 3)) == 30


@pytest.mark.parametrize("frame", [8, 0, FRAMES - 2])
@pytest.mark.parametrize("radius", [3, 6])
def test_each_pair_has_its_own_flow_and_what_both_frames_show(radius, frame):
    pairs, sample = window_sample(radius, frame)
    assert len(sample["flow"]) == len(sample["seen"]) == len(pairs) == {3: 30, 6: 42}[radius]
    numbers = [min(max(frame - 3 + k, 0), FRAMES - 1) for k in range(WINDOW)]
    for (i, j), flow, seen in zip(pairs, sample["flow"], sample["seen"], strict=True):
        there, back = (
            np.zeros((2, *flow.shape[1:]), np.float32) for _ in range(2)
        )  # no motion between an end frame and its repetition
        if numbers[i] != numbers[j]:
            there[0] = numbers[j] - numbers[i] + numbers[i] / 64
            back[0] = numbers[i] - numbers[j] + numbers[j] / 64
        torch.testing.assert_close(flow, torch.from_numpy(there))
        np.testing.assert_array_equal(seen[0].numpy(), visible(there, back))


def test_what_is_left_out_of_a_window_is_said():
    told = []
    for radius in (3, 6):
        _tell_pairs(Shape(WINDOW, radius, 12.0, 16), told.append)
    assert told == [
        "fit: 30 of the 42 ordered pairs of a window of 7 frames: --set flow.radius=6 uses all",
        "fit: 42 of the 42 ordered pairs of a window of 7 frames",
    ]
