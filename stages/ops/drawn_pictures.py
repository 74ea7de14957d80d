"""Pictures of what cannot be seen as it is: flow as colours, labels as colours, slices of time."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

NEUTRAL = 128  # of a layer: leaves the picture as it is


def flow_colours(flow: NDArray[np.float32], *, strongest: float) -> NDArray[np.uint8]:
    """Return flow as colours: the hue says where to, the strength how far; none is white.

    Parameters
    ----------
    flow : ndarray, shape (2, H, W), float32
        Pixels, x before y. To the right is red, down is yellow-green, left cyan, up violet.
    strongest : float, > 0
        Pixels of full strength; what is longer looks the same.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        RGB.
    """
    dims = bind_shapes(flow=(flow, "2 H W"))
    angle = np.degrees(np.arctan2(flow[1], flow[0])) % 360
    strength = np.clip(np.hypot(flow[0], flow[1]) / strongest, 0, 1)
    hsv = np.empty((dims["H"], dims["W"], 3), np.uint8)
    hsv[..., 0] = (angle / 2).astype(np.uint8) % 180
    hsv[..., 1] = (255 * strength).astype(np.uint8)
    hsv[..., 2] = 255
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def label_colours(labels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels in their colours.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
    colours : ndarray, shape (256, 3), uint8
        RGB of each label.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
    """
    bind_shapes(labels=(labels, "H W"), colours=(colours, "256 3"))
    return np.asarray(cv2.LUT(cv2.merge([labels] * 3), colours[:, None]), np.uint8)


def labelled_box(labels: NDArray[np.uint8], *, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns that hold all labels but 0, and a margin around them.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
    margin : int
        Pixels to each side, as far as the picture goes.

    Returns
    -------
    (rows, columns) : slices
        Empty ones where there is no label.
    """
    left, top, width, height = cv2.boundingRect(labels)
    if not width:
        return np.s_[0:0, 0:0]
    return np.s_[
        max(top - margin, 0) : top + height + margin, max(left - margin, 0) : left + width + margin
    ]


def mask_layer(labels: NDArray[np.uint8], colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return labels as a layer for `lay_over`: tinted areas with an outline that any colour shows.

    Parameters
    ----------
    labels : ndarray, shape (H, W), uint8
    colours : ndarray, shape (256, 3), uint8
        RGB of each label.

    Returns
    -------
    ndarray, shape (H, W, 3), uint8
        Grey 128 changes nothing; the outermost pixels of an area are white, with black around.
    """
    bind_shapes(labels=(labels, "H W"), colours=(colours, "256 3"))
    layer = np.full((*labels.shape, 3), NEUTRAL, np.uint8)
    box = labelled_box(labels, margin=2)
    _tint_labels(layer[box], labels[box], colours)
    return layer


def _tint_labels(
    layer: NDArray[np.uint8], labels: NDArray[np.uint8], colours: NDArray[np.uint8]
) -> None:
    """Write tints and outlines of labels (H, W) into a neutral layer."""
    if not labels.size:
        return
    tints = np.where(np.arange(256)[:, None] > 0, (colours.astype(int) + NEUTRAL) // 2, NEUTRAL)
    layer[:] = label_colours(labels, tints.astype(np.uint8))
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    inside = labels > 0
    edge = inside & (
        (cv2.dilate(labels, cross) != labels)
        | (cv2.erode(labels, cross, borderType=cv2.BORDER_REPLICATE) != labels)
    )
    around = cv2.dilate(edge.view(np.uint8), np.ones((3, 3), np.uint8)).view(np.bool_) & ~inside
    layer[around] = 0
    layer[edge] = 255


def lay_over(picture: NDArray[np.uint8], layer: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture with a layer on it, by "hard light" of CSS compositing 1, sec. 9.1.5.

    Parameters
    ----------
    picture, layer : ndarray, shape (H, W, 3), uint8
        Where the layer is under 128 it darkens, above it lightens: 0 is black and 255 white.
    """
    bind_shapes(picture=(picture, "H W 3"), layer=(layer, "H W 3"))
    below, above = picture.astype(np.int32), layer.astype(np.int32)
    darker = 2 * above * below // 255
    lighter = 255 - 2 * (255 - above) * (255 - below) // 255
    return np.where(above <= NEUTRAL, darker, lighter).clip(0, 255).astype(np.uint8)


def largest_peaks(values: NDArray[np.float64], *, count: int, apart: int) -> list[int]:
    """Return the places of the largest values, largest first, none nearer than `apart` to another.

    Parameters
    ----------
    values : ndarray, shape (N,), float64
        NaN and what is not over 0 are passed over.
    count : int
        At most so many.
    apart : int
    """
    order = np.argsort(-np.nan_to_num(values), kind="stable")
    chosen: list[int] = []
    for k in order.tolist():
        if len(chosen) == count or not values[k] > 0:
            break
        if all(abs(k - other) >= apart for other in chosen):
            chosen.append(k)
    return chosen
