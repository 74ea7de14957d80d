"""What people use against flickering masks instead of this project, in a few lines each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.uint8]
"""Of a clip: (T, H, W), 0 or 1."""


def neighbourhood(masks: Masks, reach: int) -> list[Masks]:
    """Return for each frame the masks within `reach`, its own among them."""
    return [masks[max(t - reach, 0) : t + reach + 1] for t in range(len(masks))]


def majority(reach: int) -> Callable[[Masks, list[Path]], Masks]:
    """Return the method that takes what most frames around have; a moving average over half."""
    return lambda masks, _: np.stack(
        [(near.mean(axis=0) > 0.5).astype(np.uint8) for near in neighbourhood(masks, reach)]
    )


def union(masks: Masks, _: list[Path]) -> Masks:
    """Return what any of three frames has."""
    return np.stack([near.max(axis=0) for near in neighbourhood(masks, 1)])


def exponential_average(masks: Masks, _: list[Path]) -> Masks:
    """Return the exponential moving average (0.5), over half."""
    average, out = masks[0].astype(np.float32), []
    for mask in masks:
        average = 0.5 * average + 0.5 * mask
        out.append((average > 0.5).astype(np.uint8))
    return np.stack(out)


def hysteresis(masks: Masks, _: list[Path]) -> Masks:
    """Return masks that switch on over .7 and off under .3 of an exponential average."""
    average, state, out = masks[0].astype(np.float32), masks[0].copy(), []
    for mask in masks:
        average = 0.5 * average + 0.5 * mask
        state = np.where(average > 0.7, 1, np.where(average < 0.3, 0, state)).astype(np.uint8)
        out.append(state)
    return np.stack(out)


def last_mask_carried(masks: Masks, frames: list[Path]) -> Masks:
    """Return the mean of each mask and the last result carried along DIS flow, over half."""
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in frames]
    y, x = np.mgrid[: masks.shape[1], : masks.shape[2]].astype(np.float32)
    soft, out = masks[0].astype(np.float32), [masks[0]]
    for t in range(1, len(masks)):
        flow = estimator.calc(grey[t], grey[t - 1], None)
        carried = cv2.remap(soft, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        soft = 0.5 * carried + 0.5 * masks[t]
        out.append((soft > 0.5).astype(np.uint8))
    return np.stack(out)


HABITS: dict[str, Callable[[Masks, list[Path]], Masks]] = {
    "majority ±1": majority(1),
    "majority ±2": majority(2),
    "union ±1": union,
    "moving average ±3": majority(3),
    "EMA": exponential_average,
    "hysteresis .7/.3": hysteresis,
    "last mask carried": last_mask_carried,
}
