"""The refiner that comes with the project: a global pass, then local ones, coarse to fine."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.models.decoders.aligned import VOTED, AlignedDecoder, log_odds
from stages.models.decoders.load import load_decoder
from stages.models.torch_models import repeatable
from stages.ops.drawn_pictures import labelled_box
from stages.ops.outline_fit import outline_fit
from stages.ops.refiner_inputs import refiner_planes
from stages.ops.shapes import bind_shapes

SHIPPED = Path(__file__).parent / "refiner.safetensors"
GLOBAL_SIDE = 240  # short side of the picture that the global pass sees, pixels, about
SOFTENING = 1.5  # pixels, sigma, of the mask's outline; as the training has it
GOOD_FIT = 0.5  # of an outline to the picture's edges: it is left alone
LEAST_GAIN = 1.1  # the fit after refining over that before, for the mask to be replaced
MARGIN = 48  # pixels around the mask that are looked at, in every pass

Soft = NDArray[np.float32]


class CascadeRefiner:
    """Refines masks of anything by one small network, called once for every halving of the size.

    After CascadePSP (Cheng et al., CVPR 2020), by which Azulay et al., "Temporally stable video
    segmentation without video annotations", sec. 5.2, refine their data set: the global pass sees
    the whole object, the local ones its outline, each starting from what the one before gave. The
    network is an `AlignedDecoder` of one frame.

    Parameters
    ----------
    weights : Path
        As `steadymask.training.refiner_recipe` writes them.

    Raises
    ------
    InputError
        If the file cannot be read or is a decoder of several frames.
    """

    def __init__(self, weights: Path = SHIPPED) -> None:
        network = cast("AlignedDecoder", load_decoder("aligned", str(weights)))
        if network.window != 1:
            raise InputError(
                f"{weights}: expected a refiner, which sees one frame, got a decoder of "
                f"{network.window}: train one with python -m steadymask.training.refiner_recipe"
            )
        self._network = network

    def __call__(self, picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Soft:
        """Return the refined mask.

        Parameters
        ----------
        picture : ndarray, shape (H, W, 3), uint8
            RGB.
        mask : ndarray, shape (H, W), bool

        Returns
        -------
        ndarray, shape (H, W), float32
            Probabilities; the mask itself if its outline already fits the picture's edges, or
            fits hardly better once refined (`stages.ops.outline_fit`), and far from its box.
        """
        bind_shapes(picture=(picture, "H W 3"), mask=(mask, "H W"))
        hard: Soft = mask.astype(np.float32)
        fit = outline_fit(picture, mask)
        if fit >= GOOD_FIT:
            return hard
        coarse = cv2.GaussianBlur(hard, (0, 0), SOFTENING)
        sizes = _pass_sizes(mask.shape[0], mask.shape[1])
        earlier = cv2.resize(coarse, sizes[0][::-1], interpolation=cv2.INTER_AREA)
        for size in sizes:
            wide = size[::-1]
            planes = refiner_planes(
                cv2.resize(picture, wide, interpolation=cv2.INTER_AREA),
                cv2.resize(coarse, wide, interpolation=cv2.INTER_AREA),
                np.asarray(cv2.resize(earlier, wide), np.float32),
            )
            earlier = self._pass(planes)
        if outline_fit(picture, np.asarray(earlier > 0.5)) < LEAST_GAIN * fit:
            return hard
        return np.asarray(earlier, np.float32)

    def _pass(self, planes: NDArray[np.float32]) -> Soft:
        """Refine the earlier result in planes (6, H, W), in the box around both masks."""
        either = (np.maximum(planes[3], planes[4]) > 0.5).astype(np.uint8)
        out: Soft = planes[VOTED][0].copy()
        box = labelled_box(either, margin=MARGIN)
        if not out[box].size:
            return out
        step = 2 ** len(self._network.widths)  # the same fold of pixels wherever the box begins
        box = (_aligned(box[0], step), _aligned(box[1], step))
        part = torch.from_numpy(np.ascontiguousarray(planes[(slice(None), *box)]))[None]
        near = part.new_zeros((1, 0, *(-(-side // 2) for side in part.shape[-2:])))
        with repeatable():
            added = self._network(part.contiguous(memory_format=torch.channels_last), near)
            out[box] = torch.sigmoid(log_odds(part[:, VOTED]) + added)[0, 0].numpy()
        return out


def _pass_sizes(rows: int, columns: int) -> list[tuple[int, int]]:
    """Return the size of each pass: halved until about `GLOBAL_SIDE`, at least once; full last."""
    halvings = max(round(np.log2(max(min(rows, columns), 1) / GLOBAL_SIDE)), 1)
    return [
        (max(round(rows / 2**k), 1), max(round(columns / 2**k), 1)) for k in range(halvings, -1, -1)
    ]


def _aligned(side: slice, step: int) -> slice:
    return slice(side.start // step * step, side.stop)
