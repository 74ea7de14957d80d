"""Segmentation models of torchvision, by name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from stages.models.segmenters.base import IMAGENET, Segmenter, fitted, normalised
from stages.models.torch_models import (
    RANDOM,
    RANDOM_DIGEST,
    fill,
    move_to_device,
    repeatable,
    seeded,
)
from stages.models.weights import download, file_digest, load_checkpoint, tensors

SHORT_SIDE = 520  # that its weights were trained at
LONGEST_SIDE = 2080  # of very narrow pictures
SMALLEST_SIDE = 32


class TorchvisionSegmenter(Segmenter):
    """A torchvision model; class 0 is its background.

    Weights fine-tuned to other classes are taken too: their number is read from the last layer.
    """

    def __init__(self, name: str, weights: str, device: str) -> None:
        import torchvision

        path = _weights_path(name, weights)
        state = tensors(load_checkpoint(path)) if path else {}
        state = {key: value for key, value in state.items() if not key.startswith("aux_classifier")}
        count = _class_count(state, len(_default_weights(name).meta["categories"]))
        with seeded():
            self._model = torchvision.models.get_model(
                name, weights=None, weights_backbone=None, num_classes=count
            )
        if path:
            fill(self._model, state, path=path, name=name)
        move_to_device(self._model, device, setting="segment.device")
        self._device = device
        self.class_ids = tuple(range(1, count))

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return softmax probabilities at the size the model was trained at."""
        import torch

        rows, columns = working_size(frame.shape[0], frame.shape[1], scale)
        image = normalised(fitted(frame, rows, columns), *IMAGENET)
        with repeatable():
            logits = self._model(torch.from_numpy(image)[None].to(self._device))["out"]
            soft: NDArray[np.float32] = logits.float().softmax(dim=1)[0, 1:].cpu().numpy()
        return soft


def torchvision_digest(name: str, weights: str) -> str:
    """Return the SHA-256 of the weights that the model would take, downloaded if need be."""
    path = _weights_path(name, weights)
    return file_digest(path) if path else RANDOM_DIGEST


def _default_weights(name: str) -> Any:
    """Return torchvision's own weights of a model."""
    import torchvision

    names = torchvision.models.list_models(module=torchvision.models.segmentation)
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"--segmenter {name!r}: expected one of {', '.join(names)}, a file.onnx, or "
            f"module:function{hint}"
        )
    return torchvision.models.get_model_weights(name).DEFAULT


def _weights_path(name: str, weights: str) -> Path | None:
    """Return the file of the weights, None for random ones."""
    default = _default_weights(name)
    if weights == RANDOM:
        return None
    return Path(weights) if weights else download(default.url, setting="segment.weights")


def _class_count(state: dict[str, Any], default: int) -> int:
    """Return the number of classes, background included, of the last layer of `state`."""
    last = [key for key in state if key.startswith("classifier.") and key.endswith(".bias")][-1:]
    return int(state[last[0]].shape[0]) if last else default


def working_size(rows: int, columns: int, scale: float = 1.0) -> tuple[int, int]:
    """Return the size at which the model sees a picture of (rows, columns)."""
    scale *= min(SHORT_SIDE / min(rows, columns), LONGEST_SIDE / max(rows, columns))
    return max(round(rows * scale), SMALLEST_SIDE), max(round(columns * scale), SMALLEST_SIDE)
