"""What is stored lossily, and how: soft masks in 8 bits, flow in sixty-fourths of a pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOW_STEPS = 64  # to a pixel


def pack_flow(flow: NDArray[np.float32], *, steps: int = FLOW_STEPS) -> NDArray[np.int16]:
    """Return flow in 1/64 px; longer than 511 px is cut to that.

    Parameters
    ----------
    flow : array of float32
        In pixels.
    steps : 64, 32 or 16
        To a pixel that it is rounded to: the error is at most 1 / (2 steps) px. The fewer they are,
        the smaller it gets when compressed.
    """
    coarse = FLOW_STEPS // steps
    most = 32767 // coarse
    rounded = np.clip(np.rint(flow * np.float32(steps)), -most, most)
    return np.asarray(rounded, np.int16) * np.int16(coarse)


def unpack_flow(packed: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return flow in pixels from what `pack_flow` made."""
    return packed.astype(np.float32) * np.float32(1 / FLOW_STEPS)


def pack_mask(mask: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return probabilities in 255ths; error at most 1/510."""
    return np.asarray(np.rint(np.clip(mask, 0, 1) * np.float32(255)), np.uint8)


def unpack_mask(packed: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return probabilities from what `pack_mask` made."""
    return packed.astype(np.float32) * np.float32(1 / 255)
