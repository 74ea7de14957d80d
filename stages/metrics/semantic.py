"""How right labels of many classes are: everything that follows from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.ignored_label import IGNORE
from stages.ops.shapes import bind_shapes


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

    def true_class_scores(self) -> dict[str, float]:
        """Return mIoU and its kin as the public evaluator of VSPW computes them."""
        return {name: float(v) for name, v in true_class_scores(self.class_sums()).items()}

    def class_sums(self) -> NDArray[np.int64]:
        """Return by class the pixels that are right, true and predicted: (3, classes)."""
        square = self.counts[:, :-1]
        return np.stack([np.diag(square), self.counts.sum(axis=1), square.sum(axis=0)])

    def _class_sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        right, true, predicted = self.class_sums().astype(np.float64)
        return right, true, predicted


def true_class_scores(sums: NDArray[np.integer]) -> dict[str, NDArray[np.float64]]:
    """Return the scores of VSPW's public evaluator: means over the classes that the truth has.

    `Confusion.mean_iou` takes in the classes that occur in a prediction only, as IoU 0. A set's
    scores are those of its clips' sums added up: one matrix for all.

    Parameters
    ----------
    sums : ndarray, shape (..., 3, classes), integer
        Pixels that are right, true and predicted; see `Confusion.class_sums`.

    Returns
    -------
    dict of ndarray, shape (...)
        mIoU, fwIoU (its weighted IoU), accuracy and class_accuracy, in [0, 1]; NaN without pixels.
    """
    right, true, predicted = np.moveaxis(sums.astype(np.float64), -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, accuracy = right / (true + predicted - right), right / true
        classes = (true > 0).sum(axis=-1)
        pixels = true.sum(axis=-1)
        return {
            "mIoU": np.where(true > 0, iou, 0).sum(axis=-1) / classes,
            "fwIoU": np.where(true > 0, iou * true, 0).sum(axis=-1) / pixels,
            "accuracy": right.sum(axis=-1) / pixels,
            "class_accuracy": np.where(true > 0, accuracy, 0).sum(axis=-1) / classes,
        }


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
