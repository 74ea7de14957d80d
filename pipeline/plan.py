"""The graph of one clip: what can be computed next, and from which pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pipeline.errors import GraphError, PipelineError
from pipeline.keys import digest_all, digest_json, record_of
from pipeline.stage import Clip, Facts, Sink, Source, Stage, Step
from pipeline.store import Manifest, Piece


@dataclass(frozen=True)
class Node:
    """One stage of one clip for one chunk; a source or a sink has the whole clip (0 to -1)."""

    clip: str
    stage: str
    start: int = 0
    stop: int = -1

    @property
    def whole(self) -> bool:
        """Whether it is about the clip as a whole."""
        return self.stop < 0

    def __str__(self) -> str:
        """Return the words that messages use."""
        return self.stage if self.whole else f"{self.stage}, frames {self.start}-{self.stop - 1}"


@dataclass(frozen=True)
class Task:
    """A node with all that a worker needs to do it; small, since arrays go through the store."""

    node: Node
    step: Step
    clip: Clip
    facts: Facts
    key: str
    record: dict[str, Any]
    pieces: dict[str, tuple[Piece, ...]]
    folder: str = ""


def cut(shots: Sequence[Sequence[int]], length: int) -> Iterator[tuple[int, int]]:
    """Yield chunks of at most `length` frames, as even as can be, none across a shot's end."""
    for start, stop in shots:
        count = -(-(stop - start) // length)
        edges = [start + (stop - start) * k // count for k in range(count + 1)]
        yield from pairwise(edges)


def check_steps(steps: Sequence[Step]) -> None:
    """Refuse a plan whose steps do not fit: sources first, sinks last, names once.

    Raises
    ------
    GraphError
    """
    order = [
        1 if isinstance(step, Source) else 3 if isinstance(step, Sink) else 2 for step in steps
    ]
    names = [step.name for step in steps]
    if order != sorted(order) or 1 not in order:
        raise GraphError(f"plan: expected sources, then stages, then sinks, got {names}")
    if len(set(names)) < len(names):
        raise GraphError(f"plan: a stage is there twice: {names}")


@dataclass
class ClipPlan:
    """Follows one clip through the steps: which nodes are done, which are ready, with which key.

    Attributes
    ----------
    steps : sequence of Step
        The sources, then the stages, then the sinks.
    chunk : int
        Frames of a chunk at most.
    out : str
        Folder of the clip's results.
    identify : callable
        Gives the content digest of what a source reads.
    facts : dict
        What the sources said of the clip.
    done, waiting, running : nodes by state; the running ones wait too
    """

    clip: Clip
    steps: Sequence[Step]
    chunk: int
    out: str
    identify: Callable[[Source, Clip], str] = lambda step, clip: step.identity(clip)
    facts: dict[str, Any] = field(default_factory=dict)
    done: dict[Node, Manifest] = field(default_factory=dict)
    waiting: dict[Node, Step] = field(default_factory=dict)
    running: set[Node] = field(default_factory=set)
    _chunks: list[tuple[int, int]] = field(default_factory=list)
    _shots: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for step in self.steps:
            if isinstance(step, Source):
                self.waiting[Node(self.clip.name, step.name)] = step

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return not self.waiting

    def ready(self) -> Iterator[Task]:
        """Yield the tasks that can be done now, earliest frames first."""
        idle = [node for node in self.waiting if node not in self.running]
        for node in sorted(idle, key=lambda node: (node.start, self._rank(node.stage))):
            pieces = self._pieces(node, self.waiting[node])
            if pieces is not None:
                yield self._task(node, self.waiting[node], pieces)

    def complete(self, node: Node, manifest: Manifest) -> None:
        """Take down that `node` is done. The facts of the last source make the chunks known."""
        step = self.waiting.pop(node)
        self.running.discard(node)
        self.done[node] = manifest
        if isinstance(step, Source):
            self.facts.update(manifest.facts)
            if not any(isinstance(other, Source) for other in self.waiting.values()):
                self._open_chunks()

    def _open_chunks(self) -> None:
        try:
            self._shots = [(int(a), int(b)) for a, b in self.facts["shots"]]
        except (KeyError, TypeError, ValueError) as error:
            raise GraphError(f"{self.clip.name}: no source said which shots there are") from error
        self._chunks = list(cut(self._shots, self.chunk))
        for step in self.steps:
            if isinstance(step, Stage):
                for start, stop in self._chunks:
                    self.waiting[Node(self.clip.name, step.name, start, stop)] = step
            elif isinstance(step, Sink):
                self.waiting[Node(self.clip.name, step.name)] = step

    def _rank(self, stage: str) -> int:
        return next(k for k, step in enumerate(self.steps) if step.name == stage)

    def _visible_facts(self, step: Step) -> dict[str, Any]:
        return {name: self.facts[name] for name in step.uses if name in self.facts}

    def _pieces(self, node: Node, step: Step) -> dict[str, tuple[Piece, ...]] | None:
        """Return what the node reads, or None while a part of it is not made yet."""
        if isinstance(step, Source):
            earlier = self.steps[: self._rank(step.name)]
            return None if any(Node(node.clip, e.name) in self.waiting for e in earlier) else {}
        if not isinstance(step, Stage | Sink):
            raise GraphError(f"plan: {step.name} is neither source, stage nor sink")
        pieces = {}
        for wanted in step.inputs(self._visible_facts(step)):
            start, stop = self._range(node, wanted.reach)
            found = self.find(wanted.stage, wanted.array, start, stop)
            if found is None:
                return None
            pieces[f"{wanted.stage}.{wanted.array}"] = found
        return pieces

    def _range(self, node: Node, reach: int) -> tuple[int, int]:
        """Return the frames that a node sees: its own and `reach` more, inside its shot."""
        if node.whole:
            return self._shots[0][0], self._shots[-1][1]
        first, last = next((a, b) for a, b in self._shots if a <= node.start < b)
        return max(node.start - reach, first), min(node.stop + reach, last)

    def find(self, stage: str, array: str, start: int, stop: int) -> tuple[Piece, ...] | None:
        """Return where frames `start` to `stop` of an array are, or None while some are missing."""
        step = self.steps[self._rank(stage)]
        if isinstance(step, Source):
            spans = [(start, stop)]
            nodes = [Node(self.clip.name, stage)]
        else:
            inside = [(a, b) for a, b in self._chunks if a < stop and b > start]
            spans = [(max(a, start), min(b, stop)) for a, b in inside]
            nodes = [Node(self.clip.name, stage, a, b) for a, b in inside]
        if any(node not in self.done for node in nodes):
            return None
        held = [self.done[node] for node in nodes]
        if any(array not in manifest.arrays for manifest in held):
            raise PipelineError(f"{stage}: expected an array {array!r}, got {list(held[0].arrays)}")
        return tuple(m.piece(array, a, b) for m, (a, b) in zip(held, spans, strict=True))

    def _task(self, node: Node, step: Step, pieces: dict[str, tuple[Piece, ...]]) -> Task:
        facts = self._visible_facts(step)
        inputs = {
            name: f"{parts[0].start}:{digest_all([d for part in parts for d in part.digests])}"
            for name, parts in pieces.items()
        }
        if isinstance(step, Source):
            inputs["files"] = self.identify(step, self.clip)
        inputs["facts"] = digest_json(facts)
        record = record_of(step, (node.start, node.stop), inputs)
        return Task(node, step, self.clip, facts, digest_json(record), record, pieces, self.out)
