"""Content addresses: the same question always has the same name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from pipeline.stage import Step

SCHEMA = 2
MOST_KNOWN = 256
_known: dict[int, tuple[Step, dict[str, Any]]] = {}
DIGEST = 32  # hex digits of a frame's


def record_of(step: Step, frames: tuple[int, int], inputs: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that decides a result, as plain JSON values.

    Parameters
    ----------
    step : Step
        Its name, version and fields count; its resources and fields `outside_key` do not.
    frames : (start, stop)
        The frames made.
    inputs : mapping of input name to 64 hex digits
        Digests of the content of exactly what is read.
    """
    return {
        "schema": SCHEMA,
        "stage": step.name,
        "version": step.version,
        "settings": _keyed_settings(step),
        "frames": list(frames),
        "inputs": dict(inputs),
    }


def _keyed_settings(step: Step) -> dict[str, Any]:
    """Return the fields that count; the same for every task of a step, which is frozen."""
    if id(step) not in _known or _known[id(step)][0] is not step:
        if len(_known) > MOST_KNOWN:
            _known.clear()
        defaults = {name for name in step.unkeyed_defaults if _is_default(step, name)}
        excluded = {*step.outside_key, *defaults}
        _known[id(step)] = step, step.model_dump(mode="json", exclude=excluded)
    return _known[id(step)][1]


def _is_default(step: Step, name: str) -> bool:
    """Return whether a field is at its default; a computed one where it is empty."""
    fields, value = type(step).model_fields, getattr(step, name)
    if name not in fields:
        return not value
    return bool(value == fields[name].get_default(call_default_factory=True))


def digest_json(value: Any) -> str:
    """Return the SHA-256 of canonical JSON, 64 hex digits; NaN is refused."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_array(array: NDArray[Any]) -> str:
    """Return the BLAKE3 digest of an array's type, shape and bytes, `DIGEST` hex digits.

    Every frame is digested when it is written and whenever it is read, and SHA-256 takes four
    times as long even where the processor knows it.
    """
    digest = blake3(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest(length=DIGEST // 2)


def digest_all(digests: Sequence[str]) -> str:
    """Return one digest for a run of them."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()
