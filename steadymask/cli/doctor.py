"""``doctor``: checks that everything a run needs is here."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.exit_status import ExitStatus
from stages.media.footage.ffmpeg import ffmpeg_path


def main(arguments: Sequence[str]) -> int:
    """Print one line a check; return 0 if all is well, else 1."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("ffmpeg", _check_ffmpeg),
        ("OpenCV with contrib", _check_opencv),
        ("Ray", lambda: _package_version("ray")),
        ("torch", _check_torch),
        ("torchvision", _check_torchvision),
        ("ptlflow", lambda: _package_version("ptlflow")),
        ("onnxruntime", lambda: _package_version("onnxruntime")),
    ]
    failed = 0
    for name, check in checks:
        try:
            with _no_noise():
                version = check()
            print(f"ok      {name}: {version}", flush=True)
        except Exception as error:  # noqa: BLE001 - what is broken raises whatever it likes
            failed += 1
            print(f"failed  {name}: {error}", flush=True)
    return ExitStatus.FAILED if failed else ExitStatus.DONE


@contextmanager
def _no_noise() -> Iterator[None]:
    """Send what libraries say on being imported nowhere, also what they write past Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    null, kept = os.open(os.devnull, os.O_WRONLY), [os.dup(1), os.dup(2)]
    try:
        for number in (1, 2):
            os.dup2(null, number)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)
        os.close(null)


def _check_ffmpeg() -> str:
    path = ffmpeg_path()
    done = subprocess.run([path, "-version"], capture_output=True, text=True, check=True)
    system = shutil.which("ffmpeg")
    origin = "the system's" if path == system else "imageio-ffmpeg's"
    passed_over = f"; {system} is too old or does not run" if system and path != system else ""
    return f"{done.stdout.split()[2]}, {origin}{passed_over}"


def _check_opencv() -> str:
    import cv2

    if not hasattr(cv2, "ximgproc"):
        raise ImportError(
            "cv2.ximgproc is missing, opencv-python lies over opencv-contrib-python: pip install "
            "--force-reinstall --no-deps opencv-contrib-python"
        )
    return str(cv2.__version__)


def _check_torch() -> str:
    import torch

    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{torch.__version__}, {cuda}"


def _check_torchvision() -> str:
    try:
        return _package_version("torchvision")
    except RuntimeError as error:
        raise ImportError(
            f"it does not fit torch {importlib.metadata.version('torch')} ({error}): install both "
            "from one index, see docs/installing.md"
        ) from error


def _package_version(package: str) -> str:
    importlib.import_module(package)
    return importlib.metadata.version(package)
