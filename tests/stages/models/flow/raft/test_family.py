"""The driver of the RAFT family against ptlflow's own forward, with random weights."""

import numpy as np
import pytest
import torch

from pipeline.errors import ConfigError
from stages.models.flow.raft import frames as raft_frames
from stages.models.flow.raft import pair_correlation as raft_correlation
from stages.models.flow.raft.family import RaftFamily
from stages.models.flow.raft.pair_correlation import (
    HostFeatures,
    HostVolume,
    TorchFeatures,
    TorchVolume,
)
from stages.models.flow.settings import FAMILY, NetworkSettings
from stages.ops.correlation import correlation_pyramid
from tests.support.raft_samples import (
    ALL,
    InThrees,
    assert_chunks_do_not_show,
    by_ptlflow,
    clip,
    driver,
    network,
)  # fmt: skip


@pytest.mark.parametrize("name", FAMILY)
def test_flow_is_that_of_ptlflows_own_forward(name):
    model, frames = network(name), clip(3)
    flows = RaftFamily(model, NetworkSettings()).run(frames, {(0, 2), (2, 0)}, reach=2)
    for pair in [(0, 2), (2, 0)]:
        theirs = by_ptlflow(network(name), frames, *pair)
        assert np.abs(theirs).mean() > 0.1
        error = np.abs(flows.flow(*pair) - theirs)
        assert error.mean() < 1e-4
        assert error.max() < 1e-3


@pytest.mark.parametrize("iterations", [1, 4])
def test_iterations_may_be_asked_for(iterations):
    frames = clip(2)
    flow = driver(iterations=iterations)(frames[0], frames[1])
    theirs = by_ptlflow(network("raft_small", iterations), frames, 0, 1)
    np.testing.assert_allclose(flow, theirs, atol=1e-3)


class InBatches(RaftFamily):
    """As on a GPU: several pairs at once."""

    def batch_size(self, pixels):
        return 4


@pytest.mark.parametrize("kind", [RaftFamily, InBatches])
@pytest.mark.parametrize("settings", [{}, {"far_iterations": 1}, {"precision": "bf16"}])
def test_what_else_is_asked_for_changes_no_bit(kind, settings):
    """As in a chunk of one frame, which sees its reach and nothing else."""
    assert_chunks_do_not_show(driver(kind=kind, **settings), clip(7))


@pytest.mark.parametrize(
    ("pair", "far_iterations", "ran"),
    [
        ((1, 2), 0, [3]),  # with (2, 1) and (1, 3)
        ((1, 3), 0, [3]),
        ((3, 1), 0, [1]),  # what is left of frame 1
        ((4, 3), 0, [2]),  # the shot ends
        ((2, 1), 1, [2]),  # with a warm start neighbours are by themselves
        ((3, 1), 1, [2, 2, 2]),  # and come first
    ],
)
def test_a_batch_is_made_up_of_the_shot_and_not_of_what_is_asked_for(pair, far_iterations, ran):
    model = driver(kind=InThrees, iterations=1, far_iterations=far_iterations)
    model.run(clip(5, (128, 128)), {pair}, reach=2).flow(*pair)
    assert model.ran == ran


def test_a_pair_that_was_not_announced_is_refused():
    with pytest.raises(KeyError, match="from frame 1 to 0"):
        driver().run(clip(2), {(0, 1)}, reach=1).flow(1, 0)


def test_gma_gives_the_same_bits_when_attention_is_dropped_and_made_again(monkeypatch):
    frames, model = clip(3, (128, 136)), driver("gma")
    pairs = [(0, 1), (1, 0), (0, 2), (2, 0)]
    kept = [model.run(frames, set(pairs), reach=2).flow(*pair) for pair in pairs]
    monkeypatch.setattr(raft_frames, "ATTENTION_BYTES", 1)
    run = model.run(frames, set(pairs), reach=2)
    np.testing.assert_array_equal([run.flow(*pair) for pair in pairs], kept)


@pytest.mark.parametrize("name", ["raft_small", "gma"])
def test_pairs_in_a_batch_are_what_they_are_alone(name):
    frames = clip(3, (128, 136))
    pairs = {(i, j) for i in range(3) for j in range(3) if i != j}
    alone, together = (
        driver(name, kind).run(frames, pairs, reach=2) for kind in (RaftFamily, InBatches)
    )
    for pair in pairs:
        np.testing.assert_allclose(together.flow(*pair), alone.flow(*pair), atol=1e-3)


def test_what_was_forgotten_comes_again_the_same():
    frames = clip(5, (128, 128))
    run = driver().run(frames, ALL, reach=3)
    before = run.flow(1, 2)
    run.forget(1)
    again = run.flow(1, 2)
    assert again is not before
    np.testing.assert_array_equal(again, before)


def test_frames_keep_their_numbers():
    late, early = clip(2, start=40), clip(2)
    model = driver()
    flow = model.run(late, {(41, 40)}, reach=1).flow(41, 40)
    np.testing.assert_array_equal(flow, model.run(early, {(1, 0)}, reach=1).flow(1, 0))


@pytest.mark.parametrize("name", FAMILY)
def test_bf16_is_near_fp32(name):
    frames = clip(2)
    exact, rough = (driver(name, precision=p)(frames[0], frames[1]) for p in ("fp32", "bf16"))
    error = np.hypot(*(rough - exact))
    assert 0 < error.mean() < 0.03 * np.hypot(*exact).mean()


def constant(model, step):
    """Make each iteration add the same motion everywhere."""
    last = model.update_block.flow_head.conv2
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor(step)
    return model


@pytest.mark.parametrize("name", ["raft", "raft_small"])
@pytest.mark.parametrize("kind", [RaftFamily, InBatches])
def test_far_flow_starts_from_that_between_neighbours(name, kind):
    model = constant(network(name, 3), (0.25, -0.125))
    frames = clip(4, (128, 128))
    run = kind(model, NetworkSettings(far_iterations=1)).run(frames, ALL, reach=3)
    inner = (slice(None), slice(16, -16), slice(16, -16))  # at the border ptlflow reads zeros
    for j, iterations in ((1, 3), (2, 2 * 3 + 1), (3, 3 * 3 + 1)):
        for pair in ((0, j), (j, 0)):
            flow = run.flow(*pair)[inner]
            np.testing.assert_allclose(flow[0], 8 * 0.25 * iterations, rtol=1e-5)
            np.testing.assert_allclose(flow[1], -8 * 0.125 * iterations, rtol=1e-5)


def test_without_far_iterations_far_flow_starts_from_nothing():
    model = constant(network("raft_small", 3), (0.25, 0.0))
    flow = RaftFamily(model, NetworkSettings()).run(clip(3), ALL, reach=3).flow(0, 2)
    np.testing.assert_allclose(flow[0, 16:-16, 16:-16], 8 * 0.25 * 3, rtol=1e-5)


def test_all_look_ups_and_ptlflows_agree(monkeypatch):
    from ptlflow.models.raft.corr import CorrBlock

    generator = torch.Generator().manual_seed(0)
    first, other = torch.randn((2, 1, 64, 17, 21), generator=generator)
    theirs = CorrBlock(first, other, num_levels=4, radius=4)
    volume = theirs.corr_pyramid[0][:, 0]
    flow = 6 * torch.randn((2, 17, 21), generator=generator)
    grid = torch.stack(torch.meshgrid(torch.arange(17), torch.arange(21), indexing="ij")[::-1])
    expected = theirs((grid + flow)[None])
    host = HostVolume(correlation_pyramid(volume.numpy(), 4), 4)
    monkeypatch.setattr(raft_correlation, "TILE_BYTES", 4 * 64 * 100 * 50)  # 50 pixels at a time
    rows = [features.flatten(2)[0].T.contiguous() for features in (first / 64**0.5, other)]
    without = [kind(*rows, (17, 21), 4, 4) for kind in (HostFeatures, TorchFeatures)]
    for ours in (host, TorchVolume(volume, 4, 4), *without):
        torch.testing.assert_close(ours.around(flow), expected, atol=1e-4, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("square_bytes", [1 << 29, 1])
def test_on_a_gpu_flow_is_that_on_a_cpu(name, square_bytes, monkeypatch):
    frames, pairs = clip(3), {(0, 1), (1, 0), (0, 2)}
    here = RaftFamily(network(name), NetworkSettings()).run(frames, pairs, reach=2)
    monkeypatch.setattr(raft_correlation, "SQUARE_BYTES", square_bytes)
    there = RaftFamily(network(name).cuda(), NetworkSettings()).run(frames, pairs, reach=2)
    for pair in pairs:
        np.testing.assert_allclose(there.flow(*pair), here.flow(*pair), atol=1e-2)


@pytest.mark.parametrize("position", [float("nan"), float("inf"), -1e30, 60.0])
def test_without_a_volume_far_away_there_is_nothing(position):
    rows = torch.randn((2, 12, 8), generator=torch.Generator().manual_seed(0))
    flow = torch.zeros((2, 3, 4))
    flow[0] = position
    for kind in (HostFeatures, TorchFeatures):
        assert not kind(*rows, (3, 4), 2, 3).around(flow).any()


@pytest.mark.parametrize(
    ("method", "settings", "named"),
    [
        ("dis", {"precision": "bf16"}, r"flow\.precision = 'bf16': expected 'fp32'"),
        ("sea_raft_s", {"iterations": 4}, r"flow\.iterations = 4: expected 0 .*'sea_raft_s'"),
        ("deepflow", {"far_iterations": 2}, r"flow\.far_iterations = 2.*raft, raft_small, gma"),
    ],
)
def test_a_setting_that_the_method_does_not_know_is_refused(method, settings, named):
    with pytest.raises(ConfigError, match=named):
        NetworkSettings(**settings).check(method)
