"""How still masks are: consistency along the flow, and smoothness in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes
from stages.ops.warp import warp

SIGMA_S = 0.15  # seconds, of the Gaussian in time of E_smooth; Azulay et al., below eq. 2
STANDARD_LINES = 480  # of the size-free form of E_cons


def disagreement(
    labels: NDArray[np.integer],
    others: NDArray[np.integer],
    flow: NDArray[np.float32],
    visible: NDArray[np.bool_],
) -> tuple[int, int]:
    """Count the visible pixels of frame i whose label frame j does not share.

    ``Σ V·[O_i(x) ≠ O_j(x + F(x))]`` and ``Σ V``: numerator and denominator of D(i,j) in Azulay et
    al., "Temporally stable video segmentation without video annotations", eq. 3 (there d_cat is
    described as 1 where labels agree, a slip: it is 1 where they differ).

    Parameters
    ----------
    labels, others : ndarray, shape (H, W), uint8 or uint16
        Labels of frames i and j.
    flow : ndarray, shape (2, H, W), float32
        From i to j on i's grid, pixels, x before y; labels are read at the nearest pixel.
    visible : ndarray, shape (H, W), bool
        Pixels of i that j shows; one that lands outside the image is not counted.

    Returns
    -------
    (wrong, seen) : pixels

    Raises
    ------
    ShapeError
        If sizes do not agree.
    """
    bind_shapes(
        labels=(labels, "H W"),
        others=(others, "H W"),
        flow=(flow, "2 H W"),
        visible=(visible, "H W"),
    )
    wrong, counted = _count_pair(labels, others, flow, visible)
    return int(wrong), int(counted)


@njit(nogil=True, cache=True)
def _count_pair(
    labels: NDArray[np.integer],
    others: NDArray[np.integer],
    flow: NDArray[np.float32],
    visible: NDArray[np.bool_],
) -> tuple[int, int]:
    rows, columns = labels.shape
    wrong = counted = 0
    for y in range(rows):
        for x in range(columns):
            if visible[y, x]:
                px = int(np.floor(x + flow[0, y, x] + np.float32(0.5)))
                py = int(np.floor(y + flow[1, y, x] + np.float32(0.5)))
                if 0 <= px < columns and 0 <= py < rows:
                    counted += 1
                    wrong += labels[y, x] != others[py, px]
    return wrong, counted


def joint_counts(
    before: NDArray[np.uint8], after: NDArray[np.uint8], count: int
) -> NDArray[np.int64]:
    """Return how many pixels have each of the labels 0 … `count` - 1 before, and each after.

    Parameters
    ----------
    before, after : ndarray, shape (H, W), uint8
    count : int

    Returns
    -------
    ndarray, shape (count, count), int64
        Entry (a, b): pixels with a before and b after.

    Raises
    ------
    ValueError
        If a label is not under `count`.
    """
    bind_shapes(before=(before, "H W"), after=(after, "H W"))
    highest = max(before.max(initial=0), after.max(initial=0))
    if highest >= count:
        raise ValueError(f"labels: expected them under {count}, got {highest}")
    table = np.zeros((count, count), np.int64)
    _count_joint(before, after, table)
    return table


@njit(nogil=True, cache=True)
def _count_joint(
    before: NDArray[np.uint8], after: NDArray[np.uint8], table: NDArray[np.int64]
) -> None:
    rows, columns = before.shape
    for y in range(rows):
        x = 0
        while x < columns:
            a, b, start = before[y, x], after[y, x], x
            while x < columns and before[y, x] == a and after[y, x] == b:
                x += 1
            table[a, b] += x - start


def restlessness(labels: NDArray[np.uint8], frames: range, *, sigma: float) -> list[float]:
    """Return ``‖O_t − G_σ(O)_t‖₂`` over one-hot foreground classes for each t; lower is smoother.

    The terms of E_smooth, Azulay et al., eq. 2 (before the division by the boundary length).

    Parameters
    ----------
    labels : ndarray, shape (T, H, W), uint8
        Frames of one shot, at least 3 sigma to either side of those asked for, or to its ends.
    frames : range
        Which of them.
    sigma : float, > 0
        Of the Gaussian in time, in frames; cut at 3 sigma, normalised by the weights in the shot.
    """
    return [
        float(np.sqrt(_restless_sum(near, own, weights)))
        for near, own, weights in _moving_pixels(labels, frames, sigma)
    ]


def merged_restlessness(labels: NDArray[np.uint8], frames: range, *, sigma: float) -> list[float]:
    """Return `restlessness` with the smoothed classes merged by argmax, as for several labels.

    Azulay et al., below eq. 2: "smoothing each class independently with G_σ and merging the results
    with argmax". What is subtracted is then one-hot too: of classes that weigh the same the lowest.
    Parameters as of `restlessness`.
    """
    return [
        float(np.sqrt(_merged_sum(near, own, weights)))
        for near, own, weights in _moving_pixels(labels, frames, sigma)
    ]


def _moving_pixels(
    labels: NDArray[np.uint8], frames: range, sigma: float
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]]:
    """Yield for each frame the pixels that change around it.

    Their labels in the frames that the Gaussian reaches, (N, P), in the frame itself, (P,), and the
    weights of the frames, (N,).
    """
    bind_shapes(labels=(labels, "T H W"))
    reach = int(np.ceil(3 * sigma))
    changes = np.zeros(labels.shape[1:], np.uint16)  # between neighbours in the window, counted
    first = last = frames.start
    for t in frames:
        while last < min(t + reach, len(labels) - 1):
            changes += labels[last] != labels[last + 1]
            last += 1
        if t == frames.start:
            first = max(t - reach, 0)
            for k in range(first, t):
                changes += labels[k] != labels[k + 1]
        while first < t - reach:
            changes -= labels[first] != labels[first + 1]
            first += 1
        weights = np.exp(-0.5 * ((np.arange(first, last + 1) - t) / sigma) ** 2)
        moved = np.flatnonzero(changes)
        near = np.stack([frame.ravel()[moved] for frame in labels[first : last + 1]])
        yield near, labels[t].ravel()[moved], weights / weights.sum()


@njit(nogil=True, cache=True)
def _restless_sum(
    near: NDArray[np.uint8], own: NDArray[np.uint8], weights: NDArray[np.float64]
) -> float:
    """Sum over pixels and foreground classes of (one-hot minus its mean in time), squared."""
    frames, pixels = near.shape
    share = np.zeros(256)
    total = 0.0
    for x in range(pixels):
        share[own[x]] = -1.0
        for t in range(frames):
            share[near[t, x]] += weights[t]
        for t in range(frames):
            label = near[t, x]
            if label > 0:
                total += share[label] ** 2
            share[label] = 0.0
        share[own[x]] = 0.0
    return total


@njit(nogil=True, cache=True)
def _merged_sum(
    near: NDArray[np.uint8], own: NDArray[np.uint8], weights: NDArray[np.float64]
) -> float:
    """Sum over pixels and foreground classes of (one-hot minus the winner's), squared."""
    frames, pixels = near.shape
    share = np.zeros(256)
    total = 0.0
    for x in range(pixels):
        for t in range(frames):
            share[near[t, x]] += weights[t]
        winner = own[x]
        for t in range(frames):
            label = near[t, x]
            if share[label] > share[winner] or (share[label] == share[winner] and label < winner):
                winner = label
        if winner != own[x]:
            total += (winner > 0) + (own[x] > 0)
        for t in range(frames):
            share[near[t, x]] = 0.0
    return total


def boundary_pixels(labels: NDArray[np.integer]) -> int:
    """Count the pixels on the inner side of a boundary between labels.

    Equals ``skimage.segmentation.find_boundaries(labels, mode="inner").sum()``: foreground pixels
    with a neighbour (4-connected) of another label.
    """
    edge = np.zeros(labels.shape, np.bool_)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return int(np.count_nonzero(edge & (labels > 0)))


@dataclass
class Consistency:
    """Running sum of pair errors; `value` is E_cons of Azulay et al., eq. 4. Lower is better."""

    pairs: int = 0
    blind_pairs: int = 0
    error: float = 0.0

    def add(self, there: tuple[int, int], back: tuple[int, int]) -> None:
        """Add E_pair(i,j) = D(i,j) + D(j,i), each given as (wrong, seen); see `disagreement`."""
        if there[1] == 0 or back[1] == 0:
            self.blind_pairs += 1
            return
        self.pairs += 1
        self.error += there[0] / there[1] + back[0] / back[1]

    def mean(self) -> float:
        """Return the mean pair error, not normalised by boundary length; NaN without pairs."""
        return self.error / self.pairs if self.pairs else float("nan")

    def value(self, *, area: int, boundary: float) -> float:
        """Return E_cons: wrongly carried visible pixels per boundary pixel.

        Parameters
        ----------
        area : int
            Pixels of a frame.
        boundary : float
            Median over frames of `boundary_pixels`. 0 (empty masks) gives NaN.
        """
        return self.mean() * area / boundary if boundary > 0 else float("nan")


def consistency_at(value: float, rows: int, *, lines: int = STANDARD_LINES) -> float:
    """Return E_cons as it would be in pixels of a picture of so many lines; lower is better.

    E_cons is a width: wrong pixels per pixel of boundary. It grows with the size that masks are
    judged at; as a share of the picture's height it does not. Given at 480 lines, so that it can
    be read like E_cons. What flow finds at another size still differs.

    Parameters
    ----------
    value : float
        E_cons, pixels.
    rows : int
        Lines of the masks that it was judged at.
    lines : int

    Examples
    --------
    >>> consistency_at(3.0, 240)
    6.0
    """
    return value * lines / rows


def excess(before: float, after: float, truth: float) -> float:
    """Return the share left of the inconsistency that the true masks do not have; lower is better.

    ``max(0, after − truth) / (before − truth)``; 0 is as still as the truth. NaN where the masks
    before were no worse than the truth, or a value is NaN.
    """
    if not before > truth:
        return float("nan")
    return max(0.0, after - truth) / (before - truth)


def visible_band(
    labels: NDArray[np.integer], visible: NDArray[np.bool_], *, width: int = 5
) -> tuple[int, int]:
    """Count the pixels near an edge between labels that the flow calls visible, and all of them.

    A measure on visible pixels alone says little where few of these are: flicker is at edges.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8 or uint16
    visible : ndarray, shape (H, W), bool
    width : int, odd
        Of the band, in pixels.

    Returns
    -------
    (seen, all) : pixels
    """
    bind_shapes(labels=(labels, "H W"), visible=(visible, "H W"))
    box = np.ones((width, width), np.uint8)
    band = cv2.dilate(labels, box) != cv2.erode(labels, box)
    return int(np.count_nonzero(band & visible)), int(np.count_nonzero(band))


def warping_error(
    mask: NDArray[np.float32],
    other: NDArray[np.float32],
    flow: NDArray[np.float32],
    visible: NDArray[np.bool_],
) -> tuple[float, int]:
    """Return the squared differences between a soft mask and its carried neighbour, summed.

    ``Σ V · mean_c (P_i − warp(P_j))²`` and ``Σ V``; their ratio, over all pairs, is the warping
    error of Lai et al., "Learning blind video temporal consistency", ECCV 2018, eq. 9-10, on masks
    in place of pictures. Lower is stiller, in [0, 1].

    Parameters
    ----------
    mask, other : ndarray, shape (H, W, C), float32
        Of frames i and j, in [0, 1].
    flow : ndarray, shape (2, H, W), float32
        From i to j on i's grid, pixels.
    visible : ndarray, shape (H, W), bool
        Pixels of i that j shows; one that lands outside the image is not counted.

    Returns
    -------
    (error, pixels)
    """
    bind_shapes(mask=(mask, "H W C"), other=(other, "H W C"), visible=(visible, "H W"))
    if not mask.shape[-1]:
        return 0.0, int(np.count_nonzero(visible))
    squared = ((warp(other, flow) - mask) ** 2).mean(axis=-1, dtype=np.float64)
    counted = visible & ~np.isnan(squared)
    return float(squared[counted].sum()), int(np.count_nonzero(counted))
