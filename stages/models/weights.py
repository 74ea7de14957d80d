"""Weights of networks: found or asked for, checked, never unpickled."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.error import URLError

from pipeline.errors import InputError

READ_BYTES = 1 << 20


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a weights file.

    Raises
    ------
    InputError
        If there is none.
    """
    seen = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while block := handle.read(READ_BYTES):
                seen.update(block)
    except OSError as error:
        raise InputError(f"{path}: no such weights ({error.strerror})") from error
    return seen.hexdigest()


def load_state(path: Path) -> dict[str, Any]:
    """Return the tensors by name of a .safetensors file or of a checkpoint.

    Raises
    ------
    InputError
        If the file is missing, damaged, or would have to be unpickled.
    """
    import pickle

    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise InputError(f"{path}: not readable as weights: {why}") from error
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise InputError(f"{path}: not readable as safetensors: {error}") from error
        raise
    found: dict[str, Any] = state.get("state_dict", state)
    return found


def download(url: str, *, setting: str) -> Path:
    """Return the file behind `url`, from torch's cache or from the network.

    Raises
    ------
    InputError
        If it cannot be had: says which file, where to put it, or which setting names it.
    """
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rpartition("/")[2]
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), progress=False)
        except (URLError, OSError) as error:
            raise InputError(
                f"weights are not here and cannot be downloaded ({error}): get {url} and put it "
                f"at {path}, or give its path with --set {setting}=PATH"
            ) from error
    return path
