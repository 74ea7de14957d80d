"""How still labels are: overlap with the carried neighbour, long runs, and tracked pixels."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.metrics.semantic import Confusion
from stages.ops.ignored_label import IGNORE
from stages.ops.shapes import bind_shapes

BAND = 15  # pixels, of the local STB; Coherent Loss, "Metric"
LABELS = 256


def carried_labels(
    labels: NDArray[np.integer], flow: NDArray[np.float32], *, outside: int = IGNORE
) -> NDArray[np.integer]:
    """Return the labels of frame j as frame i sees them: ``O_j(x + F[i→j](x))``, nearest pixel.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8 or uint16
        Of frame j.
    flow : ndarray, shape (2, H, W), float32
        From i to j on i's grid, pixels, x before y.
    outside : int
        Label of pixels that come to lie outside frame j.

    Returns
    -------
    ndarray, shape (H, W), dtype of `labels`
    """
    bind_shapes(labels=(labels, "H W"), flow=(flow, "2 H W"))
    out = np.full_like(labels, outside)
    _carry_labels(labels, flow, out)
    return out


@njit(nogil=True, cache=True)
def _carry_labels(
    labels: NDArray[np.integer], flow: NDArray[np.float32], out: NDArray[np.integer]
) -> None:
    rows, columns = labels.shape
    for y in range(rows):
        for x in range(columns):
            px = int(np.floor(x + flow[0, y, x] + np.float32(0.5)))
            py = int(np.floor(y + flow[1, y, x] + np.float32(0.5)))
            if 0 <= px < columns and 0 <= py < rows:
                out[y, x] = labels[py, px]


def vspw_carried_labels(
    labels: NDArray[np.integer], flow: NDArray[np.float32]
) -> NDArray[np.integer]:
    """Return carried labels as the public VSPW script samples them, for comparison with papers.

    It scales places by ``2x / (W − 1) − 1`` and samples with ``align_corners=False``, which reads
    at ``x·W / (W − 1) − ½``: half a pixel off at the left, right only at the far side. What lies
    outside is label 0. `carried_labels` is the corrected one. Parameters as there.
    """
    dims = bind_shapes(labels=(labels, "H W"), flow=(flow, "2 H W"))
    rows, columns = np.mgrid[: dims["H"], : dims["W"]].astype(np.float32)
    half = np.float32(0.5)
    x = (columns + flow[0]) * np.float32(dims["W"] / max(dims["W"] - 1, 1)) - half
    y = (rows + flow[1]) * np.float32(dims["H"] / max(dims["H"] - 1, 1)) - half
    # torch rounds halves to even, as rint does.
    px, py = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (px >= 0) & (py >= 0) & (px < dims["W"]) & (py < dims["H"])
    out = np.zeros_like(labels)
    out[inside] = labels[py[inside], px[inside]]
    return out


@dataclass
class TemporalOverlap:
    """Running TC of one video; `value` is in [0, 1], higher is stiller, NaN without a pixel.

    The mean over classes of the IoU of ``O_t`` and the carried ``O_{t−1}``, pixels of all frames of
    a video together: Liu et al., "Efficient semantic video segmentation with per-frame inference",
    eq. 5-6, and Miao et al. (VSPW), eq. 5-6. The score of a set is the mean over its videos.
    """

    confusion: Confusion = field(default_factory=lambda: Confusion(LABELS))

    def add(
        self,
        labels: NDArray[np.integer],
        before: NDArray[np.integer],
        flow: NDArray[np.float32],
    ) -> None:
        """Add a frame: its labels, those of the frame before, the flow from it to that one.

        Pixels that come from outside the picture, and pixels labelled 255 in either frame, are
        left out.
        """
        carried = carried_labels(before, flow)
        carried[labels == IGNORE] = IGNORE
        self.confusion.add(labels, carried)

    def value(self) -> float:
        """Return the temporal consistency so far."""
        return self.confusion.mean_iou()


@dataclass
class VspwTemporalOverlap:
    """TC as the public VSPW script computes it; see `vspw_carried_labels`.

    It carries the next frame's labels back to the frame, counts what comes from outside as class 0,
    takes the mean over the classes that frames have before anything is carried, and adds up all
    videos before the IoU is taken: use one object for a whole set, or add up `class_sums`.
    """

    confusion: Confusion = field(default_factory=lambda: Confusion(LABELS))

    def add(
        self, labels: NDArray[np.integer], after: NDArray[np.integer], flow: NDArray[np.float32]
    ) -> None:
        """Add a frame: its labels, those of the next, the flow from it to that one."""
        self.confusion.add(vspw_carried_labels(after, flow), labels)

    def value(self) -> float:
        """Return the score so far."""
        return self.confusion.true_class_scores()["mIoU"]


@dataclass
class VideoConsistency:
    """Running VC_C of one video, Miao et al. (VSPW), eq. 4; in [0, 1], higher is stiller.

    Over all windows of C consecutive frames the mean of: of the pixels whose truth stays the same
    through the window, the share whose prediction is that truth in all C frames. Windows without
    such a pixel do not count; `value` is NaN where there is no window. Pixels whose truth is
    `ignore` are left out. Holds C frames.

    Attributes
    ----------
    length : int
        C, in frames; the paper takes 8 and 16.
    """

    length: int
    ignore: int = IGNORE
    _right: deque[NDArray[np.bool_]] = field(default_factory=deque)
    _truth: deque[NDArray[np.integer]] = field(default_factory=deque)
    shares: list[float] = field(default_factory=list)
    """Of every window that counts; VSPW's script takes the mean over those of all videos."""

    def add(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Add the next frame; both of shape (H, W)."""
        bind_shapes(prediction=(prediction, "H W"), truth=(truth, "H W"))
        _push_frame(self._truth, truth, self.length)
        _push_frame(self._right, prediction == truth, self.length)
        if len(self._truth) == self.length:
            common = _unchanged_pixels(self._truth) & (truth != self.ignore)
            self._take_frame(common, common & np.logical_and.reduce(self._right))

    def _take_frame(self, common: NDArray[np.bool_], kept: NDArray[np.bool_]) -> None:
        pixels = np.count_nonzero(common)
        if pixels:
            self.shares.append(np.count_nonzero(kept) / pixels)

    def value(self) -> float:
        """Return the mean over the windows so far."""
        return math.fsum(self.shares) / len(self.shares) if self.shares else math.nan


@dataclass
class VspwVideoConsistency(VideoConsistency):
    """VC_C as the public VSPW script computes it, for comparison with published numbers.

    It asks whether the prediction stays the same, not whether it is right, and never looks at a
    video's last window. It has no label to ignore, and fails where no pixel is common; here such a
    window does not count.
    """

    _predictions: deque[NDArray[np.integer]] = field(default_factory=deque)
    _late: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None

    def add(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Add the next frame; both of shape (H, W)."""
        bind_shapes(prediction=(prediction, "H W"), truth=(truth, "H W"))
        if self._late is not None:
            self._take_frame(*self._late)
        _push_frame(self._truth, truth, self.length)
        _push_frame(self._predictions, prediction, self.length)
        if len(self._truth) == self.length:
            common = _unchanged_pixels(self._truth)
            self._late = common, common & _unchanged_pixels(self._predictions)


def _push_frame(recent: deque[NDArray[Any]], frame: NDArray[Any], length: int) -> None:
    recent.append(frame)
    if len(recent) > length:
        recent.popleft()


def _unchanged_pixels(frames: deque[NDArray[np.integer]]) -> NDArray[np.bool_]:
    same = np.ones(frames[0].shape, np.bool_)
    for frame in frames:
        same &= frame == frames[0]
    return same


def edge_band(truth: NDArray[np.integer], *, width: int = BAND) -> NDArray[np.bool_]:
    """Mark the pixels in a band around the edges between true labels.

    Parameters
    ----------
    truth : ndarray, shape (H, W), uint8 or uint16
    width : int, odd
        Pixels; those with another label at most half as far away, across or down, are in it.

    Returns
    -------
    ndarray, shape (H, W), bool
    """
    bind_shapes(truth=(truth, "H W"))
    box = np.ones((width, width), np.uint8)
    band: NDArray[np.bool_] = cv2.dilate(truth, box) != cv2.erode(truth, box)
    return band


@dataclass
class StabilityRate:
    """Running STB of one video; `value` is in [0, 1], higher is stiller, NaN without a pair.

    The mean over pairs of neighbouring frames of: of the pixels that can be tracked from t−1 to t,
    the share whose predicted label is the same in both. "Coherent Loss: A generic framework for
    stable video segmentation", eq. 4 (there in per cent). Pairs without such a pixel do not count.
    """

    _total: float = 0.0
    _pairs: int = 0

    def add(
        self,
        labels: NDArray[np.integer],
        before: NDArray[np.integer],
        flow: NDArray[np.float32],
        tracked: NDArray[np.bool_],
    ) -> None:
        """Add a frame.

        Parameters
        ----------
        labels, before : ndarray, shape (H, W), uint8 or uint16
            Predictions of frames t and t−1.
        flow : ndarray, shape (2, H, W), float32
            From t to t−1 on t's grid, pixels.
        tracked : ndarray, shape (H, W), bool
            Pixels of t that t−1 shows too; for the local STB, of `edge_band` alone.
        """
        bind_shapes(labels=(labels, "H W"), before=(before, "H W"), tracked=(tracked, "H W"))
        same, pixels = _tracked_pixels(labels, before, flow, tracked)
        if pixels:
            self._total += same / pixels
            self._pairs += 1

    def value(self) -> float:
        """Return the rate so far."""
        return self._total / self._pairs if self._pairs else math.nan


@njit(nogil=True, cache=True)
def _tracked_pixels(
    labels: NDArray[np.integer],
    before: NDArray[np.integer],
    flow: NDArray[np.float32],
    tracked: NDArray[np.bool_],
) -> tuple[int, int]:
    rows, columns = labels.shape
    same = pixels = 0
    for y in range(rows):
        for x in range(columns):
            if tracked[y, x]:
                px = int(np.floor(x + flow[0, y, x] + np.float32(0.5)))
                py = int(np.floor(y + flow[1, y, x] + np.float32(0.5)))
                if 0 <= px < columns and 0 <= py < rows:
                    pixels += 1
                    same += labels[y, x] == before[py, px]
    return same, pixels
