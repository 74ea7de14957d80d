"""Report: what the pages about a clip show."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Clip, Facts, Input, Reader, Sink
from stages.artifacts import offsets
from stages.exhibits import Areas, Panes, Slices, Strips, thinning, write_thumb
from stages.io.film import Film, write_jpeg
from stages.io.palette import palette
from stages.metrics.stability import Consistency
from stages.ops.fixed_point import unpack_flow
from stages.ops.pictures import flow_colours, peaks

FOLDER = "report"
SYSTEMS = ("before", "after")


class Report(Sink):
    """A small film of picture and masks, worst moments, slices of time, flow; `clip.json`."""

    name: ClassVar[str] = "report"
    version: ClassVar[int] = 1
    uses: ClassVar[tuple[str, ...]] = ("frames", "shots", "size", "rate", "classes")

    enabled: bool = Field(True, description="make a page for every clip")
    radius: int = Field(3, ge=1, le=8, description="frames to either side; that of flow")
    moments: int = Field(6, ge=0, le=50, description="worst moments shown of a clip")
    flows: int = Field(6, ge=0, le=50, description="pairs of which flow is shown")

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read pictures, labels before and after, flow, and the counts of the measure stage."""
        if not self.enabled:
            return (Input("measure", "boundary"),)
        return (
            Input("ingest", "frames"),
            Input("segment", "labels"),
            Input("smooth", "labels"),
            Input("flow", "flow"),
            Input("visibility", "seen"),
            Input("measure", "pairs"),
            Input("measure", "boundary"),
        )

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write the folder ``report``."""
        if not self.enabled:
            return []
        place = folder / FOLDER
        place.mkdir(exist_ok=True)
        for old in place.iterdir():
            old.unlink()
        flicker = self._flicker(facts, read)
        worst = peaks(np.array(flicker["after"], np.float64), count=self.moments, apart=8)
        shown = self._film(facts, read, place, worst)
        every = thinning(facts["frames"])
        rounded = {s: [_plain(v) for v in _thinned(flicker[s], every)] for s in SYSTEMS}
        text = {
            "clip": clip.name,
            "frames": facts["frames"],
            "rate": facts["rate"],
            "shots": facts["shots"],
            "every": every,
            "flicker": rounded,
            "flows": self._flow(facts, read, place, worst),
            **shown,
        }
        for moment in text["moments"]:
            moment["value"] = _plain(flicker["after"][moment["frame"]])
        draft = place / ".draft.json"
        draft.write_text(json.dumps(text, allow_nan=False))
        draft.replace(place / "clip.json")
        return [FOLDER]

    def _flicker(self, facts: Facts, read: Reader) -> dict[str, list[float]]:
        """Return E_pair(t, t + 1) per boundary pixel, before and after; NaN across cuts."""
        pairs = np.stack(list(read("measure", "pairs")))
        boundary = np.median(np.stack(list(read("measure", "boundary"))), axis=0)
        steps, area = offsets(self.radius), facts["size"][0] * facts["size"][1]
        flicker = {system: [math.nan] * int(facts["frames"]) for system in SYSTEMS}
        for start, stop in facts["shots"]:
            for t in range(start, stop - 1):
                for which, system in enumerate(SYSTEMS):
                    one = Consistency()
                    there, back = pairs[t, which], pairs[t + 1, which]
                    one.add(_pair(there[steps.index(1)]), _pair(back[steps.index(-1)]))
                    flicker[system][t] = one.value(area=area, boundary=float(boundary[which]))
        return flicker

    def _film(self, facts: Facts, read: Reader, place: Path, worst: list[int]) -> dict[str, Any]:
        """Write what needs a look at every frame."""
        frames, colours = facts["frames"], _colours(facts["classes"])
        panes = Panes((facts["size"][0], facts["size"][1]), colours)
        slices, strips = Slices(frames, panes), Strips(worst, place)
        areas = Areas(frames, len(facts["classes"]))
        with Film(place / "film.mp4", facts["rate"]) as film:
            for t, (picture, before, after) in enumerate(self._frames(read)):
                parts = panes.of(picture, before, after)
                film.write(np.concatenate(parts))
                slices.add(t, parts)
                strips.add(t, parts)
                areas.add(t, before, after)
                if t == frames // 2:
                    write_thumb(place, parts)
        strips.finish()
        named = zip(facts["classes"], areas.summary(), strict=True)
        return {
            "pane": [panes.width, panes.height],
            "moments": [{"frame": t, "strip": strips.names[t]} for t in worst],
            "slices": {"every": slices.every, "rows": slices.rows, **slices.write(place)},
            "classes": [
                {"label": label, "colour": colours[k].tolist(), **area}
                for k, (label, area) in enumerate(named, start=1)
            ],
        }

    @staticmethod
    def _frames(read: Reader) -> Iterator[tuple[NDArray[Any], ...]]:
        labels = read("segment", "labels"), read("smooth", "labels")
        return zip(read("ingest", "frames"), *labels, strict=True)

    def _flow(
        self, facts: Facts, read: Reader, place: Path, worst: list[int]
    ) -> list[dict[str, Any]]:
        """Write flow to the next frame and what that shows, at the worst moments and in between."""
        last = {stop - 1 for _, stop in facts["shots"]}
        even = np.linspace(0, facts["frames"] - 1, self.flows + 2)[1:-1].round().astype(int)
        mixed = [t for pair in zip(worst, even.tolist(), strict=False) for t in pair]
        wanted = [t for t in dict.fromkeys([*mixed, *even.tolist()]) if t not in last]
        chosen = sorted(wanted[: self.flows])
        after = offsets(self.radius).index(1)
        found = []
        both = read("flow", "flow", chosen), read("visibility", "seen", chosen)
        for t, flow, seen in zip(chosen, *both, strict=True):
            motion = unpack_flow(flow[after])
            strongest = max(float(np.percentile(np.hypot(motion[0], motion[1]), 99)), 0.5)
            name = f"flow-{t:06d}.jpg"
            visible = np.where(seen[after][..., None], np.uint8(255), np.uint8(40))
            shown = [flow_colours(motion, strongest=strongest), visible.repeat(3, axis=-1)]
            write_jpeg(place / name, np.concatenate(shown, axis=1))
            found.append({"frame": t, "file": name, "strongest": round(strongest, 1)})
        return found


def _pair(counts: NDArray[np.int64]) -> tuple[int, int]:
    return int(counts[0]), int(counts[1])


def _colours(classes: list[int]) -> NDArray[np.uint8]:
    """Return the colour of every label that travels: 0, then one for each class."""
    colours = np.zeros((256, 3), np.uint8)
    for k, label in enumerate(classes, start=1):
        colours[k] = palette()[label if label < 256 else (label - 1) % 255 + 1]
    return colours


def _thinned(values: list[float], every: int) -> list[float]:
    """Return the largest value of every few, so that no peak is lost."""
    if every == 1:
        return values
    parts = (values[k : k + every] for k in range(0, len(values), every))
    return [max((v for v in part if not math.isnan(v)), default=math.nan) for part in parts]


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
