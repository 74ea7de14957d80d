"""The outlines of a mask as polygons, as the T measure of the DAVIS benchmark takes them.

Outlines run between pixels, from corner to corner. Pont-Tuset's program, on which that measure
stands, draws them in this way; where a choice is free (where an outline begins, which way it turns
where two regions touch at a corner) its choice is taken, because the simplified polygon, and with
it T, depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

Corner = tuple[int, int]  # row, column; (0, 0) is the upper left corner of the first pixel
STEPS: tuple[Corner, ...] = ((0, 1), (1, 0), (0, -1), (-1, 0))  # right, down, left, up


@dataclass(frozen=True)
class _Piece:
    """A stretch of outline between two knots: its corners, both ends included."""

    corners: list[Corner]

    def from_end(self, knot: Corner) -> list[Corner]:
        """Return the corners in the order that begins at a knot."""
        return self.corners if self.corners[0] == knot else self.corners[::-1]

    def other_end(self, knot: Corner) -> Corner:
        """Return the knot at the other end."""
        return self.corners[-1] if self.corners[0] == knot else self.corners[0]


def mask_polygons(mask: NDArray[np.bool_], *, tolerance: float) -> list[NDArray[np.float64]]:
    """Return the outlines of a mask as simplified closed polygons, holes too.

    Parameters
    ----------
    mask : ndarray, shape (H, W), bool
    tolerance : float, > 0
        Pixels by which a polygon may leave the outline; corners nearer than that to the one
        before are dropped first.

    Returns
    -------
    list of ndarray, shape (N, 2), float64
        (x, y) of the corners, the first one again at the end. Regions are run through one way and
        holes the other; those of three points and fewer, single pixels, are left out.
    """
    bind_shapes(mask=(mask, "H W"))
    padded = np.pad(mask, 1)
    polygons = []
    for curve in _closed_curves(*_outline_pieces(padded)):
        points = np.asarray(_without_straight_corners(curve), np.float64)
        simple = simplified_line(points, tolerance=tolerance)
        if len(simple) <= 3:
            continue
        if (_twice_area(simple) > 0) != _encloses_foreground(padded, curve):
            simple = simple[::-1]
        polygons.append(np.ascontiguousarray(simple[:, ::-1]))
    return polygons


def simplified_line(points: NDArray[np.float64], *, tolerance: float) -> NDArray[np.float64]:
    """Return the points of a line that are left by Douglas and Peucker's method.

    Before it points nearer than the tolerance to the last one that stayed are dropped, the last
    point excepted. Of points equally far from a chord the last one stays.

    Parameters
    ----------
    points : ndarray, shape (N, 2), float64
    tolerance : float, > 0

    Returns
    -------
    ndarray, shape (M, 2), float64

    Examples
    --------
    >>> line = np.array([[0, 0], [4, 1], [8, 0], [12, 4]], float)
    >>> simplified_line(line, tolerance=1.5).tolist()
    [[0.0, 0.0], [8.0, 0.0], [12.0, 4.0]]
    """
    if len(points) < 3:
        return points
    spaced = points[_spaced_indices(points, tolerance)]
    stays = np.zeros(len(spaced), np.bool_)
    stays[[0, -1]] = True
    spans = [(0, len(spaced) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        distance = _squared_distances(spaced[first + 1 : last], spaced[first], spaced[last])
        farthest = len(distance) - 1 - int(np.argmax(distance[::-1]))
        if distance[farthest] > tolerance**2:
            middle = first + 1 + farthest
            stays[middle] = True
            spans += [(first, middle), (middle, last)]
    return spaced[stays]


def _spaced_indices(points: NDArray[np.float64], tolerance: float) -> list[int]:
    """Return the points that lie no nearer than the tolerance to the one before."""
    spaced = [0]
    for k in range(1, len(points) - 1):
        gap = points[k] - points[spaced[-1]]
        if gap[0] ** 2 + gap[1] ** 2 >= tolerance**2:
            spaced.append(k)
    return [*spaced, len(points) - 1]


def _squared_distances(
    points: NDArray[np.float64], start: NDArray[np.float64], stop: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared distances of points from a straight piece of line."""
    chord = stop - start
    length = float(chord @ chord)
    share = (points - start) @ chord / length if length else np.zeros(len(points))
    nearest = start + np.clip(share, 0, 1)[:, None] * chord
    return np.asarray(((points - nearest) ** 2).sum(axis=1), np.float64)


class _Edges:
    """The sides of pixels that separate foreground from background; each is walked once."""

    def __init__(self, padded: NDArray[np.bool_]) -> None:
        below = padded[1:, :-1] != padded[1:, 1:]  # from a corner down
        beside = padded[:-1, 1:] != padded[1:, 1:]  # from a corner to the right
        self.downward = np.argwhere(below)  # row by row
        degree = below.astype(np.uint8)
        degree += beside
        degree[1:] += below[:-1]
        degree[:, 1:] += beside[:, :-1]
        self.knots: list[Corner] = [(int(r), int(c)) for r, c in np.argwhere(degree == 4)]
        self._left = {((int(r), int(c)), (int(r) + 1, int(c))) for r, c in self.downward}
        self._left |= {((int(r), int(c)), (int(r), int(c) + 1)) for r, c in np.argwhere(beside)}

    def take_edge(self, corner: Corner, step: Corner) -> Corner | None:
        """Return the corner that an edge not yet walked leads to, if there is one, and mark it."""
        other = (corner[0] + step[0], corner[1] + step[1])
        edge = (corner, other) if corner < other else (other, corner)
        if edge not in self._left:
            return None
        self._left.remove(edge)
        return other


def _outline_pieces(padded: NDArray[np.bool_]) -> tuple[list[_Piece], list[Corner]]:
    """Return the pieces of all outlines and the knots between them, in the order of the program.

    Knots are corners where two regions touch; an outline without one gets one where it begins: at
    the upper end of its first vertical side, row by row.
    """
    edges = _Edges(padded)
    knots = list(edges.knots)
    ends = set(knots)
    pieces = []
    for knot in reversed(knots):
        for step in reversed(STEPS):
            corner = edges.take_edge(knot, step)
            if corner is not None:
                pieces.append(_walk_piece(edges, knot, corner, ends))
    for row, column in edges.downward:
        start = (int(row), int(column))
        corner = edges.take_edge(start, (1, 0))
        if corner is not None:
            knots.append(start)
            pieces.append(_walk_piece(edges, start, corner, {start}))
    return pieces, knots


def _walk_piece(edges: _Edges, start: Corner, corner: Corner, ends: set[Corner]) -> _Piece:
    """Follow an outline to the next knot."""
    corners = [start, corner]
    while corner not in ends:
        ahead = (edges.take_edge(corner, step) for step in STEPS)
        corner = next(following for following in ahead if following is not None)
        corners.append(corner)
    return _Piece(corners)


def _closed_curves(pieces: list[_Piece], knots: list[Corner]) -> Iterator[list[Corner]]:
    """Yield closed curves that no piece crosses: at a knot they turn.

    The knot that came last is the first to start from; at each the piece with the lowest number
    that does not lead straight on is taken. Where the way comes to a knot for the second time, what
    lies between is a curve.
    """
    open_pieces: dict[Corner, list[int]] = {knot: [] for knot in reversed(knots)}
    for number, piece in enumerate(pieces):
        for knot in {piece.corners[0], piece.corners[-1]}:
            open_pieces[knot].append(number)
    for knot in open_pieces:
        while open_pieces[knot]:
            yield from _curves_from(knot, pieces, open_pieces)


def _curves_from(
    knot: Corner, pieces: list[_Piece], open_pieces: dict[Corner, list[int]]
) -> Iterator[list[Corner]]:
    """Yield the curves of one walk that starts at a knot."""
    way: list[tuple[Corner, int]] = []
    current: int | None = None
    while True:
        number = _next_piece(knot, current, pieces, open_pieces)
        following = pieces[number].other_end(knot)
        for end in {knot, following}:
            open_pieces[end].remove(number)
        way.append((knot, number))
        current, knot = number, following
        passed = [corner for corner, _ in way]
        if knot in passed:
            first = passed.index(knot)
            yield _joined_corners(way[first:], pieces)
            del way[first:]
            current = way[-1][1] if way else None
        if not way:
            return


def _next_piece(
    knot: Corner, current: int | None, pieces: list[_Piece], open_pieces: dict[Corner, list[int]]
) -> int:
    """Return the piece to go on with at a knot: the first that is no straight continuation."""
    choices = open_pieces[knot]
    if current is None:
        return choices[0]
    arrival = pieces[current].from_end(knot)[1]
    departure = pieces[choices[0]].from_end(knot)[1]
    straight = arrival[0] == departure[0] or arrival[1] == departure[1]
    return choices[1] if straight else choices[0]


def _joined_corners(way: list[tuple[Corner, int]], pieces: list[_Piece]) -> list[Corner]:
    """Return the corners along pieces that make a closed curve, the first one again at the end."""
    corners = [way[0][0]]
    for knot, number in way:
        corners += pieces[number].from_end(knot)[1:]
    return corners


def _without_straight_corners(curve: list[Corner]) -> list[Corner]:
    """Return the corners at which a curve turns, and its ends."""
    turns = [
        here
        for before, here, after in zip(curve, curve[1:], curve[2:], strict=False)
        if before[0] != after[0] and before[1] != after[1]
    ]
    return [curve[0], *turns, curve[-1]]


def _twice_area(polygon: NDArray[np.float64]) -> float:
    """Return twice the signed area of a closed polygon of (row, column)."""
    rows, columns = polygon.T
    return float((np.diff(rows) * (columns[1:] + columns[:-1])).sum())


def _encloses_foreground(padded: NDArray[np.bool_], curve: list[Corner]) -> bool:
    """Return whether the pixels on the inner side of a curve are foreground."""
    row, column = next(here for here, after in pairwise(curve) if after[0] > here[0])
    # Beside a side that is walked downwards the inner pixel lies to the left where the area,
    # counted along the way, is positive.
    inner_left = _twice_area(np.asarray(curve, np.float64)) > 0
    return bool(padded[row + 1, column if inner_left else column + 1])
