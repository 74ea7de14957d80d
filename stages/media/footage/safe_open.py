"""Opening a stranger's file: only a regular one, so that nothing waits or flows without end."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from pipeline.errors import InputError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> io.BufferedReader:
    """Return a file opened for reading; links are followed.

    Raises
    ------
    InputError
        If it is no regular file: a pipe would wait for ever, a device would never end.
    OSError
        If there is none or it cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind != stat.S_IFREG:
        os.close(handle)
        raise InputError(f"{path}: expected a file, got {KINDS.get(kind, 'something else')}")
    return io.BufferedReader(io.FileIO(handle))


def leads_out(path: Path, root: Path) -> Path | None:
    """Return where a link leads if that is outside of `root`, else None."""
    target = Path(os.path.realpath(path))  # unlike resolve, it bears links in a circle
    return None if target.is_relative_to(root.resolve()) else target
