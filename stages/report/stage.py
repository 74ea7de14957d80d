"""Report: what the pages about a clip show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import ArrayHandle, Clip, Facts, Input, Reader, Sink
from pipeline.whole_files import write_whole
from stages.arrays import (
    AREAS,
    BOUNDARY,
    FLOW,
    FRAMES,
    INPUT_LABELS,
    OVERLAP,
    PAIRS,
    SMOOTH_LABELS,
    VISIBLE,
)
from stages.facts import ClipFacts
from stages.media.masks.palette import palette
from stages.media.results.film import Film
from stages.ops.drawn_pictures import largest_peaks
from stages.report.clip_pictures import (
    STRIP_SIDE,
    Panes,
    Strips,
    chosen_pairs,
    write_flows,
    write_thumb,
)
from stages.report.curves import (
    area_summary,
    changed_share,
    opening_frame,
    pair_errors,
    plain_number,
    thinned_curve,
    thinning,
)
from stages.report.slices import Grid, Slices, align_rows
from stages.shared_settings import DEFAULT_RADIUS, Radius

FOLDER = "report"
SYSTEMS = ("before", "after")
APART = 8  # frames between two moments at least: a strip has five
OURS = ("clip.json", "film.mp4", "thumb.jpg", "strip-*", "slice-*", "flow-*", "seen-*", ".draft*")


class Report(Sink):
    """A small film of picture and masks, worst moments, slices of time, flow; `clip.json`."""

    name: ClassVar[str] = "report"
    version: ClassVar[int] = 4
    uses: ClassVar[tuple[str, ...]] = (
        "frames", "shots", "size", "rate", "classes", "class_names",
    )  # fmt: skip

    enabled: bool = Field(True, description="make a page for every clip")
    radius: Radius = DEFAULT_RADIUS
    picture_side: int = Field(
        480, ge=64, le=1080, description="longest short side of the film's pictures, pixels"
    )
    moments: int = Field(6, ge=0, le=50, description="worst moments shown of a clip")
    flows: int = Field(6, ge=0, le=50, description="pairs of which flow is shown")

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read pictures, labels before and after, flow, and the counts of the measure stage."""
        if not self.enabled:
            return (BOUNDARY.within(),)
        return (
            FRAMES.within(),
            INPUT_LABELS.within(),
            SMOOTH_LABELS.within(),
            FLOW.within(),
            VISIBLE.within(),
            PAIRS.within(),
            BOUNDARY.within(),
            OVERLAP.within(),
            AREAS.within(),
        )

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write the folder ``report``; what an earlier run left there is removed."""
        report_folder = folder / FOLDER
        _clear_folder(report_folder)
        if not self.enabled:
            return []
        report_folder.mkdir(exist_ok=True)
        errors, changed = (
            self._frame_errors(facts, read),
            changed_share(_stack_frames(read, OVERLAP)),
        )
        worst = largest_peaks(errors[1], count=self.moments, apart=APART)
        shown = self._write_film(facts, read, report_folder, worst)
        text = {
            "clip": clip.name,
            "frames": ClipFacts(facts).frames,
            "rate": ClipFacts(facts).rate,
            "shots": ClipFacts(facts).shots,
            "every": thinning(ClipFacts(facts).frames),
            "opens": opening_frame(changed, errors[1]),
            "flicker": {s: thinned_curve(errors[k]) for k, s in enumerate(SYSTEMS)},
            "changed": thinned_curve(changed),
            "flows": self._write_flows(facts, read, report_folder, worst),
            **shown,
        }
        for moment in text["moments"]:
            moment["value"] = plain_number(float(errors[1, moment["frame"]]))
        write_whole(report_folder / "clip.json", json.dumps(text, allow_nan=False))
        return [FOLDER]

    def _frame_errors(self, facts: Facts, read: Reader) -> NDArray[np.float64]:
        return pair_errors(
            _stack_frames(read, PAIRS),
            _stack_frames(read, BOUNDARY),
            ClipFacts(facts).shots,
            radius=self.radius,
            area=ClipFacts(facts).pixels,
        )

    def _write_film(
        self, facts: Facts, read: Reader, report_folder: Path, worst: list[int]
    ) -> dict[str, Any]:
        """Write what needs a look at every frame."""
        frames, colours = ClipFacts(facts).frames, _label_colours(ClipFacts(facts).classes)
        panes = Panes(ClipFacts(facts).size, colours, side=self.picture_side)
        small = Panes(ClipFacts(facts).size, colours, side=STRIP_SIDE)
        slices = self._start_slices(facts, read, panes)
        strips = Strips(worst, report_folder, small)
        with Film(report_folder / "film.mp4", ClipFacts(facts).rate) as film:
            for t, (picture, before, after) in enumerate(self._frame_triples(read)):
                parts = panes.of(picture, before, after)
                film.write(np.concatenate(parts))
                slices.add(t, parts)
                strips.add(t, picture, before, after)
                if t == frames // 2:
                    write_thumb(report_folder, small.of(picture, before, after))
        strips.finish()
        named = zip(ClipFacts(facts).classes, area_summary(_stack_frames(read, AREAS)), strict=True)
        names = ClipFacts(facts).class_names
        return {
            "pane": [panes.width, panes.height],
            "moments": [{"frame": t, "strip": strips.names[t]} for t in worst],
            "slices": slices.write(report_folder),
            "classes": [
                {
                    "label": label,
                    "name": names.get(label, str(label)),
                    "colour": colours[k].tolist(),
                    **area,
                }
                for k, (label, area) in enumerate(named, start=1)
            ],
        }

    def _start_slices(self, facts: Facts, read: Reader, panes: Panes) -> Slices:
        """Return the slices, aligned by the flow of all frames, which is read frame by frame."""
        grid = Grid(ClipFacts(facts).frames, panes.height, panes.width)

        def fields(
            frames: Iterable[int],
        ) -> Iterator[tuple[NDArray[np.int16], NDArray[np.bool_]]]:
            for t in frames:  # backwards too, so that a reader's rising order does not do
                yield next(read(FLOW, [t])), next(read(VISIBLE, [t]))

        return Slices(grid, align_rows(grid, ClipFacts(facts).shots, fields, radius=self.radius))

    @staticmethod
    def _frame_triples(read: Reader) -> Iterator[tuple[NDArray[Any], ...]]:
        labels = read(INPUT_LABELS), read(SMOOTH_LABELS)
        return zip(read(FRAMES), *labels, strict=True)

    def _write_flows(
        self, facts: Facts, read: Reader, report_folder: Path, worst: list[int]
    ) -> list[dict[str, Any]]:
        chosen = chosen_pairs(
            worst, ClipFacts(facts).frames, ClipFacts(facts).shots, count=self.flows
        )
        both = read(FLOW, chosen), read(VISIBLE, chosen)
        return write_flows(report_folder, chosen, *both, radius=self.radius)


def _stack_frames(read: Reader, array: ArrayHandle) -> NDArray[Any]:
    """Return all frames of an array that is small."""
    return np.stack(list(read(array)))


def _clear_folder(report_folder: Path) -> None:
    """Remove what a report left; a clip may be called ``report`` and lie in the same folder."""
    for pattern in OURS:
        for old in report_folder.glob(pattern):
            old.unlink()


def _label_colours(classes: Sequence[int]) -> NDArray[np.uint8]:
    """Return the colour of every label that travels: 0, then one for each class."""
    colours = np.zeros((256, 3), np.uint8)
    for k, label in enumerate(classes, start=1):
        colours[k] = palette()[label if label < 256 else (label - 1) % 255 + 1]
    return colours
