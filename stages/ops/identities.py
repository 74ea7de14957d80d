"""Identities: which object of a frame is which object of the frames before.

Masks of networks that see one frame at a time number their objects anew in every frame. Here
objects are followed by their masks carried along the optical flow, by their colours and, where
they were away, by where they were heading: the matching of "Temporally consistent instance
segmentation" (PFI, III-D), with the assignment of Kuhn and Munkres for each frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.ops.object_views import ObjectView, describe_objects, shrink_labels, shrink_picture

Labels = NDArray[np.uint16]
Floats = NDArray[np.float64]

LEAST_OVERLAP = 0.1  # intersection over union with the carried mask from which objects may be one
LEAST_LIKENESS = 0.25  # of colours, where masks overlap
LIKENESS_WEIGHT = 0.3  # of colours beside the overlap
RETURN_LIKENESS = 0.6  # of colours, where an object was away
RETURN_SCORE = 0.55  # of colours, size and place together
SAME_LIKENESS = 0.8  # of colours, from which two tracks that were never there together are one
NEW_APPEARANCE = 0.9  # likeness below which a further appearance of an object is remembered
MOST_APPEARANCES = 8
COASTING = 12  # frames that a lost object is expected to go on moving
JOINT_SHARE = 0.6  # of two objects' carried masks inside one mask: it covers both
LEAST_JOINT = 0.25  # the smaller one's share of a mask that covers both


@dataclass
class ObjectTrack:
    """One object through the clip: as it was when it was last there, and how it has looked."""

    number: int
    category: int
    frame: int
    area: float
    centre: Floats
    velocity: Floats
    mask: NDArray[np.bool_]
    appearances: list[NDArray[np.float32]]
    frames: set[int]

    def update(self, view: ObjectView, mask: NDArray[np.bool_], frame: int) -> None:
        """Note where and how the object is in a frame."""
        steps = frame - self.frame
        moved = (view.centre - self.centre) / steps
        self.velocity = 0.5 * self.velocity + 0.5 * moved if steps == 1 else moved
        self.centre, self.frame, self.mask = view.centre, frame, mask
        self.frames.add(frame)
        whole = view.area > 0.7 * self.area  # half an object behind another looks like neither
        self.area = 0.8 * self.area + 0.2 * view.area
        if whole and self.likeness(view.colours) < NEW_APPEARANCE:
            self.appearances = [*self.appearances[-MOST_APPEARANCES + 1 :], view.colours]

    def likeness(self, colours: NDArray[np.float32]) -> float:
        """Return the Bhattacharyya coefficient of the most similar appearance, 0 to 1."""
        return max(float(np.sqrt(known * colours).sum()) for known in self.appearances)

    def expected_centre(self, frame: int) -> Floats:
        """Return where it is if it went on as it did, for a while and to the border at most."""
        centre = self.centre + self.velocity * min(frame - self.frame, COASTING)
        return np.clip(centre, 0, np.array(self.mask.shape) - 1)


@dataclass
class ObjectMatcher:
    """Numbers the objects of a clip, frame by frame, each object the same throughout.

    Examples
    --------
    >>> matcher = ObjectMatcher()
    >>> picture = np.zeros((8, 12, 3), np.uint8)
    >>> first = np.zeros((8, 12), np.uint16)
    >>> first[1:4, 1:4], first[4:8, 7:11] = 1, 2
    >>> swapped = np.array([0, 2, 1], np.uint16)[first]
    >>> matcher.add_frame(picture, first), matcher.add_frame(picture, swapped)
    ({1: 1, 2: 2}, {1: 2, 2: 1})
    """

    tracks: list[ObjectTrack] = field(default_factory=list)
    joints: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    """Frames in which one mask covers two objects, and their numbers."""
    _frame: int = -1
    _grey: NDArray[np.uint8] | None = None

    def add_frame(
        self,
        picture: NDArray[np.uint8],
        labels: Labels,
        categories: Mapping[int, int] | None = None,
    ) -> dict[int, int]:
        """Return the object's number for each label of the next frame.

        Parameters
        ----------
        picture : ndarray, (H, W, 3) uint8
            RGB, of any size.
        labels : ndarray, (h, w) uint16
            0 is background; of any size.
        categories : mapping of label to category, optional
            Objects of different categories are never the same.
        """
        self._frame += 1
        small = shrink_picture(picture)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        plane = shrink_labels(labels, (grey.shape[0], grey.shape[1]))
        views = describe_objects(small, plane, categories or {})
        before = self._carried_numbers(grey)
        numbers = self._match_neighbours(views, plane, before)
        self._match_returns([view for view in views if view.label not in numbers], numbers)
        for view in views:
            self._note_view(view, plane == view.label, numbers)
        self._grey = grey
        return dict(sorted(numbers.items()))

    def joined_numbers(self) -> dict[int, int]:
        """Return the final number of each track, counted from 1 once all frames were added.

        An object that came back looking like nothing known, as one does that enters the picture bit
        by bit, is one with the earlier track that it resembles most by now.
        """
        owner = {track.number: track for track in self.tracks}
        pairs = sorted(
            (-_alikeness(first, second), first.number, second.number)
            for first in self.tracks
            for second in self.tracks
            if first.number < second.number and first.category == second.category
        )
        frames = {track.number: set(track.frames) for track in self.tracks}
        for unlike, first, second in pairs:
            earlier, later = owner[first], owner[second]
            if -unlike < SAME_LIKENESS or earlier is later:
                continue
            if frames[earlier.number] & frames[later.number]:
                continue
            frames[earlier.number] |= frames[later.number]
            owner = {n: earlier if track is later else track for n, track in owner.items()}
        order = {n: k for k, n in enumerate(sorted({t.number for t in owner.values()}), start=1)}
        return {number: order[track.number] for number, track in owner.items()}

    def _carried_numbers(self, grey: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return the tracks (1 + index) of the frame before, carried along the flow, (h, w)."""
        numbers = np.zeros(grey.shape, np.int32)
        if self._grey is None:
            return numbers
        for k, track in enumerate(self.tracks):
            if track.frame == self._frame - 1:
                numbers[track.mask] = k + 1
        flow = _flow_between(grey, self._grey)
        rows, columns = np.indices(grey.shape, np.float32)
        return np.asarray(
            cv2.remap(
                numbers.astype(np.float32), columns + flow[..., 0], rows + flow[..., 1],
                cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
            )
        ).astype(np.int32)  # fmt: skip

    def _match_neighbours(
        self, views: list[ObjectView], plane: Labels, before: NDArray[np.int32]
    ) -> dict[int, int]:
        """Return the numbers of objects that were in the frame before, by label."""
        if not views or not self.tracks:
            return {}
        shared = np.zeros((len(self.tracks) + 1, int(plane.max()) + 1))
        np.add.at(shared, (before, plane), 1)
        labels = [view.label for view in views]
        inside = shared[1:, labels]
        areas = shared.sum(axis=1)[1:, None]
        union = areas + shared.sum(axis=0)[labels][None] - inside
        overlap = inside / np.maximum(union, 1)
        likeness = self._likeness(views)
        # Half an object, or two in one mask, overlap little with the whole: colours then decide.
        share = inside / np.maximum(np.minimum(areas, shared.sum(axis=0)[labels][None]), 1)
        possible = ((overlap > LEAST_OVERLAP) | (share > JOINT_SHARE)) & (inside > 0)
        possible &= likeness > LEAST_LIKENESS
        score = np.where(possible, overlap + LIKENESS_WEIGHT * likeness, -1.0)
        self._note_joints(inside / np.maximum(areas, 1), inside, views)
        return {
            labels[column]: self.tracks[row].number
            for row, column in _best_pairs(score)
            if score[row, column] > 0
        }

    def _match_returns(self, views: list[ObjectView], numbers: dict[int, int]) -> None:
        """Give objects that were away their numbers again."""
        taken = set(numbers.values())
        away = [track for track in self.tracks if track.number not in taken]
        if not views or not away:
            return
        score = np.array([[self._return_score(t, view) for view in views] for t in away])
        for row, column in _best_pairs(score):
            if score[row, column] > RETURN_SCORE:
                numbers[views[column].label] = away[row].number

    def _return_score(self, track: ObjectTrack, view: ObjectView) -> float:
        """Return how well an object fits one that was away, 0 to 1."""
        likeness = track.likeness(view.colours)
        if track.category != view.category or likeness < RETURN_LIKENESS:
            return 0.0
        size = min(track.area, view.area) / max(track.area, view.area)
        distance = np.linalg.norm(track.expected_centre(self._frame) - view.centre)
        gap = self._frame - track.frame
        nearness = np.exp(-distance / (np.sqrt(max(track.area, view.area)) * (1 + gap / 8)))
        return float(0.5 * likeness + 0.2 * size + 0.3 * nearness)

    def _likeness(self, views: list[ObjectView]) -> Floats:
        return np.array(
            [
                [t.likeness(v.colours) if t.category == v.category else 0.0 for v in views]
                for t in self.tracks
            ]
        )

    def _note_joints(self, share: Floats, inside: Floats, views: list[ObjectView]) -> None:
        """Note masks that cover most of two objects of the frame before."""
        for column, view in enumerate(views):
            large = inside[:, column] > LEAST_JOINT * view.area
            covered = np.flatnonzero((share[:, column] > JOINT_SHARE) & large)
            if len(covered) > 1:
                first, second = (self.tracks[k].number for k in covered[:2])
                self.joints.append((self._frame, (first, second)))

    def _note_view(
        self, view: ObjectView, mask: NDArray[np.bool_], numbers: dict[int, int]
    ) -> None:
        """Update the track of an object, or begin a new one."""
        number = numbers.setdefault(view.label, len(self.tracks) + 1)
        if number <= len(self.tracks):
            self.tracks[number - 1].update(view, mask, self._frame)
            return
        self.tracks.append(
            ObjectTrack(
                number=number,
                category=view.category,
                frame=self._frame,
                area=float(view.area),
                centre=view.centre,
                velocity=np.zeros(2),
                mask=mask,
                appearances=[view.colours],
                frames={self._frame},
            )
        )


def _alikeness(first: ObjectTrack, second: ObjectTrack) -> float:
    """Return the likeness of the two most similar appearances of two tracks."""
    return max(first.likeness(colours) for colours in second.appearances)


def _flow_between(start: NDArray[np.uint8], end: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the flow (h, w, 2) from one small grey picture to another."""
    if min(start.shape) < 16:  # nothing to follow in so few pixels
        return np.zeros((*start.shape, 2), np.float32)
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(method.calc(start, end, None), np.float32)


def _best_pairs(score: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return rows and columns, each at most once, whose scores sum to the most."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    rows, columns = linear_sum_assignment(score, maximize=True)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))
