"""OpenEXR pictures as masks: alpha, grey, or a class for each named layer; half and full floats."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.media.footage.limits import USUAL
from stages.media.footage.pictures import exr_windows
from stages.media.masks.raw import Raw, raw_of

OVERSHOOT = 0.1  # beyond [0, 1], that filters of compositing programs leave at edges
CRYPTOMATTE = "crypto"
GREY = ("A", "Y")
COLOURS = ("R", "G", "B")

Planes = dict[str, NDArray[Any]]


def read_exr(where: Path, data: bytes) -> Raw:
    """Return one frame's masks of an OpenEXR file.

    Named layers of one channel each, such as ``person.A``, are a class each, with the layer's name;
    ``A`` beside them is their sum, as format ``exr`` writes it, and is left out. Without such
    layers it is alpha where that differs, else grey, or red, green and blue as three classes.
    Outside of the data window everything is 0.

    Parameters
    ----------
    where : Path
        For messages.
    data : bytes
        The whole file.

    Raises
    ------
    InputError
        If it is damaged, too large, or holds no channel that could be a mask.
    """
    planes = _read_planes(where, data)
    if any(name.lower().startswith(CRYPTOMATTE) for name in planes):
        raise InputError(
            f"{where}: expected mattes, got Cryptomatte, whose numbers are hashes of names: write "
            "the mattes that you want as layers of one channel each"
        )
    layers = _layer_mattes(planes)
    if layers:
        return _raw_of(where, list(layers.values()), tuple(layers))
    chosen = _base_channels(where, planes)
    return _raw_of(where, chosen)


def _read_planes(where: Path, data: bytes) -> Planes:
    """Return the channels of all parts at the size of the display window."""
    import OpenEXR

    try:
        shown, stored = exr_windows(data)
        for window in (shown, stored):
            USUAL.check_size(where, (window[3] - window[1] + 1, window[2] - window[0] + 1))
        with tempfile.NamedTemporaryFile(suffix=".exr") as copy:
            copy.write(data)  # of an archive's member there is no file; of a link, this very one
            copy.flush()
            with OpenEXR.File(copy.name, separate_channels=True) as file:
                planes = {
                    _channel_name(part, name, len(file.parts)): channel.pixels
                    for part in file.parts
                    for name, channel in part.channels.items()
                }
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise InputError(f"{where}: not a readable EXR ({error})") from error
    if not planes or any(values is None for values in planes.values()):
        raise InputError(f"{where}: not a readable EXR (its pixels are damaged or end early)")
    return {name: _placed(values, shown, stored) for name, values in planes.items()}


def _channel_name(part: Any, name: str, parts: int) -> str:
    """Return a channel's name; of several parts each is a layer, unless its channels are in one."""
    return f"{part.name()}.{name}" if parts > 1 and "." not in name and part.name() else name


def _placed(values: NDArray[Any], shown: tuple[int, ...], stored: tuple[int, ...]) -> NDArray[Any]:
    """Return a channel of the data window within the display window (left, top, right, bottom)."""
    if shown == stored:
        return values
    left, top, right, bottom = shown
    out = np.zeros((bottom - top + 1, right - left + 1), values.dtype)
    low = (max(left, stored[0]), max(top, stored[1]))
    high = (min(right, stored[2]) + 1, min(bottom, stored[3]) + 1)
    if low[0] < high[0] and low[1] < high[1]:
        out[low[1] - top : high[1] - top, low[0] - left : high[0] - left] = values[
            low[1] - stored[1] : high[1] - stored[1], low[0] - stored[0] : high[0] - stored[0]
        ]
    return out


def _layer_mattes(planes: Mapping[str, NDArray[Any]]) -> Planes:
    """Return the matte of each named layer; nothing if a layer is a picture."""
    layers: dict[str, Planes] = defaultdict(dict)
    for name, values in planes.items():
        layer, dot, channel = name.rpartition(".")
        if dot:
            layers[layer][channel] = values
    mattes = {}
    for layer, channels in layers.items():
        first, *others = channels.values()
        if any(not np.array_equal(first, other) for other in others):
            return {}
        mattes[layer] = first
    return mattes


def _base_channels(where: Path, planes: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the channels without a layer that are the mask."""
    base = {name: values for name, values in planes.items() if "." not in name}
    if len(planes) == 1:
        return list(planes.values())
    colours = [base[name] for name in COLOURS if name in base]
    alpha = base.get("A")
    if alpha is not None and (not colours or alpha.min(initial=1) < alpha.max(initial=0)):
        return [alpha]
    if colours and all(np.array_equal(colours[0], other) for other in colours[1:]):
        return colours[:1]
    if colours:
        return colours
    grey = [base[name] for name in GREY if name in base]
    if not grey:
        raise InputError(
            f"{where}: expected a channel A or Y, R, G and B, or layers of one channel each, got "
            f"{', '.join(sorted(planes)[:8])}"
        )
    return grey[-1:]


def _raw_of(where: Path, channels: list[NDArray[Any]], names: tuple[str, ...] = ()) -> Raw:
    """Return one frame of channels (H, W) each: whole numbers are labels, floats soft masks."""
    if len(channels) == 1 and channels[0].dtype.kind in "ui":
        return raw_of(where, channels[0])
    soft = np.stack(channels).astype(np.float32)
    low, high = float(soft.min(initial=0)), float(soft.max(initial=0))
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        soft = soft.clip(0, 1)
    return raw_of(where, soft)._replace(names=names)
