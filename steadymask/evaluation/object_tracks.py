"""How well objects keep their numbers through a clip, as trackers are scored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from pipeline.errors import ConfigError
from stages.ops.ignored_label import IGNORE
from steadymask.evaluation.pools import Pool

OVERLAP = 0.5  # intersection over union from which two masks are one, for IDF1 and switches

Labels = NDArray[np.uint8]
RunLengths = dict[int, Any]  # masks of one object, by frame


class ObjectTracks:
    """HOTA, IDF1, switches of numbers, and AP and AR of whole tracks (YouTube-VIS).

    The numbers of truth and system need not agree: which belongs to which is part of the measures.
    They are computed by the library trackeval; all tracks have the same confidence.

    Raises
    ------
    ConfigError
        If trackeval is not installed.

    Notes
    -----
    Luiten et al., "HOTA", IJCV 2021; Ristani et al., "Performance measures", ECCVW 2016; Yang et
    al., "Video instance segmentation", ICCV 2019.
    """

    def __init__(self) -> None:
        self._measures = _load_measures()
        self._true: dict[int, RunLengths] = {}
        self._ours: dict[int, RunLengths] = {}
        self._overlaps: list[tuple[list[int], list[int], NDArray[np.float64]]] = []

    def add(self, labels: Labels, truth: Labels) -> None:
        """Add a frame; 255 in the truth does not count."""
        counted = truth != IGNORE
        ours, true = np.where(counted, labels, 0), np.where(counted, truth, 0)
        frame = len(self._overlaps)
        shared = np.zeros((256, 256))
        np.add.at(shared, (true, ours), 1)
        union = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None] - shared
        overlap = shared / np.maximum(union, 1)
        true_numbers = _objects_of(true, self._true, frame)
        our_numbers = _objects_of(ours, self._ours, frame)
        self._overlaps.append(
            (true_numbers, our_numbers, overlap[np.ix_(true_numbers, our_numbers)])
        )

    def pools(self) -> dict[str, Pool]:
        """Return nothing: sets are means over clips."""
        return {}

    def values(self) -> dict[str, float]:
        """Return the scores so far; NaN where the truth has no object."""
        if not self._true:
            return dict.fromkeys(("HOTA", "IDF1", "switches", "track_AP", "track_AR"), math.nan)
        hota, identity, clear, tracks = self._measures
        matched = self._matching_data()
        whole = tracks.combine_sequences({"clip": tracks.eval_sequence(self._track_data())})
        return {
            "HOTA": float(np.mean(hota.eval_sequence(matched)["HOTA"])),
            "IDF1": float(identity.eval_sequence(matched)["IDF1"]),
            "switches": float(clear.eval_sequence(matched)["IDSW"]),
            "track_AP": float(np.mean(whole["AP_all"])),
            "track_AR": float(np.mean(whole["AR_all"])),
        }

    def _matching_data(self) -> dict[str, Any]:
        """Return the frames as trackeval's measures of frames take them: numbers counted from 0."""
        true = {number: k for k, number in enumerate(sorted(self._true))}
        ours = {number: k for k, number in enumerate(sorted(self._ours))}
        return {
            "num_timesteps": len(self._overlaps),
            "num_gt_ids": len(true),
            "num_tracker_ids": len(ours),
            "num_gt_dets": sum(len(frame[0]) for frame in self._overlaps),
            "num_tracker_dets": sum(len(frame[1]) for frame in self._overlaps),
            "gt_ids": [np.array([true[n] for n in frame[0]], int) for frame in self._overlaps],
            "tracker_ids": [np.array([ours[n] for n in frame[1]], int) for frame in self._overlaps],
            "similarity_scores": [frame[2] for frame in self._overlaps],
        }

    def _track_data(self) -> dict[str, Any]:
        """Return the clip as trackeval's measures of whole tracks take it."""
        return {
            "gt_track_ids": sorted(self._true),
            "dt_track_ids": sorted(self._ours),
            "gt_tracks": [self._true[number] for number in sorted(self._true)],
            "dt_tracks": [self._ours[number] for number in sorted(self._ours)],
            "dt_track_scores": np.ones(len(self._ours)),
            "iou_type": "mask",
        }


def _objects_of(labels: Labels, tracks: dict[int, RunLengths], frame: int) -> list[int]:
    """Return the objects of a frame; their masks are added to their tracks."""
    numbers = [n for n in np.flatnonzero(np.bincount(labels.ravel())).tolist() if n]
    for number in numbers:
        mask = np.asfortranarray((labels == number).astype(np.uint8))
        tracks.setdefault(number, {})[frame] = coco.encode(mask)
    return numbers


def _load_measures() -> tuple[Any, Any, Any, Any]:
    """Return trackeval's HOTA, identity, CLEAR and track measures."""
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity, TrackMAP
    except ImportError:
        raise ConfigError(
            "--task tracks: expected the library trackeval, which is not installed: "
            "pip install 'steadymask[tracks]'"
        ) from None
    quiet = {"PRINT_CONFIG": False}
    at_half = quiet | {"THRESHOLD": OVERLAP}
    all_sizes = quiet | {"USE_AREA_RANGES": False, "USE_TIME_RANGES": False}
    return HOTA(), Identity(at_half), CLEAR(at_half), TrackMAP(all_sizes)
