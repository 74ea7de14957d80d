"""Compiled loops that fit the boxes in which masks vary: see `stages.ops.guided`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Kernel = tuple[int, int]
"""How many rows, columns or frames a box reaches (before, after) its centre."""


class BoxSums(NamedTuple):
    """Sums of products over the rows of a box, column by column, in K layers.

    Attributes
    ----------
    ring : ndarray, shape (K, size, W, P), float64
        Products of the rows inside the box, to be taken out again.
    below : ndarray, shape (K, W, P), float64
        Their sum; it runs the whole height.
    spans : ndarray, shape (K, size, 2), int64
        First and one past the last column of a row that has any.
    """

    ring: NDArray[np.float64]
    below: NDArray[np.float64]
    spans: NDArray[np.int64]


def empty_sums(layers: int, size: int, columns: int, products: int) -> BoxSums:
    """Return sums of no rows: K layers of P products, boxes of `size` rows."""
    return BoxSums(
        np.zeros((layers, size, columns, products)),
        np.zeros((layers, columns, products)),
        np.zeros((layers, size, 2), np.int64),
    )


@njit(nogil=True, cache=True)
def _marked_span(marks: NDArray[np.bool_], out: NDArray[np.int64]) -> None:
    """Write the first marked entry and one past the last; 0 and 0 where there is none."""
    first, last = 0, marks.size
    while last > 0 and not marks[last - 1]:
        last -= 1
    while first < last and not marks[first]:
        first += 1
    out[0], out[1] = (first, last) if last > 0 else (0, 0)


@njit(nogil=True, cache=True)
def _add_row(sums: BoxSums, slot: int) -> None:
    """Add a row of the ring to the sum of those in the box."""
    for k in range(len(sums.below)):
        first, last = sums.spans[k, slot]
        below, row = sums.below[k, first:last].ravel(), sums.ring[k, slot, first:last].ravel()
        for i in range(row.size):
            below[i] += row[i]


@njit(nogil=True, cache=True)
def _remove_row(sums: BoxSums, slot: int) -> None:
    """Take a row of the ring out of the sum, and clear it."""
    for k in range(len(sums.below)):
        first, last = sums.spans[k, slot]
        below, row = sums.below[k, first:last].ravel(), sums.ring[k, slot, first:last].ravel()
        for i in range(row.size):
            below[i] -= row[i]
            row[i] = 0.0
        sums.spans[k, slot] = 0


@njit(nogil=True, cache=True)
def _guide_products(
    guide: NDArray[np.float32],
    weight: NDArray[np.float32],
    units: tuple[np.float32, np.float32, np.float32],
    span: NDArray[np.int64],
    needed: NDArray[np.bool_],
    weighted: NDArray[np.float64],
    row: NDArray[np.float64],
) -> None:
    """Write w, wI (3) of a frame's row, and add them and wII (6) to the row's sums."""
    factor, summand, _ = units
    for x in range(span[0], span[1]):
        if not needed[x]:
            continue
        w = np.float64(weight[x])
        r = guide[x, 0] * factor + summand
        g = guide[x, 1] * factor + summand
        b = guide[x, 2] * factor + summand
        wr, wg, wb = w * r, w * g, w * b
        weighted[x, 0], weighted[x, 1], weighted[x, 2], weighted[x, 3] = w, wr, wg, wb
        for term in range(4):
            row[x, term] += weighted[x, term]
        row[x, 4] += wr * r
        row[x, 5] += wr * g
        row[x, 6] += wr * b
        row[x, 7] += wg * g
        row[x, 8] += wg * b
        row[x, 9] += wb * b


@njit(nogil=True, cache=True)
def _class_products(
    mask: NDArray[np.float32],
    of_mask: np.float32,
    span: NDArray[np.int64],
    needed: NDArray[np.bool_],
    weighted: NDArray[np.float64],
    row: NDArray[np.float64],
) -> None:
    """Add wp, wIp (3) of a frame's row and of a class to the row's sums."""
    for x in range(span[0], span[1]):
        if needed[x]:
            p = mask[x] * of_mask
            for term in range(4):
                row[x, term] += weighted[x, term] * p


@njit(nogil=True, cache=True)
def _enter_row(
    guide: NDArray[np.float32],
    mask: NDArray[np.float32],
    weight: NDArray[np.float32],
    units: tuple[np.float32, np.float32, np.float32],
    y: int,
    needed: NDArray[np.bool_],
    somewhere: NDArray[np.bool_],
    both: tuple[BoxSums, BoxSums],
) -> None:
    """Sum a row's products over the N frames, in order, where they are needed."""
    frames, columns, classes = mask.shape[0], mask.shape[2], mask.shape[3]
    of_guide, of_classes = both
    slot = y % of_guide.ring.shape[1]
    _marked_span(somewhere, of_guide.spans[0, slot])
    if of_guide.spans[0, slot, 1] == 0:
        return
    for k in range(classes):
        _marked_span(needed[k, y], of_classes.spans[k, slot])
    weighted = np.empty((columns, 4))
    for n in range(frames):
        _guide_products(
            guide[n, y], weight[n, y], units, of_guide.spans[0, slot], somewhere, weighted,
            of_guide.ring[0, slot],
        )  # fmt: skip
        for k in range(classes):
            _class_products(
                mask[n, y, :, k], units[2], of_classes.spans[k, slot], needed[k, y], weighted,
                of_classes.ring[k, slot],
            )  # fmt: skip
    _add_row(of_guide, slot)
    _add_row(of_classes, slot)


@njit(nogil=True, cache=True)
def sum_along(
    below: NDArray[np.float64], start: int, stop: int, ahead: NDArray[np.float64]
) -> None:
    """Write the running sum over columns `start` to `stop`; entry x is the sum before column x."""
    for term in range(below.shape[1]):
        ahead[start, term] = 0.0
    for x in range(start, stop):
        for term in range(below.shape[1]):
            ahead[x + 1, term] = ahead[x, term] + below[x, term]


@njit(nogil=True, cache=True)
def _solve_guide(
    ahead: NDArray[np.float64], first: int, last: int, eps: float, out: NDArray[np.float64]
) -> None:
    """Write 1/Σw, E[I] (3), the adjugate of Cov(I) + εU (6) and 1/its determinant of a box.

    The first is 0 where the box has no weight.
    """
    weight = ahead[last, 0] - ahead[first, 0]
    n = 1.0 / weight if weight > 0.0 else 0.0
    mr = (ahead[last, 1] - ahead[first, 1]) * n
    mg = (ahead[last, 2] - ahead[first, 2]) * n
    mb = (ahead[last, 3] - ahead[first, 3]) * n
    rr = (ahead[last, 4] - ahead[first, 4]) * n - mr * mr + eps
    rg = (ahead[last, 5] - ahead[first, 5]) * n - mr * mg
    rb = (ahead[last, 6] - ahead[first, 6]) * n - mr * mb
    gg = (ahead[last, 7] - ahead[first, 7]) * n - mg * mg + eps
    gb = (ahead[last, 8] - ahead[first, 8]) * n - mg * mb
    bb = (ahead[last, 9] - ahead[first, 9]) * n - mb * mb + eps
    out[0], out[1], out[2], out[3] = n, mr, mg, mb
    out[4], out[5], out[6] = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    out[7], out[8], out[9] = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    out[10] = 1.0 / (rr * out[4] + rg * out[5] + rb * out[6])


@njit(nogil=True, cache=True)
def _solve_class(
    box: NDArray[np.float64],
    ahead: NDArray[np.float64],
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """Write a and b of a box and a class from what `_solve_guide` wrote and the class's sums."""
    n, mr, mg, mb = box[0], box[1], box[2], box[3]
    p = (ahead[last, 0] - ahead[first, 0]) * n
    cr = (ahead[last, 1] - ahead[first, 1]) * n - mr * p
    cg = (ahead[last, 2] - ahead[first, 2]) * n - mg * p
    cb = (ahead[last, 3] - ahead[first, 3]) * n - mb * p
    ar = (box[4] * cr + box[5] * cg + box[6] * cb) * box[10]
    ag = (box[5] * cr + box[7] * cg + box[8] * cb) * box[10]
    ab = (box[6] * cr + box[8] * cg + box[9] * cb) * box[10]
    out[0], out[1], out[2] = ar, ag, ab
    out[3] = p - ar * mr - ag * mg - ab * mb


@njit(nogil=True, cache=True)
def _solve_run(
    varied: NDArray[np.bool_],
    both: tuple[BoxSums, BoxSums],
    start: int,
    stop: int,
    reach: Kernel,
    eps: float,
    out: NDArray[np.float32],
) -> None:
    """Write the coefficients of a run of boxes of a row: `varied` (C, W), `out` (C, W, 4)."""
    columns = varied.shape[1]
    low, high = max(start - reach[0], 0), min(stop + reach[1], columns)
    boxes, ahead = np.empty((stop - start, 11)), np.empty((columns + 1, 10))
    sum_along(both[0].below[0], low, high, ahead)
    for x in range(start, stop):
        first, last = max(x - reach[0], 0), min(x + reach[1], columns - 1) + 1
        _solve_guide(ahead, first, last, eps, boxes[x - start])
    for k in range(len(varied)):
        if not varied[k, start:stop].any():
            continue
        sum_along(both[1].below[k], low, high, ahead)
        for x in range(start, stop):
            if varied[k, x]:
                first, last = max(x - reach[0], 0), min(x + reach[1], columns - 1) + 1
                _solve_class(boxes[x - start], ahead, first, last, out[k, x])


@njit(nogil=True, cache=True)
def _any_layer(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where any of the layers (K, H, W) is marked: (H, W)."""
    out = np.zeros(marks.shape[1:], np.bool_)
    for layer in marks:
        out |= layer
    return out


@njit(nogil=True, cache=True)
def next_run(marks: NDArray[np.bool_], start: int) -> tuple[int, int]:
    """Return the next run of marked entries from one on; it starts at the end if there is none."""
    while start < marks.size and not marks[start]:
        start += 1
    stop = start
    while stop < marks.size and marks[stop]:
        stop += 1
    return start, stop


@njit(nogil=True, cache=True)
def fit_boxes(
    guide: NDArray[np.float32],
    mask: NDArray[np.float32],
    weight: NDArray[np.float32],
    units: tuple[np.float32, np.float32, np.float32],
    reach: Kernel,
    eps: float,
    varied: NDArray[np.bool_],
    needed: NDArray[np.bool_],
    both: tuple[BoxSums, BoxSums],
    out: NDArray[np.float32],
) -> None:
    """Write the coefficients of the boxes that vary, from sums of the pixels that they need."""
    rows, columns = mask.shape[1], mask.shape[2]
    some_varied, some_needed = _any_layer(varied), _any_layer(needed)
    for lead in range(rows + reach[1]):
        for sums in both:
            _remove_row(sums, lead % sums.ring.shape[1])
        if lead < rows:
            _enter_row(guide, mask, weight, units, lead, needed, some_needed[lead], both)
        y = lead - reach[1]
        if y < 0:
            continue
        start, stop = next_run(some_varied[y], 0)
        while start < columns:
            _solve_run(varied[:, y], both, start, stop, reach, eps, out[:, y])
            start, stop = next_run(some_varied[y], stop)
