"""Iterations as a GPU has them: recorded, over fixed places, one frame ahead. Without a GPU."""

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from stages.models.flow.raft import frames as raft_frames
from stages.models.flow.raft.family import RaftFamily
from stages.models.flow.settings import FAMILY, NetworkSettings
from tests.support.raft_samples import (
    AsOnGpu,
    assert_chunks_do_not_show,
    clip,
    driver,
    network,
    torch_volumes,
)  # fmt: skip

SIZE = (128, 136)


@pytest.fixture(autouse=True)
def volumes_of_a_gpu(monkeypatch):
    monkeypatch.setattr(raft_frames, "correlate", torch_volumes)


def within(reach, frames):
    every = range(frames.start, frames.stop)
    return {(i, j) for i in every for j in every if 0 < abs(i - j) <= reach}


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("settings", [{}, {"far_iterations": 1}, {"precision": "bf16"}])
def test_recorded_iterations_give_the_flow_of_plain_ones(name, settings):
    """At the end of the shot batches are not full."""
    frames = clip(4, SIZE)
    pairs, model = within(2, frames), network(name)
    plain = RaftFamily(model, NetworkSettings(**settings)).run(frames, pairs, reach=2)
    recorded = AsOnGpu(model, NetworkSettings(**settings)).run(frames, pairs, reach=2)
    near = 0.02 if settings.get("precision") == "bf16" else 1e-3
    for pair in sorted(pairs):
        assert np.abs(plain.flow(*pair)).mean() > 0.1
        np.testing.assert_allclose(recorded.flow(*pair), plain.flow(*pair), atol=near)


def test_one_recording_serves_all_clips_of_a_size():
    model = driver(kind=AsOnGpu, iterations=1)
    for size, recorded in (SIZE, 1), (SIZE, 1), ((136, 128), 2), (SIZE, 2), ((128, 128), 3):
        frames = clip(4, size)
        model.run(frames, within(2, frames), reach=2).flow(0, 1)
        assert model.recorded == recorded


class WithoutRoom(AsOnGpu):
    """Has room for the recordings of one size."""

    room_bytes = 1

    def batch_size(self, pixels):
        return 4


def test_recordings_of_another_size_go_where_there_is_no_room_for_both():
    model = driver(kind=WithoutRoom, iterations=1)
    for size, recorded in (SIZE, 1), ((136, 128), 2), (SIZE, 3), (SIZE, 3):
        frames = clip(4, size)
        model.run(frames, within(2, frames), reach=2).flow(0, 1)
        assert model.recorded == recorded
    model = driver(kind=WithoutRoom, iterations=1, far_iterations=1)
    run = model.run(clip(5, SIZE), within(3, clip(5, SIZE)), reach=3)
    for pair in sorted(within(3, clip(5, SIZE))):
        run.flow(*pair)
    assert model.recorded == 2


class Full(AsOnGpu):
    """Has no room for a recording beside another, whatever it says."""

    def record(self, step, device):
        if self.recordings._kept:
            raise torch.AcceleratorError("CUDA error: out of memory")
        return super().record(step, device)


def test_where_memory_ends_recordings_go_before_batches_are_halved():
    model = driver(kind=Full, iterations=1)
    for size in SIZE, (136, 128):
        frames = clip(4, size)
        flow = model.run(frames, within(2, frames), reach=2).flow(0, 1)
        expected = driver(iterations=1).run(frames, within(2, frames), reach=2).flow(0, 1)
        np.testing.assert_allclose(flow, expected, atol=1e-3)
    assert model.recorded == 2
    assert model.batch_size(16**2) == 4


class Fails(AsOnGpu):
    """Runs out of memory each time it is asked for more than `fitting` pairs."""

    fitting, failures = 0, 0

    def __init__(self, *arguments):
        super().__init__(*arguments)
        inner = self.update

        def update(state, *more):
            if len(state) > self.fitting:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return inner(state, *more)

        update.dtype, update.context = inner.dtype, inner.context
        self.update = update


@pytest.mark.parametrize("fitting", [1, 2, 3])
@pytest.mark.parametrize("far_iterations", [0, 1])
def test_halved_batches_give_the_same_flow(fitting, far_iterations):
    """Also where flows between neighbours do not fit while far ones wait for them."""
    settings = {"iterations": 1, "far_iterations": far_iterations}
    frames, model = clip(5, SIZE), driver(kind=Fails, **settings)
    model.fitting = fitting
    pairs = within(3, frames)
    run, plain = model.run(frames, pairs, reach=3), driver(**settings).run(frames, pairs, reach=3)
    for pair in [(0, 2), *sorted(pairs)]:
        np.testing.assert_allclose(run.flow(*pair), plain.flow(*pair), atol=1e-3)
    assert model.failures > 0


def test_what_never_fits_is_not_tried_for_ever(monkeypatch):
    frames, model, tries = clip(2, SIZE), driver(kind=AsOnGpu, iterations=1), []

    def full_size(self, flow, state):
        tries.append(len(flow))
        if len(tries) < 20:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(raft_frames.EncodedFrames, "full_size", full_size)
    with pytest.raises(InputError, match="one pair at a time does not fit"):
        model.run(frames, within(1, frames), reach=1).flow(0, 1)
    assert tries == [2, 2, 2, 1]  # as many again without recordings; two of four, two, one


def test_near_and_far_pairs_of_a_warm_start_have_a_recording_each():
    frames, model = clip(5, SIZE), driver(kind=AsOnGpu, iterations=1, far_iterations=1)
    run = model.run(frames, within(3, frames), reach=3)
    for pair in sorted(within(3, frames)):
        run.flow(*pair)
    assert model.recorded == 2


@pytest.mark.parametrize("settings", [{}, {"far_iterations": 1}])
def test_what_else_is_asked_for_changes_no_bit(settings):
    assert_chunks_do_not_show(driver(kind=AsOnGpu, **settings), clip(7, SIZE))


def test_the_next_frame_is_begun_and_no_other():
    frames, model = clip(6, SIZE), driver(kind=AsOnGpu, iterations=1)
    run = model.run(frames, within(1, frames), reach=1)
    solved = []
    inner = run._estimate_batch
    run._estimate_batch = lambda pairs: (solved.append(pairs[0]), inner(pairs))
    run.flow(0, 1)
    assert solved == [(0, 1), (1, 2)]
    run.flow(1, 0)
    assert solved == [(0, 1), (1, 2)]
    run.flow(1, 2)
    assert solved == [(0, 1), (1, 2), (2, 3)]
