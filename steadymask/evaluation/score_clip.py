"""Scores all systems on one clip, in one pass over its frames."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.video import read_picture
from stages.metrics.stability import excess
from stages.metrics.temporal import edge_band
from stages.ops.ignored_label import IGNORE
from steadymask.evaluation.correctness import Classes, Correctness, Objects, VspwClasses
from steadymask.evaluation.labels import LabelSet, Reader, Task
from steadymask.evaluation.layouts import Files, paired_files
from steadymask.evaluation.object_tracks import ObjectTracks
from steadymask.evaluation.pools import Pool
from steadymask.evaluation.protocols import PROTOCOLS, Protocol
from steadymask.evaluation.reference_flow import Judge, Link
from steadymask.evaluation.stability import Stability

TRUTH = "truth"  # its own stability: what no system can be blamed for


@dataclass(frozen=True)
class Options:
    """What to score.

    Attributes
    ----------
    task : {"objects", "classes", "tracks"}
    union : bool
        Take all objects for one.
    rate : float
        Frames per second.
    contours : bool
        Score T, which is slow.
    protocol : Protocol
        Which frames count, and how a set is scored.
    void : tuple of int
        Labels in the truth of pixels that do not count, beside 255. As classes, a system that
        predicts one elsewhere misses the true class; the label is no class of its own.
    """

    task: Task = "objects"
    union: bool = False
    rate: float = 24.0
    contours: bool = False
    protocol: Protocol = PROTOCOLS["all"]
    void: tuple[int, ...] = ()


@dataclass
class ClipScores:
    """Values by system and measure; why systems have none; flicker from frame to frame.

    Attributes
    ----------
    size : (rows, columns)
        Of the masks: E_cons is a width in pixels of that size.
    pools : dict
        By system and measure what the clip adds to a set that is scored as a whole.
    """

    name: str
    frames: int
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    flicker: dict[str, list[float]] = field(default_factory=dict)
    size: tuple[int, int] = (0, 0)
    pools: dict[str, Mapping[str, Pool]] = field(default_factory=dict)


def score_clip(
    name: str,
    frames: Files,
    systems: Mapping[str, Files],
    truth: Files | None,
    judge: Judge,
    options: Options,
) -> ClipScores:
    """Return the scores of all systems on a clip; one that cannot be scored has its reason.

    Parameters
    ----------
    name : str
    frames : mapping
        Pictures by frame name, in order.
    systems : mapping
        Of each system its label files.
    truth : mapping, optional
        Label files; of some frames or of all.
    judge : Judge
    options : Options

    Raises
    ------
    InputError
        If the frames or the truth cannot be used.
    """
    scores = ClipScores(name, len(frames))
    true = None
    if truth is not None:
        named = paired_files(frames, truth, f"{name}: truth")
        true = LabelSet(named, options.void, numbered=options.protocol.name == "vspw")
    counted = _counted_frames(name, frames, true, options.protocol)
    label_sets = _usable_systems(scores, frames, systems, options.protocol)
    if true is not None and len(true.files) == len(frames):
        label_sets[TRUTH] = true
    reader = Reader(
        [*label_sets.values(), *([true] if true else [])],
        options.task,
        union=options.union or options.protocol.union,
    )
    if true is not None and options.task != "tracks":
        _check_common(scores, label_sets, true, reader)
    passes = {
        system: _SystemPass(labels, system == TRUTH, judge, options, true, reader)
        for system, labels in label_sets.items()
    }
    for frame, picture, links in _walk_frames(frames, judge):
        size = scores.size = picture.shape[0], picture.shape[1]
        answer = None
        if true is not None and frame in true.files:
            answer = reader.read(true, frame, size, truth=True)
        edges = None if answer is None else edge_band(answer)
        judged = answer if frame in counted else None
        _advance_systems(scores, passes, frame, size, links, judged, edges)
    for system, system_scores in passes.items():
        scores.values[system] = system_scores.values()
        scores.pools[system] = system_scores.pools() if options.protocol.pooled else {}
        scores.flicker[system] = system_scores.stability.flicker
    return scores


def _counted_frames(
    name: str, frames: Files, truth: LabelSet | None, protocol: Protocol
) -> Collection[str]:
    """Return the frames whose masks are held against the truth.

    Raises
    ------
    InputError
        If the protocol wants the truth of frames that have none.
    """
    if not protocol.inner_frames:
        return frames
    inner = list(frames)[1:-1]
    missing = [frame for frame in inner if truth is not None and frame not in truth.files]
    if not inner or missing:
        lacking = f"{len(missing)} lack it ({missing[0]}, …)" if missing else "there are no others"
        raise InputError(
            f"{name}: protocol {protocol.name} wants the truth of all frames but the first and the "
            f"last, {lacking}: use --protocol all"
        )
    return frozenset(inner)


class _SystemPass:
    """One system's way through a clip."""

    def __init__(
        self,
        labels: LabelSet,
        is_truth: bool,
        judge: Judge,
        options: Options,
        truth: LabelSet | None,
        reader: Reader,
    ) -> None:
        self._labels, self._is_truth, self._reader = labels, is_truth, reader
        vspw = options.protocol.name == "vspw"
        self.stability = Stability(judge.radius, options.rate, vspw=vspw)
        self._correctness: Correctness | None = None
        self._void = options.void if options.task == "classes" else ()
        if truth is not None and not is_truth:
            if options.task == "classes":
                self._correctness = VspwClasses() if vspw else Classes()
            elif options.task == "tracks":
                self._correctness = ObjectTracks()
            else:
                numbers = sorted({reader.number(label) for label in truth.objects()})
                self._correctness = Objects(numbers, contours=options.contours)

    def add(
        self,
        frame: str,
        size: tuple[int, int],
        links: list[Link],
        truth: NDArray[np.uint8] | None,
        edges: NDArray[np.bool_] | None,
    ) -> None:
        labels = self._reader.read(self._labels, frame, size, truth=self._is_truth)
        self.stability.add(labels, links, edges)
        if self._correctness is not None and truth is not None:
            if self._void:  # no class of its own: wrong for the true class alone
                labels = np.where(np.isin(labels, self._void), np.uint8(IGNORE), labels)
            self._correctness.add(labels, truth)

    def values(self) -> dict[str, float]:
        right = self._correctness.values() if self._correctness else {}
        return right | self.stability.values()

    def pools(self) -> dict[str, Pool]:
        right = self._correctness.pools() if self._correctness else {}
        return {**right, **self.stability.pools()}


def _advance_systems(
    scores: ClipScores,
    passes: dict[str, _SystemPass],
    frame: str,
    size: tuple[int, int],
    links: list[Link],
    truth: NDArray[np.uint8] | None,
    edges: NDArray[np.bool_] | None,
) -> None:
    """Take all systems a frame further; drop one whose labels cannot be used."""
    for system in list(passes):
        try:
            passes[system].add(frame, size, links, truth, edges)
        except InputError as error:
            scores.problems[system] = str(error)
            del passes[system]


def _usable_systems(
    scores: ClipScores, frames: Files, systems: Mapping[str, Files], protocol: Protocol
) -> dict[str, LabelSet]:
    """Return the systems that have a label file for every frame."""
    label_sets = {}
    for system, files in systems.items():
        try:
            named = paired_files(frames, files, f"{scores.name}: {system}")
            missing = [frame for frame in frames if frame not in named]
            if missing:
                raise InputError(
                    f"{scores.name}: {system}: expected labels of all {len(frames)} frames, "
                    f"{len(missing)} are missing ({', '.join(missing[:3])}…)"
                )
            label_sets[system] = LabelSet(named, numbered=protocol.name == "vspw")
        except InputError as error:
            scores.problems[system] = str(error)
    return label_sets


def _check_common(
    scores: ClipScores, label_sets: dict[str, LabelSet], truth: LabelSet, reader: Reader
) -> None:
    """Leave out systems that number their objects otherwise than the truth does."""
    numbers = {reader.number(label) for label in truth.objects()}
    for system in [name for name in label_sets if name != TRUTH]:
        theirs = {reader.number(label) for label in label_sets[system].objects()}
        if numbers and theirs and not numbers & theirs:
            scores.problems[system] = (
                f"{scores.name}: {system}: expected labels of the truth ({_label_list(truth)}), "
                f"got {_label_list(label_sets[system])}: --union takes all objects for one"
            )
            del label_sets[system]


def _label_list(labels: LabelSet) -> str:
    return ", ".join(map(str, sorted(labels.objects())[:8]))


def _walk_frames(
    frames: Files, judge: Judge
) -> Iterator[tuple[str, NDArray[np.uint8], list[Link]]]:
    """Yield name, picture and links of every frame."""
    size: list[tuple[int, ...]] = []
    read: list[NDArray[np.uint8]] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for path in frames.values():
            picture = _read_checked(path, size)
            read.append(picture)
            yield picture

    for name, links in zip(frames, judge.links(pictures()), strict=True):
        yield name, read.pop(0), links


def _read_checked(path: Path, size: list[tuple[int, ...]]) -> NDArray[np.uint8]:
    picture = read_picture(path)
    if size and picture.shape != size[0]:
        raise InputError(
            f"{path}: expected {size[0][1]} x {size[0][0]} as the first frame, got "
            f"{picture.shape[1]} x {picture.shape[0]}"
        )
    size.append(picture.shape)
    return picture


def add_excess(scores: ClipScores, baseline: str) -> None:
    """Add what is left of the baseline's inconsistency that the truth does not have."""
    if TRUTH not in scores.values or baseline not in scores.values:
        return
    floor = scores.values[TRUTH]["E_cons"]
    before = scores.values[baseline]["E_cons"]
    for system, values in scores.values.items():
        if system not in (TRUTH, baseline):
            values["excess"] = excess(before, values["E_cons"], floor)
        elif system == baseline:
            values["excess"] = 1.0 if before > floor else math.nan
