"""Frames stay on a device from stage to stage. Here the device is torch's on the CPU."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.stage import Span
from pipeline.store.keys import digest_array
from stages import visibility
from stages.backend import TorchArithmetic
from stages.device_cache import RESIDENT, Resident
from stages.refine import method as refine
from stages.refine.stage import Refine
from stages.smooth import stage as smooth
from stages.smooth.stage import Smooth
from stages.visibility import Visibility
from tests.stages.test_backend import clip, window_of  # noqa: F401


@pytest.fixture(autouse=True)
def empty():
    RESIDENT.clear()
    yield
    RESIDENT.clear()


def named(window):
    spans = {
        name: replace(span, names=[digest_array(frame) for frame in span.array])
        for name, span in window.spans.items()
    }
    return replace(window, spans=spans)


class Counting(TorchArithmetic):
    """Keeps how often which frame was brought to the device."""

    def __init__(self):
        super().__init__("cpu")
        self.brought = []

    def put(self, values):
        if isinstance(values, np.ndarray) and values.dtype in (np.int16, np.uint8):
            self.brought.append(digest_array(values))
        return super().put(values)


def test_what_one_stage_brought_the_next_one_finds(clip, monkeypatch):  # noqa: F811
    on = Counting()
    for module in (visibility, refine, smooth):
        monkeypatch.setattr(module, "arithmetic_on", lambda device, *, setting: on)
    bare = window_of(clip)
    window = named(bare)
    stages = Visibility(), Refine(method="vote"), Smooth()
    outputs = [stage.run(window) for stage in stages]
    for name in ("flow.flow", "ingest.frames"):
        for frame in window[name].names:
            assert on.brought.count(frame) == 1
    on.brought.clear()
    for stage, first in zip(stages, outputs, strict=True):
        for name, values in stage.run(bare).items():
            np.testing.assert_array_equal(values, first[name])
    assert len(on.brought) > 3 * len(window["flow.flow"].names)


def bring(values):
    def brought():
        bring.count += 1
        return TorchArithmetic("cpu").put(values)

    return brought


def test_the_last_ones_used_stay_within_the_limit():
    device = TorchArithmetic("cpu").put(np.zeros(1)).device
    values, bring.count = np.zeros(10, np.uint8), 0
    resident = Resident(share=0.5, elsewhere=20)
    for name in "a", "b", "a", "c", "a", "c":
        resident.get(device, name, bring(values))
    assert bring.count == 3
    resident.get(device, "b", bring(values))
    assert bring.count == 4
    resident.clear()
    resident.get(device, "b", bring(values))
    assert bring.count == 5


def test_frames_are_asked_for_by_their_number_in_the_clip():
    span = Span(7, np.arange(6).reshape(3, 2), ["x", "y", "z"])
    placed = TorchArithmetic("cpu").placed(span)
    assert placed[8].tolist() == [2, 3]
    assert [tensor.tolist() for tensor in placed.between(8, 10)] == [[2, 3], [4, 5]]
    with pytest.raises(IndexError, match="frame 10: expected 7 to 9"):
        placed[10]
