"""Format ``cvat``: CVAT for video 1.1, a track for each object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np

from stages.media.results.annotations import AnnotationFile, Json, Mask, masks_of, outlines
from stages.media.results.result import ResultFrame

UNSURE = (
    "<attribute><name>unsure</name><mutable>True</mutable><input_type>checkbox</input_type>"
    "<default_value>false</default_value><values>false</values></attribute>"
)


class Cvat(AnnotationFile):
    """``cvat.xml``: masks in every frame, or polygons in key frames.

    Masks are exact; CVAT does not interpolate them. With ``export.annotations.shapes=polygons``
    each object is as many tracks as it has parts at once, CVAT interpolates between key frames, and
    a frame is one only where the shape overlaps that of the last by less than
    ``export.annotations.overlap``.
    """

    format: ClassVar[str] = "cvat"
    template: ClassVar[str] = "cvat.xml"

    def annotate(self, frame: ResultFrame) -> Json:
        """Return the objects of a frame by id."""
        chosen = self.settings.annotations
        if chosen.shapes == "polygons":
            return {
                str(k): outlines(mask, chosen.tolerance) for k, mask in masks_of(frame, self.clip)
            }
        unsure = self.unsure_labels(frame)
        return {
            str(k): row_runs(mask) | ({"unsure": unsure[k]} if k in unsure else {})
            for k, mask in masks_of(frame, self.clip)
        }

    def write_file(self, frames: Iterator[Json], draft: Path) -> None:
        """Write the tracks."""
        shapes = list(frames)
        with draft.open("w", encoding="utf-8") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
            file.write(f"  <version>1.1</version>\n{self._meta_element()}")
            number = 0
            for label, name in self.clip.classes.items():
                for lines in self._track_lines([entry.get(str(label)) for entry in shapes]):
                    file.write(f'  <track id="{number}" label={quoteattr(name)} source="file">\n')
                    file.writelines(lines)
                    file.write("  </track>\n")
                    number += 1
            file.write("</annotations>\n")

    def _meta_element(self) -> str:
        rows, columns = self.timeline.size
        labels = "".join(
            f"<label><name>{ElementTree.tostring(_element_text(name), 'unicode')[3:-4]}</name>"
            f"<attributes>{UNSURE}</attributes></label>"
            for name in dict.fromkeys(self.clip.classes.values())
        )
        return (
            f"  <meta><task><size>{self.timeline.frames}</size><mode>interpolation</mode>"
            f"<start_frame>0</start_frame><stop_frame>{self.timeline.frames - 1}</stop_frame>"
            f"<labels>{labels}</labels><original_size><width>{columns}</width>"
            f"<height>{rows}</height></original_size></task></meta>\n"
        )

    def _track_lines(self, shapes: Sequence[Any]) -> Iterator[list[str]]:
        """Yield the lines of each track of one object."""
        if self.settings.annotations.shapes == "polygons":
            parts = max((len(shape) for shape in shapes if shape), default=0)
            for part in range(parts):
                polygons = [
                    shape[part] if shape and len(shape) > part else None for shape in shapes
                ]
                yield self._polygon_track(polygons)
            return
        lines, shown = [], ""
        for t, shape in enumerate(shapes):
            if shape:
                unsure = shape.pop("unsure", None)
                shown = " ".join(f'{name}="{value}"' for name, value in shape.items())
                lines.append(_mask_element(t, shown, unsure=unsure))
            elif shown and shapes[t - 1]:
                lines.append(_mask_element(t, shown, outside=1))
        if lines:
            yield lines

    def _polygon_track(self, polygons: list[list[float] | None]) -> list[str]:
        lines, last = [], list[float]()
        least = self.settings.annotations.overlap
        for t, polygon in enumerate(polygons):
            if polygon is None:
                if last and polygons[t - 1] is not None:
                    lines.append(_polygon_element(t, last, outside=1))
                continue
            ends = t == len(polygons) - 1 or t == 0 or None in (polygons[t - 1], polygons[t + 1])
            if ends or overlap(last, polygon, self.timeline.size) < least:
                lines.append(_polygon_element(t, polygon))
                last = polygon
        return lines

    def count_frames(self, draft: Path) -> int:
        """Return the size of the task."""
        root = ElementTree.parse(draft).getroot()  # our own file, written just now
        return int(root.findtext("meta/task/size") or 0)


def _element_text(name: str) -> ElementTree.Element:
    element = ElementTree.Element("t")
    element.text = name
    return element


def _mask_element(t: int, shown: str, outside: int = 0, unsure: bool | None = None) -> str:
    state = f'keyframe="1" outside="{outside}" occluded="0"'
    mark = "" if unsure is None else f'<attribute name="unsure">{str(unsure).lower()}</attribute>'
    return f'    <mask frame="{t}" {state} {shown} z_order="0">{mark}</mask>\n'


def _polygon_element(t: int, polygon: list[float], outside: int = 0) -> str:
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in zip(polygon[::2], polygon[1::2], strict=True))
    return (
        f'    <polygon frame="{t}" keyframe="1" outside="{outside}" occluded="0" '
        f'points="{points}" z_order="0"></polygon>\n'
    )


def row_runs(mask: Mask) -> Json:
    """Return the runs of a mask in its box, along rows, background first, as CVAT has them."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    box = mask[top : rows[-1] + 1, left : columns[-1] + 1]
    flat = np.concatenate([[False], box.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], edges, [box.size]]))
    return {
        "rle": ", ".join(map(str, runs.tolist())),
        "left": left,
        "top": top,
        "width": box.shape[1],
        "height": box.shape[0],
    }


def overlap(last: list[float], polygon: list[float], size: tuple[int, int]) -> float:
    """Return intersection over union of two polygons; 0 where there is no last one."""
    if not last:
        return 0.0
    planes = [np.zeros(size, np.uint8) for _ in range(2)]
    for plane, corners in zip(planes, (last, polygon), strict=True):
        cv2.fillPoly(plane, [np.reshape(corners, (-1, 2)).astype(np.int32)], 1)
    union = int((planes[0] | planes[1]).sum())
    return float((planes[0] & planes[1]).sum() / union) if union else 1.0
