"""Cover: where an object is between sightings, so that redaction leaves no frame of it bare."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

NEVER = 255
"""Age of a pixel to which no sighting has been carried."""

ABSENT, SIGHTED, CARRIED = 0, 1, 2
"""States of an object in a frame: nothing covered, evidence of its own, covered from others."""

LEAST_SHARE = 0.25  # of the smaller sighting's area, that what is carried has at least


def carry_ages(
    ages: NDArray[np.uint8], flow: NDArray[np.float32], *, limit: int, growth: int
) -> NDArray[np.uint8]:
    """Return the ages of sightings, carried on by a frame.

    Parameters
    ----------
    ages : ndarray, shape (H, W), uint8
        Frames since a sighting was carried to this pixel of the frame before; 255 is never.
    flow : ndarray, shape (2, H, W), float32
        From this frame to the one before, pixels, x before y.
    limit : int, < 255
        Older sightings are dropped.
    growth : int, >= 0
        Pixels that a sighting grows by in each frame: flow is not certain.

    Returns
    -------
    ndarray, shape (H, W), uint8
        Each pixel reads the nearest pixel that the flow leads to; outside of the frame is never.
    """
    dims = bind_shapes(ages=(ages, "H W"), flow=(flow, "2 H W"))
    rows, columns = np.mgrid[: dims["H"], : dims["W"]].astype(np.float32)
    carried = cv2.remap(
        ages, columns + flow[0], rows + flow[1], cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=NEVER,
    )  # fmt: skip
    if growth:
        carried = cv2.erode(carried, np.ones((2 * growth + 1,) * 2, np.uint8))
    return np.where(carried < limit, carried + 1, NEVER).astype(np.uint8)


def cover_frames(
    evidence: NDArray[np.bool_],
    backward: Sequence[NDArray[np.float32]],
    forward: Sequence[NDArray[np.float32]],
    wanted: range,
    *,
    gap: int,
    growth: int,
    edges: tuple[bool, bool] = (False, False),
) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
    """Return the cover of one object: its evidence, and where it must be between sightings.

    A pixel is covered where it was sighted at most `gap` frames ago and will be again, the flow
    followed both ways, with at most `gap` frames in between. In a frame without any evidence that
    lies between two with, at most `gap` frames apart, all that is carried from the nearer side is
    covered, too, and both sightings, moved along the straight line between them. At the end of a
    shot with a sighting on one side only it is what is carried, and that sighting as it is where
    less than a quarter of it is left.

    Parameters
    ----------
    evidence : ndarray, shape (T, H, W), bool
        Never taken away. From `gap` frames before those wanted to as many after, or to the shot's
        ends.
    backward, forward : sequence of T ndarrays, shape (2, H, W), float32
        Flow to the frame before and after, pixels.
    wanted : range
        Frames of the T to return.
    gap : int, in [0, 254)
    growth : int, >= 0
        See `carry_ages`.
    edges : (bool, bool)
        Whether the shot's first and last frames are here, and count as sightings: an object that
        comes in view of the segmenter shortly after a cut was there before.

    Returns
    -------
    cover : ndarray, shape (len(wanted), H, W), bool
    states : ndarray, shape (len(wanted),), uint8
        `ABSENT`, `SIGHTED` or `CARRIED`.

    Notes
    -----
    Depends on the evidence of `gap` frames on either side alone: sightings that are older have
    been dropped on the way, wherever the carrying began.
    """
    frames = len(evidence)
    since = _carried_ages(evidence, backward, range(frames), gap, growth)
    until = _carried_ages(evidence, forward, range(frames - 1, -1, -1), gap, growth)
    present = np.asarray(evidence.any(axis=(1, 2)))
    cover = np.zeros((len(wanted), *evidence.shape[1:]), np.bool_)
    states = np.zeros(len(wanted), np.uint8)
    for k, t in enumerate(wanted):
        if present[t]:
            total = since[t].astype(np.int16) + until[t]
            cover[k] = evidence[t] | (total <= gap + 1)
            states[k] = SIGHTED
            continue
        before, after = _nearest_evidence(present, t)
        if not _is_short(before, after, frames, gap, edges):
            continue
        carried = since[t].astype(np.int16) + until[t] <= gap + 1
        for ages in _nearer_ages(before, t, after, since[t], until[t]):
            carried |= ages <= gap
        cover[k] = _cover_between(evidence, before, t, after, carried, growth)
        states[k] = CARRIED
    return cover, states


def _carried_ages(
    evidence: NDArray[np.bool_],
    flows: Sequence[NDArray[np.float32]],
    order: range,
    gap: int,
    growth: int,
) -> list[NDArray[np.uint8]]:
    """Return the ages of sightings in every frame, carried in one direction."""
    ages: list[NDArray[np.uint8]] = [np.empty(0, np.uint8)] * len(order)
    last: NDArray[np.uint8] | None = None
    for t in order:
        if last is None:
            ages[t] = np.full(evidence.shape[1:], NEVER, np.uint8)
        else:
            ages[t] = carry_ages(last, flows[t], limit=gap, growth=growth)
        last = np.where(evidence[t], 0, ages[t]).astype(np.uint8)
    return ages


def _nearest_evidence(present: NDArray[np.bool_], t: int) -> tuple[int | None, int | None]:
    """Return the last frame with evidence before `t` and the first after it."""
    before, after = np.flatnonzero(present[:t]), np.flatnonzero(present[t:])
    return (
        int(before[-1]) if len(before) else None,
        int(after[0]) + t if len(after) else None,
    )


def _is_short(
    before: int | None, after: int | None, frames: int, gap: int, edges: tuple[bool, bool]
) -> bool:
    """Return whether a gap has both its ends, or one and that of the shot, and is short enough."""
    if before is None and after is None:
        return False
    if (before is None and not edges[0]) or (after is None and not edges[1]):
        return False
    start, stop = -1 if before is None else before, frames if after is None else after
    return stop - start - 1 <= gap


def _nearer_ages(
    before: int | None,
    t: int,
    after: int | None,
    since: NDArray[np.uint8],
    until: NDArray[np.uint8],
) -> list[NDArray[np.uint8]]:
    """Return the ages that were carried from the nearer sighting, or from both."""
    if before is None or after is None:
        return [until if before is None else since]
    back, ahead = t - before, after - t
    return [*([since] if back <= ahead else []), *([until] if ahead <= back else [])]


def _cover_between(
    evidence: NDArray[np.bool_],
    before: int | None,
    t: int,
    after: int | None,
    carried: NDArray[np.bool_],
    growth: int,
) -> NDArray[np.bool_]:
    """Return the cover of a frame without evidence, from what was carried to it."""
    if before is not None and after is not None:
        away = min(t - before, after - t)
        path = centre(evidence[after]) - centre(evidence[before])
        share = (t - before) / (after - before)
        moved = shifted(evidence[before], share * path)
        moved |= shifted(evidence[after], (share - 1) * path)
        return carried | grow(moved, growth * away)
    alone: NDArray[np.bool_] = evidence[before if after is None else after]
    return carried if carried.sum() >= LEAST_SHARE * alone.sum() else carried | alone


def centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return x and y of the centre of a mask (H, W) that is not empty, in pixels."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def shifted(mask: NDArray[np.bool_], by: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask (H, W) moved by whole pixels x and y; nothing comes in from outside."""
    move = np.array([[1, 0, round(float(by[0]))], [0, 1, round(float(by[1]))]], np.float32)
    size = mask.shape[::-1]
    out = cv2.warpAffine(mask.astype(np.uint8), move, size, flags=cv2.INTER_NEAREST)
    return np.asarray(out > 0)


def grow(mask: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Return a mask (H, W) grown by `margin` pixels, measured along straight lines."""
    if not margin or not mask.any():
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown: NDArray[np.bool_] = away <= margin
    return grown
