"""Structural errors: where a frame's labels are at odds with all that its neighbours say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

DISAGREE, SUPPORT = 0.65, 0.8  # share of the votes, and their weight, that put a label in doubt
SIDE, SIDE_SUPPORT = 0.4, 0.3  # the same for the surroundings of such a core
DEPTH = 1 / 60  # of the height: half the width of the thickest part of an error, at least
SURE = 0.9  # mean share of the votes inside an error, at least
ONE_SIDED = 0.6  # share of the disagreement around an error that goes the same way, at least
UNLIKE = -1.0  # mean log odds of the colours, from which on an error is none
SMALLEST = 30  # pixels of an error on a grid of 240 rows
ISLAND_DEPTH, ISLAND_SMALLEST = 1 / 160, 9  # the same for a whole island or a whole hole
ISLAND_SURE, ISLAND_UNLIKE = 0.99, 0.0
ISLAND_LONG = 8.0  # area over the square of half the thickness, at most; pi of a disc
ISLAND_AROUND = 0.8  # share of the votes in every pixel in and around it, at least
AROUND = 1 / 12  # of the height: how far around an error the disagreement counts
BINS = 16  # of each colour
CLEAR_ODDS = 4.0  # log odds of a colour are cut there

Odds = Callable[[int], NDArray[np.float32]]
"""Gives the log odds of each pixel's colour (h, w) for a class against its surroundings."""


@dataclass(frozen=True)
class Doubt:
    """What the neighbours doubt of one class in one frame, all (h, w), bool.

    Attributes
    ----------
    candidates : ndarray
        Pixels in pieces that are more than a line along the outline.
    doubted : ndarray
        Those and what surrounds them: no evidence for other frames.
    """

    candidates: NDArray[np.bool_]
    doubted: NDArray[np.bool_]


def find_doubt(
    own: NDArray[np.bool_], votes: NDArray[np.float32], support: NDArray[np.float32]
) -> Doubt | None:
    """Return where neighbours doubt a mask in more than a line along its outline.

    True masks too differ along their outlines from those that the flow carries to them, but by a
    line; so the disagreement is opened with a box of three pixels (at a height of 240).

    Parameters
    ----------
    own : ndarray, shape (h, w), bool
    votes : ndarray, shape (h, w), float32
        Share of the votes for the class, from `stages.ops.neighbour_votes.count_votes`.
    support : ndarray, shape (h, w), float32
        Sum of the weights of the votes.

    Returns
    -------
    Doubt, or None if there is none.
    """
    dims = bind_shapes(own=(own, "h w"), votes=(votes, "h w"), support=(support, "h w"))
    apart = np.abs(votes - own)
    core = (apart > DISAGREE) & (support > SUPPORT)
    if not core.any():
        return None
    unit = dims["h"] / 240
    side = 2 * max(round(unit), 1) + 1
    opened = cv2.morphologyEx(
        core.astype(np.uint8), cv2.MORPH_OPEN, np.ones((side, side), np.uint8)
    )
    if not opened.any():
        return None
    wide = cv2.dilate(opened, _disc(4 * unit)) > 0
    return Doubt(wide & (apart > SIDE) & (support > SIDE_SUPPORT), wide)


def confirm_errors(
    doubt: Doubt,
    own: NDArray[np.bool_],
    votes: NDArray[np.float32],
    odds: Callable[[], NDArray[np.float32]],
) -> NDArray[np.bool_] | None:
    """Return the pixels of a class that are wrong beyond doubt.

    A piece is an error if it is thick, the neighbours are nearly of one mind inside it, the
    disagreement around it goes one way (what moved otherwise than the flow says is missing in one
    place and too much in another), and its colours do not speak clearly for the frame's own mask.
    A whole island or a whole hole may be smaller, if the neighbours are of one mind around it too,
    and its colours do not speak for it: no outline that merely jumps makes such a piece.

    Parameters
    ----------
    doubt : Doubt
        Of the class, from `find_doubt`.
    own : ndarray, shape (h, w), bool
    votes : ndarray, shape (h, w), float32
        As for `find_doubt`.
    odds : callable
        Returns the log odds (h, w) of the colours for the class; called where needed.

    Returns
    -------
    ndarray, shape (h, w), bool
        None if there is no such pixel.
    """
    rows = own.shape[0]
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(
        doubt.candidates.astype(np.uint8), connectivity=8
    )
    depth = cv2.distanceTransform(doubt.candidates.astype(np.uint8), cv2.DIST_L2, 5)
    out = np.zeros(own.shape, np.bool_)
    for piece in range(1, count):
        left, top, width, height, area = (int(value) for value in boxes[piece])
        size = area / (rows / 240) ** 2
        if size < ISLAND_SMALLEST:
            continue
        box = np.s_[top : top + height, left : left + width]
        inside = pieces[box] == piece
        thickness = float(depth[box][inside].max()) / rows  # half of it
        large = size >= SMALLEST and thickness >= DEPTH
        if not large and not _is_round(size, thickness):
            continue
        way = 1 if float((votes[box] - own[box])[inside].mean()) > 0 else -1
        share = float(votes[box][inside].mean())
        if (share if way > 0 else 1 - share) < (SURE if large else ISLAND_SURE):
            continue
        margin = round(rows * AROUND) if large else max(round(3 * rows / 240), 1)
        around = _widened(left, top, width, height, margin)
        if large and not _is_one_sided(way * (votes[around] - own[around])):
            continue
        if not large and not _is_island(
            pieces[around] == piece, own[around], votes[around], margin, way
        ):
            continue
        if way * float(odds()[box][inside].mean()) >= (UNLIKE if large else ISLAND_UNLIKE):
            out[box] |= inside
    return out if out.any() else None


def _is_one_sided(apart: NDArray[np.float32]) -> bool:
    """Tell whether disagreement is nearly all of one sign, the positive one."""
    return bool(apart.sum() >= ONE_SIDED * np.abs(apart).sum())


def _is_round(size: float, thickness: float) -> bool:
    """Tell whether a small piece is thick enough and no thin thing, which flow may well miss.

    `size` is in pixels of a grid of 240 rows, `thickness` half of it in heights.
    """
    return thickness >= ISLAND_DEPTH and size <= ISLAND_LONG * (240 * thickness) ** 2


def _is_island(
    piece: NDArray[np.bool_],
    own: NDArray[np.bool_],
    votes: NDArray[np.float32],
    margin: int,
    way: int,
) -> bool:
    """Tell whether a piece is whole islands or whole holes of a mask, far from its outline.

    All pixels within the margin around it are labelled alike, and the neighbours are of one mind
    there too: that the piece is missing (`way` is 1), or too much (-1).
    """
    wide = cv2.dilate(piece.astype(np.uint8), _disc(margin)) > 0
    beside = own[wide & ~piece]
    if beside.min() != beside.max():
        return False
    agreed = votes[wide] if way > 0 else 1 - votes[wide]
    return bool(agreed.min() > ISLAND_AROUND)


def _widened(left: int, top: int, width: int, height: int, by: int) -> tuple[slice, slice]:
    """Return a box with a margin, as rows and columns."""
    return np.s_[max(top - by, 0) : top + height + by, max(left - by, 0) : left + width + by]


def widen_errors(
    errors: NDArray[np.bool_], own: NDArray[np.bool_], votes: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the pixels that are to be taken from others, and those that are no evidence.

    Parameters
    ----------
    errors : ndarray, shape (h, w), bool
        From `confirm_errors`.
    own, votes : ndarray
        As for `find_doubt`.

    Returns
    -------
    (wrong, doubted) : ndarrays, shape (h, w), bool
        Wrong is what lies within 3 pixels (at a height of 240) and is at odds with the votes too.
    """
    unit = own.shape[0] / 240
    marks = errors.astype(np.uint8)
    wrong = (cv2.dilate(marks, _disc(3 * unit)) > 0) & (np.abs(votes - own) > SIDE / 2)
    return wrong, cv2.dilate(marks, _disc(4 * unit)) > 0


def count_colours(
    image: NDArray[np.uint8], own: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return histograms of the colours inside a mask and around it.

    Parameters
    ----------
    image : ndarray, shape (h, w, 3), uint8
    own : ndarray, shape (h, w), bool

    Returns
    -------
    (inside, around) : ndarrays, shape (4096,), float32
        Around is the box of the mask and an eighth of the height more; all 0 for an empty mask.
    """
    rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
    if not rows.size:
        return np.zeros(BINS**3, np.float32), np.zeros(BINS**3, np.float32)
    margin = own.shape[0] // 8
    box = np.s_[
        max(rows[0] - margin, 0) : rows[-1] + margin + 1,
        max(columns[0] - margin, 0) : columns[-1] + margin + 1,
    ]
    bins, mask = colour_bins(image[box]), own[box]
    inside = np.bincount(bins[mask], minlength=BINS**3)
    around = np.bincount(bins[~mask], minlength=BINS**3)
    return inside.astype(np.float32), around.astype(np.float32)


def colour_bins(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the number of each pixel's colour, 16 steps of red, green and blue: (h, w), int32."""
    coarse = (image >> 4).astype(np.int32)
    return np.asarray((coarse[..., 0] * BINS + coarse[..., 1]) * BINS + coarse[..., 2], np.int32)


def colour_odds(inside: NDArray[np.float32], around: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the log odds of each colour, from the histograms of several frames: (4096,), float32.

    Parameters
    ----------
    inside, around : ndarray, shape (4096,), float32
        Sums of `count_colours`.
    """
    share = [_spread(histogram) + np.float32(1e-5) for histogram in (inside, around)]
    return np.clip(np.log(share[0] / share[1]), -CLEAR_ODDS, CLEAR_ODDS).ravel()


def _spread(histogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a histogram's shares, each bin also seen from its neighbours."""
    cube = histogram.reshape(BINS, BINS, BINS)
    for axis in range(3):
        first = np.moveaxis(cube, axis, 0)
        wide = first.copy()
        wide[1:] += np.float32(0.5) * first[:-1]
        wide[:-1] += np.float32(0.5) * first[1:]
        cube = np.moveaxis(wide, 0, axis)
    return cube / max(float(cube.sum()), 1.0)


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(round(radius), 1) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
