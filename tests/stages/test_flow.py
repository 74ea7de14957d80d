"""The flow stage: what it estimates, what it composes, and its bad inputs."""

import numpy as np
import pytest

from pipeline.errors import ConfigError
from pipeline.stage import Span, Window
from stages.flow import Flow
from stages.models.flow.dis import DisFlow
from stages.ops.fixed_point import pack_flow
from stages.ops.warp import compose_flows
from tests.support.small_library import scene


def window(count, start=0, stop=None, size=(64, 96)):
    frames = np.stack([scene(t, size)[0] for t in range(count)])
    stop = count if stop is None else stop
    return Window(start, stop, {}, {"ingest.frames": Span(0, frames)})


def test_far_flow_is_composed_of_flow_between_neighbours_or_estimated():
    clip, model = window(4), DisFlow("medium")
    frames = clip["ingest.frames"]
    chain = [model(frames[k], frames[k - 1]) for k in (3, 2, 1)]
    composed = compose_flows(compose_flows(chain[0], chain[1]), chain[2])
    sections = {"radius": 3, "scale": 1.0}
    flow = Flow(far="composed", **sections).run(clip)["flow"]
    np.testing.assert_array_equal(flow[3, 0], pack_flow(composed))
    flow = Flow(far="direct", **sections).run(clip)["flow"]
    np.testing.assert_array_equal(flow[3, 0], pack_flow(model(frames[3], frames[0])))
    assert not flow[3, 3:].any()  # the shot ends there


@pytest.mark.parametrize("far", ["composed", "direct"])
def test_a_network_gives_the_same_frame_by_frame(far):
    stage = Flow(method="raft_small", weights="random", iterations=2, radius=2, far=far)
    whole = stage.run(window(4))["flow"]
    assert whole[:, 1:3].any(axis=(1, 2, 3, 4)).all()
    for t in range(4):
        np.testing.assert_array_equal(stage.run(window(4, t, t + 1))["flow"][0], whole[t])


def test_flow_is_stored_as_finely_as_asked_for():
    fine, coarse = (Flow(steps=steps).run(window(3))["flow"] for steps in (64, 16))
    assert (fine % 4).any()
    assert not (coarse % 4).any()
    assert np.abs(fine - coarse).max() == 2


@pytest.mark.parametrize("method", ["dis", "raft_small"])
def test_a_shot_of_one_frame_has_no_flow(method):
    weights = "random" if method == "raft_small" else ""
    flow = Flow(method=method, weights=weights).run(window(1))["flow"]
    assert flow.shape == (1, 6, 2, 32, 48)
    assert not flow.any()


def test_frames_smaller_than_a_networks_stride_will_do():
    stage = Flow(method="raft_small", weights="random", iterations=1, scale=1.0, radius=1)
    flow = stage.run(window(2, size=(5, 3)))["flow"]
    assert flow.shape == (2, 2, 2, 5, 3)


def test_a_setting_of_networks_is_refused_with_dis():
    with pytest.raises(ConfigError, match=r"flow\.precision = 'bf16'.*'dis'"):
        Flow(precision="bf16")


def test_iterations_of_far_flow_are_refused_where_none_is_estimated():
    sections = {"method": "raft_small", "weights": "random", "far_iterations": 4}
    with pytest.raises(ConfigError, match=r"flow\.far_iterations = 4: .*flow\.far=direct"):
        Flow(**sections)
    assert Flow(far="direct", **sections).far_iterations == 4
