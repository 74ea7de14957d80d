"""Which of an ONNX model's outputs is the mask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError

PICTURE_NAMES = re.compile(r"(^|_)(fgr|fg|foreground|rgb|image|picture|comp|composite)($|_)", re.I)
MASK_NAMES = re.compile(r"pha|alpha|matte|mask|seg|logit|prob|sal", re.I)
AUXILIARY_NAMES = re.compile(r"aux|^r[0-9]+o$|hidden|state|feature|edge", re.I)

Planes = Mapping[str, NDArray[Any] | str]


def choose_output(path: Path, outputs: Planes, wanted: str) -> tuple[str, str]:
    """Return the name of the output that is the mask, and why in words.

    One that is no map of the picture's aspect is none; nor is a picture: three channels beside an
    output of one, or with such a name. Of several that are left, that with a mask's name is taken;
    of several alike, as networks with deep supervision have, the first.

    Parameters
    ----------
    path : Path
        For messages.
    outputs : mapping of str to ndarray, shape (C, H, W), or str
        What each gives for some picture; a text says why it can be no mask.
    wanted : str
        The user's choice; empty: found.

    Raises
    ------
    ConfigError
        If there is no output of the name wanted, or several may be the mask.
    InputError
        If none can be.
    """
    roles = _output_roles(outputs)
    listed = "; ".join(f"{name!r}: {_name_words(outputs[name], roles[name])}" for name in outputs)
    if wanted:
        if wanted not in outputs:
            raise ConfigError(f"segment.output = {wanted!r}: expected one of {', '.join(outputs)}")
        if isinstance(outputs[wanted], str):
            raise InputError(str(outputs[wanted]))
        return wanted, f"output {wanted!r}, as told, of {listed}"
    masks = [name for name in outputs if roles[name] == "mask"]
    if not masks:
        refusals = [text for text in outputs.values() if isinstance(text, str)]
        raise InputError(
            refusals[0]
            if len(outputs) == len(refusals) == 1
            else f"{path}: none of its outputs is a mask ({listed}): name one in segment.output"
        )
    main = [name for name in masks if not AUXILIARY_NAMES.search(name)] or masks
    named = [name for name in main if MASK_NAMES.search(name)]
    chosen = named if len(named) == 1 else main
    shapes = {getattr(outputs[name], "shape", ()) for name in chosen}
    if len(chosen) > 1 and len(shapes) > 1:
        raise ConfigError(
            f"{path}: several outputs may be the mask ({listed}): set segment.output to one of "
            f"{', '.join(chosen)}"
        )
    first = f"output {chosen[0]!r}" + (", the first of several alike" if len(chosen) > 1 else "")
    return chosen[0], first + (f", of {listed}" if len(outputs) > 1 else "")


def _output_roles(outputs: Planes) -> dict[str, str]:
    """Return by name: mask, picture or other."""
    single = [
        name for name, out in outputs.items() if not isinstance(out, str) and out.shape[0] == 1
    ]
    roles = {}
    for name, out in outputs.items():
        if isinstance(out, str):
            roles[name] = "other"
        elif out.shape[0] == 3 and (single or (len(outputs) > 1 and PICTURE_NAMES.search(name))):
            roles[name] = "picture"
        else:
            roles[name] = "mask"
    return roles


def _name_words(out: NDArray[Any] | str, role: str) -> str:
    if isinstance(out, str):
        return "no map of the picture"
    channels, rows, columns = out.shape
    kind = "a picture" if role == "picture" else ("labels" if out.dtype.kind in "bui" else "a map")
    return f"{kind}, {channels} channel{'s' if channels > 1 else ''} of {columns}x{rows}"
