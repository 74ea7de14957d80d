"""RAFT, its small version and GMA, run over many pairs of frames.

ptlflow's networks and weights, but not its forward, which sees one pair at a time. Frames are
encoded once and not once a pair, (j, i) takes the transposed correlations of (i, j), and flow is
brought to full size after the last iteration only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.stage import Span
from stages.models.flow.network_pictures import Landing
from stages.models.flow.raft.frames import EncodedFrames, Pair
from stages.models.flow.raft.iterations import PairInputs, Recordings, iterate
from stages.models.flow.raft.pair_correlation import fits_square
from stages.models.flow.raft.update import Update
from stages.models.flow.settings import NetworkSettings
from stages.models.torch_models import explained, lacks_memory, repeatable
from stages.ops.warp import compose_flows

SHARE = 0.4  # of a GPU's memory for the pairs of a batch; the rest is for what all share
MOST = 16  # pairs: a frame's with the eight after it
PIXEL_BYTES = 24 << 10  # of the update and the way up, for each pixel of the network's grid


class RaftFamily:
    """A network of the RAFT family.

    Parameters
    ----------
    model : torch.nn.Module
        ptlflow's raft, raft_small or gma, with its weights, on its device, in evaluation mode.
    settings : NetworkSettings
        Iterations and precision.
    """

    def __init__(self, model: Any, settings: NetworkSettings) -> None:
        self.model, self.far_iterations = model, settings.far_iterations
        self.device = next(model.parameters()).device
        on_gpu = self.device.type == "cuda"
        self.recordings = Recordings(self.room_bytes) if on_gpu and settings.recorded else None
        self.ahead = on_gpu  # while one batch is fetched, the next one is under way
        self._most = MOST
        self.iterations = settings.iterations or int(model.iters)
        for encoder in (model.fnet, model.cnet):
            encoder.to(memory_format=torch.channels_last)
        with repeatable():
            self.update = Update(
                model.update_block,
                hidden=model.hidden_dim,
                context=model.context_dim,
                dtype=torch.bfloat16 if settings.precision == "bf16" else torch.float32,
            )

    def __call__(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the flow from one RGB picture (H, W, 3) to another: (2, H, W) float32, pixels."""
        return self.run(Span(0, np.stack([first, second])), {(0, 1)}, reach=1).flow(0, 1)

    def run(self, frames: Span, pairs: Collection[Pair], *, reach: int) -> RaftRun:
        """Return the flows of many pairs, estimated as they are asked for.

        Parameters
        ----------
        frames : Span of (T, H, W, 3) uint8
            RGB; all of the shot that lie within `reach` of a frame that flow is asked from.
        pairs : collection of (i, j)
            What will be asked for, i != j.
        reach : int, >= 1
            How far apart the frames of a pair may be.
        """
        return RaftRun(self, frames, pairs, reach)

    def batch_size(self, pixels: int) -> int:
        """Return how many pairs are run at once, where the network's grid has so many pixels.

        As many as there is room for: of memory that others take meanwhile the size must not
        depend, since last bits depend on it. It is halved where it was too large after all.
        """
        square = 4 * pixels**2 if fits_square(pixels) else 0
        pair = PIXEL_BYTES * pixels + 3 * square  # volume, attention, copies in between
        return max(1, min(self.room_bytes // pair, self._most))

    @property
    def room_bytes(self) -> int:
        """Memory for the pairs of a batch; none on a CPU, where many are no faster than one."""
        if self.device.type == "cpu":
            return 0
        return int(SHARE * torch.cuda.get_device_properties(self.device).total_memory)

    def halve(self, size: int) -> None:
        """Run at most half as many pairs at once from now on."""
        self._most = size // 2

    def drop_recordings(self) -> bool:
        """Give the memory of recorded iterations back; return whether there was any."""
        return self.recordings is not None and self.recordings.clear()


class RaftRun:
    """Flows between frames of a run, each computed once; see `RaftFamily.run`.

    With what other pairs a pair is run depends on the frames of the shot, never on what is asked
    for: last bits depend on the batch, and chunks must not show.
    """

    def __init__(
        self, network: RaftFamily, frames: Span, pairs: Collection[Pair], reach: int
    ) -> None:
        self._network, self._frames = network, frames
        self._pairs, self._reach = frozenset(pairs), reach
        self._encoded: EncodedFrames | None = None
        self._coarse: dict[Pair, Tensor] = {}
        self._known: dict[Pair, tuple[Landing, int] | NDArray[np.float32]] = {}
        self._coming = deque(sorted(pairs, key=min))  # those not begun ahead, by frame

    def flow(self, i: int, j: int) -> NDArray[np.float32]:
        """Return F[i→j]: (2, H, W) float32, pixels, x before y.

        Raises
        ------
        KeyError
            If it was not announced.
        InputError
            If memory does not suffice for one pair of this size.
        LostError
            If the GPU went.
        """
        if (i, j) not in self._pairs:
            raise KeyError(f"flow from frame {i} to {j}: not among the pairs of this run")
        rows, columns = self._frames.array.shape[1:3]
        advice = "one pair at a time does not fit; lower flow.scale"
        with explained(f"flow of {columns}x{rows}", advice), repeatable():
            if (i, j) not in self._known:
                self._solve_pair(i, j)
            if self._network.ahead:
                self._solve_ahead(min(i, j) + 1)
            known = self._known[i, j]
            if isinstance(known, tuple):
                landing, k = known
                self._known[i, j] = known = landing[k]
            return known

    def forget(self, frame: int) -> None:
        """Drop all of the frames up to `frame`."""
        if self._encoded is not None:
            self._encoded.forget(frame)
        for flows in (self._known, self._coarse):
            for pair in [pair for pair in flows if pair[0] <= frame]:
                del flows[pair]

    @property
    def _model_parts(self) -> EncodedFrames:
        if self._encoded is None:
            network = self._network
            self._encoded = EncodedFrames(network.model, network.update, self._frames)
        return self._encoded

    def _solve_pair(self, i: int, j: int) -> None:
        """Compute F[i→j], with smaller batches where larger ones do not fit."""
        dropped = False
        while True:
            size = self._network.batch_size(self._model_parts.pixels)
            try:
                self._solve_by(size, i, j)
                return
            except RuntimeError as error:
                if not lacks_memory(error):
                    raise
                failed = error.with_traceback(None)  # which holds what is to be freed
            self._model_parts.forget_correlations()
            if self._network.drop_recordings() and not dropped:
                dropped = True
            elif size == 1:
                raise failed
            else:
                self._network.halve(size)

    def _solve_ahead(self, first: int) -> None:
        """Begin what will be asked for of the frame `first` and those after it, if it has not."""
        while self._coming and min(self._coming[0]) <= first:
            pair = self._coming.popleft()
            if min(pair) == first and pair not in self._known:
                self._solve_pair(*pair)

    def _solve_by(self, size: int, i: int, j: int) -> None:
        """Compute F[i→j], and with it what shares its batch or its correlations."""
        if size == 1:
            batches = [[(i, j)]]
            if (j, i) in self._pairs:  # now: its correlations are there
                batches.append([(j, i)])
        else:
            group = self._group_pairs(i, j)
            start = group.index((i, j)) // size * size
            batches = [group[start : start + size]]
        for batch in batches:
            if any(pair not in self._known for pair in batch):
                self._estimate_batch(batch)

    def _group_pairs(self, i: int, j: int) -> list[Pair]:
        """Return the pairs of which batches are cut: of the earlier frame and those after it."""
        first, steps = min(i, j), range(1, self._reach + 1)
        if self._network.far_iterations:  # neighbours by themselves: others start from them
            steps = steps[1:] if abs(i - j) > 1 else steps[:1]
        ends = [first + k for k in steps if first + k < self._frames.stop]
        return [pair for end in ends for pair in ((first, end), (end, first))]

    def _estimate_batch(self, pairs: Sequence[Pair]) -> None:
        """Run the iterations for a batch of pairs."""
        network, parts = self._network, self._model_parts
        far = bool(network.far_iterations) and abs(pairs[0][0] - pairs[0][1]) > 1
        count = network.far_iterations if far else network.iterations
        starts = {pair: self._composed_flow(*pair) for pair in pairs} if far else {}
        batch = (self._starting_flow(pair, starts.get(pair)) for pair in pairs)
        if network.recordings is not None and fits_square(parts.pixels):
            size = self._network.batch_size(parts.pixels)
            # neighbours may have halved it meanwhile: then these do not fit either, which shows
            places = max(min(size, self._largest_group(far=far)), len(pairs))
            flow, state = network.recordings.iterate(network.update, batch, count, places=places)
        else:
            flow, state = iterate(network.update, batch, count)
        landing = parts.full_size(flow, state)
        for k, pair in enumerate(pairs):
            self._known[pair], self._coarse[pair] = (landing, k), flow[k]

    def _starting_flow(self, pair: Pair, start: Tensor | None) -> PairInputs:
        parts = self._model_parts
        if start is None:
            start = torch.zeros((2, *parts.size), device=self._network.device)
        context = parts.context(pair[0])
        volume, attention = parts.correlations(*pair), parts.attention(pair[0])
        return PairInputs(start[None], context.state, context.gates, volume, attention)

    def _largest_group(self, *, far: bool) -> int:
        """Return how many pairs `_group` gives where the shot does not end."""
        if not self._network.far_iterations:
            return 2 * self._reach
        return 2 * (self._reach - 1) if far else 2

    def _composed_flow(self, i: int, j: int) -> Tensor:
        """Return F[i→j] made of flows between neighbours, on the network's own grid."""
        step = 1 if j > i else -1
        chain = [(k, k + step) for k in range(i, j, step)]
        total: NDArray[np.float32] | None = None
        for pair in chain:
            if pair not in self._coarse:
                self._solve_pair(*pair)
            link = self._coarse[pair].cpu().contiguous().numpy()
            total = link if total is None else compose_flows(total, link)
        return torch.from_numpy(total).to(self._network.device)
