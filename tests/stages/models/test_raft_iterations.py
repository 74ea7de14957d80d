"""Iterations as a GPU has them: recorded, over fixed places, one frame ahead. Without a GPU."""

import numpy as np
import pytest

from stages.models import raft_frames
from stages.models.flow_settings import FAMILY, NetworkSettings
from stages.models.raft_family import RaftFamily
from tests.stages.models.raft_samples import (
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
    inner = run._estimate
    run._estimate = lambda pairs: (solved.append(pairs[0]), inner(pairs))
    run.flow(0, 1)
    assert solved == [(0, 1), (1, 2)]
    run.flow(1, 0)
    assert solved == [(0, 1), (1, 2)]
    run.flow(1, 2)
    assert solved == [(0, 1), (1, 2), (2, 3)]
