"""Format ``label_studio``: tasks with brush masks, to be imported with their pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from stages.media.results.annotations import AnnotationFile, Json, Mask, masks_of
from stages.media.results.result import ResultFrame

WORD, SIZES = 8, (3, 4, 8, 16)  # bits of a value, and of the lengths of runs


class LabelStudio(AnnotationFile):
    """``label_studio.json``: a task a frame; ``data.image`` is the frame's file name."""

    format: ClassVar[str] = "label_studio"
    template: ClassVar[str] = "label_studio.json"

    def annotate(self, frame: ResultFrame) -> Json:
        """Return the task of a frame."""
        rows, columns = self.timeline.size
        unsure = self.unsure_labels(frame)
        results = [
            {
                "id": f"{frame.index}-{label}",
                "type": "brushlabels",
                "from_name": "tag",
                "to_name": "image",
                "original_width": columns,
                "original_height": rows,
                "image_rotation": 0,
                "meta": {"track": label} | ({"text": ["unsure"]} if unsure.get(label) else {}),
                "value": {
                    "format": "rle",
                    "rle": pack_brush(mask),
                    "brushlabels": [self.clip.classes[label]],
                },
            }
            for label, mask in masks_of(frame, self.clip)
        ]
        return {
            "data": {"image": self.picture_name(frame.index), "frame": frame.number},
            "predictions": [{"model_version": "steadymask", "result": results}],
        }

    def write_file(self, frames: Iterator[Json], draft: Path) -> None:
        """Write the tasks."""
        lines = ",\n".join(json.dumps(task) for task in frames)
        draft.write_text(f"[\n{lines}\n]\n", encoding="utf-8")

    def count_frames(self, draft: Path) -> int:
        """Return the number of tasks."""
        return len(json.loads(draft.read_text(encoding="utf-8")))


def pack_brush(mask: Mask) -> list[int]:
    """Return a mask (H, W) as bytes of Label Studio's brush: runs of RGBA values, bit by bit."""
    flat = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges])
    runs = np.diff(np.concatenate([starts, [flat.size]]))
    bits = [f"{flat.size:032b}", f"{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for value, length in zip(flat[starts].tolist(), runs.tolist(), strict=True):
        left = length
        while left:
            some = min(left, 1 << SIZES[-1])
            kind = next(k for k, size in enumerate(SIZES) if some <= 1 << size)
            bits.append(f"1{kind:02b}{some - 1:0{SIZES[kind]}b}{value:08b}")
            left -= some
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0")).tolist()
