"""How still masks are: consistency along the flow, and smoothness in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes


def disagreement(
    labels: NDArray[np.uint16],
    others: NDArray[np.uint16],
    flow: NDArray[np.float32],
    visible: NDArray[np.bool_],
) -> tuple[int, int]:
    """Count the visible pixels of frame i whose label frame j does not share.

    ``Σ V·[O_i(x) ≠ O_j(x + F(x))]`` and ``Σ V``: numerator and denominator of D(i,j) in Azulay et
    al., "Temporally stable video segmentation without video annotations", eq. 3 (there d_cat is
    described as 1 where labels agree, a slip: it is 1 where they differ).

    Parameters
    ----------
    labels, others : ndarray, shape (H, W), uint16
        Labels of frames i and j.
    flow : ndarray, shape (2, H, W), float32
        From i to j on i's grid, pixels, x before y; labels are read at the nearest pixel.
    visible : ndarray, shape (H, W), bool
        Pixels of i that j shows; all of them must land inside the image.

    Returns
    -------
    (wrong, seen) : pixels

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
    wrong, seen = _count(labels, others, flow, visible)
    return int(wrong), int(seen)


@njit(nogil=True, cache=True)
def _count(
    labels: NDArray[np.uint16],
    others: NDArray[np.uint16],
    flow: NDArray[np.float32],
    visible: NDArray[np.bool_],
) -> tuple[int, int]:
    rows, columns = labels.shape
    wrong = seen = 0
    for y in range(rows):
        for x in range(columns):
            if visible[y, x]:
                px = int(np.floor(x + flow[0, y, x] + np.float32(0.5)))
                py = int(np.floor(y + flow[1, y, x] + np.float32(0.5)))
                seen += 1
                wrong += labels[y, x] != others[min(py, rows - 1), min(px, columns - 1)]
    return wrong, seen


def boundary_pixels(labels: NDArray[np.uint16]) -> int:
    """Count the pixels on the inner side of a boundary between labels.

    Equals ``skimage.segmentation.find_boundaries(labels, mode="inner").sum()``: foreground pixels
    with a neighbour (4-connected) of another label.
    """
    edge = np.zeros(labels.shape, np.bool_)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    return int(np.count_nonzero(edge & (labels > 0)))


@dataclass
class Consistency:
    """Running sum of pair errors; `value` is E_cons of Azulay et al., eq. 4. Lower is better."""

    pairs: int = 0
    blind_pairs: int = 0
    error: float = 0.0

    def add(self, there: tuple[int, int], back: tuple[int, int]) -> None:
        """Add E_pair(i,j) = D(i,j) + D(j,i), each given as (wrong, seen); see `disagreement`."""
        if there[1] == 0 or back[1] == 0:
            self.blind_pairs += 1
            return
        self.pairs += 1
        self.error += there[0] / there[1] + back[0] / back[1]

    def mean(self) -> float:
        """Return the mean pair error, not normalised by boundary length; NaN without pairs."""
        return self.error / self.pairs if self.pairs else float("nan")

    def value(self, *, area: int, boundary: float) -> float:
        """Return E_cons: wrongly carried visible pixels per boundary pixel.

        Parameters
        ----------
        area : int
            Pixels of a frame.
        boundary : float
            Median over frames of `boundary_pixels`. 0 (empty masks) gives NaN.
        """
        return self.mean() * area / boundary if boundary > 0 else float("nan")
