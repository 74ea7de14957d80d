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
WHOLE_SHARE = 0.6  # of the smaller of the largest areas on either side, that a sighting has
BEND = 0.1  # of the way between two sightings, that the middle may lie beside the straight line


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
    followed both ways, with at most `gap` frames in between. Evidence is whole where it has
    `WHOLE_SHARE` of the area of the largest on the side where that is smaller. In a frame without
    whole evidence that lies between two with, at most `gap` frames apart, all that is carried from
    either side is covered, too, and both sightings, moved along the straight line between them,
    grown by `BEND` of its length in the middle. Where whole evidence is farther away, parts count,
    so that no frame between two sightings is bare. At the end of a shot with a sighting on one side
    only it is what is carried, and that sighting as it is where less than a quarter of it is left.

    Parameters
    ----------
    evidence : ndarray, shape (T, H, W), bool
        Never taken away. From twice `gap` frames before those wanted to as many after, or to the
        shot's ends.
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
        `ABSENT`, `SIGHTED`, or `CARRIED` where nothing or but a part was seen.

    Notes
    -----
    Depends on the evidence of twice `gap` frames on either side alone: whether evidence is whole is
    asked of frames up to `gap` away, and older sightings have been dropped on the way, wherever
    the carrying began.
    """
    frames = len(evidence)
    since = _carried_ages(evidence, backward, range(frames), gap, growth)
    until = _carried_ages(evidence, forward, range(frames - 1, -1, -1), gap, growth)
    whole, present = whole_evidence(evidence, gap), np.asarray(evidence.any(axis=(1, 2)))
    cover = np.zeros((len(wanted), *evidence.shape[1:]), np.bool_)
    states = np.zeros(len(wanted), np.uint8)
    for k, t in enumerate(wanted):
        carried = evidence[t] | (since[t].astype(np.int16) + until[t] <= gap + 1)
        before, after = _nearest_evidence(whole, t)
        if not present[t] and not _is_short(before, after, frames, gap, edges):
            before, after = _nearest_evidence(present, t)  # parts are better than nothing
        if not whole[t] and _is_short(before, after, frames, gap, edges):
            if before is not None:
                carried |= since[t] <= gap
            if after is not None:
                carried |= until[t] <= gap
            cover[k] = _cover_between(evidence, before, t, after, carried, growth)
            states[k] = CARRIED
        elif present[t]:
            cover[k] = carried
            states[k] = SIGHTED
    return cover, states


def whole_evidence(evidence: NDArray[np.bool_], gap: int) -> NDArray[np.bool_]:
    """Return the frames (T,) in which an object is seen, and not just a part of it.

    Parameters
    ----------
    evidence : ndarray, shape (T, H, W), bool
    gap : int, >= 0
        Frames to either side with which a frame's area is compared.
    """
    areas = evidence.sum(axis=(1, 2))
    least = [
        WHOLE_SHARE
        * min(areas[max(t - gap, 0) : t].max(initial=0), areas[t + 1 : t + 1 + gap].max(initial=0))
        for t in range(len(areas))
    ]
    return np.asarray((areas > 0) & (areas >= np.array(least)))


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


def _cover_between(
    evidence: NDArray[np.bool_],
    before: int | None,
    t: int,
    after: int | None,
    carried: NDArray[np.bool_],
    growth: int,
) -> NDArray[np.bool_]:
    """Return the cover of a frame without whole evidence, from what was carried to it."""
    if before is not None and after is not None:
        away = min(t - before, after - t)
        path = mask_centre(evidence[after]) - mask_centre(evidence[before])
        share = (t - before) / (after - before)
        moved = shifted_mask(evidence[before], share * path)
        moved |= shifted_mask(evidence[after], (share - 1) * path)
        bend = 4 * share * (1 - share) * BEND * float(np.hypot(*path))
        return carried | grown_mask(moved, growth * away + bend)
    alone: NDArray[np.bool_] = evidence[before if after is None else after]
    return carried if carried.sum() >= LEAST_SHARE * alone.sum() else carried | alone


def mask_centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return x and y of the centre of a mask (H, W) that is not empty, in pixels."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def shifted_mask(mask: NDArray[np.bool_], by: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask (H, W) moved by whole pixels x and y; nothing comes in from outside."""
    move = np.array([[1, 0, round(float(by[0]))], [0, 1, round(float(by[1]))]], np.float32)
    size = mask.shape[::-1]
    out = cv2.warpAffine(mask.astype(np.uint8), move, size, flags=cv2.INTER_NEAREST)
    return np.asarray(out > 0)


def grown_mask(mask: NDArray[np.bool_], margin: float) -> NDArray[np.bool_]:
    """Return a mask (H, W) grown by `margin` pixels, measured along straight lines."""
    if not margin or not mask.any():
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown: NDArray[np.bool_] = away <= margin
    return grown
