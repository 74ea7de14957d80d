"""Points of one frame followed through the frames before or after it, by the flow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.ops.fixed_point import unpack_flow
from stages.ops.shapes import bind_shapes

Points = NDArray[np.float32]
"""(2, N, M): x, then y, in pixels of the flow's grid."""


class FollowedPoints(NamedTuple):
    """Where points of the first frame lie in another, and which of them it hides."""

    points: Points
    hidden: NDArray[np.bool_]


class _Field(NamedTuple):
    """A frame with the points in it."""

    followed: FollowedPoints
    flow: NDArray[np.int16]
    visible: NDArray[np.bool_]


def follow_points(
    start: Points,
    fields: Iterable[tuple[NDArray[np.int16], NDArray[np.bool_]]],
    *,
    direction: int,
    offsets: Sequence[int],
) -> Iterator[FollowedPoints]:
    """Yield where points of the first frame lie in each frame, the first included.

    A point is carried from the nearest frame that shows it and from which the flow calls it
    visible, as far away as flow reaches: behind something thin it is found again. Where there is
    no such frame it is hidden, and goes on as the flow of the frame before says.

    Parameters
    ----------
    start : ndarray, shape (2, N, M), float32
        x before y, pixels of the flow's grid.
    fields : iterable of (flow, visible)
        Of the first frame and those after it in the direction: ``flow.flow`` (K2, 2, h, w) and
        ``visibility.seen`` (K2, h, w) to its neighbours.
    direction : {1, -1}
        Of time: the fields come forwards or backwards.
    offsets : sequence of int
        The neighbours, in the order in which the fields hold them; both sides alike.
    """
    recent: deque[_Field] = deque(maxlen=max(offsets))
    for flow, visible in fields:
        bind_shapes(start=(start, "2 N M"), flow=(flow, "K 2 h w"), visible=(visible, "K h w"))
        if recent:
            followed = _carry_points(recent, direction, offsets)
        else:
            followed = FollowedPoints(start, np.zeros(start.shape[1:], np.bool_))
        recent.append(_Field(followed, flow, visible))
        yield followed


def _carry_points(recent: deque[_Field], direction: int, offsets: Sequence[int]) -> FollowedPoints:
    """Return the points in the frame after the last of `recent`."""
    points = np.zeros_like(recent[-1].followed.points)
    hidden = np.ones_like(recent[-1].followed.hidden)
    for back, field in enumerate(reversed(recent), start=1):
        k = offsets.index(direction * back)
        carried = hidden & ~field.followed.hidden & _sampled_nearest(field, k)
        if back == 1 or carried.any():
            moved = field.followed.points + _sampled_flow(field, k)
            points = np.where(carried | (back == 1), moved, points)
        hidden &= ~carried
        if not hidden.any():
            break
    return FollowedPoints(points.astype(np.float32), hidden)


def _sampled_flow(field: _Field, k: int) -> Points:
    """Return the flow to the k-th neighbour at the points: bilinear, beyond the border as on it."""
    flow = unpack_flow(field.flow[k])
    rows, columns = flow.shape[1:]
    x, y = np.clip(field.followed.points, 0, np.array([[[columns - 1]], [[rows - 1]]], np.float32))
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, below = np.minimum(left + 1, columns - 1), np.minimum(top + 1, rows - 1)
    u, v = x - left.astype(np.float32), y - top.astype(np.float32)
    upper = flow[:, top, left] * (1 - u) + flow[:, top, right] * u
    lower = flow[:, below, left] * (1 - u) + flow[:, below, right] * u
    return np.asarray(upper * (1 - v) + lower * v, np.float32)


def _sampled_nearest(field: _Field, k: int) -> NDArray[np.bool_]:
    """Return whether the k-th neighbour shows the points; what lies outside it does not."""
    rows, columns = field.visible.shape[1:]
    x, y = (np.floor(axis + np.float32(0.5)).astype(np.int64) for axis in field.followed.points)
    inside = (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    shown = field.visible[k][np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)]
    return np.asarray(inside & shown)
