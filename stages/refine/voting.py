"""Voting over a window, pass after pass, holding few frames at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.stage import Span
from stages.arrays import neighbour_offsets
from stages.backend import HOST, Arithmetic, Array, Placed
from stages.ops.voting import appearance_table


def voting_passes(
    masks: Iterable[Array],
    frames: Span,
    flow: Span,
    wanted: range,
    *,
    count: int,
    radius: int,
    appearance: float,
    voters: range | None = None,
    on: Arithmetic = HOST,
) -> Iterator[Array]:
    """Yield the masks of the frames `wanted` after `count` passes of voting.

    Parameters
    ----------
    masks : iterable of ndarray, shape (H, W, C), float32
        One for each frame `voters`, in order.
    frames : Span of (H, W, 3) uint8
        From `count * radius` frames before the first wanted to as many after the last, or to the
        shot's ends.
    flow : Span of (2 * radius, 2, h, w) int16
        Of at least the frames in which a pass but the last is needed.
    wanted : range
    count, radius : int
    appearance : float
        See `stages.ops.voting.appearance_table`.
    voters : range, optional
        The frames of `masks`; all of `frames` if left out.
    on : Arithmetic
        Of the device; the masks yielded are arrays of it.
    """
    table = on.put(appearance_table(appearance))
    stream: Iterator[Array] = iter(masks)
    pictures, flows = on.placed(frames), on.placed(flow)
    voters = range(frames.start, frames.stop) if voters is None else voters
    for left in range(count - 1, -1, -1):
        first = max(wanted.start - left * radius, frames.start)
        last = min(wanted.stop + left * radius, frames.stop)
        wider, voters = voters, range(first, last)
        stream = _one_pass(stream, wider, voters, pictures, flows, radius, table, on)
    return stream


def _one_pass(
    masks: Iterator[Array],
    voters: range,
    wanted: range,
    frames: Placed,
    flow: Placed,
    radius: int,
    table: Array,
    on: Arithmetic,
) -> Iterator[Array]:
    """Vote once for the frames `wanted`, given the masks of frames `voters`."""
    nearby: dict[int, tuple[Array, Array]] = {}  # masks and pictures
    flat: dict[int, Array] = {}
    coming = iter(voters)
    steps = neighbour_offsets(radius)
    for t in wanted:
        for j in coming:
            nearby[j] = on.put(next(masks)), frames[j]
            flat[j] = on.flat_tiles(nearby[j][0])
            if j >= t + radius:
                break
        nearby = {j: both for j, both in nearby.items() if j >= t - radius}
        near = [(k, t + step) for k, step in enumerate(steps) if t + step in nearby]
        own = [nearby[t], *(nearby[j] for _, j in near)]
        yield on.vote(
            [mask for mask, _ in own],
            [image for _, image in own],
            [on.flow(flow[t][k]) for k, _ in near],
            table=table,
            flat=[flat[t], *(flat[j] for _, j in near)],
        )
