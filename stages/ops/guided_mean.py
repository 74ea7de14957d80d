"""Compiled loops that average fits of boxes and apply them: see `stages.ops.guided`."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stages.ops.guided_fit import Kernel, next_run, sum_along


@njit(nogil=True, cache=True)
def _add_fits(
    values: NDArray[np.float32],
    varied: NDArray[np.bool_],
    plain: NDArray[np.float32],
    unit: np.float32,
    sign: float,
    below: NDArray[np.float64],
) -> None:
    """Add a row of coefficients (W, 4) to sums, or take it away."""
    for x in range(len(below)):
        if varied[x]:
            for term in range(4):
                below[x, term] += sign * values[x, term]
        else:
            below[x, 3] += sign * (plain[x] * unit)


@njit(nogil=True, cache=True)
def average_boxes(
    values: NDArray[np.float32],
    varied: NDArray[np.bool_],
    plain: NDArray[np.float32],
    unit: np.float32,
    reach: Kernel,
    wanted: NDArray[np.bool_],
    out: NDArray[np.float32],
) -> None:
    """Write the means over boxes of one class where they are wanted."""
    rows, columns = varied.shape
    before, after = reach
    below, ahead = np.zeros((columns, 4)), np.empty((columns + 1, 4))
    for lead in range(rows + after):
        if lead < rows:
            _add_fits(values[lead], varied[lead], plain[lead], unit, 1.0, below)
        old = lead - before - after - 1
        if old >= 0:
            _add_fits(values[old], varied[old], plain[old], unit, -1.0, below)
        y = lead - after
        if y < 0:
            continue
        height = min(y + after, rows - 1) - max(y - before, 0) + 1
        start, stop = next_run(wanted[y], 0)
        while start < columns:
            sum_along(below, max(start - before, 0), min(stop + after, columns), ahead)
            for x in range(start, stop):
                first, last = max(x - before, 0), min(x + after, columns - 1) + 1
                share = 1.0 / (height * (last - first))
                for term in range(4):
                    out[y, x, term] = (ahead[last, term] - ahead[first, term]) * share
            start, stop = next_run(wanted[y], stop)


@njit(nogil=True, cache=True)
def apply_boxes(
    values: tuple[NDArray[np.float32], ...],
    varied: tuple[NDArray[np.bool_], ...],
    plain: tuple[NDArray[np.float32], ...],
    guide: NDArray[np.float32],
    units: tuple[np.float32, np.float32, np.float32],
    out: NDArray[np.float32],
) -> None:
    """Replace the masks in `out` where some fit of a class varies."""
    rows, columns, classes = out.shape
    factor, summand, of_mask = units
    share = np.float32(1 / len(values))
    for k in range(classes):
        for y in range(rows):
            for x in range(columns):
                somewhere = False
                for marks in varied:
                    somewhere |= marks[k, y, x]
                if not somewhere:
                    continue
                ar = ag = ab = rest = np.float32(0)
                for n in range(len(values)):
                    if varied[n][k, y, x]:
                        fit = values[n][k, y, x]
                        ar, ag, ab, rest = ar + fit[0], ag + fit[1], ab + fit[2], rest + fit[3]
                    else:
                        rest += plain[n][y, x, k] * of_mask
                r = guide[y, x, 0] * factor + summand
                g = guide[y, x, 1] * factor + summand
                b = guide[y, x, 2] * factor + summand
                ar, ag, ab, rest = ar * share, ag * share, ab * share, rest * share
                q = ar * r + ag * g + ab * b + rest
                out[y, x, k] = min(max(q, np.float32(0)), np.float32(1))


@njit(nogil=True, cache=True)
def scale_to_one(mask: NDArray[np.float32]) -> None:
    """Divide the classes of a pixel by their sum where that is over 1."""
    rows, columns, classes = mask.shape
    for y in range(rows):
        for x in range(columns):
            total = np.float32(0)
            for k in range(classes):
                total += mask[y, x, k]
            if total > 1:
                for k in range(classes):
                    mask[y, x, k] /= total
