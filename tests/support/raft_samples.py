"""Networks of the RAFT family with random weights, and pictures for them."""

import warnings

import numpy as np
import skimage.data
import torch

from pipeline.stage import Span
from stages.models.flow.network_pictures import network_images
from stages.models.flow.raft.family import RaftFamily
from stages.models.flow.raft.iterations import Recordings
from stages.models.flow.raft.pair_correlation import TorchVolume
from stages.models.flow.settings import NetworkSettings
from stages.models.torch_models import repeatable

SIZE = (131, 203)
ALL = {(i, j) for i in range(5) for j in range(5) if i != j and abs(i - j) < 4}


def network(name, iterations=3):
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        import ptlflow

        torch.manual_seed(4)
        model = ptlflow.get_model(name).eval()
    model.iters = iterations
    if name == "gma":  # starts at 0: nothing would be aggregated
        torch.nn.init.constant_(model.update_block.aggregator.gamma, 0.7)
    return model


def driver(name="raft_small", kind=RaftFamily, **settings):
    return kind(network(name), NetworkSettings(**settings))


def clip(count=5, size=SIZE, start=0):
    picture = skimage.data.astronaut()
    views = [picture[40 + 2 * t :, 60 + 3 * t :][: size[0], : size[1]] for t in range(count)]
    return Span(start, np.stack(views))


def by_ptlflow(model, frames, i, j):
    images = network_images([frames[i], frames[j]], "cpu")[None]
    with repeatable():
        return model({"images": images})["flows"][0, 0].numpy()


def assert_chunks_do_not_show(model, frames):
    """Compare the flow of a whole clip with that of single frames, which see their reach of 2."""
    count = len(frames.array)
    whole = {(i, j) for i in range(count) for j in range(count) if 0 < abs(i - j) <= 2}
    run = model.run(frames, whole, reach=2)
    expected = {pair: run.flow(*pair) for pair in sorted(whole)}
    for t in (0, count // 2, count - 1):
        first, stop = max(t - 2, 0), min(t + 3, count)
        window = Span(first, frames.array[first:stop])
        pairs = {(t, j) for j in range(first, stop) if j != t}
        part = model.run(window, pairs, reach=2)
        for pair in sorted(pairs, reverse=True):
            np.testing.assert_array_equal(part.flow(*pair), expected[pair])


class InThrees(RaftFamily):
    """Keeps how many pairs it ran at once."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.ran, inner = [], self.update

        def update(state, *more):
            self.ran.append(len(state))
            return inner(state, *more)

        update.dtype, update.context = inner.dtype, inner.context
        self.update = update

    def batch_size(self, pixels):
        return 3


class AsOnGpu(RaftFamily):
    """On a CPU, but in batches, with iterations over fixed places, and one frame ahead.

    What it records it runs again; `recorded` counts them.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.recordings = Recordings(self.room_bytes, self.record)
        self.ahead, self.recorded, self._most = True, 0, 4

    def record(self, step, device):
        step()  # a graph is tried out before it is recorded
        self.recorded += 1
        return step

    @property
    def room_bytes(self):
        return 1 << 40


def torch_volumes(first, second, *, size, levels, radius):
    """Return what `stages.models.flow.raft.pair_correlation.correlate` makes on a GPU."""
    volume = first @ second.T * first.shape[1] ** -0.5
    both = (volume, volume.T.contiguous())
    ahead, behind = (TorchVolume(features.view(-1, *size), levels, radius) for features in both)
    return ahead, behind
