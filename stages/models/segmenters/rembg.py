"""The models of rembg, which cut out whatever stands in front: one foreground class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import ConfigError, InputError
from stages.models.segmenters.base import Segmenter, fitted, scaled
from stages.models.weights import file_digest, reason

PREFIX = "rembg:"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# As their authors state them; of models that are not listed it is said that it is not known.
LICENCES = {
    "u2net": "Apache-2.0", "u2netp": "Apache-2.0", "u2net_human_seg": "Apache-2.0",
    "isnet-general-use": "Apache-2.0", "birefnet-general": "MIT", "birefnet-general-lite": "MIT",
    "birefnet-portrait": "MIT", "birefnet-dis": "MIT", "birefnet-hrsod": "MIT",
    "birefnet-cod": "MIT", "birefnet-massive": "MIT",
    "bria-rmbg": "CC BY-NC 4.0: not for commercial use",
}  # fmt: skip


class RembgSegmenter(Segmenter):
    """A model of the package `rembg`, used as it uses it: one mask of the foreground."""

    class_ids = (1,)

    def __init__(self, spec: str, device: str) -> None:
        self._name = spec.removeprefix(PREFIX)
        self._session = _open_session(self._name, device)
        licence = LICENCES.get(self._name, "not known here: see its authors' page")
        self.notes = (f"{spec}: licence {licence}",)

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the foreground's probability (1, h, w)."""
        if scale != 1:
            frame = fitted(frame, *scaled(frame.shape[0], frame.shape[1], scale))
        masks = self._session.predict(Image.fromarray(frame))
        if len(masks) != 1:
            raise InputError(
                f"{PREFIX}{self._name}: expected one mask a picture, got {len(masks)}: of its "
                "models, take one that cuts out a foreground"
            )
        return np.asarray(masks[0].convert("L"), np.float32)[None] / np.float32(255)


def rembg_digest(spec: str) -> str:
    """Return the SHA-256 of a model's file, downloaded if need be."""
    name = spec.removeprefix(PREFIX)
    kind = _session_class(name)
    try:
        return file_digest(Path(kind.download_models()))
    except Exception as error:  # those of the network, of many kinds
        raise InputError(
            f"--segmenter {spec}: its weights are not here and cannot be downloaded: "
            f"{reason(error)}"
        ) from error


def _session_class(name: str) -> Any:
    try:
        from rembg.sessions import sessions
    except ImportError as error:
        raise ConfigError(
            f"--segmenter {PREFIX}{name}: expected the package rembg: pip install steadymask[rembg]"
        ) from error
    if name not in sessions:
        raise ConfigError(
            f"--segmenter {PREFIX}{name}: expected a model of rembg: {', '.join(sorted(sessions))}"
        )
    if not sessions[name].is_local():
        raise ConfigError(
            f"--segmenter {PREFIX}{name}: expected a model that runs on this machine: this one "
            "sends the pictures to a service"
        )
    return sessions[name]


def _open_session(name: str, device: str) -> Any:
    import onnxruntime

    kind = _session_class(name)
    provider = PROVIDERS.get(device.partition(":")[0])
    if provider not in onnxruntime.get_available_providers():
        raise ConfigError(
            f"segment.device = {device!r}: expected cpu, or cuda with onnxruntime-gpu installed"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more would vary the last bits
    try:
        return kind(name, options, providers=[provider])
    except Exception as error:  # rembg and onnxruntime have many kinds
        raise InputError(
            f"--segmenter {PREFIX}{name}: cannot be loaded: {reason(error)}"
        ) from error
