"""A library's frames with the labels that a student learns: the pipeline's own, or from files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.arrays import neighbour_offsets
from stages.facts import ClipFacts
from stages.media.masks.open import mask_digest
from stages.media.masks.palette import read_labels
from stages.ops.fixed_point import unpack_flow, unpack_mask
from stages.ops.ignored_label import IGNORE
from stages.ops.warp import compose_flows, resize_flow
from steadymask.training.stored_library import SampleFrame, StoredLibrary

STAGES = {"stabilised": "smooth", "raw": "segment"}


@dataclass(frozen=True)
class Origin:
    """Where labels come from.

    Attributes
    ----------
    labels : {"stabilised", "raw", "none"}
        What the pipeline made, what it was given, or those of `truth` alone.
    sure : float, in [0, 1]
        Probability that the pipeline's winning class must have: where it has less the pixel is
        ignored.
    truth : Path, optional
        Label pictures ``<truth>/<clip>/<frame>.png`` of some frames or of all; they count more
        than the pipeline's, 255 is ignored. A frame is called as its file, or by its number.
    union : bool
        Take all labels above 0 in `truth` for one class, as the library does.
    """

    labels: Literal["stabilised", "raw", "none"] = "stabilised"
    sure: float = 0.0
    truth: Path | None = None
    union: bool = False


class LabelledClips:
    """Random access to frames, labels, soft masks and flow, all at working size.

    Classes are numbered from 1 in the order of `class_ids`, the same in all clips; 0 is the
    background.

    Parameters
    ----------
    library : StoredLibrary
        With the artifacts of ingest, segment, flow and smooth.
    origin : Origin

    Raises
    ------
    InputError
        If a picture of `truth` cannot belong to the library.
    """

    def __init__(self, library: StoredLibrary, origin: Origin) -> None:
        self._library, self._origin = library, origin
        labels = {label for _, facts in library.clips for label in ClipFacts(facts).classes}
        self.class_ids: tuple[int, ...] = tuple(sorted(labels))
        self._true = [self._label_files(name, facts) for name, facts in library.clips]
        self._counts = [self._counted_pixels(clip) for clip in range(len(library.clips))]

    @property
    def task(self) -> dict[str, Any]:
        """All that the samples depend on, as JSON values."""
        truth = self._origin.truth
        folders = [truth / name for name, _ in self._library.clips] if truth else []
        return {
            "library": list(self._library.digest),
            "origin": asdict(self._origin) | {"truth": str(truth)},
            "truth": [mask_digest(folder) for folder in folders if folder.is_dir()],
        }

    def places(self, apart: int) -> tuple[list[SampleFrame], list[SampleFrame], list[str]]:
        """Return the frames to train on, those held out, and what the user should know of them.

        As `StoredLibrary.places`, without the frames of which no pixel is trusted.

        Raises
        ------
        InputError
            If none is left.
        """
        warnings = [
            f"{name}: left out: no pixel of it is trusted{self._trust_hint}"
            for (name, _), counts in zip(self._library.clips, self._counts, strict=True)
            if not counts[:, :IGNORE].any()
        ]
        train, held_out = (
            [sample for sample in places if self._counts[sample.clip][sample.frame, :IGNORE].any()]
            for places in self._library.places(apart)
        )
        for name, places in (("to train on", train), ("held out", held_out)):
            if not places:
                raise InputError(
                    f"no pixel is trusted in any of the clips {name}{self._trust_hint}"
                )
        pixel_counts = sum(self._counts[sample.clip][sample.frame] for sample in train)
        for number, label in enumerate((0, *self.class_ids)):
            if not pixel_counts[number]:
                called = f"class {label}" if label else "the background"
                warnings.append(f"{called} never occurs in what is trained on: it is not learned")
        return train, held_out, warnings

    @property
    def _trust_hint(self) -> str:
        if self._origin.labels == "none":
            return ": expected label pictures in --truth for some of its frames"
        return f": lower --sure {self._origin.sure:g}, or check its masks"

    @property
    def several(self) -> bool:
        """Whether there is more than one clip, so that whole clips are held out."""
        return len(self._library.clips) > 1

    def frame(self, sample: SampleFrame, t: int) -> NDArray[np.uint8]:
        """Return frame t, (H, W, 3) RGB."""
        return self._library.entry(sample, "ingest.frames", t)

    def labels(self, sample: SampleFrame, t: int) -> NDArray[np.uint8]:
        """Return the labels of frame t, (H, W); 255 is ignored."""
        facts = self._library.clips[sample.clip][1]
        true, stage = self._true[sample.clip], STAGES.get(self._origin.labels)
        if t in true:
            return self._read_label(true[t], ClipFacts(facts).size)
        if stage is None:
            return np.full(ClipFacts(facts).size, IGNORE, np.uint8)
        return self._pipeline_labels(sample, stage, t)

    def soft(self, sample: SampleFrame, t: int) -> NDArray[np.float32]:
        """Return the stabilised masks of frame t, (H, W, C) of the foreground classes."""
        facts = self._library.clips[sample.clip][1]
        mask = unpack_mask(self._library.entry(sample, "smooth.masks", t))
        out = np.zeros((*mask.shape[:2], len(self.class_ids)), np.float32)
        out[..., [self.class_ids.index(label) for label in ClipFacts(facts).classes]] = mask
        return out

    def flow(self, sample: SampleFrame, i: int, j: int) -> NDArray[np.float32]:
        """Return the flow from frame i to frame j of the sample's shot, (2, H, W) pixels.

        Beyond the library's flow it is put together of stretches of that.
        """
        rows, columns = (int(side) for side in self._library.clips[sample.clip][1]["size"])
        if i == j:
            return np.zeros((2, rows, columns), np.float32)
        return resize_flow(self._chained_flow(sample, i, j), (rows, columns))

    def _chained_flow(self, sample: SampleFrame, i: int, j: int) -> NDArray[np.float32]:
        """Return the flow from i to j at the size that it was estimated at."""
        total: NDArray[np.float32] | None = None
        while i != j:
            packed = self._library.entry(sample, "flow.flow", i)
            radius = len(packed) // 2
            step = int(np.clip(j - i, -radius, radius))
            part = unpack_flow(packed[neighbour_offsets(radius).index(step)])
            total = part if total is None else compose_flows(total, part)
            i += step
        if total is None:
            raise ValueError("expected two frames, got one")
        return total

    def _pipeline_labels(self, sample: SampleFrame, stage: str, t: int) -> NDArray[np.uint8]:
        """Return the pipeline's labels, numbered as the student's classes."""
        numbers = np.zeros(256, np.uint8)
        for k, label in enumerate(self._library.clips[sample.clip][1]["classes"], start=1):
            numbers[k] = 1 + self.class_ids.index(label)
        labels: NDArray[np.uint8] = numbers[self._library.entry(sample, f"{stage}.labels", t)]
        if self._origin.sure > 0:
            masks = self._library.entry(sample, f"{stage}.masks", t)
            rest = 255 - masks.sum(axis=-1, dtype=np.int32)
            best = np.maximum(masks.max(axis=-1, initial=0), rest)
            labels[best < self._origin.sure * 255] = IGNORE
        return labels

    def _label_files(self, clip: str, facts: Any) -> dict[int, Path]:
        """Return the label pictures of a clip by number of frame."""
        folder = self._origin.truth / clip if self._origin.truth else None
        if folder is None or not folder.is_dir():
            return {}
        names = {Path(name).stem: t for t, name in enumerate(ClipFacts(facts).frame_names)}
        files = {}
        for path in sorted(folder.glob("*.png")):
            stem = path.stem
            t = names.get(stem, int(stem) if stem.isdecimal() and not names else -1)
            if not 0 <= t < ClipFacts(facts).frames:
                raise InputError(
                    f"{path}: expected the name or number of one of the "
                    f"{ClipFacts(facts).frames} frames of {clip}"
                )
            files[t] = path
        return files

    def _read_label(self, path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a label picture at working size, numbered as the student's classes."""
        values = read_labels(path)
        labels = cv2.resize(values, (size[1], size[0]), interpolation=cv2.INTER_NEAREST_EXACT)
        known = {0: 0, IGNORE: IGNORE}
        known |= {label: number for number, label in enumerate(self.class_ids, start=1)}
        out = np.zeros(labels.shape, np.uint8)
        for label in np.unique(labels).tolist():
            if self._origin.union and label not in (0, IGNORE):
                out[labels == label] = 1
            elif label not in known:
                raise InputError(
                    f"{path}: expected labels {sorted(known)}, got {label}: use masks of the same "
                    "classes, or --set segment.union=true"
                )
            else:
                out[labels == label] = known[label]
        return out

    def _counted_pixels(self, clip: int) -> NDArray[np.int64]:
        """Return how many pixels of each label each frame has, (T, 256)."""
        facts = self._library.clips[clip][1]
        counts = np.zeros((ClipFacts(facts).frames, IGNORE + 1), np.int64)
        for first, last in ClipFacts(facts).shots:
            sample = SampleFrame(clip, first, (first, last))
            for t in range(first, last):
                counts[t] = np.bincount(self.labels(sample, t).ravel(), minlength=IGNORE + 1)
        return counts
