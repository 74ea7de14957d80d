"""Formats ``redacted`` and ``coverage``: the original with its classes made unrecognisable."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.results.overlay import H264
from stages.media.results.result import Result, ResultClip, ResultFrame, WriteError, Writer
from stages.media.results.settings import Redaction, ResultSettings, parse_colour
from stages.ops.cover import ABSENT, CARRIED

Picture = NDArray[np.uint8]


class Redacted(H264):
    """``redacted.mp4``: the classes blurred, pixelated or filled, wherever they are covered."""

    format: ClassVar[str] = "redacted"
    template: ClassVar[str] = "redacted.mp4"
    needs_cover: ClassVar[bool] = True

    def __init__(self, clip: ResultClip, settings: ResultSettings) -> None:
        super().__init__(clip, settings)
        self._methods = redaction_methods(clip, settings.redaction)

    def options(self) -> dict[str, str]:
        """Return a quality at which the rest of the picture looks like the original."""
        # Slower presets look ahead, and gave other bytes for the same frames now and then.
        return {"preset": "ultrafast", "crf": "14"}

    def shown(self, frame: ResultFrame) -> Picture:
        """Return the picture with its classes hidden."""
        if frame.cover is None:
            raise RuntimeError("redaction without cover")
        return redact(frame.picture, frame.cover, self._methods, self.settings.redaction)


class Coverage(Result):
    """``coverage.json``: in which frames each class was covered from others, or could not be."""

    format: ClassVar[str] = "coverage"
    template: ClassVar[str] = "coverage.json"
    needs_cover: ClassVar[bool] = True

    def part(self, folder: Path) -> Writer:
        """Return the writer of a part."""
        return _StateWriter(folder / self.name)

    def join_parts(self, parts: Sequence[Path], draft: Path) -> None:
        """Judge the states of all frames."""
        states = [state for part in parts for state in json.loads(part.read_text())]
        if len(states) != self.timeline.frames:
            raise WriteError(f"{draft}: expected {self.timeline.frames} frames, got {len(states)}")
        report = coverage(np.asarray(states, np.uint8), self.clip)
        draft.write_text(json.dumps(report, indent=1) + "\n")

    def check(self, draft: Path) -> None:
        """Read it."""
        if set(json.loads(draft.read_text())["classes"]) != set(self.clip.classes.values()):
            raise WriteError(f"{draft}: expected every class")


class _StateWriter(Writer):
    def __init__(self, path: Path) -> None:
        self._path, self._states = path, list[list[int]]()

    def write(self, frame: ResultFrame) -> None:
        if frame.cover_states is None:
            raise RuntimeError("a report of coverage without cover")
        self._states.append(frame.cover_states.tolist())

    def close(self) -> None:
        if self._states:
            self._path.write_text(json.dumps(self._states))


def coverage(states: NDArray[np.uint8], clip: ResultClip) -> dict[str, Any]:
    """Return for each class the frames that were covered from others, and those left bare.

    Parameters
    ----------
    states : ndarray, shape (T, C), uint8
        See `stages.ops.cover`.
    clip : ResultClip
        Frames are numbered as its source counts; a frame is bare if its class is absent there,
        and covered before and after it in the same shot.
    """
    classes, total = {}, 0
    for k, name in enumerate(clip.classes.values()):
        bare: list[int] = []
        for start, stop in clip.shots or [(0, len(states))]:
            covered = np.flatnonzero(states[start:stop, k] != ABSENT) + start
            if len(covered):
                inside = np.arange(covered[0], covered[-1] + 1)
                bare += inside[states[inside, k] == ABSENT].tolist()
        total += len(bare)
        classes[name] = {
            "frames": int((states[:, k] != ABSENT).sum()),
            "carried": [clip.numbers[int(t)] for t in np.flatnonzero(states[:, k] == CARRIED)],
            "uncovered": [clip.numbers[t] for t in bare],
        }
    return {
        "frames": len(states),
        "uncovered": total,
        "classes": classes,
    }


def redaction_methods(clip: ResultClip, redaction: Redaction) -> list[str]:
    """Return the method for each class, in the order of the alpha channels.

    Raises
    ------
    InputError
        If a method is chosen for a class that the clip does not have by that name or id.
    """
    names = {name.lower(): name for name in clip.classes.values()}
    by_name = {names.get(key.lower(), key): how for key, how in redaction.classes.items()}
    known = {str(k) for k in clip.classes} | set(clip.classes.values())
    unknown = [key for key in by_name if key not in known]
    if unknown and not set(by_name) & known and clip.classes:
        raise InputError(
            f"export.redaction.classes: no class {unknown[0]!r} in {clip.name}: it has "
            f"{', '.join(clip.classes.values())}"
        )
    return [
        by_name.get(name, by_name.get(str(label), redaction.method))
        for label, name in clip.classes.items()
    ]


def redact(
    picture: Picture, cover: NDArray[np.bool_], methods: Sequence[str], redaction: Redaction
) -> Picture:
    """Return a picture (H, W, 3) with each class hidden where it is covered (H, W, C)."""
    out = picture.copy()
    for method in dict.fromkeys(methods):
        if method == "none":
            continue
        chosen = [k for k, other in enumerate(methods) if other == method]
        where = cover[..., chosen].any(axis=-1)
        if where.any():
            out[where] = hidden(picture, method, redaction)[where]
    return out


def hidden(picture: Picture, method: str, redaction: Redaction) -> Picture:
    """Return a picture as it is shown where it is hidden."""
    if method == "solid":
        return np.full_like(picture, parse_colour(redaction.colour))
    rows, columns = picture.shape[:2]
    block = max(redaction.strength * min(rows, columns), 1)
    small = (max(round(columns / block), 1), max(round(rows / block), 1))
    shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    if method == "blur":
        shrunk = cv2.GaussianBlur(shrunk, (0, 0), 1.0)
        return np.asarray(cv2.resize(shrunk, (columns, rows), interpolation=cv2.INTER_CUBIC))
    return np.asarray(cv2.resize(shrunk, (columns, rows), interpolation=cv2.INTER_NEAREST))
