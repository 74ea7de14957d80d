"""Weights of networks: found or asked for, checked, never unpickled."""

from __future__ import annotations

import hashlib
import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

READ_BYTES = 1 << 20
# what a crafted checkpoint makes torch raise: its readers check little
BROKEN = (
    *(OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError),
    *(AssertionError, MemoryError, OverflowError, SyntaxError, struct.error),
)
INNER = ("state_dict", "model")  # under which training scripts put the tensors
HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")  # raft-things-802bbcfd.ckpt


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a weights file.

    Raises
    ------
    InputError
        If there is none.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as handle:
            while block := handle.read(READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path}: no such weights ({error.strerror})") from error
    return digest.hexdigest()


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a .safetensors file or a torch checkpoint, running no code of it.

    Raises
    ------
    InputError
        If the file is missing, damaged, holds more than tensors and plain values, or no names.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: not readable as weights: damaged, or it holds Python objects, which are not "
            "loaded because they may run code; expected tensors only, as .safetensors or from "
            "torch.save(model.state_dict(), …)"
        ) from error
    except (*BROKEN, SafetensorError) as error:
        raise InputError(f"{path}: not readable as weights: {reason(error)}") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors):
        raise InputError(f"{path}: expected tensors by name, got a {type(tensors).__name__}")
    return dict(tensors)


def tensors(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's tensors by name, out of what training scripts wrap them in."""
    for key in INNER:
        if isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    return {name.removeprefix("module."): value for name, value in checkpoint.items()}


def download(url: str, *, setting: str) -> Path:
    """Return the file behind `url`, from torch's cache or from the network.

    Parameters
    ----------
    url : str
    setting : str
        What takes a path instead: ``stage.field``, or an option ``--name``.

    Raises
    ------
    InputError
        If it cannot be had: says which file, where to put it, or which setting names it.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.exists():
        return path
    match = HASH_IN_NAME.search(path.name)
    digest = match[1] if match else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
    except (OSError, RuntimeError) as error:  # no network, no room; not what its name says
        how = f"{setting} PATH" if setting.startswith("--") else f"--set {setting}=PATH"
        raise InputError(
            f"weights are not here and cannot be downloaded ({reason(error)}): get {url} and put "
            f"it at {path}, or give its path with {how}"
        ) from error
    return path


def reason(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
