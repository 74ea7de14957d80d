"""Clips of `students.py`: parts of sequences to train on, others to score on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.media.masks.palette import read_labels
from stages.metrics.temporal import edge_band
from stages.ops.fixed_point import pack_flow, unpack_flow
from stages.ops.visibility import visible
from steadymask.evaluation.correctness import Objects
from steadymask.evaluation.reference_flow import EstimatedFlow, Link
from steadymask.evaluation.stability import Stability

RADIUS = 3
RATE = 24.0  # frames per second of DAVIS; E_smooth alone asks for it
MEASURES = {"J": "↑", "F": "↑", "E_cons": "↓", "TC": "↑", "STB": "↑", "STB_local": "↑"}

Labels = NDArray[np.uint8]
Scores = dict[str, float]


def link_clip(sequence: Path, masks: str, work: Path) -> None:
    """Link frames and masks of a sequence as a clip."""
    for kind, folder in (("footage", "JPEGImages"), ("masks", masks)):
        to = work / kind / sequence.name
        to.parent.mkdir(parents=True, exist_ok=True)
        if not to.exists():
            to.symlink_to((sequence / folder).resolve())


class Test:
    """A clip to score on: frames, truth, and the flow to judge with."""

    def __init__(
        self, frames: list[NDArray[np.uint8]], truth: list[Labels], flow: list[NDArray[np.int16]]
    ) -> None:
        self.frames, self.truth, self._flow = frames, truth, flow

    def links(self) -> Iterator[list[Link]]:
        """Yield for each frame the links to those before it, the nearest first."""
        for packed in self._flow:
            pairs = [(unpack_flow(there), unpack_flow(back)) for there, back in packed]
            yield [Link(a, b, visible(a, b), visible(b, a)) for a, b in pairs]

    def score(self, masks: Sequence[Labels]) -> Scores:
        """Return how right and how still masks are."""
        right, still = Objects([1], contours=False), Stability(RADIUS, RATE)
        for labels, truth, links in zip(masks, self.truth, self.links(), strict=True):
            right.add(labels, truth)
            still.add(labels, links, edge_band(truth))
        scores: Mapping[str, float] = right.values() | still.values()
        return {name: scores[name] for name in MEASURES}


def test_clip(sequence: Path, work: Path, part: slice, short_side: int) -> Test:
    """Return a part of a sequence to score on, its flow estimated once."""
    paths = sorted((sequence / "JPEGImages").iterdir())[part]
    pictures = [cv2.imread(str(path))[..., ::-1] for path in paths]
    rows, columns = pictures[0].shape[:2]
    size = round(columns * short_side / rows), short_side
    frames = [cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in pictures]
    truth = [
        cv2.resize(
            (read_labels(sequence / "Annotations" / f"{path.stem}.png") > 0).astype(np.uint8),
            size, interpolation=cv2.INTER_NEAREST_EXACT,
        )
        for path in paths
    ]  # fmt: skip
    kept = work / f"deepflow{short_side}-{sequence.name}-{paths[0].stem}-{paths[-1].stem}.npz"
    if not kept.exists():
        judge = EstimatedFlow("deepflow", radius=RADIUS, workers=2)
        flow = [
            np.array([[pack_flow(link.there), pack_flow(link.back)] for link in links], np.int16)
            for links in judge.links(frames)
        ]
        np.savez(kept, *flow)
    with np.load(kept) as archive:
        return Test(frames, truth, [archive[f"arr_{t}"] for t in range(len(frames))])
