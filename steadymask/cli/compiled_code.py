"""Where Numba keeps what it compiled, for a user who may write neither the package nor a home."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
KERNELS = Path(__file__).parents[2] / "stages" / "ops"


def place_compiled_code() -> None:
    """Name a folder of this user's own in the temporary folder, where Numba would find none.

    Numba refuses to compile where it can keep nothing.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if VARIABLE in os.environ or is_writable(KERNELS) or is_writable(cache):
        return
    folder = Path(tempfile.gettempdir(), f"steadymask-numba-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        known = folder.lstat()
        own = known.st_uid == os.getuid() and not known.st_mode & 0o022
    except OSError:
        own = False
    # What lies there is run: a folder that somebody else made is not for us.
    os.environ[VARIABLE] = str(folder) if own and folder.is_dir() else tempfile.mkdtemp()


def is_writable(folder: Path) -> bool:
    """Return whether a folder may be written to, or made."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)
