"""Strangers' JSON: bounded in size, and never more than an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from stages.media.footage.safe_open import open_regular

MOST_BYTES = 2**30  # of a file, which takes ten times its size in memory

# Exceptions of code that reads malformed content as if it were well formed.
MALFORMED = (
    *(ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError),
    *(OverflowError, ZeroDivisionError),
)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises
    ------
    InputError
        If it is too large or cannot be read.
    ValueError
        If it is no JSON.
    """
    return json.loads(read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file of at most `MOST_BYTES`.

    Raises
    ------
    InputError
        If it is larger or cannot be read.
    """
    try:
        with open_regular(path) as source:
            text = source.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(text) > MOST_BYTES:
        raise InputError(f"{path}: expected at most {MOST_BYTES} bytes, got more: split it by clip")
    return text


def read_start(path: Path, count: int = 4096) -> bytes:
    """Return the first bytes of a file; nothing if it cannot be read."""
    try:
        with open_regular(path) as source:
            return source.read(count)
    except (OSError, InputError):
        return b""
