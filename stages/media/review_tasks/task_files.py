"""A task as CVAT, Label Studio and COCO want it: pictures, and the masks to correct."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from stages.media.results.annotations import Json, run_lengths
from stages.media.results.coco import write_json
from stages.media.results.cvat import row_runs
from stages.media.results.label_studio import pack_brush
from stages.media.results.yolo import write_jpeg
from stages.media.review_tasks.task_frames import TaskFrame

PICTURES = "images"
LOCAL_FILES = "/data/local-files/?d="  # what Label Studio calls files below its document root
CONFIG = "labelling_interface.xml"

Labels = Mapping[int, str]


def write_task(
    folder: Path, clip: str, frames: Iterable[TaskFrame], labels: Labels, tool: str
) -> Path:
    """Write pictures and masks of a clip's frames; return the file to give to the tool.

    Parameters
    ----------
    folder : Path
        New.
    clip : str
    frames : iterable of TaskFrame
    labels : mapping of int to str
        Names by class id.
    tool : one of `TOOLS`
    """
    (folder / PICTURES).mkdir(parents=True)
    return TOOLS[tool](folder, clip, _written_pictures(folder / PICTURES, frames), labels)


def _written_pictures(folder: Path, frames: Iterable[TaskFrame]) -> Iterator[TaskFrame]:
    """Yield the frames, each when its picture is written."""
    for frame in frames:
        write_jpeg(folder / frame.name, frame.picture)
        yield frame


def _object_masks(frame: TaskFrame, labels: Labels) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield id and mask of each object that a frame shows."""
    for label in labels:
        mask = frame.labels == label
        if mask.any():
            yield label, mask


def write_cvat(folder: Path, clip: str, frames: Iterator[TaskFrame], labels: Labels) -> Path:
    """Write ``annotations.xml``, CVAT for images 1.1, with exact masks."""
    listed = "".join(
        f"<label><name>{escape(name)}</name><attributes></attributes></label>"
        for name in labels.values()
    )
    lines = [f"<meta><task><name>{escape(clip)}</name><labels>{listed}</labels></task></meta>"]
    for number, frame in enumerate(frames):
        rows, columns = frame.labels.shape
        lines.append(
            f'<image id="{number}" name={quoteattr(frame.name)} width="{columns}" height="{rows}">'
        )
        for label, mask in _object_masks(frame, labels):
            runs = " ".join(f'{side}="{value}"' for side, value in row_runs(mask).items())
            lines.append(
                f'<mask label={quoteattr(labels[label])} source="file" occluded="0" {runs} '
                'z_order="0"></mask>'
            )
        lines.append("</image>")
    path = folder / "annotations.xml"
    body = "\n".join(lines)
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n{body}\n'
        "</annotations>\n",
        encoding="utf-8",
    )
    return path


def write_label_studio(
    folder: Path, clip: str, frames: Iterator[TaskFrame], labels: Labels
) -> Path:
    """Write ``tasks.json`` with predictions, and the labelling interface that they need."""
    tags = "".join(f"<Label value={quoteattr(name)}/>" for name in labels.values())
    (folder / CONFIG).write_text(
        '<View><Image name="image" value="$image" zoom="true"/>'
        f'<BrushLabels name="tag" toName="image">{tags}</BrushLabels>'
        '<Header value="$reason"/></View>\n',
        encoding="utf-8",
    )
    lines = ",\n".join(json.dumps(_studio_task(clip, frame, labels)) for frame in frames)
    path = folder / "tasks.json"
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return path


def _studio_task(clip: str, frame: TaskFrame, labels: Labels) -> Json:
    rows, columns = frame.labels.shape
    regions = [
        {
            "id": f"{Path(frame.name).stem}-{label}",
            "type": "brushlabels",
            "from_name": "tag",
            "to_name": "image",
            "original_width": columns,
            "original_height": rows,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": pack_brush(mask), "brushlabels": [labels[label]]},
        }
        for label, mask in _object_masks(frame, labels)
    ]
    address = f"{LOCAL_FILES}{clip}/{PICTURES}/{frame.name}"
    return {
        "data": {"image": address, "reason": "; ".join(frame.reasons)},
        "predictions": [{"model_version": "steadymask", "result": regions}],
    }


def write_coco(folder: Path, clip: str, frames: Iterator[TaskFrame], labels: Labels) -> Path:
    """Write ``instances.json``, COCO with run lengths."""
    images, annotations = list[Json](), list[Json]()
    for number, frame in enumerate(frames, start=1):
        rows, columns = frame.labels.shape
        image = {"id": number, "file_name": frame.name, "height": rows, "width": columns}
        images.append({**image, "reason": "; ".join(frame.reasons)})
        for label, mask in _object_masks(frame, labels):
            entry: dict[str, Any] = {"id": len(annotations) + 1, "image_id": number}
            entry |= {"category_id": label, "iscrowd": 0, **run_lengths(mask)}
            annotations.append(entry)
    head = {
        "info": {"description": f"frames of {clip} to look at"},
        "licenses": [],
        "categories": [{"id": label, "name": name} for label, name in labels.items()],
        "images": images,
    }
    path = folder / "instances.json"
    write_json(path, head, annotations)
    return path


TOOLS: dict[str, Callable[[Path, str, Iterator[TaskFrame], Labels], Path]] = {
    "cvat": write_cvat,
    "label_studio": write_label_studio,
    "coco": write_coco,
}
