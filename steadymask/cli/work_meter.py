"""How much of a run is done and how long the rest will take, from its events."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.events import (
    ClipFailed,
    ClipFinished,
    Event,
    TaskDone,
    TaskEnded,
    TaskRetried,
    TasksCounted,
    TaskStarted,
)
from pipeline.plan import Node

# Seconds a frame by stage: what the demo took (640x360, one class) on one processor, mean of its
# clips, by the `clips` of its run.json: ``--demo --executor inline --workers 1``, with
# ``--set pseudo_labels.enabled=true --set export.formats=[png,ffv1,overlay,redacted]``; carry with
# every twelfth mask as a key frame. Only how they compare matters: what a run takes itself replaces
# them.
USUAL_S = {
    "probe": 0.0002, "ingest": 0.010, "classes": 0.055, "segment": 0.006, "flow": 0.046,
    "carry": 0.30, "visibility": 0.008, "trust": 0.062, "refine": 0.34, "smooth": 0.25,
    "cover": 0.025, "measure": 0.030, "export": 0.040, "pseudo_labels": 0.067, "scores": 0.001,
    "review": 0.005, "report": 0.105,
}  # fmt: skip
OTHER_S = 0.01
TRUST_FRAMES = 16  # from so many on, what was measured counts more than what is usual


@dataclass(frozen=True)
class Estimate:
    """How far a run is.

    Attributes
    ----------
    share : float
        Of the work, 0 to 1.
    frames, frames_done : float
        All of them, and those done; a frame of which half the work is done counts half.
    rate : float
        Frames a second so far.
    seconds_left : float or None
        None where nothing was done yet.
    """

    share: float
    frames: float
    frames_done: float
    rate: float
    seconds_left: float | None


class WorkMeter:
    """Follows the events of a run.

    Parameters
    ----------
    clips : int
        That the run will do.
    workers : int
        Tasks at a time; 0: as many as this machine has processors.
    now : callable
        Gives the time in seconds, best without that for which all stood still.
    """

    def __init__(self, clips: int, workers: int = 0, now: Callable[[], float] = time.time) -> None:
        self._clips, self._workers, self._now = clips, workers or os.cpu_count() or 1, now
        self._frames: dict[str, int] = {}  # by clip
        self._left: dict[str, dict[str, int]] = {}  # frames by clip and stage
        self._stages: set[str] = set()
        self._ended = 0
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._timed: Counter[str] = Counter()  # frames of these seconds
        self._begun: dict[Node, float] = {}
        self._first = 0.0

    def record_event(self, event: Event) -> None:
        """Take down an event."""
        if isinstance(event, TasksCounted):
            self._frames[event.clip], self._left[event.clip] = event.frames, dict(event.left)
            self._stages |= set(event.left)
        elif isinstance(event, TaskStarted):
            self._first = self._first or self._now()
            self._begun[event.node] = self._now()
        elif isinstance(event, TaskEnded):
            self._end_task(event)
        elif isinstance(event, TaskRetried):
            self._begun.pop(event.node, None)
        elif isinstance(event, ClipFinished | ClipFailed):
            self._ended += 1
            self._left[event.clip] = {}
            self._frames.setdefault(event.clip, 0)
            self._begun = {n: t for n, t in self._begun.items() if n.clip != event.clip}

    def _end_task(self, event: TaskEnded) -> None:
        node, now = event.node, self._now()
        awake = now - self._begun.pop(node, now - event.seconds)
        left = self._left.get(event.clip, {})
        length = self._task_frames(node)
        if node.stage in left:
            left[node.stage] = max(left[node.stage] - length, 0)
        if isinstance(event, TaskDone) and length:
            self._seconds[node.stage] += min(event.seconds, awake)  # it may have been stopped
            self._timed[node.stage] += length

    def _task_frames(self, node: Node) -> int:
        """Return the frames of a task; a join of parts that are done already has none."""
        return self._frames.get(node.clip, 0) if node.whole else node.stop - node.start

    def running(self) -> dict[str, list[str]]:
        """Return the stages that are at work by clip; what waits at a worker is not."""
        by_clip: dict[str, list[str]] = {}
        for node in self._at_work():
            stages = by_clip.setdefault(node.clip, [])
            if node.stage not in stages:
                stages.append(node.stage)
        return by_clip

    def share_of(self, clip: str) -> float:
        """Return how much of a clip's work is done."""
        whole = self._frames.get(clip, 0) * sum(self._stage_rate(stage) for stage in self._stages)
        return 1 - min(self._task_work(self._left.get(clip, {})) / whole, 1) if whole else 0.0

    def estimate(self) -> Estimate:
        """Return how far the run is."""
        known = {clip: frames for clip, frames in self._frames.items() if frames}
        unknown = max(self._clips - len(self._frames), 0)
        mean = sum(known.values()) / len(known) if known else 0.0
        frames = sum(known.values()) + unknown * mean
        a_frame = sum(self._stage_rate(stage) for stage in self._stages)
        left = (
            sum(self._task_work(stages) for stages in self._left.values())
            + unknown * mean * a_frame
        )
        now = self._now()
        under_way = sum(
            min(
                now - self._begun[node],
                0.9 * self._task_frames(node) * self._stage_rate(node.stage),
            )
            for node in self._at_work()
        )
        whole = frames * a_frame
        if self._clips and self._ended >= self._clips:
            return Estimate(1.0, frames, frames, self._machine_speed(frames), 0.0)
        share = min(max(1 - (left - under_way) / whole, 0.0), 1.0) if whole else 0.0
        busy = sum(self._seconds.values()) + under_way
        spent = now - self._first if self._first else 0.0
        seconds_left = (left - under_way) * spent / busy if busy > 0 and spent > 0 else None
        done = share * frames
        return Estimate(share, frames, done, self._machine_speed(done), seconds_left)

    def _machine_speed(self, frames: float) -> float:
        spent = self._now() - self._first if self._first else 0.0
        return frames / spent if spent > 0 else 0.0

    def _at_work(self) -> list[Node]:
        """Return the tasks given first, as many as run at a time; the others wait."""
        return sorted(self._begun, key=lambda node: self._begun[node])[: self._workers]

    def _task_work(self, left: Mapping[str, int]) -> float:
        """Return processor-seconds."""
        return sum(frames * self._stage_rate(stage) for stage, frames in left.items())

    def _stage_rate(self, stage: str) -> float:
        """Return processor-seconds a frame: usual ones at this run's scale, then its own."""
        usual = sum(frames * USUAL_S.get(name, OTHER_S) for name, frames in self._timed.items())
        scale = sum(self._seconds.values()) / usual if usual else 1.0
        expected = USUAL_S.get(stage, OTHER_S) * scale
        timed = self._timed[stage]
        return (TRUST_FRAMES * expected + self._seconds[stage]) / (TRUST_FRAMES + timed)
