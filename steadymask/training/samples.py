"""What a decoder is fitted on: cut-outs of neighbouring frames, with the flow between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from pipeline.stage import Span
from stages.arrays import neighbour_offsets
from stages.ops.decoder_inputs import decoder_inputs, frame_view
from stages.ops.fixed_point import unpack_flow, unpack_mask
from stages.ops.soft_masks import with_background
from stages.ops.visibility import visible
from stages.ops.voting import appearance_table
from stages.ops.warp import resize_flow
from steadymask.training.stored_library import SampleFrame, StoredLibrary

Sample = dict[str, torch.Tensor]
Cut = tuple[slice, slice]


@dataclass(frozen=True)
class Shape:
    """What samples look like.

    Attributes
    ----------
    window : int
        Frames that the decoder looks at.
    radius : int
        Of the flow in the store.
    appearance : float
        See `stages.ops.voting.appearance_table`.
    side : int
        Rows and columns of the cut-out, at most.
    """

    window: int
    radius: int
    appearance: float
    side: int


class AlignedSamples(Dataset[Sample]):
    """Two frames at most `radius` apart, one class against the rest, for the aligned decoder.

    A sample holds for both frames `planes` (2, 6, H, W), `near` (2, 2 (window - 1), h, w) and the
    `teacher` (2, 1, H, W), the voted mask; `flow` (2, 2, H, W), there and back, and `seen`
    (2, 1, H, W).

    Parameters
    ----------
    library : StoredLibrary
    places : sequence of SampleFrame
    numbers : range
        One for each sample; the same number gives the same sample.
    shape : Shape
    seed : int
    """

    def __init__(
        self,
        library: StoredLibrary,
        places: Sequence[SampleFrame],
        numbers: range,
        shape: Shape,
        seed: int,
    ) -> None:
        self._library, self._places, self._numbers = library, places, numbers
        self._shape, self._seed = shape, seed
        self._table = appearance_table(shape.appearance)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample."""
        rng = np.random.default_rng((self._seed, self._numbers[index]))
        sample = self._places[int(rng.integers(len(self._places)))]
        i = sample.frame
        j = min(i + int(rng.integers(1, self._shape.radius + 1)), sample.shot[1] - 1)
        voted = self._library.span(sample, "refine.masks", i, j + 1)
        cut, c = cut_out(voted[i], rng, self._shape.side), int(rng.integers(voted[i].shape[-1]))
        flows = {t: self._cut_flows(sample, t, voted[i].shape[:2], cut) for t in (i, j)}
        there, back = flows[i][j - i], flows[j][i - j]
        both = [self._decoder_frame(sample, t, c, cut, flows[t], voted[t]) for t in (i, j)]
        out = {name: np.stack([frame_inputs[name] for frame_inputs in both]) for name in both[0]}
        out["flow"] = np.stack([there, back])
        out["seen"] = np.stack([visible(there, back)[None], visible(back, there)[None]])
        return {name: torch.from_numpy(values) for name, values in out.items()}

    def _cut_flows(
        self, sample: SampleFrame, t: int, size: tuple[int, ...], cut: Cut
    ) -> dict[int, NDArray[np.float32]]:
        """Return the flow from frame t to its neighbours, cut out, by their distance."""
        packed = self._library.span(sample, "flow.flow", t, t + 1)[t]
        flows = {}
        for k, step in enumerate(neighbour_offsets(self._shape.radius)):
            if sample.shot[0] <= t + step < sample.shot[1]:
                whole = resize_flow(unpack_flow(packed[k]), (size[0], size[1]))
                flows[step] = np.ascontiguousarray(whole[(slice(None), *cut)])
        return flows

    def _decoder_frame(
        self,
        sample: SampleFrame,
        t: int,
        c: int,
        cut: Cut,
        flows: dict[int, NDArray[np.float32]],
        voted: NDArray[np.uint8],
    ) -> dict[str, NDArray[np.float32]]:
        """Return the decoder's inputs of one frame, as `stages.refine.decoding` makes them."""
        reach = self._shape.window // 2
        frames = self._library.span(sample, "ingest.frames", t - reach, t + reach + 1)
        masks = self._library.span(sample, "segment.masks", t - reach, t + reach + 1)
        around = {
            k - t: frame_view(
                np.ascontiguousarray(frames[k][cut]),
                unpack_mask(np.ascontiguousarray(masks[k][cut][..., c : c + 1])),
            )
            for k in range(frames.start, frames.stop)
        }
        teacher = unpack_mask(voted[cut][..., c : c + 1])
        inputs = decoder_inputs(
            around, teacher, flows, window=self._shape.window, table=self._table
        )
        return {
            "planes": inputs.planes(0),
            "near": inputs.near[0],
            "teacher": np.moveaxis(teacher, -1, 0),
        }


class WindowSamples(Dataset[Sample]):
    """Windows of frames with the masks of all classes, for the paper's decoder.

    A sample holds `frames` (K, 3, H, W), `masks` (K, C, H, W) with the background first, and for
    every ordered pair of frames at most `radius` apart `flow` (pairs, 2, H, W) and `seen`
    (pairs, 1, H, W), in the order of `pairs_of`. Parameters as for `AlignedSamples`.
    """

    def __init__(
        self,
        library: StoredLibrary,
        places: Sequence[SampleFrame],
        numbers: range,
        shape: Shape,
        seed: int,
    ) -> None:
        self._library, self._places, self._numbers = library, places, numbers
        self._shape, self._seed = shape, seed

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Sample:
        """Return a sample; at a shot's end the end frame is repeated."""
        rng = np.random.default_rng((self._seed, self._numbers[index]))
        sample = self._places[int(rng.integers(len(self._places)))]
        half = self._shape.window // 2
        first, last = sample.frame - half, sample.frame + half
        images = self._library.span(sample, "ingest.frames", first, last + 1)
        masks = self._library.span(sample, "segment.masks", first, last + 1)
        packed = self._library.span(sample, "flow.flow", first, last + 1)
        cut = cut_out(masks.array[0], rng, self._shape.side)
        near = [min(max(k, images.start), images.stop - 1) for k in range(first, last + 1)]
        soft = [unpack_mask(masks[k][cut]) for k in near]
        out = {
            "frames": np.stack([np.moveaxis(images[k][cut], -1, 0) for k in near])
            / np.float32(255),
            "masks": np.stack([np.moveaxis(with_background(mask), -1, 0) for mask in soft]),
        }
        size = masks.array.shape[1:3]
        flows = {pair: self._cut_flow(packed, near, pair, size, cut) for pair in self.pairs}
        out["flow"] = np.stack([flows[pair] for pair in self.pairs])
        out["seen"] = np.stack([visible(flows[i, j], flows[j, i])[None] for i, j in self.pairs])
        return {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in out.items()}

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The ordered pairs of frames of a window between which there is flow."""
        return pairs_of(self._shape.window, self._shape.radius)

    def _cut_flow(
        self,
        packed: Span,
        near: list[int],
        pair: tuple[int, int],
        size: tuple[int, ...],
        cut: Cut,
    ) -> NDArray[np.float32]:
        i, j = near[pair[0]], near[pair[1]]
        if i == j:  # an end frame, repeated
            return np.zeros((2, *(part.stop - part.start for part in cut)), np.float32)
        k = neighbour_offsets(self._shape.radius).index(j - i)
        whole = resize_flow(unpack_flow(packed[i][k]), (size[0], size[1]))
        return np.ascontiguousarray(whole[(slice(None), *cut)])


def pairs_of(window: int, radius: int) -> list[tuple[int, int]]:
    """Return the ordered pairs of frames of a window at most `radius` apart."""
    frames = range(window)
    return [(i, j) for i in frames for j in frames if i != j and abs(i - j) <= radius]


def cut_out(mask: NDArray[Any], rng: np.random.Generator, side: int) -> Cut:
    """Return a random cut-out, by preference one with something in it.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C)
        Something is where any of it is not 0.
    rng : Generator
    side : int
        Rows and columns, at most.
    """
    rows, columns = mask.shape[:2]
    ys, xs = np.nonzero(mask.any(axis=-1))
    k = int(rng.integers(len(ys))) if len(ys) else 0
    centre = (ys[k], xs[k]) if len(ys) else (rows // 2, columns // 2)
    starts = [
        int(np.clip(at - rng.integers(side), 0, max(size - side, 0)))
        for at, size in zip(centre, (rows, columns), strict=True)
    ]
    return (
        slice(starts[0], min(starts[0] + side, rows)),
        slice(starts[1], min(starts[1] + side, columns)),
    )
