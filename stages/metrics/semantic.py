"""How right labels of many classes are: everything that follows from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

IGNORE = 255


@dataclass
class Confusion:
    """Running confusion matrix: pixels by true class (rows) and predicted class (columns).

    Pixels whose truth is `ignore`, or not below `classes`, are left out. A prediction that is none
    of the classes counts as wrong for the true class and for no other. All measures are shares in
    [0, 1], higher is better, NaN before any pixel was added. Definitions as in Miao et al., "VSPW:
    A large-scale dataset for video scene parsing in the wild", CVPR 2021, sec. 5, after Long et
    al., "Fully convolutional networks for semantic segmentation", CVPR 2015, sec. 5.

    Attributes
    ----------
    classes : int
    ignore : int
        Label in the truth of pixels that do not count.
    counts : ndarray, shape (classes, classes + 1), int64
        The last column counts predictions outside the classes.
    """

    classes: int
    ignore: int = IGNORE
    counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Start with no pixel."""
        self.counts = np.zeros((self.classes, self.classes + 1), np.int64)

    def add(self, prediction: NDArray[np.integer], truth: NDArray[np.integer]) -> None:
        """Add the pixels of a frame; both of shape (H, W), uint8 or uint16."""
        bind_shapes(prediction=(prediction, "H W"), truth=(truth, "H W"))
        _count_pixels(prediction, truth, self.ignore, self.counts)

    def iou(self) -> NDArray[np.float64]:
        """Return the intersection over union of each class; NaN where it never occurs."""
        right, true, predicted = self._class_sums()
        with np.errstate(invalid="ignore"):
            return right / (true + predicted - right)

    def mean_iou(self) -> float:
        """Return the mean IoU over the classes that occur in truth or prediction (mIoU)."""
        return _mean_of_known(self.iou())

    def frequency_weighted_iou(self) -> float:
        """Return the mean IoU weighted by how many true pixels a class has (fwIoU)."""
        _, true, _ = self._class_sums()
        if not true.sum():
            return float("nan")
        return float(np.nansum(self.iou() * true) / true.sum())

    def pixel_accuracy(self) -> float:
        """Return the share of pixels that are right."""
        right, true, _ = self._class_sums()
        return float(right.sum() / true.sum()) if true.sum() else float("nan")

    def mean_accuracy(self) -> float:
        """Return the share of a class's pixels that are right, mean over the true classes."""
        right, true, _ = self._class_sums()
        with np.errstate(invalid="ignore"):
            return _mean_of_known(right / true)

    def _class_sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        square = self.counts[:, :-1]
        parts = np.diag(square), self.counts.sum(axis=1), square.sum(axis=0)
        right, true, predicted = (part.astype(np.float64) for part in parts)
        return right, true, predicted


def _mean_of_known(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


@njit(nogil=True, cache=True)
def _count_pixels(
    prediction: NDArray[np.integer],
    truth: NDArray[np.integer],
    ignore: int,
    counts: NDArray[np.int64],
) -> None:
    classes = counts.shape[0]
    rows, columns = truth.shape
    for y in range(rows):
        for x in range(columns):
            true = truth[y, x]
            if true != ignore and true < classes:
                counts[true, min(prediction[y, x], classes)] += 1
