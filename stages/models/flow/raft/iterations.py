"""The iterations of a batch of pairs; on a GPU recorded once and replayed.

An iteration is some hundred small kernels: a GPU is done with them before Python has asked for the
next. Recorded as a CUDA graph they are asked for at once. A recording is of one shape and of fixed
places in memory: batches are copied there, and a batch that is not full leaves places as they are.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stages.models.flow.raft.attention import Attention, SquareAttention
from stages.models.flow.raft.pair_correlation import TorchVolume, Volume
from stages.models.flow.raft.update import Update

KEPT = 2  # recordings: of one size of frames, and with a warm start of near and far pairs
TRIED = 2  # times before recording: libraries load what they need when first asked

_one_at_a_time = threading.Lock()

Recorder = Callable[[Callable[[], None], torch.device], Callable[[], None]]
"""Runs a step on a device and returns what runs it again."""


@dataclass(frozen=True)
class PairInputs:
    """What the flow of a pair is estimated from.

    Attributes
    ----------
    flow : tensor, shape (1, 2, h, w), float32
        First one, pixels of this grid.
    state, gates : tensors
        See `stages.models.flow.raft.frames.Context`.
    volume : Volume
    attention : list of Attention
        One with gma, else none.
    """

    flow: Tensor
    state: Tensor
    gates: Sequence[Tensor]
    volume: Volume
    attention: Sequence[Attention]

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        parts: list[Tensor | Volume | Attention] = [self.flow, self.state, self.volume]
        return sum(part.nbytes for part in [*parts, *self.gates, *self.attention])


def iterate(update: Update, pairs: Iterable[PairInputs], count: int) -> tuple[Tensor, Tensor]:
    """Return flow (B, 2, h, w) and state after `count` iterations, run one after the other."""
    batch = list(pairs)
    flow = torch.cat([pair.flow for pair in batch])
    state = torch.cat([pair.state for pair in batch])
    gates = [torch.cat(part) for part in zip(*(pair.gates for pair in batch), strict=True)]
    attention = [weights for pair in batch for weights in pair.attention]
    for _ in range(count):
        correlation = torch.cat([pair.volume.around(flow[k]) for k, pair in enumerate(batch)])
        state, step = update(state, gates, correlation, flow, attention)
        flow = flow + step
    return flow, state


def cuda_graph(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Record a step as a CUDA graph; in one thread at a time, more cannot record in a process."""
    with _one_at_a_time, torch.cuda.device(device):
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(TRIED):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # other threads may ask for memory meanwhile
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            step()
    return graph.replay


class Recordings:
    """Iterations by replaying, the last few shapes kept.

    Parameters
    ----------
    room : int
        Bytes: where those of another size of frames do not fit beside a new one, they go.
    record : callable
        See `Recorder`.
    """

    def __init__(self, room: int, record: Recorder = cuda_graph) -> None:
        self._room, self._record = room, record
        self._kept: OrderedDict[tuple[int, ...], _RecordedIteration] = OrderedDict()

    def iterate(
        self, update: Update, pairs: Iterable[PairInputs], count: int, *, places: int
    ) -> tuple[Tensor, Tensor]:
        """Return the flows of at most `places` pairs, one pair after the other.

        Their volumes are `TorchVolume`, their attention `SquareAttention`.
        """
        recording, filled = None, 0
        for k, pair in enumerate(pairs):
            recording = recording or self._recording_of(update, pair, places)
            recording.put(k, pair)
            filled += 1
        assert recording is not None, "a batch holds a pair"
        return recording.run(count, filled)

    def clear(self) -> bool:
        """Give their memory back; return whether there was any."""
        had_any = bool(self._kept)
        self._kept.clear()
        return had_any

    def _recording_of(self, update: Update, like: PairInputs, places: int) -> _RecordedIteration:
        shape = (places, *like.flow.shape[2:])
        if shape not in self._kept:
            self._make_room(shape, places * like.nbytes)
            self._kept[shape] = _RecordedIteration(update, like, places, self._record)
        self._kept.move_to_end(shape)
        return self._kept[shape]

    def _make_room(self, shape: tuple[int, ...], nbytes: int) -> None:
        """Drop the oldest: those above `KEPT`, and of other frames what does not fit beside."""
        while len(self._kept) >= KEPT:
            self._kept.popitem(last=False)
        others = [kept for kept in self._kept if kept[1:] != shape[1:]]
        for other in others:
            if nbytes + sum(recording.nbytes for recording in self._kept.values()) > self._room:
                del self._kept[other]


class _RecordedIteration:
    """One iteration over tensors that stay where they are."""

    def __init__(self, update: Update, like: PairInputs, places: int, record: Recorder) -> None:
        assert isinstance(like.volume, TorchVolume), "recorded are look-ups of torch"
        self._update, self.nbytes = update, places * like.nbytes
        self._flow, self._state = _room(like.flow, places), _room(like.state, places)
        self._gates = [_room(gate, places) for gate in like.gates]
        self._volume = like.volume.room_for(places)
        self._attention = [
            weights.room()
            for _ in range(places)
            for weights in like.attention
            if isinstance(weights, SquareAttention)
        ]
        self._replay = record(self._step, like.flow.device)

    def put(self, k: int, pair: PairInputs) -> None:
        """Copy a pair to place k."""
        assert isinstance(pair.volume, TorchVolume)
        self._flow[k : k + 1], self._state[k : k + 1] = pair.flow, pair.state
        for gates, pair_gates in zip(self._gates, pair.gates, strict=True):
            gates[k : k + 1] = pair_gates
        self._volume.put(k, pair.volume)
        for weights in pair.attention:
            assert isinstance(weights, SquareAttention)
            self._attention[k].put(weights)

    def run(self, count: int, filled: int) -> tuple[Tensor, Tensor]:
        """Return flow and state of the first `filled` places after `count` iterations."""
        for _ in range(count):
            self._replay()
        return self._flow[:filled].clone(), self._state[:filled].clone()

    def _step(self) -> None:
        correlation = self._volume.around_all(self._flow)
        state, step = self._update(
            self._state, self._gates, correlation, self._flow, self._attention
        )
        self._state.copy_(state)
        self._flow.add_(step)


def _room(like: Tensor, places: int) -> Tensor:
    """Return zeros for several of a tensor (1, C, h, w), laid out as it is."""
    channels_last = like.is_contiguous(memory_format=torch.channels_last)
    return torch.zeros((places, *like.shape[1:]), dtype=like.dtype, device=like.device).contiguous(
        memory_format=torch.channels_last if channels_last else torch.contiguous_format
    )
