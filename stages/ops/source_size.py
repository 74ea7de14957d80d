"""Carry changes that were made at working size back to masks at the source's size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

REACH = 6.0  # pixels at working size within which an outline may move
SMALL_MOVE = 2.5  # pixels at working size; what moves further is not a correction of an outline
MARGIN = 3  # pixels at working size around what is taken as a whole
FAINT, STRONG = 0.05, 0.35  # changes of a soft mask: nothing, and not a correction of an edge


def signed_pixel_distance(region: NDArray[np.bool_], *, reach: float) -> NDArray[np.float32]:
    """Return each pixel's distance to the outline of a region, positive inside.

    Parameters
    ----------
    region : ndarray, shape (H, W), bool
    reach : float
        Distances are cut at this many pixels.

    Returns
    -------
    ndarray, shape (H, W), float32
        Pixels, in [-reach, reach]; the outline runs half way between two pixels.
    """
    inside = region.astype(np.uint8)
    if not inside.any():
        return np.full(region.shape, -reach, np.float32)
    if inside.all():
        return np.full(region.shape, reach, np.float32)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5) - np.float32(0.5)
    height = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5) - np.float32(0.5)
    distance = np.where(region, depth, -height)
    return np.asarray(np.clip(distance, -reach, reach), np.float32)


def transfer_labels(
    source: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    enlarged: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Return labels at the source's size with the changes that were made at working size.

    Where working labels did not change, the source's labels come out as they are. Where an outline
    moved by a few pixels, the source's outline moves by as much: the change of the signed distance
    is added to the signed distance of the source. Where more changed, the enlarged result stands.

    Parameters
    ----------
    source : ndarray, shape (H, W), uint8
        Labels as they came, 0 is background.
    before, after : ndarray, shape (h, w), uint8
        The same labels at working size, as they came and as they are now.
    enlarged : ndarray, shape (H, W), uint8
        `after` at the source's size, with the edges of the picture.

    Returns
    -------
    ndarray, shape (H, W), uint8

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    full = bind_shapes(source=(source, "H W"), enlarged=(enlarged, "H W"))
    small = bind_shapes(before=(before, "h w"), after=(after, "h w"))
    changed = before != after
    if not changed.any():
        return source
    box = _padded_box(changed, int(REACH) + MARGIN)
    scale = full["H"] / small["h"], full["W"] / small["w"]
    wide = _enlarged_box(box, scale, (full["H"], full["W"]))
    out = source.copy()
    out[wide] = _moved_labels(source, before, after, enlarged, box, wide, scale)
    return out


def _moved_labels(
    source: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    enlarged: NDArray[np.uint8],
    box: tuple[slice, slice],
    wide: tuple[slice, slice],
    scale: tuple[float, float],
) -> NDArray[np.uint8]:
    """Return the labels of a box at the source's size."""
    kinds = np.union1d(np.unique(before[box]), np.unique(after[box]))
    window = source[wide]
    unit = np.float32(np.sqrt(scale[0] * scale[1]))
    best = np.full(window.shape, -np.inf, np.float32)
    labels = window.copy()
    furthest = np.zeros(before[box].shape, np.float32)
    for label in kinds:
        shift = signed_pixel_distance(after[box] == label, reach=REACH)
        shift -= signed_pixel_distance(before[box] == label, reach=REACH)
        furthest = np.maximum(furthest, np.abs(shift))
        distance = signed_pixel_distance(window == label, reach=float(REACH * unit)) / unit
        distance += _sampled_values(shift, box, wide, scale)
        labels = np.where(distance > best, label, labels)
        best = np.maximum(best, distance)
    still = _sampled_values(furthest, box, wide, scale) <= 0
    core = (furthest > SMALL_MOVE).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    whole = _sampled_values(cv2.dilate(core, disc).astype(np.float32), box, wide, scale) > 0.5
    moved = np.where(whole, enlarged[wide], labels)
    return np.where(still, window, moved).astype(np.uint8)


def transfer_soft(
    source: NDArray[np.uint8],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    enlarged: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return soft masks at the source's size with the changes that were made at working size.

    Where nothing changed, values come out as they came. A small change is added to the source's
    values, so that detail that only the source has (hair, thin lines) stays. Where more changed,
    the enlarged result stands; in between the two are mixed.

    Parameters
    ----------
    source : ndarray, shape (H, W, C), uint8
        In 255ths.
    before, after : ndarray, shape (h, w, C), uint8
        The same masks at working size, as they came and as they are now, in 255ths.
    enlarged : ndarray, shape (H, W, C), float32
        `after` at the source's size, with the edges of the picture, in [0, 1].

    Returns
    -------
    ndarray, shape (H, W, C), float32, in [0, 1]

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    full = bind_shapes(source=(source, "H W C"), enlarged=(enlarged, "H W C"))
    bind_shapes(before=(before, "h w C"), after=(after, "h w C"))
    own = source * np.float32(1 / 255)
    change = (after.astype(np.float32) - before) * np.float32(1 / 255)
    if not change.any():
        return own
    out = np.empty_like(own)
    size = full["W"], full["H"]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    for k in range(full["C"]):
        amount = cv2.dilate(np.abs(change[..., k]), disc)
        share = np.clip((amount - FAINT) / (STRONG - FAINT), 0, 1).astype(np.float32)
        share = cv2.resize(share, size, interpolation=cv2.INTER_LINEAR)
        added = cv2.resize(np.ascontiguousarray(change[..., k]), size)
        corrected = np.clip(own[..., k] + added, 0, 1)
        out[..., k] = corrected + share * (enlarged[..., k] - corrected)
    return out


def _padded_box(changed: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the smallest box around all that changed, with a margin, inside the picture."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    height, width = changed.shape
    return (
        slice(max(int(rows[0]) - margin, 0), min(int(rows[-1]) + 1 + margin, height)),
        slice(max(int(columns[0]) - margin, 0), min(int(columns[-1]) + 1 + margin, width)),
    )


def _enlarged_box(
    box: tuple[slice, slice], scale: tuple[float, float], size: tuple[int, int]
) -> tuple[slice, slice]:
    """Return the pixels of the large picture that lie inside a box of the small one."""
    (rows, columns), (down, across) = box, scale
    return (
        slice(int(rows.start * down), min(int(np.ceil(rows.stop * down)), size[0])),
        slice(int(columns.start * across), min(int(np.ceil(columns.stop * across)), size[1])),
    )


def _sampled_values(
    values: NDArray[np.float32],
    box: tuple[slice, slice],
    wide: tuple[slice, slice],
    scale: tuple[float, float],
) -> NDArray[np.float32]:
    """Return values of a box of the small picture at the pixels of the large one, bilinearly."""
    rows, columns = (
        ((np.arange(out.start, out.stop) + 0.5) / factor - 0.5 - small.start).astype(np.float32)
        for out, factor, small in zip(wide, scale, box, strict=True)
    )
    x, y = np.meshgrid(columns, rows)
    sampled: NDArray[np.float32] = cv2.remap(
        values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled
