"""Bad spells over a window: what stands before and after them says what was in between."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span
from stages.ops.fixed_point import pack_mask, unpack_flow
from stages.ops.propagation import (
    CarriedMask,
    ColourModel,
    carry_on,
    labelled_mask,
    learn_colours,
    local_separation,
    mix_sides,
)
from stages.ops.spells import (
    ROWS,
    Shape,
    Witnesses,
    coarse_shape,
    find_witnesses,
    judge_spell,
    shape_distance,
)
from stages.ops.structure import colour_bins, colour_odds, count_colours, widen_errors
from stages.trust.structure import DOUBTED, TRUSTED, WRONG, Evidence

Floats = NDArray[np.float32]
FORWARD, BACKWARD = 1, -1
AROUND = 45  # pixels around an object, as far as it and the colours beside it are looked at
MARGIN = 4  # rows of the coarse grid around a mask in which it is not believed


class Repair(NamedTuple):
    """What both sides of a bad spell say of one class in a frame.

    Attributes
    ----------
    wrong : ndarray, shape (h, w), bool
        Pixels of the own mask that are wrong by that.
    carried : ndarray, shape (h, w), float32
        Probability of the class.
    """

    wrong: NDArray[np.bool_]
    carried: Floats


class SpellSurvey:
    """Spells of the frames of a window; each is looked for where it is asked for."""

    def __init__(self, evidence: Evidence, labels: Span, reach: int) -> None:
        self._evidence, self._labels, self._reach = evidence, labels, reach
        self._shapes: dict[tuple[int, int], Shape] = {}
        self._distances: dict[tuple[int, int, int], float] = {}
        self._paths: dict[tuple[int, int, int, int], _CarryPath] = {}

    def witnesses(self, t: int, c: int) -> Witnesses | None:
        """Return the frames on either side that a class's mask in a frame is off the way of."""
        if t in self._evidence.certain:
            return None
        labels = self._labels
        before = range(t - 1, max(t - self._reach, labels.start) - 1, -1)
        after = range(t + 1, min(t + self._reach + 1, labels.stop))
        known = [[k for k in side if self._shape(k, c).energy] for side in (before, after)]
        return find_witnesses(t, known[0], known[1], lambda i, j: self._distance(i, j, c))

    def mistrusted(self, frames: range, classes: int) -> NDArray[np.bool_]:
        """Return the surroundings of masks that are off the way, (T, h, w), of all evidence."""
        out = np.zeros(self._evidence.labels.shape, np.bool_)
        for t in frames:
            for c in range(classes):
                witnesses = self.witnesses(t, c)
                for frame in () if witnesses is None else (t, *witnesses):
                    out[t - self._evidence.start][self._surroundings(frame, c)] = True
        return out

    def _surroundings(self, t: int, c: int) -> tuple[slice, slice]:
        """Return the box around a mask, a little wider, on the grid of the flow."""
        shape = self._shape(t, c)
        scale = self._evidence.labels.shape[1] / ROWS
        low = np.maximum((shape.corner - MARGIN) * scale, 0).astype(int)
        high = ((shape.corner + shape.pixels.shape + MARGIN) * scale).astype(int)
        return (slice(low[0], high[0]), slice(low[1], high[1])) if shape.energy else (slice(0),) * 2

    def repair(self, t: int, c: int) -> Repair | None:
        """Return the repair of a class's mask in a frame, if that is in a bad spell."""
        witnesses = self.witnesses(t, c)
        evidence = self._evidence
        known = range(evidence.start, evidence.start + len(evidence.labels))
        if witnesses is None or not (witnesses.before in known and witnesses.after in known):
            return None
        box = self._box(witnesses, c)
        sides = [
            (self._path(witnesses, c, step, box).at(t), abs(t - origin))
            for origin, step in zip(witnesses, (FORWARD, BACKWARD), strict=True)
        ]
        carried = np.zeros(evidence.labels.shape[1:], np.float32)
        picture = np.ascontiguousarray(evidence.images[t - evidence.start][box])
        carried[box] = mix_sides(sides, picture, _no_match(picture))
        masks = [np.zeros(carried.shape, np.bool_) for _ in sides]
        for mask, (side, _) in zip(masks, sides, strict=True):
            mask[box] = side.log_odds > 0
        own = evidence.labels[t - evidence.start] == c + 1
        wrong = judge_spell(own, masks, carried, self._odds(t, c, witnesses))
        return None if wrong is None else Repair(wrong, carried)

    def _box(self, witnesses: Witnesses, c: int) -> tuple[slice, slice]:
        """Return the box around a class in both frames, as far as it may be carried."""
        masks = [self._evidence.labels[t - self._evidence.start] == c + 1 for t in witnesses]
        rows, columns = (np.flatnonzero((masks[0] | masks[1]).any(axis=k)) for k in (1, 0))
        if not rows.size:
            return np.s_[0:1, 0:1]
        return np.s_[
            max(rows[0] - AROUND, 0) : rows[-1] + AROUND + 1,
            max(columns[0] - AROUND, 0) : columns[-1] + AROUND + 1,
        ]

    def mend(self, t: int, trust: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Write errors into a frame's trust, (h, w, C); return the masks that repair them."""
        out = np.zeros_like(trust)
        for c in range(trust.shape[-1]):
            repair = self.repair(t, c)
            if repair is not None:
                own = self._evidence.labels[t - self._evidence.start] == c + 1
                wrong, around = widen_errors(repair.wrong, own, repair.carried)
                trust[..., c][around & (trust[..., c] == TRUSTED)] = DOUBTED
                trust[..., c][wrong] = WRONG
                out[..., c] = pack_mask(repair.carried)
        return out

    def _odds(self, t: int, c: int, witnesses: Witnesses) -> Floats:
        """Return the log odds of a frame's colours for a class, as its witnesses know it."""
        counts = [
            count_colours(self._evidence.images[k], self._evidence.labels[k] == c + 1)
            for k in (frame - self._evidence.start for frame in witnesses)
        ]
        inside, around = (np.sum(part, axis=0) for part in zip(*counts, strict=True))
        bins = colour_bins(self._evidence.images[t - self._evidence.start])
        return np.asarray(colour_odds(inside, around)[bins], np.float32)

    def _path(
        self, witnesses: Witnesses, c: int, step: int, box: tuple[slice, slice]
    ) -> _CarryPath:
        key = *witnesses, c, step
        if key not in self._paths:
            origin = witnesses.before if step == FORWARD else witnesses.after
            self._paths[key] = _CarryPath(self._evidence, origin, step, c, box)
        return self._paths[key]

    def _distance(self, i: int, j: int, c: int) -> float:
        key = min(i, j), max(i, j), c
        if key not in self._distances:
            self._distances[key] = shape_distance(
                self._shape(key[0], c), self._shape(key[1], c), key[1] - key[0]
            )
        return self._distances[key]

    def _shape(self, t: int, c: int) -> Shape:
        if (t, c) not in self._shapes:
            self._shapes[t, c] = coarse_shape(self._labels[t] == c + 1)
        return self._shapes[t, c]


def _no_match(picture: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Return a match of no pixel with any of the witnesses; see `mix_sides`."""
    shape = picture.shape[:2]
    return np.full(shape, 0.5, np.float32), np.full(shape, np.inf, np.float32)


class _CarryPath:
    """The mask of one frame, carried step by step in one direction, inside a box."""

    def __init__(
        self, evidence: Evidence, origin: int, step: int, c: int, box: tuple[slice, slice]
    ) -> None:
        self._images = evidence.images[:, *box]
        self._flow = evidence.flow[..., *box]
        self._start, self._step, self._last = evidence.start, step, origin
        mask = (evidence.labels[origin - evidence.start][box] == c + 1).astype(np.float32)
        picture = self._images[origin - evidence.start]
        self._colours: ColourModel = learn_colours(picture, mask)
        self._local = local_separation(picture, mask)
        self._masks: dict[int, CarriedMask] = {origin: labelled_mask(mask)}

    def at(self, t: int) -> CarriedMask:
        """Return the mask on frame `t`, which lies on the way."""
        while t not in self._masks:
            self._carry_step()
        return self._masks[t]

    def _carry_step(self) -> None:
        before = self._last - self._start
        after, there = before + self._step, (self._step + 1) // 2
        self._masks[self._last + self._step] = carry_on(
            self._masks[self._last],
            np.ascontiguousarray(self._images[before]),
            np.ascontiguousarray(self._images[after]),
            unpack_flow(self._flow[after, 1 - there]),
            unpack_flow(self._flow[before, there]),
            self._colours,
            local_weight=self._local,
        )
        self._last += self._step
