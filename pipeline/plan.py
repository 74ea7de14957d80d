"""The graph of one clip: what can be computed next, and from which pieces."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pipeline.errors import GraphError, PipelineError
from pipeline.ready_queue import Graph
from pipeline.stage import WHOLE, Clip, Facts, Input, PartedSink, Sink, Source, Stage, Step
from pipeline.store.artifact import Manifest, Piece
from pipeline.store.keys import digest_all, digest_json, record_of


@dataclass(frozen=True)
class Node:
    """One stage of one clip for one run of frames; `WHOLE` (0 to -1) stands for all of them."""

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


def cut_into_chunks(shots: Sequence[Sequence[int]], length: int) -> Iterator[tuple[int, int]]:
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
    for step in steps:
        if isinstance(step, Stage | Sink):
            try:
                inputs = step.inputs({})
            except (GraphError, KeyError):
                continue  # they depend on facts of the clip: `ClipPlan` checks them then
            check_inputs(step, inputs, steps)


def check_inputs(step: Step, inputs: Sequence[Input], steps: Sequence[Step]) -> None:
    """Refuse inputs that no earlier step of the plan writes.

    Raises
    ------
    GraphError
        Naming the input and what there is.
    """
    earlier: dict[str, Step] = {}
    for other in steps:
        if other.name == step.name:
            break
        if not isinstance(other, Sink):
            earlier[other.name] = other
    for wanted in inputs:
        if wanted.stage not in earlier:
            raise GraphError(
                f"plan: {step.name} reads {wanted.stage}.{wanted.array}: expected a stage before "
                f"it, one of {', '.join(earlier)}"
            )
        written = [array.name for array in earlier[wanted.stage].writes]
        if written and wanted.array not in written:
            raise GraphError(
                f"plan: {step.name} reads {wanted.stage}.{wanted.array}: expected one of the "
                f"arrays {', '.join(written)}"
            )


def steps_for(steps: Sequence[Step], stages: Collection[str]) -> list[Step]:
    """Return the sources, the stages named, and every stage that these read, in order.

    A stage whose inputs depend on facts of the clip is taken by the inputs it has without any.
    """
    by_name = {step.name: step for step in steps}
    wanted = {step.name for step in steps if isinstance(step, Source)}
    open_names = [name for name in stages if name in by_name]
    while open_names:
        name = open_names.pop()
        step = by_name[name]
        if name not in wanted and isinstance(step, Stage):
            open_names += [read.stage for read in step.inputs({})]
        wanted.add(name)
    return [step for step in steps if step.name in wanted]


def record_for(
    step: Step,
    frames: tuple[int, int],
    facts: Facts,
    pieces: Mapping[str, Sequence[Piece]],
    files: str | None = None,
) -> dict[str, Any]:
    """Return the record that decides the result of a step: its pieces, or a source's files."""
    inputs = {} if files is None else {"files": files}
    for name, parts in pieces.items():
        inputs[name] = f"{parts[0].start}:{digest_all([part.digests for part in parts])}"
    inputs["facts"] = digest_json(facts)
    return record_of(step, frames, inputs)


class ClipPlan:
    """Follows one clip through the steps: which nodes are done, which are ready, with which key.

    Every node knows how many of those it reads are still to be made, so that a clip of any length
    costs the same for each of its nodes.

    Parameters
    ----------
    clip : Clip
    steps : sequence of Step
        The sources, then the stages, then the sinks.
    chunk : int
        Frames of a chunk at most.
    out : str
        Folder of the clip's results.
    identify : callable
        Gives the content digest of what a source reads.

    Attributes
    ----------
    facts : dict
        What the sources said of the clip.
    done : dict of Node to Manifest
        Without what is for people.
    waiting : dict of Node to Step
        What is not done; what is running waits too.
    """

    def __init__(
        self,
        clip: Clip,
        steps: Sequence[Step],
        chunk: int,
        out: str,
        identify: Callable[[Source, Clip], str] = lambda step, clip: step.identity(clip),
    ) -> None:
        self.clip, self.steps, self.chunk, self.out = clip, steps, chunk, out
        self.facts: dict[str, Any] = {}
        self.done: dict[Node, Manifest] = {}
        self.waiting: dict[Node, Step] = {}
        self._identify = identify
        self._graph: Graph[Node] = Graph()
        self._rank = {step.name: rank for rank, step in enumerate(steps)}
        self._sources = [step for step in steps if isinstance(step, Source)]
        self._opened = 0  # sources
        self._spans: dict[str, list[tuple[int, int]]] = {}  # of each stage, in frame order
        self._shots: list[tuple[int, int]] = []
        self._inputs: dict[str, tuple[Input, ...]] = {}
        self._open_source()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return not self.waiting

    @property
    def length(self) -> int:
        """Frames of the clip; 0 while no source has said `frames`."""
        return int(self.facts.get("frames", 0))

    def frames_left(self) -> dict[str, int]:
        """Return the frames that each step has still to do, as far as the length is known."""
        left = {step.name: self.length for step in self.steps if step.name not in self._spans}
        for node in self.waiting:
            joins = node.whole and len(self._spans[node.stage]) > 1
            frames = self.length if node.whole else node.stop - node.start
            left[node.stage] = left.get(node.stage, 0) + (0 if joins else frames)
        return left

    def next_ready(self) -> Task | None:
        """Return a task that can be done now, earliest frames first, and not again; else None."""
        node = self._graph.pop()
        return None if node is None else self._build_task(node, self.waiting[node])

    def complete(self, node: Node, manifest: Manifest) -> list[tuple[Node, str]]:
        """Take down that `node` is done. The facts of the last source make the chunks known.

        Return the nodes that nothing will read any more, with their keys.
        """
        step = self.waiting.pop(node)
        self.done[node] = manifest.without_details()
        spent = self._graph.complete(node)
        if isinstance(step, Source) and self._source_complete(step):
            self._conclude_source(step)
        return [(other, self.done[other].key) for other in spent if other in self.done]

    def undo(self, keys: Collection[str], reader: Node) -> None:
        """Take down that what was made under `keys` is gone; it is made again before `reader`."""
        for node in [node for node, manifest in self.done.items() if manifest.key in keys]:
            step = self.steps[self._rank[node.stage]]
            del self.done[node]
            self.waiting[node] = step
            needs = () if isinstance(step, Source) else self._needed_nodes(node, step)
            self._graph.undo(node, sum(other not in self.done for other in needs))
        self._graph.give_back(reader)

    def retry(self, node: Node) -> None:
        """Take down that a task given by `next_ready` is to be given again."""
        self._graph.give_back(node)

    def find(self, stage: str, array: str, start: int, stop: int) -> tuple[Piece, ...] | None:
        """Return where frames `start` to `stop` of an array are, or None while some are missing."""
        nodes = self._nodes_between(stage, start, stop)
        if any(node not in self.done for node in nodes):
            return None
        manifests = [self.done[node] for node in nodes]
        if any(array not in manifest.arrays for manifest in manifests):
            raise PipelineError(
                f"{stage}: expected an array {array!r}, got {list(manifests[0].arrays)}"
            )
        return tuple(
            manifest.piece(
                array, max(node.start, start), stop if node.whole else min(node.stop, stop)
            )
            for node, manifest in zip(nodes, manifests, strict=True)
        )

    def _open_source(self) -> None:
        step = self._sources[self._opened]
        self._opened += 1
        spans = list(step.parts(self._visible_facts(step)))
        self._spans[step.name] = spans
        for start, stop in spans:
            self._add_node(Node(self.clip.name, step.name, start, stop), step, ())

    def _source_complete(self, step: Source) -> bool:
        """Return whether the last part of the newest source has just been done."""
        if step is not self._sources[self._opened - 1] or self._shots:
            return False
        nodes = (Node(self.clip.name, step.name, a, b) for a, b in self._spans[step.name])
        return not any(node in self.waiting for node in nodes)

    def _conclude_source(self, step: Source) -> None:
        nodes = [Node(self.clip.name, step.name, a, b) for a, b in self._spans[step.name]]
        self.facts.update(step.conclude([self.done[node].facts for node in nodes]))
        for node in nodes:
            self.done[node] = replace(self.done[node], facts={})
        if self._opened < len(self._sources):
            self._open_source()
        else:
            self._open_chunks()

    def _open_chunks(self) -> None:
        try:
            self._shots = [(int(a), int(b)) for a, b in self.facts["shots"]]
        except (KeyError, TypeError, ValueError) as error:
            raise GraphError(f"{self.clip.name}: no source said which shots there are") from error
        chunks = list(cut_into_chunks(self._shots, self.chunk))
        for step in self.steps:
            if isinstance(step, Source):
                continue
            self._spans[step.name] = chunks if isinstance(step, Stage) else self._sink_spans(step)
            for start, stop in self._spans[step.name]:
                node = Node(self.clip.name, step.name, start, stop)
                self._add_node(node, step, self._needed_nodes(node, step))

    def _sink_spans(self, step: Step) -> list[tuple[int, int]]:
        """Return the parts of a sink, if there are several, and the whole of it."""
        parts = step.parts(self._visible_facts(step)) if isinstance(step, PartedSink) else ()
        return [*parts, WHOLE] if len(parts) > 1 else [WHOLE]

    def _add_node(self, node: Node, step: Step, needs: Sequence[Node]) -> None:
        self.waiting[node] = step
        missing = sum(other not in self.done for other in needs)
        self._graph.add(node, (node.start, self._rank[step.name]), needs, missing)

    def _needed_nodes(self, node: Node, step: Step) -> list[Node]:
        """Return the nodes that `node` reads, and the parts that it joins."""
        read = [
            other
            for wanted in self._inputs_of(step)
            for other in self._nodes_between(wanted.stage, *self._frames_read(node, wanted.reach))
        ]
        parts = self._spans[step.name][:-1] if isinstance(step, Sink) and node.whole else ()
        return read + [Node(self.clip.name, step.name, start, stop) for start, stop in parts]

    def _inputs_of(self, step: Step) -> tuple[Input, ...]:
        if step.name not in self._inputs:
            if not isinstance(step, Stage | Sink):
                raise GraphError(f"plan: {step.name} is neither source, stage nor sink")
            inputs = step.inputs(self._visible_facts(step))
            check_inputs(step, inputs, self.steps)
            self._inputs[step.name] = inputs
        return self._inputs[step.name]

    def _visible_facts(self, step: Step) -> dict[str, Any]:
        return {name: self.facts[name] for name in step.uses if name in self.facts}

    def _frames_read(self, node: Node, reach: int) -> tuple[int, int]:
        """Return the frames that a node sees: its own and `reach` more, inside its shot."""
        if node.whole:
            return self._shots[0][0], self._shots[-1][1]
        if isinstance(self.steps[self._rank[node.stage]], Sink):
            return node.start, node.stop
        first, last = self._shots[bisect_right(self._shots, (node.start, self._shots[-1][1])) - 1]
        return max(node.start - reach, first), min(node.stop + reach, last)

    def _nodes_between(self, stage: str, start: int, stop: int) -> list[Node]:
        """Return the nodes of a stage that make frames `start` to `stop`."""
        spans = self._spans[stage]
        low = max(bisect_right(spans, start, key=lambda span: span[0]) - 1, 0)
        nodes = []
        for a, b in spans[low:]:
            if a >= stop:
                break
            nodes.append(Node(self.clip.name, stage, a, b))
        return nodes

    def _build_task(self, node: Node, step: Step) -> Task:
        facts = self._visible_facts(step)
        pieces: dict[str, tuple[Piece, ...]] = {}
        files = self._identify(step, self.clip) if isinstance(step, Source) else None
        if files is None:
            for wanted in self._inputs_of(step):
                stored = self.find(
                    wanted.stage, wanted.array, *self._frames_read(node, wanted.reach)
                )
                pieces[f"{wanted.stage}.{wanted.array}"] = stored or ()
        record = record_for(step, (node.start, node.stop), facts, pieces, files)
        return Task(node, step, self.clip, facts, digest_json(record), record, pieces, self.out)
