"""Which of an ONNX model's outputs is the mask: from names, shapes and values on pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError

PICTURE_NAMES = re.compile(r"(^|_)(fgr|fg|foreground|rgb|image|picture|comp|composite)($|_)", re.I)
MASK_NAMES = re.compile(r"pha|alpha|matte|mask|seg|logit|prob|sal", re.I)
AUXILIARY_NAMES = re.compile(r"aux|^r[0-9]+o$|hidden|state|feature|edge", re.I)

ALIKE = 0.5  # correlation of outputs that show the same, coarser ones with finer ones
COPIED = 0.9  # correlation of each channel with the picture's own
LEAST_CONTRAST = 4.0  # deviation of a picture's channel, below which nothing correlates with it

Samples = Mapping[str, Sequence[NDArray[Any]] | str]
"""By output: what it gives for noise, then for each frame, (C, h, w); or why it can be no mask."""


def choose_output(
    path: Path, samples: Samples, wanted: str, frames: Sequence[NDArray[np.uint8]] = ()
) -> tuple[str, str]:
    """Return the name of the output that is the mask, and why in words.

    One that is no map of the picture's aspect is none; nor is a picture: three channels beside an
    output of one, or with such a name, or that copy the frames. Of several that are left, that
    with a mask's name is taken; of several alike, as networks with deep supervision have, the
    first. Outputs of one shape that differ on the frames are not alike.

    Parameters
    ----------
    path : Path
        For messages.
    samples : mapping of str to sequence of ndarray, shape (C, h, w), or str
        What each gives for a picture of noise, then for each of the frames; a text says why it can
        be no mask.
    wanted : str
        The user's choice; empty: found.
    frames : sequence of ndarray, shape (H, W, 3), uint8
        Of a clip; none where there is none.

    Raises
    ------
    ConfigError
        If there is no output of the name wanted, or several may be the mask.
    InputError
        If none can be.
    """
    roles = _output_roles(samples, frames)
    listed = "; ".join(f"{name!r}: {_name_words(samples[name], roles[name])}" for name in samples)
    if wanted:
        if wanted not in samples:
            raise ConfigError(f"segment.output = {wanted!r}: expected one of {', '.join(samples)}")
        refusal = samples[wanted]
        if isinstance(refusal, str):
            raise InputError(refusal)
        return wanted, f"output {wanted!r}, as told, of {listed}"
    masks = [name for name in samples if roles[name] == "mask"]
    if not masks:
        refusals = [text for text in samples.values() if isinstance(text, str)]
        raise InputError(
            refusals[0]
            if len(samples) == len(refusals) == 1
            else f"{path}: none of its outputs is a mask ({listed}): name one in segment.output"
        )
    main = [name for name in masks if not AUXILIARY_NAMES.search(name)] or masks
    named = [name for name in main if MASK_NAMES.search(name)]
    chosen = named if len(named) == 1 else main
    shapes = {_sample_shape(samples[name]) for name in chosen}
    if len(chosen) > 1 and (len(shapes) > 1 or not _are_alike([samples[k] for k in chosen])):
        raise ConfigError(
            f"{path}: several outputs may be the mask ({listed}): set segment.output to one of "
            f"{', '.join(chosen)}"
        )
    first = f"output {chosen[0]!r}" + (", the first of several alike" if len(chosen) > 1 else "")
    return chosen[0], first + (f", of {listed}" if len(samples) > 1 else "")


def _output_roles(samples: Samples, frames: Sequence[NDArray[np.uint8]]) -> dict[str, str]:
    """Return by name: mask, picture or other."""
    single = [name for name, out in samples.items() if _sample_shape(out)[:1] == (1,)]
    roles = {}
    for name, out in samples.items():
        if isinstance(out, str):
            roles[name] = "other"
        elif len(out[0]) == 3 and (
            single
            or (len(samples) > 1 and PICTURE_NAMES.search(name))
            or _copies_frames(out[1:], frames)
        ):
            roles[name] = "picture"
        else:
            roles[name] = "mask"
    return roles


def _copies_frames(planes: Sequence[NDArray[Any]], frames: Sequence[NDArray[np.uint8]]) -> bool:
    """Return whether all frames with contrast come back, in either order of their channels."""
    orders = {step: list[float]() for step in (1, -1)}
    for out, frame in zip(planes, frames, strict=True):
        small = cv2.resize(frame, out.shape[:0:-1], interpolation=cv2.INTER_AREA)
        if small.reshape(-1, 3).std(axis=0).min() < LEAST_CONTRAST:
            continue
        for step, least in orders.items():
            pairs = zip(out, np.moveaxis(small, -1, 0)[::step], strict=True)
            least.append(min(_correlation(plane, channel) for plane, channel in pairs))
    return any(least and min(least) > COPIED for least in orders.values())


def _are_alike(outputs: Sequence[Sequence[NDArray[Any]] | str]) -> bool:
    """Return whether outputs of one shape show the same on the frames; without any they do."""
    flat = [
        np.concatenate([planes.ravel() for planes in out[1:]] or [np.zeros(0)])
        for out in outputs
        if not isinstance(out, str)
    ]
    return all(not len(a) or _correlation(a, b) > ALIKE for a, b in combinations(flat, 2))


def _correlation(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the correlation of two arrays of one size; 1 where both are flat, 0 where one is."""
    a, b = first.astype(np.float64).ravel(), second.astype(np.float64).ravel()
    flat = [bool(values.std() <= 1e-6 * max(abs(values.mean()), 1)) for values in (a, b)]
    return float(all(flat)) if any(flat) else float(np.corrcoef(a, b)[0, 1])


def _sample_shape(out: Sequence[NDArray[Any]] | str) -> tuple[int, ...]:
    return () if isinstance(out, str) else out[-1].shape


def _name_words(out: Sequence[NDArray[Any]] | str, role: str) -> str:
    if isinstance(out, str):
        return "no map of the picture"
    channels, rows, columns = out[-1].shape
    labels = out[-1].dtype.kind in "bui"
    kind = "a picture" if role == "picture" else ("labels" if labels else "a map")
    low, high = min(float(p.min()) for p in out), max(float(p.max()) for p in out)
    return (
        f"{kind}, {channels} channel{'s' if channels > 1 else ''} of {columns}x{rows}, "
        f"values {low:.3g} to {high:.3g}"
    )
