"""The learned decoder over a window, frame after frame, holding few frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span
from stages.arrays import neighbour_offsets
from stages.models.decoders.load import decoder_window, load_decoder
from stages.ops.decoder_inputs import FrameView, decoder_inputs, frame_view
from stages.ops.fixed_point import unpack_flow, unpack_mask
from stages.ops.residual import add_residual
from stages.ops.soft_masks import with_background
from stages.ops.trust import Counts, at_edges, changed_pieces, mask_steadiness, mask_sureness
from stages.ops.voting import appearance_table
from stages.refine.method import RefinedMask

if TYPE_CHECKING:
    from stages.models.decoders.aligned import AlignedDecoder
    from stages.models.decoders.deeplab import DeepLabDecoder

TRUST_REACH = 3  # frames to either side that a mask has to be good in, to be left alone


def decode_aligned(
    masks: Span,
    voted: Iterable[NDArray[np.float32]],
    frames: Span,
    flow: Span,
    wanted: range,
    *,
    radius: int,
    window_length: int,
    appearance: float,
    weights: str,
    device: str,
) -> Iterator[RefinedMask]:
    """Yield the voted masks of the frames `wanted` with the decoder's residual.

    A class's own mask takes the place of the refined one as far as it is sure and steady.

    Parameters
    ----------
    masks, frames : Span
        (H, W, C) and (H, W, 3) uint8, to `radius` frames on either side of those voted, or to the
        shot's ends.
    voted : iterable of ndarray, shape (H, W, C), float32
        One for each frame wanted and `TRUST_REACH` more on either side, or to the shot's ends.
    flow : Span of (2 * radius, 2, h, w) int16
        Of all frames voted.
    wanted : range
    radius, window_length : int
        Of `flow`, and how many frames the decoder may look at; no more than it was trained for.
    appearance : float
        See `stages.ops.voting.appearance_table`.
    weights, device : str
        See `stages.models.decoders.load.load_decoder`.
    """
    decoder = cast("AlignedDecoder", load_decoder("aligned", weights, device))
    reach = min(decoder.window // 2, window_length // 2, radius)
    decoded = _decoded_frames(
        decoder, masks, voted, frames, flow, around(wanted, frames), reach, appearance
    )
    windows: dict[int, _DecodedWindow] = {}
    for t in wanted:
        near = around(range(t, t + 1), frames)
        while not windows or max(windows) < near[-1]:
            k, window = next(decoded)
            windows[k] = window
        windows = {k: window for k, window in windows.items() if k >= near[0]}
        share = mask_sureness([windows[k].at_edges for k in near])
        share = share * mask_steadiness([windows[k].pieces for k in near])
        yield windows[t].mask + share * (windows[t].own - windows[t].mask), share


@dataclass(frozen=True)
class _DecodedWindow:
    mask: NDArray[np.float32]
    own: NDArray[np.float32]
    at_edges: Counts
    pieces: Counts


def around(wanted: range, frames: Span) -> range:
    """Return the frames that trust in those wanted depends on."""
    first = max(wanted.start - TRUST_REACH, frames.start)
    return range(first, min(wanted.stop + TRUST_REACH, frames.stop))


def _decoded_frames(
    decoder: AlignedDecoder,
    masks: Span,
    voted: Iterable[NDArray[np.float32]],
    frames: Span,
    flow: Span,
    wanted: range,
    reach: int,
    appearance: float,
) -> Iterator[tuple[int, _DecodedWindow]]:
    """Yield the decoder's answer for each frame."""
    table = appearance_table(appearance)
    steps = neighbour_offsets(flow.array.shape[1] // 2)
    views: dict[int, FrameView] = {}
    for t, vote in zip(wanted, voted, strict=True):
        close = range(max(t - reach, frames.start), min(t + reach + 1, frames.stop))
        for j in close:
            if j not in views:
                views[j] = frame_view(frames[j], unpack_mask(masks[j]))
        views = {j: view for j, view in views.items() if j >= close.start}
        inputs = decoder_inputs(
            {j - t: views[j] for j in close},
            vote,
            {step: unpack_flow(flow[t][k]) for k, step in enumerate(steps)},
            window=decoder.window,
            table=table,
        )
        residual, trust = decoder.refine(inputs)
        own = views[t].mask
        yield (
            t,
            _DecodedWindow(
                add_residual(vote, residual),
                own,
                at_edges(trust, own),
                changed_pieces(views[t].half.mask, inputs.near),
            ),
        )


def decode_deeplab(
    masks: Span, frames: Span, wanted: range, *, weights: str, device: str
) -> Iterator[NDArray[np.float32]]:
    """Yield the masks of the frames `wanted` as the paper's decoder corrects them.

    Parameters
    ----------
    masks, frames : Span
        (H, W, C) and (H, W, 3) uint8 of `deeplab_reach` frames more on either side, or to the
        shot's ends.
    wanted : range
    weights, device : str
        See `stages.models.decoders.load.load_decoder`.
    """
    from stages.models.decoders.windows import slide

    decoder = cast("DeepLabDecoder", load_decoder("deeplab", weights, device))
    start, stop = wanted.start - frames.start, wanted.stop - frames.start
    for mask in slide(decoder, frames.array, _WithBackground(masks.array), start=start, stop=stop):
        yield np.moveaxis(mask[1:], 0, -1)


def deeplab_reach(weights: str) -> int:
    """Return how far the windows that see a frame reach."""
    return decoder_window("deeplab", weights) - 1


class _WithBackground(Sequence[NDArray[np.float32]]):
    """Masks with the background before the classes, each made when asked for."""

    def __init__(self, packed: NDArray[np.uint8]) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, k: Any) -> Any:
        return with_background(unpack_mask(self._packed[k]))
