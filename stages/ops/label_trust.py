"""Which pixels of stabilised masks a student may learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

SURE = 255  # certainty of 1


def label_certainty(mask: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the probability that a soft mask gives to the label of each pixel.

    That is the largest probability, but where a label was kept against the soft mask.

    Parameters
    ----------
    mask : ndarray, shape (H, W, C), uint8
        Foreground probabilities in 255ths; the background is what they leave to 255.
    labels : ndarray, shape (H, W), uint8
        0, or 1 + number of the class.

    Returns
    -------
    ndarray, shape (H, W), uint8
        In 255ths; 255 everywhere where there are no classes.
    """
    bind_shapes(mask=(mask, "H W C"), labels=(labels, "H W"))
    rest = 255 - np.minimum(mask.sum(axis=-1, dtype=np.int32), 255)
    all_classes = np.concatenate([rest[..., None].astype(np.uint8), mask], axis=-1)
    own = np.take_along_axis(all_classes, labels[..., None].astype(np.intp), axis=-1)
    return np.ascontiguousarray(own[..., 0])


def neighbour_agreement(
    labels: NDArray[np.uint8],
    others: NDArray[np.uint8],
    flow: NDArray[np.float32],
    visible: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return a neighbour's agreement with the label of each pixel.

    Parameters
    ----------
    labels, others : ndarray, shape (H, W), uint8
        Labels of frames i and j.
    flow : ndarray, shape (2, H, W), float32
        From i to j on i's grid, pixels, x before y; labels are read at the nearest pixel.
    visible : ndarray, shape (H, W), bool
        Pixels of i that j shows by the forward-backward check; see `stages.ops.visibility.visible`.

    Returns
    -------
    ndarray, shape (H, W), uint8
        0 where j does not show the pixel or it lands outside the image, 1 where j has another
        label there, 2 where it has the same.

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
    out = np.zeros(labels.shape, np.uint8)
    _count_agreement(labels, others, flow, visible, out)
    return out


@njit(nogil=True, cache=True)
def _count_agreement(
    labels: NDArray[np.uint8],
    others: NDArray[np.uint8],
    flow: NDArray[np.float32],
    visible: NDArray[np.bool_],
    out: NDArray[np.uint8],
) -> None:
    rows, columns = labels.shape
    for y in range(rows):
        for x in range(columns):
            if visible[y, x]:
                px = int(np.floor(x + flow[0, y, x] + np.float32(0.5)))
                py = int(np.floor(y + flow[1, y, x] + np.float32(0.5)))
                if 0 <= px < columns and 0 <= py < rows:
                    out[y, x] = 2 if labels[y, x] == others[py, px] else 1


def supported_pixels(answers: NDArray[np.uint8], *, share: float, least: int) -> NDArray[np.bool_]:
    """Mark the pixels whose label enough neighbours see and share.

    Parameters
    ----------
    answers : ndarray, shape (N, H, W), uint8
        Of each neighbour, as `neighbour_agreement` returns it.
    share : float, in [0, 1]
        Of the neighbours that see the pixel, how many must have its label.
    least : int
        How many must see it; in a shot of fewer frames all there are, so that a single frame is
        supported as it is.

    Returns
    -------
    ndarray, shape (H, W), bool
    """
    dims = bind_shapes(answers=(answers, "N H W"))
    seen_by = np.count_nonzero(answers, axis=0)
    same = np.count_nonzero(answers == 2, axis=0)
    return np.asarray((seen_by >= min(least, dims["N"])) & (same >= share * seen_by))


def certainty_histogram(
    labels: NDArray[np.uint8], sure: NDArray[np.uint8], chosen: NDArray[np.bool_], *, classes: int
) -> NDArray[np.int64]:
    """Count the chosen pixels of each class by certainty; to be summed over frames.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
        0, or 1 + number of the class.
    sure : ndarray, shape (H, W), uint8
        In 255ths.
    chosen : ndarray, shape (H, W), bool
    classes : int
        Foreground classes, C.

    Returns
    -------
    ndarray, shape (C + 1, 256), int64
        The background first.
    """
    bind_shapes(labels=(labels, "H W"), sure=(sure, "H W"), chosen=(chosen, "H W"))
    places = labels[chosen].astype(np.int64) * 256 + sure[chosen]
    return np.bincount(places, minlength=(classes + 1) * 256).reshape(classes + 1, 256)


def trust_levels(
    counts: NDArray[np.int64],
    pixels: NDArray[np.int64],
    *,
    least: Sequence[float],
    kept_shares: Sequence[float],
) -> NDArray[np.int64]:
    """Return the certainty from which each class is trusted.

    The highest level that still keeps the share wanted of the class's pixels, as the class-balanced
    thresholds of self-training [1]_, but none under `least`. All pixels of one level are kept or
    none, so more may be kept than wanted. A class without pixels has the level of `least`.

    Parameters
    ----------
    counts : ndarray, shape (K, 256), int64
        Of each class, the pixels that pass all other tests, by certainty in 255ths.
    pixels : ndarray, shape (K,), int64
        All pixels of each class, also those that failed other tests: these are its worst.
    least : sequence of K floats, in [0, 1]
        Certainty.
    kept_shares : sequence of K floats, in [0, 1]
        Share of the class's pixels; 1 leaves `least` alone to decide.

    Returns
    -------
    ndarray, shape (K,), int64
        In 255ths, 0 to 255.

    References
    ----------
    .. [1] Zou, Yu, Vijaya Kumar, Wang, "Unsupervised domain adaptation for semantic segmentation
       via class-balanced self-training", ECCV 2018.
    """
    bind_shapes(counts=(counts, "K 256"), pixels=(pixels, "K"))
    at_least = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]  # pixels of that level and over
    certainties = []
    for k, (floor, share) in enumerate(zip(least, kept_shares, strict=True)):
        level = int(np.ceil(floor * SURE - 1e-9))  # 0.8 · 255 is 204, not a little more
        wanted = np.ceil(share * pixels[k] - 1e-9)
        if share < 1:
            enough = np.flatnonzero(at_least[k] >= wanted)
            if pixels[k] and len(enough):
                level = max(level, int(enough[-1]))
        certainties.append(level)
    return np.array(certainties, np.int64)


def trusted_by_class(
    labels: NDArray[np.uint8],
    sure: NDArray[np.uint8],
    passed: NDArray[np.bool_],
    least: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Mark the pixels that pass all other tests and are as certain as their class has to be.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
        0, or 1 + number of the class.
    sure : ndarray, shape (H, W), uint8
        In 255ths.
    passed : ndarray, shape (H, W), bool
    least : ndarray, shape (K,), int64
        In 255ths, the background first; see `trust_levels`.

    Returns
    -------
    ndarray, shape (H, W), bool
    """
    bind_shapes(labels=(labels, "H W"), sure=(sure, "H W"), passed=(passed, "H W"))
    return np.asarray(passed & (sure >= least[labels]))
