"""Files and folders that are there whole or not at all: written beside, then renamed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def draft_path(target: Path) -> Path:
    """Return the path beside a file or folder at which it is written; it has the same ending."""
    return target.with_name(f".draft-{target.name}")


@contextmanager
def creating(target: Path) -> Iterator[Path]:
    """Give a path to write to, which then becomes the target, or after an error is gone.

    A file takes the place of another; a folder that holds something is not replaced. What a killed
    process left of a draft is removed first.

    Raises
    ------
    OSError
        If the target is a folder that holds something.
    """
    draft = draft_path(target)
    remove_path(draft)
    try:
        yield draft
        draft.replace(target)
    finally:
        remove_path(draft)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, which then replaces a file or folder, or after an error is gone."""
    with creating(target) as draft:
        yield draft
        if target.is_dir():
            remove_path(target)


def write_whole(target: Path, content: str | bytes) -> None:
    """Write a file, text as UTF-8, whole or not at all."""
    with replacing(target) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_path(path: Path) -> None:
    """Remove a file or a folder with all that it holds; one that is absent is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
