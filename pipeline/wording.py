"""Numbers of things in messages."""

from __future__ import annotations


def count_text(count: int, thing: str) -> str:
    """Name a number of things.

    `thing` is a noun in the singular whose plural takes an s.

    >>> count_text(1, "clip"), count_text(1200, "frame")
    ('1 clip', '1,200 frames')
    """
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
