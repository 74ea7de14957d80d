"""Structural errors over a window: in rounds, so that bad frames do not vote on good ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.stage import Span, Window
from stages.arrays import FLOW, FRAMES, neighbour_offsets
from stages.ops.disagreement import mark_disagreement, uniform_labels
from stages.ops.neighbour_votes import count_votes
from stages.ops.structure import (
    Doubt,
    colour_bins,
    colour_odds,
    confirm_errors,
    count_colours,
    find_doubt,
    widen_errors,
)

TRUSTED, DOUBTED, WRONG = 255, 128, 5
"""Trust in 255ths: as good as any, doubted by neighbours, at odds with them beyond doubt."""
ROUNDS = 3  # bad frames lose their votes before those beside them are judged
AGREED = 0.9  # share of the votes for a label from which it is not asked for again
RELIABLE = 192  # trust from which a pixel counts as evidence for others


@dataclass(frozen=True)
class Evidence:
    """Frames, labels and flow of a window and its surroundings, on the grid of the flow.

    Attributes
    ----------
    start : int
        Number of the first frame.
    images, labels : ndarray, shape (T, h, w, 3) and (T, h, w), uint8
    flow : ndarray, shape (T, 2, 2, h, w), int16
        To the frame before and the frame after, 1/64 px.
    full_images, full_labels : Span
        The same at working size.
    reach, appearance : int, float
        See `stages.trust.stage.Trust`.
    certain : frozenset of int
        Frames whose masks are the user's own, and right whatever others say.
    """

    start: int
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    flow: NDArray[np.int16]
    full_images: Span
    full_labels: Span
    reach: int
    appearance: float
    certain: frozenset[int] = frozenset()

    @classmethod
    def from_window(
        cls, window: Window, labels: Span, *, radius: int, reach: int, appearance: float
    ) -> Evidence:
        """Return the evidence that a stage read of labels, and less far of frames and flow."""
        frames, flow = window[FRAMES], window[FLOW]
        own = Span(frames.start, labels.between(frames.start, frames.stop))
        rows, columns = flow.array.shape[-2:]
        steps = neighbour_offsets(radius)
        near = flow.array[:, [steps.index(-1), steps.index(1)]]
        return cls(
            frames.start,
            shrink_frames(frames.array, (rows, columns)),
            np.stack([_shrink_labels(frame, (rows, columns)) for frame in own.array]),
            near, frames, own, reach, appearance,
        )  # fmt: skip

    @property
    def pixel(self) -> float:
        """Size of a pixel of the grid, in pixels at working size."""
        return float(self.full_labels.array.shape[1] / self.images.shape[1])

    def around(self, frames: range, reach: int) -> range:
        """Return the frames within `reach` of some frames that there are."""
        last = self.start + len(self.labels)
        return range(max(frames.start - reach, self.start), min(frames.stop + reach, last))

    def between(self, frames: range) -> slice:
        """Return where frames lie in the arrays."""
        return slice(frames.start - self.start, frames.stop - self.start)


def shrink_frames(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pictures (T, h, w, 3) at another size, areas averaged."""
    if frames.shape[1:3] == size:
        return frames
    small = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
    return np.stack(small)


def _shrink_labels(labels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST))


def survey_structure(
    evidence: Evidence, wanted: range, classes: int, mistrusted: NDArray[np.bool_]
) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Return the trust in each frame wanted, (h, w, C), and that of all frames in each other.

    Parameters
    ----------
    evidence : Evidence
        To `ROUNDS` times its reach around the frames wanted, or to the shot's ends.
    wanted : range
    classes : int
        C.
    mistrusted : ndarray, shape (T, h, w), bool
        What has no vote from the start.

    Returns
    -------
    trust : list of ndarray, shape (h, w, C), uint8
    voter_trust : ndarray, shape (T, h, w), uint8
        Trust of the frames within reach of those wanted before anything was confirmed.
    """
    survey = _Survey(evidence, classes)
    trust = np.full(evidence.labels.shape, TRUSTED, np.uint8)
    doubted = set(evidence.around(wanted, ROUNDS * evidence.reach))
    for left in range(ROUNDS - 1, 0, -1):
        judged = evidence.around(wanted, left * evidence.reach)
        voters = np.where(mistrusted, np.uint8(WRONG), trust)
        trust, doubted = _next_round(survey, evidence, judged, voters, doubted)
    voters = np.where(mistrusted, np.uint8(WRONG), trust)
    out = []
    for t in wanted:
        frame = np.full((*trust.shape[1:], classes), TRUSTED, np.uint8)
        if not doubted.isdisjoint(evidence.around(range(t, t + 1), evidence.reach)):
            for c, doubt in survey.class_doubts(t, voters).items():
                frame[..., c][doubt.doubted] = DOUBTED
                _write_errors(frame[..., c], survey, t, c, doubt)
        out.append(frame)
    return out, trust


def _next_round(
    survey: _Survey,
    evidence: Evidence,
    wanted: range,
    trust: NDArray[np.uint8],
    doubted: set[int],
) -> tuple[NDArray[np.uint8], set[int]]:
    """Return the trust that frames have among each other, and the frames that are in doubt."""
    after = np.full(trust.shape, TRUSTED, np.uint8)
    still_doubted = set()
    for t in wanted:
        if doubted.isdisjoint(evidence.around(range(t, t + 1), evidence.reach)):
            continue
        for doubt in survey.class_doubts(t, trust).values():
            after[t - evidence.start][doubt.doubted] = WRONG
            still_doubted.add(t)
    return after, still_doubted


def _write_errors(out: NDArray[np.uint8], survey: _Survey, t: int, c: int, doubt: Doubt) -> None:
    """Write what is wrong in one class of a frame into its trust."""
    own, votes = survey.own(t, c), survey.votes[..., c + 1]
    errors = confirm_errors(doubt, own, votes, partial(survey.odds, t, c))
    if errors is None:
        return
    wrong, around = widen_errors(errors, own, votes)
    out[around] = DOUBTED
    out[wrong] = WRONG


class _Survey:
    """Votes on frames, and the colours of classes; each is worked out where it is asked for."""

    def __init__(self, evidence: Evidence, classes: int) -> None:
        self._evidence, self._classes = evidence, classes
        self._active: dict[int, NDArray[np.bool_]] = {}
        self._colours: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self.votes = np.zeros((0, 0, 0), np.float32)

    @cached_property
    def _uniform(self) -> NDArray[np.int16]:
        """Labels of all frames that are the same in a margin around, -1 elsewhere."""
        margin = round(6 * self._evidence.images.shape[1] / 240)
        return np.stack([uniform_labels(labels, margin) for labels in self._evidence.labels])

    def own(self, t: int, c: int) -> NDArray[np.bool_]:
        """Return a frame's mask of class number `c`."""
        mask: NDArray[np.bool_] = self._evidence.labels[t - self._evidence.start] == c + 1
        return mask

    def class_doubts(self, t: int, trust: NDArray[np.uint8]) -> dict[int, Doubt]:
        """Return the doubts about a frame by class, if its neighbours have that much trust."""
        evidence = self._evidence
        if t in evidence.certain:
            return {}
        near = evidence.around(range(t, t + 1), evidence.reach)
        part, own = evidence.between(near), t - near.start
        if t not in self._active:
            self._active[t] = mark_disagreement(
                self._uniform[part], evidence.flow[part], own, reach=evidence.reach
            )
        active = self._active[t]
        if not active.any():
            return {}
        self.votes, support = count_votes(
            evidence.labels[part], trust[part], evidence.images[part], evidence.flow[part], own,
            reach=evidence.reach, appearance=evidence.appearance, pixel=evidence.pixel,
            active=active, classes=self._classes,
        )  # fmt: skip
        # Where all are of one mind, those that are left when some lose their votes are so too.
        own_share = np.take_along_axis(
            self.votes, evidence.labels[t - evidence.start][..., None], -1
        )
        self._active[t] = active & (own_share[..., 0] < AGREED)
        doubts = {}
        for c in range(self._classes):
            doubt = find_doubt(self.own(t, c), self.votes[..., c + 1], support)
            if doubt is not None:
                doubts[c] = doubt
        return doubts

    def odds(self, t: int, c: int) -> NDArray[np.float32]:
        """Return the log odds of a frame's colours for a class, as its neighbours know it."""
        near = self._evidence.around(range(t, t + 1), self._evidence.reach)
        known = [self._frame_colours(j, c) for j in near if j != t]
        inside, around = (np.sum(part, axis=0) for part in zip(*known, strict=True))
        image = self._evidence.images[t - self._evidence.start]
        return np.asarray(colour_odds(inside, around)[colour_bins(image)], np.float32)

    def _frame_colours(self, t: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if (t, c) not in self._colours:
            image = self._evidence.images[t - self._evidence.start]
            self._colours[t, c] = count_colours(image, self.own(t, c))
        return self._colours[t, c]
