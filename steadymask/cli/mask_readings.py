"""How the masks of a library's clips are understood, in words; the same as a run records."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from pipeline.errors import PipelineError
from pipeline.stage import WHOLE, Arrays, Clip, Source, Step
from steadymask.cli.terminal import line

MOST_LISTED = 8  # classes of a segmenter
READING_S = 300  # spent on masks at most
TRYING_S = 60  # spent on a segmenter whose outputs are read by each clip's frames, at most


class MaskReadings:
    """Gathers the readings of a library for its plan, in bounded time.

    Parameters
    ----------
    steps : sequence of Step
        Of the plan.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps, self._texts, self._left = steps, list[str](), 0
        self._of_segmenter: list[list[str]] = []
        self._until = time.monotonic() + READING_S
        self._tried_until = time.monotonic() + TRYING_S

    def add(self, clip: Clip, facts: Mapping[str, Any]) -> None:
        """Look at the masks of a clip, unless time is up and the store does not know them.

        What a segmenter gives is told for the first clip; and for each other on which the outputs
        of an ONNX model are read otherwise, as long as there is time.
        """
        if not has_masks(clip):
            self._add_segmenter(clip, facts)
            return
        if time.monotonic() > self._until and "mask_reading" not in facts:
            self._left += 1
            return
        texts = describe_masks(clip, self._steps, facts)
        self._texts += [f"masks of {line(clip.name)}: {line(text)}" for text in texts]

    def _add_segmenter(self, clip: Clip, facts: Mapping[str, Any]) -> None:
        """Tell how a segmenter is read on a clip, unless the same was told of another."""
        if self._of_segmenter:
            in_time = time.monotonic() < self._tried_until or "classes" in facts
            if not (in_time and reads_by_clip(self._steps)):
                return
        texts = describe_segmenter(clip, self._steps, facts)
        if texts not in self._of_segmenter:
            self._of_segmenter.append(texts)
            self._texts += [f"segmenter, on {line(clip.name)}: {line(text)}" for text in texts]

    def print_to(self, console: Console) -> None:
        """Print a line a reading and a note, and how many clips were not looked at."""
        left = [f"masks of {self._left} more clips were not looked at"] if self._left else []
        for text in (*self._texts, *left):
            console.print(text, markup=False, highlight=False, soft_wrap=True)


def describe_masks(clip: Clip, steps: Sequence[Step], facts: Mapping[str, Any]) -> list[str]:
    """Return the reading of a clip's masks and the notes on it, or the error that a run will give.

    Parameters
    ----------
    clip : Clip
    steps : sequence of Step
        Of the plan: those that look at the footage's timeline and through the masks are run here,
        and leave nothing behind.
    facts : mapping
        Of the clip, as far as the store has them: then nothing is run.

    Returns
    -------
    list of str
        Nothing where a segmenter makes the masks.
    """
    probe = next((step for step in steps if step.name == "probe"), None)
    classes = next((step for step in steps if step.name == "classes"), None)
    if not has_masks(clip):
        return []
    if not (isinstance(probe, Source) and isinstance(classes, Source)):
        return []
    if "mask_reading" not in facts:
        try:
            known = dict(facts) if "timeline" in facts else _run(probe, clip, {})
            facts = {**known, **_run(classes, clip, known)}
        except PipelineError as error:
            return [f"cannot be read: {error}"]
    return [str(facts["mask_reading"]), *map(str, facts.get("mask_warnings", ()))]


def has_masks(clip: Clip) -> bool:
    """Return whether a clip's masks are files, and not made by a segmenter."""
    return bool({"masks", "keyframes"} & clip.files.keys())


def reads_by_clip(steps: Sequence[Step]) -> bool:
    """Return whether the segmenter of a plan is read by the frames of each clip."""
    segmenter = next((str(getattr(s, "segmenter", "")) for s in steps if s.name == "segment"), "")
    return segmenter.lower().endswith(".onnx")


def describe_segmenter(clip: Clip, steps: Sequence[Step], facts: Mapping[str, Any]) -> list[str]:
    """Return the classes of a segmenter and how its outputs are read, or the error of a run.

    Parameters
    ----------
    clip : Clip
        On five of whose frames it is tried, unless ``segment.check`` is off.
    steps : sequence of Step
        Of the plan.
    facts : mapping
        Of the clip, as far as the store has them: then nothing is run.
    """
    probe = next((step for step in steps if step.name == "probe"), None)
    classes = next((step for step in steps if step.name == "classes"), None)
    if not (isinstance(probe, Source) and isinstance(classes, Source)):
        return []
    if "classes" not in facts:
        try:
            known = dict(facts) if "timeline" in facts else _run(probe, clip, {})
            facts = {**known, **_run(classes, clip, known)}
        except PipelineError as error:
            return [f"cannot be used: {error}"]
    names = facts.get("class_names", {})
    listed = [names.get(str(label), str(label)) for label in facts["classes"]]
    shown = ", ".join(listed[:MOST_LISTED]) + (", …" if len(listed) > MOST_LISTED else "")
    count = "1 class" if len(listed) == 1 else f"{len(listed)} classes"
    reading = facts.get("mask_reading", "")
    return [f"{count}: {shown}", *([str(reading)] if reading else [])]


def _run(step: Source, clip: Clip, facts: Mapping[str, Any]) -> dict[str, Any]:
    def drop(arrays: Arrays) -> None:
        """Leave nothing behind."""

    return dict(step.conclude([step.run(clip, facts, WHOLE, drop)]))
