"""What is known of a clip as a whole, typed: the stages' view of the engine's plain mapping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import GraphError
from pipeline.stage import Facts
from stages.media.footage.timeline import Timeline

Frames = tuple[int, int]
"""First frame of a run, and one past its last."""


@dataclass(frozen=True)
class ClipFacts:
    """A typed view of a clip's facts, as plain JSON values, that the sources of a plan gathered.

    A step sees only the facts that its `uses` names; any other is a `GraphError` here.

    Examples
    --------
    >>> facts = ClipFacts({"frames": 90, "size": [480, 854], "shots": [[0, 90]]})
    >>> facts.frames, facts.size, facts.shots
    (90, (480, 854), ((0, 90),))
    >>> facts.rate
    Traceback (most recent call last):
        ...
    pipeline.errors.GraphError: fact 'rate': expected one of frames, shots, size: add it to `uses`
    """

    values: Facts

    def _fact_value(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            known = ", ".join(sorted(self.values)) or "none"
            raise GraphError(f"fact {name!r}: expected one of {known}: add it to `uses`") from None

    @property
    def frames(self) -> int:
        """Number of frames, those that cannot be decoded included."""
        return int(self._fact_value("frames"))

    @property
    def shots(self) -> tuple[Frames, ...]:
        """The runs of frames between cuts, in order; together they are the clip."""
        return _frame_runs(self._fact_value("shots"))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns at working resolution."""
        rows, columns = self._fact_value("size")
        return int(rows), int(columns)

    @property
    def source_size(self) -> tuple[int, int]:
        """Rows and columns of the source as a player shows it."""
        rows, columns = self._fact_value("source_size")
        return int(rows), int(columns)

    @property
    def pixels(self) -> int:
        """Pixels of a frame at working resolution."""
        return self.size[0] * self.size[1]

    @property
    def rate(self) -> float:
        """Frames per second, on average."""
        return float(self._fact_value("rate"))

    @property
    def timeline(self) -> Timeline:
        """Timestamps, sizes and parts of the source."""
        return Timeline.from_json(self._fact_value("timeline"))

    @property
    def frame_names(self) -> tuple[str, ...]:
        """File names of a folder of frames; empty for a video."""
        return tuple(self._fact_value("timeline")["names"])

    @property
    def parts(self) -> tuple[Frames, ...]:
        """The runs of frames that can be decoded by themselves."""
        return _frame_runs(self._fact_value("parts"))

    @property
    def holes(self) -> tuple[int, ...]:
        """Frames that could not be decoded and show the picture before them."""
        return tuple(int(frame) for frame in self._fact_value("holes"))

    @property
    def classes(self) -> tuple[int, ...]:
        """Labels of the foreground classes, in the order of the masks' channels."""
        return tuple(int(label) for label in self._fact_value("classes"))

    @property
    def class_names(self) -> dict[int, str]:
        """Names by label, of the classes to which the source of the masks gives one."""
        return {int(k): str(name) for k, name in self.values.get("class_names", {}).items()}

    @property
    def mask_reading(self) -> str:
        """How the masks' files, or a segmenter's outputs, are read, in words; empty if unknown."""
        return str(self.values.get("mask_reading", ""))

    @property
    def mask_source(self) -> dict[str, Any]:
        """Description of the masks' files, so that any part of them is read by itself."""
        return dict(self._fact_value("masks"))

    @property
    def mask_meaning(self) -> str | None:
        """Kind of values in the masks' files: labels, binary, soft; None of a segmenter's masks."""
        masks = self.values.get("masks")
        legend = (masks or {}).get("legend")  # key frames have one of their own
        return str(legend["meaning"]) if legend else None

    @property
    def mask_parts(self) -> tuple[Frames, ...]:
        """The runs of frames whose masks can be read by themselves."""
        return _frame_runs(self._fact_value("masks")["parts"])

    @property
    def hard_masks(self) -> bool:
        """Whether the masks came as labels, without soft edges of their own."""
        return bool(self.values.get("hard_masks", False))

    @property
    def source_masks(self) -> str:
        """Array of the masks at the source's size, `source_labels` or `source_soft`, or none.

        None where working size is the source's, or where a segmenter made the masks.
        """
        return str(self.values.get("source_masks", ""))

    @property
    def prompts(self) -> tuple[dict[str, Any], ...]:
        """Boxes and points that tell a segmenter what to cut out; none for most."""
        return tuple(self.values.get("prompts", ()))

    @property
    def output_roles(self) -> dict[str, str] | None:
        """How an ONNX model's outputs are read, as settings; None of other segmenters."""
        return self.values.get("output_roles")

    @property
    def footage_notes(self) -> tuple[str, ...]:
        """Remarks of the reader of the footage."""
        return tuple(self.values.get("footage_notes", ()))

    @property
    def key_frames(self) -> tuple[int, ...]:
        """Frames whose mask is the user's own word."""
        return tuple(int(frame) for frame in self.values.get("key_frames", ()))

    @property
    def sparse(self) -> bool:
        """Whether frames lack a mask or are key frames, so that there is `EVIDENCE`."""
        return bool(self.values.get("sparse", False))

    @property
    def unlabelled(self) -> tuple[Frames, ...]:
        """The runs of frames without a mask, to be filled from others."""
        return _frame_runs(self.values.get("unlabelled", ()))

    @property
    def mask_warnings(self) -> tuple[str, ...]:
        """Remarks of the reader of the masks; none where a segmenter made them."""
        return tuple(self.values.get("mask_warnings", ()))


def _frame_runs(pairs: Sequence[Sequence[int]]) -> tuple[Frames, ...]:
    return tuple((int(start), int(stop)) for start, stop in pairs)
