"""Pictures as flow networks take them, and what they give back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

SMALLEST = 128  # rows and columns; correlation pyramids have no level below


def network_images(
    pictures: Sequence[NDArray[np.uint8]], device: torch.device | str
) -> torch.Tensor:
    """Return RGB pictures (H, W, 3) as (N, 3, h, w), float32 BGR in [0, 1].

    The border is repeated, below and to the right, up to the smallest size that networks take.
    """
    bgr = np.stack([_padded_picture(picture) for picture in pictures])[..., ::-1]
    images = torch.from_numpy(np.ascontiguousarray(bgr.transpose(0, 3, 1, 2)))
    if torch.device(device).type == "cuda":
        images = images.pin_memory()  # else the copy would be waited for
    return images.to(device, non_blocking=True).float() / 255


class Landing:
    """Flows on their way from a device; who asks for one waits for it. A CPU's are there.

    Parameters
    ----------
    flows : tensor, shape (B, 2, H, W), float32, contiguous
    """

    def __init__(self, flows: torch.Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        if flows.device.type == "cuda":
            host = torch.empty(flows.shape, dtype=flows.dtype, pin_memory=True)
            host.copy_(flows, non_blocking=True)
            self._arrived = torch.cuda.current_stream(flows.device).record_event()
            flows = host
        self._flows = flows.numpy()

    def __getitem__(self, k: int) -> NDArray[np.float32]:
        """Return flow k: (2, H, W)."""
        flow: NDArray[np.float32] = self._flows[k]
        if self._arrived is None:
            return flow
        self._arrived.synchronize()
        return flow.copy()  # of pinned memory there is little


def cut_back(flow: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the part of a flow (2, h, w) that is the picture of `size` = (rows, columns)."""
    rows, columns = size
    return np.ascontiguousarray(flow[:, :rows, :columns])


def _padded_picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the border of a picture that is too small for the network."""
    below, right = (max(SMALLEST - size, 0) for size in image.shape[:2])
    return np.pad(image, ((0, below), (0, right), (0, 0)), mode="edge")
