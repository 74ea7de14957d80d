"""Where Numba keeps what it compiled, and when that is out of date."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
STAGES = Path(__file__).parents[2] / "stages"
KERNELS = STAGES / "ops", STAGES / "metrics"
STAMP = "kernels.digest"  # beside the compiled code: the digest of the sources that it is of


def place_compiled_code() -> None:
    """Keep compiled code beside the package, in the user's cache, or in the temporary folder.

    The first of these that can be written. Numba refuses to compile where it can keep nothing. It
    compares a kernel with the file that it is in, and not with the files of the kernels that it
    calls; so all of them are compiled anew when any of their files has changed.
    """
    if VARIABLE in os.environ:
        return
    digest = digest_kernels()
    if is_writable(KERNELS[0]):
        drop_outdated_code(digest)
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if is_writable(cache):
        os.environ[VARIABLE] = str(cache / "steadymask" / f"kernels-{digest}")
        return
    folder = Path(tempfile.gettempdir(), f"steadymask-numba-{os.getuid()}-{digest}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        known = folder.lstat()
        own = known.st_uid == os.getuid() and not known.st_mode & 0o022
    except OSError:
        own = False
    # What lies there is run: a folder that somebody else made is not for us.
    os.environ[VARIABLE] = str(folder) if own and folder.is_dir() else tempfile.mkdtemp()


def digest_kernels() -> str:
    """Return the digest of all files that may hold kernels, 16 hex digits."""
    digest = hashlib.sha256()
    for folder in KERNELS:
        for path in sorted(folder.glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def drop_outdated_code(digest: str) -> None:
    """Remove what Numba keeps beside the package, unless it is of sources with this digest."""
    stamp = KERNELS[0] / "__pycache__" / STAMP
    with suppress(OSError):  # another user's: then Numba keeps its own elsewhere
        if stamp.is_file() and stamp.read_text() == digest:
            return
        for folder in KERNELS:
            for compiled in [*folder.glob("__pycache__/*.nbi"), *folder.glob("__pycache__/*.nbc")]:
                compiled.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        draft = stamp.with_name(f"{STAMP}.{os.getpid()}")
        draft.write_text(digest)
        draft.replace(stamp)


def is_writable(folder: Path) -> bool:
    """Return whether a folder may be written to, or made."""
    while not folder.exists():
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)
