"""Harm: where the masks out are worse than those in, in words, with the likely cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stages.ops.shapes import bind_shapes

Kind = Literal["empty", "full", "emptied", "filled", "unlike", "gone", "restless"]
Runs = tuple[tuple[int, int], ...]

WHOLE_FRAME = 0.999  # share of a frame from which one label fills it
LEAST_PIXELS = 16  # that a class has where it counts as present
LEAST_SHARE = 0.1  # of the class's own median area, likewise
PRESENT = 0.8  # share of a stretch's frames in which the masks in have the class
MOST_NAMED = 3  # runs of frames named in a sentence
HALF, LABEL = 127, 1  # of 255: soft masks win above a half; a label 1 is read as 1


@dataclass(frozen=True)
class Harm:
    """One way in which a clip's masks out are worse than those in.

    Attributes
    ----------
    kind : str
        ``empty``, ``full``: the masks in have nothing, or one class everywhere, in every frame;
        ``emptied``, ``filled``: only the masks out do; ``unlike``: they have little
        in common with those in; ``gone``: a class is missing in a stretch in which the masks in
        have it; ``restless``: E_cons went up.
    frames : tuple of (start, stop)
        Where, rising.
    words : str
        A sentence for people.
    cause : str
        The likely cause and what to do; empty where it is not known.
    label : int or None
        The class, if it is about one.
    """

    kind: Kind
    frames: Runs
    words: str
    cause: str = ""
    label: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``metrics.json``."""
        return {
            "kind": self.kind,
            "frames": [list(run) for run in self.frames],
            "label": self.label,
            "words": self.words,
            "cause": self.cause,
        }


def blank_kind(areas: NDArray[np.int64]) -> Literal["empty", "full"] | None:
    """Return whether the masks of a clip say nothing: empty, or one class all over, throughout.

    Parameters
    ----------
    areas : ndarray, shape (T, L), int64
        Pixels of each label, the background first.

    Returns
    -------
    {"empty", "full"} or None
        None where some frame has both foreground and something else, or there is no frame.
    """
    bind_shapes(areas=(areas, "T L"))
    if not len(areas):
        return None
    pixels = areas.sum(axis=1)
    if not areas[:, 1:].any():
        return "empty"
    return "full" if bool((areas[:, 1:].max(axis=1) >= WHOLE_FRAME * pixels).all()) else None


def find_blank(
    before: NDArray[np.int64], after: NDArray[np.int64], *, cause: str = ""
) -> list[Harm]:
    """Return the harm of masks that are empty or full in every frame.

    Parameters
    ----------
    before, after : ndarray, shape (T, L), int64
        Pixels of each label in and out, the background first.
    cause : str
        Of the masks in being so; see `blank_cause`.
    """
    kind, everywhere = blank_kind(before), ((0, len(before)),)
    if kind == "empty":
        words = f"the masks in have no foreground in any of the {len(before)} frames"
        return [Harm("empty", everywhere, words, cause)]
    if kind == "full":
        words = f"one class fills the masks in, in every one of the {len(before)} frames"
        return [Harm("full", everywhere, words, cause)]
    outcome = blank_kind(after)
    if outcome == "empty":
        words = "the masks out have no foreground in any frame; those in have some"
        return [Harm("emptied", everywhere, words)]
    if outcome == "full":
        words = "one class fills every frame of the masks out; those in differ"
        return [Harm("filled", everywhere, words)]
    return []


def find_unlike(
    overlap: NDArray[np.int64], areas: NDArray[np.int64], *, least_iou: float
) -> list[Harm]:
    """Return the harm of masks out that have little in common with those in.

    Frames without foreground on either side don't count: a mask that was missing and is there
    now is no harm.

    Parameters
    ----------
    overlap : ndarray, shape (T, 2), int64
        Pixels in the intersection and in the union of the foregrounds in and out.
    areas : ndarray, shape (T, 2, L), int64
        Pixels of each label in and out, the background first.
    least_iou : float, in [0, 1]
        Intersection over union, of all frames together, below which it is a harm.
    """
    bind_shapes(overlap=(overlap, "T 2"), areas=(areas, "T 2 L"))
    counted = np.asarray(areas[:, :, 1:].any(axis=-1).all(axis=-1), np.bool_)
    inter, union = overlap[counted].sum(axis=0).tolist()
    if not union or inter >= least_iou * union:
        return []
    words = f"the masks out share only {inter / union:.0%} of their area with those in"
    cause = (
        "the masks in follow neither the picture's motion nor one another: they may be those of "
        "another clip, or of other frames"
    )
    return [Harm("unlike", runs_of(counted), words, cause)]


def find_gone(
    before: NDArray[np.int64],
    after: NDArray[np.int64],
    *,
    labels: Sequence[int],
    stretch: int,
    share: float,
) -> list[Harm]:
    """Return the stretches in which a class is gone although the masks in have it.

    A stretch is made of windows of `stretch` frames, in `PRESENT` of which the masks in have the
    class, the masks out holding less than `share` of its area in each of these. A class that is
    gone from the whole clip counts wherever it was.

    Parameters
    ----------
    before, after : ndarray, shape (T, L), int64
        Pixels of each label in and out, the background first.
    labels : sequence of L - 1 int
        Names of the classes.
    stretch : int, >= 1
        Frames; a clip that is shorter is one window.
    share : float, in [0, 1]
    """
    bind_shapes(before=(before, "T L"), after=(after, "T L"))
    harms = []
    for number, label in enumerate(labels, start=1):
        own, left = before[:, number], after[:, number]
        present = _present_frames(own)
        lost = _lost_stretches(own, left, present, stretch=stretch, share=share)
        if present.sum() >= stretch and not left.any():
            lost = present
        runs = runs_of(lost)
        if runs:
            words = f"class {label} is gone in {name_frames(runs)}, where the masks in have it"
            harms.append(Harm("gone", runs, words, label=label))
    return harms


def _present_frames(area: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the frames that have a class: not those with a few stray pixels of it."""
    there = area[area > 0]
    least = max(LEAST_SHARE * float(np.median(there)), LEAST_PIXELS) if len(there) else 1
    return area >= least


def _lost_stretches(
    own: NDArray[np.int64],
    left: NDArray[np.int64],
    present: NDArray[np.bool_],
    *,
    stretch: int,
    share: float,
) -> NDArray[np.bool_]:
    length = min(stretch, len(own))
    lost, told = present & (left < share * own), np.zeros(len(own), np.bool_)
    if not length:
        return told
    ones = np.ones(length, np.int64)
    had, gone = (np.convolve(marks.astype(np.int64), ones, "valid") for marks in (present, lost))
    for start in np.flatnonzero((had >= PRESENT * length) & (gone == had)).tolist():
        told[start : start + length] = True
    return told & lost


def find_restless(
    before: float | None,
    after: float | None,
    flicker: NDArray[np.float64],
    *,
    slack: float,
) -> list[Harm]:
    """Return the harm of masks that became less stable.

    Parameters
    ----------
    before, after : float or None
        E_cons in and out; None where it cannot be measured.
    flicker : ndarray, shape (2, T), float64
        Inconsistency of each frame with the next one, in and out; NaN where there is none.
    slack : float, >= 0
        E_cons may rise by this share.
    """
    if before is None or after is None or not after > before * (1 + slack):
        return []
    rise = np.nan_to_num(flicker[1] - flicker[0])
    order = np.argsort(-rise, kind="stable")[:MOST_NAMED]
    worst = sorted(int(t) for t in order if rise[t] > 0)
    runs = tuple((t, t + 1) for t in worst)
    where = f"; most after {name_frames(runs)}" if runs else ""
    words = f"less stable than before: E_cons rose from {before:.2f} to {after:.2f}{where}"
    return [Harm("restless", runs, words)]


def blank_cause(kind: str | None, *, meaning: str | None, highest: int | None) -> str:
    """Return the likely cause of masks in that are empty or full in every frame, and the remedy.

    Parameters
    ----------
    kind : {"empty", "full"} or None
    meaning : {"labels", "binary", "soft"} or None
        What the mask files were taken for; None where a network made the masks.
    highest : int or None
        Largest value of the soft masks in, of 255; None if there is no class at all.
    """
    if kind is None:
        return ""
    if meaning is None:
        return _network_cause(kind, highest)
    if kind == "full":
        return (
            "the masks may be inverted, or label the background with a class: 0 is the background"
        )
    if meaning == "soft" and highest == LABEL:
        return (
            f"the largest value is {highest} of 255: labels 0 and 1 were read as grey levels; "
            "set segment.kind=labels"
        )
    if meaning == "soft" and highest is not None and highest <= HALF:
        return (
            f"the soft masks never pass one half (largest {highest / 255:.2f}): scale them so that "
            "1 is certain, or store them as labels"
        )
    if meaning == "binary":
        return (
            "no value passes one half of the largest that the files can hold: store masks as 0 and "
            "255, or as labels"
        )
    return (
        "every pixel of the files is 0, the background, or void (255 beside labels): the export "
        "may be empty, or of another layer; where 255 is there and means the foreground, set "
        "segment.kind=binary"
    )


def _network_cause(kind: str, highest: int | None) -> str:
    settings = "segment.mean, segment.std, segment.channels and segment.activation"
    if kind == "full":
        return f"the network sees its class everywhere: {settings} may not be those of its training"
    sure = "" if highest is None else f" (its largest probability is {highest / 255:.2f})"
    return (
        f"the network finds nothing{sure}: {settings} may not be those of its training, or the "
        "clip shows none of segment.classes"
    )


def runs_of(marked: NDArray[np.bool_]) -> Runs:
    """Return the runs of marked frames as (start, stop), rising."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.astype(np.int8), [0]))))
    return tuple((int(a), int(b)) for a, b in edges.reshape(-1, 2))


def name_frames(runs: Runs) -> str:
    """Return runs of frames in words, such as "frames 31–33, 40 and 2 more stretches".

    >>> name_frames(((31, 34),))
    'frames 31–33'
    """
    names = [f"{a}–{b - 1}" if b - a > 1 else str(a) for a, b in runs]
    single = len(names) == 1 and runs[0][1] - runs[0][0] == 1
    more = len(names) - MOST_NAMED
    tail = f" and {more} more {'stretch' if more == 1 else 'stretches'}" if more > 0 else ""
    return f"{'frame' if single else 'frames'} {', '.join(names[:MOST_NAMED])}{tail}"
