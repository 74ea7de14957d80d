"""Review: which frames of which objects a person should look at, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.stage import Clip, Facts, Input, Reader, Sink
from pipeline.whole_files import write_whole
from stages.arrays import (
    AREAS,
    CARRIED,
    FRAMES,
    OBJECTS,
    SMOOTH_LABELS,
    TRUST,
    input_masks,
    neighbour_offsets,
)
from stages.facts import ClipFacts
from stages.metrics.colour_fit import ColourModel, colour_bins
from stages.metrics.key_frame_conflicts import find_conflicts, find_isolated
from stages.metrics.risk import frame_risk, gather_evidence, review_rows
from stages.shared_settings import DEFAULT_REFINE_METHOD, RefineMethod
from stages.trust.shares import trust_shares

COUNTS = (CARRIED, OBJECTS, AREAS)


class Review(Sink):
    """The risk of every frame and object, and the frames to look at; see `metrics.risk`."""

    name: ClassVar[str] = "review"
    version: ClassVar[int] = 6
    uses: ClassVar[tuple[str, ...]] = ("frames", "shots", "classes", "sparse", "key_frames")

    enabled: bool = Field(True, description="say which frames a person should look at")
    least_risk: float = Field(
        0.5, ge=0, le=1, description="list frames whose risk of an IoU under .8 is as high"
    )

    method: RefineMethod = DEFAULT_REFINE_METHOD

    def inputs(self, facts: Facts) -> tuple[Input, ...]:
        """Read counts, pictures and masks for how well colours fit, and trust if there is any."""
        trust = (TRUST, input_masks(ClipFacts(facts).sparse)[1]) if self.method == "trust" else ()
        return tuple(array.within() for array in (*COUNTS, FRAMES, SMOOTH_LABELS, *trust))

    def run(self, clip: Clip, facts: Facts, read: Reader, folder: Path) -> list[str]:
        """Write ``review.json``."""
        known = ClipFacts(facts)
        carried, objects, areas = (np.stack(list(read(array))) for array in COUNTS)
        shares = self._trust_shares(known, read) if self.method == "trust" else None
        misfit = self._colour_misfit(known, read)
        evidence = gather_evidence(carried, objects, areas, misfit, shares)
        risk = frame_risk(evidence, known.shots)
        risk[list(known.key_frames)] = 0.0  # the user's word is not doubted
        rows = _conflict_rows(carried[:, 0], known)
        rows += _isolated_rows(carried[:, 1], known)
        rows += review_rows(risk, evidence, known.classes, known.shots, least=self.least_risk)
        content: dict[str, Any] = {
            "clip": clip.name,
            "rows": rows,
            "risk": {
                str(label): _plain_values(risk[:, k]) for k, label in enumerate(known.classes)
            },
            "trust": _trust_curves(shares, known.classes),
        }
        write_whole(folder / "review.json", json.dumps(content, allow_nan=False) + "\n")
        return ["review.json"]

    @staticmethod
    def _trust_shares(known: ClipFacts, read: Reader) -> NDArray[np.float64]:
        """Return the shares of each frame's masks that are wrong and not trusted: (T, C, 2)."""
        both = zip(read(TRUST), read(input_masks(known.sparse)[1]), strict=True)
        return np.stack([trust_shares(trust, labels) for trust, labels in both])

    @staticmethod
    def _colour_misfit(known: ClipFacts, read: Reader) -> NDArray[np.float64]:
        """Return how badly each frame's masks fit the colours of their shot: (T, C)."""
        out = np.full((known.frames, len(known.classes)), np.nan)
        for start, stop in known.shots:
            frames, model = range(start, stop), ColourModel(len(known.classes))
            for picture, labels in zip(
                read(FRAMES, frames), read(SMOOTH_LABELS, frames), strict=True
            ):
                model.add(colour_bins(picture), labels)
            both = zip(read(FRAMES, frames), read(SMOOTH_LABELS, frames), strict=True)
            for t, (picture, labels) in zip(frames, both, strict=True):
                out[t] = model.misfit(colour_bins(picture), labels)
        return out


def _conflict_rows(carried: NDArray[np.int64], known: ClipFacts) -> list[dict[str, Any]]:
    """Return a row for each two key frames that contradict each other; both are kept."""
    steps = neighbour_offsets(carried.shape[1] // 2)
    return [
        {
            "frame": conflict.second,
            "frames": [conflict.first, conflict.second + 1],
            "object": int(known.classes[conflict.number]),
            "risk": 1.0,
            "reason": f"key frames {conflict.first} and {conflict.second} contradict each other",
        }
        for conflict in find_conflicts(carried, steps, known.key_frames)
    ]


def _isolated_rows(carried: NDArray[np.int64], known: ClipFacts) -> list[dict[str, Any]]:
    """Return a row for each key frame that the masks beside it do not fit; it is kept."""
    steps = neighbour_offsets(carried.shape[1] // 2)
    return [
        {
            "frame": t,
            "frames": [t, t + 1],
            "object": int(known.classes[number]),
            "risk": 1.0,
            "reason": f"key frame {t} fits the masks on neither side: is it of this frame, and not "
            "inverted?",
        }
        for t, number in find_isolated(carried, steps, known.key_frames)
    ]


def _trust_curves(
    shares: NDArray[np.float64] | None, labels: Sequence[int]
) -> dict[str, dict[str, list[float]]]:
    """Return by label the shares that are wrong and not trusted; 0 where there is no object."""
    if shares is None:
        return {}
    known = np.nan_to_num(shares)
    return {
        str(label): {
            "wrong": _plain_values(known[:, k, 0]),
            "untrusted": _plain_values(known[:, k, 1]),
        }
        for k, label in enumerate(labels)
    }


def _plain_values(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 4) for value in values]
