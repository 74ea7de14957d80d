"""What the mask refiner sees of a picture: its colours, the coarse mask, an earlier result."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.ops.colour import STRONGEST, colour_evidence, count_colours
from stages.ops.shapes import bind_shapes


def refiner_planes(
    picture: NDArray[np.uint8], coarse: NDArray[np.float32], earlier: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the planes of `stages.models.decoders.aligned.AlignedDecoder` for a picture alone.

    Parameters
    ----------
    picture : ndarray, shape (H, W, 3), uint8
        RGB.
    coarse, earlier : ndarray, shape (H, W), float32, in [0, 1]
        The mask to refine, and what the pass before made of it, which is also where colours are
        counted; in the first pass both are the mask.

    Returns
    -------
    ndarray, shape (6, H, W), float32, in [0, 1]
    """
    bind_shapes(picture=(picture, "H W 3"), coarse=(coarse, "H W"), earlier=(earlier, "H W"))
    colour = colour_evidence(picture, count_colours(picture, earlier[..., None]))[..., 0]
    planes = np.empty((6, *coarse.shape), np.float32)
    planes[:3] = picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    planes[3], planes[4], planes[5] = coarse, earlier, colour / (2 * STRONGEST) + np.float32(0.5)
    return planes
