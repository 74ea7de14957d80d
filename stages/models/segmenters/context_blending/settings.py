"""The settings of a video network, as its file's metadata hold them; needs no torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import ConfigError, InputError

Model = Literal["per_frame", "tcb"]
MODELS: tuple[Model, ...] = ("per_frame", "tcb")
CONTEXTS = ("ppm", "ocr")
DILATIONS = (3, 6, 9)
FORMAT, VERSION = "steadymask video network", "1"
MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class NetworkSettings:
    """All that builds a video network again.

    Attributes
    ----------
    model : {"per_frame", "tcb"}
    class_ids : tuple of int
        Labels of the foreground classes, in the order of the channels.
    backbone : str
        One of `stages.models.segmenters.context_blending.network.BACKBONES`.
    context : tuple of str
        Of `CONTEXTS`; none: the head sees the frame's own features alone.
    dilations : tuple of int, each > 0
        Frames back to each support frame; none in a per-frame network.
    memory : int
        Frames back from which the memory of object regions is filled, every ``dilations[0]``
        frames; 0: none, the support frames are averaged.
    share : float, in (0, 1]
        Weight with which a frame is written into the memory.
    """

    model: Model
    class_ids: tuple[int, ...]
    backbone: str = "small"
    context: tuple[str, ...] = CONTEXTS
    dilations: tuple[int, ...] = DILATIONS
    memory: int = 0
    share: float = 0.5

    @property
    def reach(self) -> int:
        """How many frames back it looks."""
        return max((*self.dilations, self.memory), default=0)

    def metadata(self) -> dict[str, str]:
        """Return the metadata of a weights file."""
        return {"format": FORMAT, "version": VERSION, "network": json.dumps(asdict(self))}


def read_settings(path: Path) -> NetworkSettings:
    """Return the settings in the metadata of a file that `train` wrote.

    Raises
    ------
    InputError
        If it is missing, damaged, or another file.
    """
    about = read_metadata(path)
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise InputError(
            f"{path}: expected a video network of version {VERSION} as run_pipeline.py train "
            f"writes, got {about.get('format', 'other weights')!r} of version "
            f"{about.get('version')!r}"
        )
    try:
        values = json.loads(about["network"])
        for name in ("class_ids", "context", "dilations"):
            values[name] = tuple(values[name])
        return NetworkSettings(**values)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: expected settings of a video network, got {about.get('network')!r}: "
            "train it again"
        ) from error


def network_file(spec: str) -> Path:
    """Return the file of ``model:FILE``.

    Raises
    ------
    ConfigError
        If it holds another of `MODELS`.
    InputError
        If it cannot be read.
    """
    model, _, name = spec.partition(":")
    path = Path(name)
    settings = read_settings(path)
    if settings.model != model:
        raise ConfigError(
            f"--segmenter {spec}: expected a file of `train {model}`, got one of "
            f"`train {settings.model}`: use --segmenter {settings.model}:{name}"
        )
    return path


def is_video_network(spec: str) -> bool:
    """Return whether a segmenter is a file of `train`, by its prefix."""
    return spec.partition(":")[0] in MODELS and ":" in spec


def read_metadata(path: Path) -> Mapping[str, Any]:
    """Return the metadata of a .safetensors file: 8 bytes of length, then JSON.

    Raises
    ------
    InputError
        If it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, MOST_HEADER_BYTES)))
        about: Mapping[str, Any] = header.get("__metadata__", {})
    except (OSError, ValueError, struct.error, AttributeError) as error:
        raise InputError(
            f"{path}: expected a .safetensors file as run_pipeline.py train writes: {error}"
        ) from error
    return about
