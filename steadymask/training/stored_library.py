"""A library's cached frames, masks and flows, read where they are needed; nothing is recomputed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.plan import ClipPlan
from pipeline.source_digests import remembered_identity
from pipeline.stage import Clip, Facts, Span, Step
from pipeline.store.store import Store
from pipeline.stored_plan import follow_plan
from pipeline.wording import count_text
from stages.facts import ClipFacts

HELD_BYTES = 1 << 30  # of frames that were read and may be wanted again
HELD_OUT = 0.2  # share of the clips, or of the frames of the only clip


@dataclass(frozen=True)
class SampleFrame:
    """A frame of a clip and the shot it belongs to."""

    clip: int
    frame: int
    shot: tuple[int, int]


class StoredLibrary:
    """Random access to what a run left in the store.

    Parameters
    ----------
    clips : iterable of Clip
    steps : sequence of Step
        Sources and stages, as the run had them.
    store : Store
    chunk : int
        As the run had it.

    Raises
    ------
    InputError
        If something is not in the store.
    """

    def __init__(
        self, clips: Iterable[Clip], steps: Sequence[Step], store: Store, chunk: int
    ) -> None:
        self._store = store
        self._plans = [_followed_plan(clip, steps, store, chunk) for clip in clips]
        self._held: dict[tuple[int, str, int], NDArray[Any]] = {}
        self._held_bytes = 0

    @property
    def digest(self) -> tuple[str, ...]:
        """The keys of all that can be read: other footage, masks or settings have others."""
        return tuple(sorted(m.key for plan in self._plans for m in plan.done.values()))

    @property
    def classes(self) -> int:
        """How many foreground classes the masks have; the most of any clip."""
        return max(len(ClipFacts(plan.facts).classes) for plan in self._plans)

    @property
    def side(self) -> int:
        """Rows or columns of the smallest clip, whichever is less."""
        return min(side for plan in self._plans for side in ClipFacts(plan.facts).size)

    @property
    def clips(self) -> tuple[tuple[str, Facts], ...]:
        """Name and facts of each clip; see `stages.arrays`."""
        return tuple((plan.clip.name, plan.facts) for plan in self._plans)

    def span(self, sample: SampleFrame, name: str, start: int, stop: int) -> Span:
        """Return frames `start` to `stop` of the array ``stage.array``, as far as the shot goes."""
        start, stop = max(start, sample.shot[0]), min(stop, sample.shot[1])
        stage, array = name.split(".")
        pieces = self._plans[sample.clip].find(stage, array, start, stop) or ()
        return Span(start, self._store.read(*pieces))

    def entry(self, sample: SampleFrame, name: str, frame: int) -> NDArray[Any]:
        """Return one frame of the array ``stage.array``; the last ones read are kept in memory."""
        key = sample.clip, name, frame
        frame_values = self._held.pop(key, None)
        if frame_values is None:
            frame_values = self.span(sample, name, frame, frame + 1)[frame]
            self._held_bytes += frame_values.nbytes
        self._held[key] = frame_values  # the last in order is the last used
        while self._held_bytes > HELD_BYTES:
            self._held_bytes -= self._held.pop(next(iter(self._held))).nbytes
        return frame_values

    def places(self, apart: int) -> tuple[list[SampleFrame], list[SampleFrame]]:
        """Return the frames to train on and those held out; each has a frame after it.

        Whole clips are held out if there are several, else the end of every shot, `apart` frames
        away from what is trained on.

        Raises
        ------
        InputError
            If either would be empty.
        """
        several = len(self._plans) > 1
        last_clips = max(1, round(HELD_OUT * len(self._plans)))
        train: list[SampleFrame] = []
        held_out: list[SampleFrame] = []
        for number, plan in enumerate(self._plans):
            for start, stop in ClipFacts(plan.facts).shots:
                frames = [SampleFrame(number, t, (start, stop)) for t in range(start, stop - 1)]
                if several:
                    late = number >= len(self._plans) - last_clips
                    (held_out if late else train).extend(frames)
                else:
                    few = round(HELD_OUT * len(frames))
                    train += frames[: max(len(frames) - few - apart, 0)]
                    held_out += frames[len(frames) - few :]
        if not train or not held_out:
            counts = f"{count_text(len(train), 'frame')} to train on and {len(held_out)} held out"
            raise InputError(
                f"the library is too short to fit on: got {counts}: expected two clips, or "
                f"shots of more than {5 * apart} frames"
            )
        return train, held_out


def _followed_plan(clip: Clip, steps: Sequence[Step], store: Store, chunk: int) -> ClipPlan:
    """Return a clip's plan with everything that the store has."""
    plan = ClipPlan(clip, steps, chunk, "", partial(remembered_identity, store))
    follow_plan(plan, store)
    if not plan.finished:
        missing = ", ".join(sorted({node.stage for node in plan.waiting}))
        raise InputError(
            f"{clip.name}: expected it in the store, {missing} not there: run it first"
        )
    return plan
