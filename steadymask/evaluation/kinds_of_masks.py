"""Kinds of masks as good segmenters give them: sharp, mostly right, and wrong now and then."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError

KINDS = (
    "truth", "dropout", "spell", "leak", "swap", "boiling", "specks", "jitter", "breathing"
)  # fmt: skip
BAD = 0.12  # chance that a bad spell of 1 to 3 frames begins
LONG = 20  # frames of a long spell
SPECKS = 3  # islands or holes in each frame of a spell
SPECK_RADII = (3, 9)  # pixels: the smallest, and the first that is too large
WAVE, SHIFT = 6.0, 2.0  # pixels: smoothness of the field that displaces edges, and its rms
JUMP = 2.0  # pixels: 1 sigma by which whole masks are displaced, or grow, from frame to frame

Labels = list[NDArray[np.uint8]]


def make_masks(truth: Labels, kind: str, rng: np.random.Generator) -> Labels:
    """Return masks of one kind from true labels.

    Parameters
    ----------
    truth : list of ndarray, shape (H, W), uint8
        0 is the background.
    kind : str
        truth: as they are; dropout: spells of 1 to 3 frames in which all is missing, or one half;
        spell: all is missing for 20 frames in a row; leak: spells in which a part of the
        surroundings is taken for the largest object; swap: spells in which two ids are swapped,
        or, where there is one, it lies elsewhere; boiling: edges displaced by a smooth field of
        2 px, new in each frame; specks: spells in which three small discs, all islands or all
        holes, stand at the same pixels; jitter: the whole mask displaced, down and across, by
        normal noise of 2 px, new in each frame; breathing: every object grown or shrunk by such
        noise.
    rng : numpy.random.Generator

    Returns
    -------
    list of ndarray, as `truth`

    Raises
    ------
    ConfigError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"kind of masks: expected one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "truth":
        return [mask.copy() for mask in truth]
    if kind == "boiling":
        return [_displaced_mask(mask, rng) for mask in truth]
    if kind == "jitter":
        return [_moved_mask(mask, rng.normal(0, JUMP, 2)) for mask in truth]
    if kind == "breathing":
        return [_grown_mask(mask, rng.normal(0, JUMP)) for mask in truth]
    if kind == "spell":
        start = max((len(truth) - LONG) // 2, 0)
        bad = range(start, start + LONG)
        return [mask * np.uint8(0 if t in bad else 1) for t, mask in enumerate(truth)]
    return _with_bad_spells(truth, kind, rng)


def _with_bad_spells(truth: Labels, kind: str, rng: np.random.Generator) -> Labels:
    """Return true masks with spells of bad ones of one kind."""
    out = [mask.copy() for mask in truth]
    for spell in bad_spells(len(truth), rng):
        if kind == "specks":
            discs, label = _draw_specks(truth[spell.start], rng)
            for t in spell:
                out[t][discs] = label
            continue
        half, side = rng.random() < 0.5, int(rng.integers(4))
        for t in spell:
            out[t] = _spoiled_mask(truth[t], kind, half, side)
    return out


def _spoiled_mask(mask: NDArray[np.uint8], kind: str, half: bool, side: int) -> NDArray[np.uint8]:
    """Return the mask of a frame in a bad spell."""
    if kind == "dropout":
        return _halved_mask(mask, side) if half else np.zeros_like(mask)
    return _leaked_mask(mask, side) if kind == "leak" else _swapped_mask(mask, side)


def _draw_specks(
    mask: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.bool_], np.uint8]:
    """Return where small discs lie, well inside a mask or well outside, and their label."""
    inside = rng.random() < 0.5
    room = cv2.distanceTransform(((mask > 0) == inside).astype(np.uint8), cv2.DIST_L2, 5)
    discs = np.zeros(mask.shape, np.uint8)
    for _ in range(SPECKS):
        radius = int(rng.integers(*SPECK_RADII))
        centres = np.argwhere(room > radius + 2)
        if len(centres):
            row, column = centres[rng.integers(len(centres))]
            cv2.circle(discs, (int(column), int(row)), radius, 1, -1)
    label = 0 if inside or not mask.any() else np.bincount(mask[mask > 0]).argmax()
    return discs > 0, np.uint8(label)


def bad_spells(count: int, rng: np.random.Generator) -> list[range]:
    """Return spells of 1 to 3 bad frames among `count`, two good ones between any two."""
    spells, t = [], 3
    while t < count - 3:
        if rng.random() < BAD:
            length = int(rng.integers(1, 4))
            spells.append(range(t, min(t + length, count)))
            t += length + 2
        else:
            t += 1
    return spells


def _displaced_mask(mask: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    field = [cv2.GaussianBlur(rng.standard_normal(mask.shape), (0, 0), WAVE) for _ in range(2)]
    u, v = (np.asarray(part * (SHIFT / part.std()), np.float32) for part in field)
    return np.asarray(cv2.remap(mask, x + u, y + v, cv2.INTER_NEAREST))


def _moved_mask(mask: NDArray[np.uint8], offset: NDArray[np.float64]) -> NDArray[np.uint8]:
    matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]])
    return np.asarray(
        cv2.warpAffine(mask, matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8
    )


def _grown_mask(mask: NDArray[np.uint8], pixels: float) -> NDArray[np.uint8]:
    """Return a mask whose objects reach further by some pixels, or less far where negative."""
    out = np.zeros_like(mask)
    for label in np.unique(mask[mask > 0]):
        sides = (mask == label).astype(np.uint8), (mask != label).astype(np.uint8)
        inside, outside = (cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in sides)
        out[inside - outside + pixels > 0] = label
    return out


def _halved_mask(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a mask without what lies on one side of its median."""
    places = np.argwhere(mask)
    if not len(places):
        return mask.copy()
    axis, below = side % 2, side < 2
    numbers = np.arange(mask.shape[axis])
    middle = np.median(places[:, axis])
    gone = numbers < middle if below else numbers >= middle
    return np.where(gone[:, None] if axis == 0 else gone, np.uint8(0), mask)


def _leaked_mask(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a mask that has grown into a box of half its own extent beside it."""
    places = np.argwhere(mask)
    if not len(places):
        return mask.copy()
    top, left = places.min(axis=0)
    bottom, right = places.max(axis=0) + 1
    down, across = ((bottom - top) // 2, 0) if side % 2 else (0, (right - left) // 2)
    sign = 1 if side < 2 else -1
    rows = np.clip([top + sign * down, bottom + sign * down], 0, mask.shape[0])
    columns = np.clip([left + sign * across, right + sign * across], 0, mask.shape[1])
    out = mask.copy()
    box = out[rows[0] : rows[1], columns[0] : columns[1]]
    box[box == 0] = np.bincount(mask[mask > 0]).argmax()
    return out


def _swapped_mask(mask: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a mask with its first two ids swapped, or with its only one moved away."""
    ids = np.unique(mask[mask > 0])
    if len(ids) > 1:
        table = np.arange(256, dtype=np.uint8)
        table[ids[0]], table[ids[1]] = ids[1], ids[0]
        return np.asarray(table[mask])
    shift = mask.shape[1] // 3 * (1 if side % 2 else -1)
    return np.roll(mask, shift, axis=1)
