"""Per-frame segmenters: torchvision by name, ONNX files, users' own functions."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from stages.models.weights import download, load_state

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TORCHVISION_SIDE = 520  # short side that its weights were trained at
FREE_SIDE = 513  # of an ONNX model that takes any size
SEED = 0

Activation = Literal["auto", "softmax", "sigmoid", "none"]


class Segmenter(ABC):
    """Turns one RGB picture (H, W, 3) uint8 into soft masks (C, H, W) float32.

    Attributes
    ----------
    class_ids : tuple of int
        Labels of the C foreground channels; the background is what they leave to 1.
    """

    class_ids: tuple[int, ...]

    @abstractmethod
    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the masks of one picture."""


@lru_cache(maxsize=2)
def load_segmenter(
    spec: str,
    *,
    weights: str = "",
    classes: tuple[int, ...] = (),
    union: bool = False,
    mean: tuple[float, float, float] = IMAGENET[0],
    std: tuple[float, float, float] = IMAGENET[1],
    activation: Activation = "auto",
    device: str = "cpu",
) -> Segmenter:
    """Return a segmenter, loaded once a process.

    Parameters
    ----------
    spec : str
        A torchvision segmentation model, a path ending in .onnx, or ``module:function``: a
        function from a picture to labels (H, W) or to probabilities (C, H, W) of the foreground.
    weights : str
        Of a torchvision model: a path, "random" (for tests), or empty for its default download.
    classes : tuple of int
        Labels to keep; all if empty. A function needs them, so that the plan knows what comes.
    union : bool
        Merge all of them into class 1.
    mean, std : 3 floats
        Subtracted from RGB in [0, 1], and divided by; of an ONNX model.
    activation : {"auto", "softmax", "sigmoid", "none"}
        From an ONNX model's output to probabilities; auto looks at the values' range.
    device : str
        Of a torchvision model.

    Raises
    ------
    ConfigError
        If `spec` names nothing.
    InputError
        If weights or model file cannot be had or read.
    """
    if ":" in spec and not Path(spec).exists():
        inner: Segmenter = _Function(spec, classes)
    elif spec.endswith(".onnx"):
        inner = _Onnx(Path(spec), np.array(mean), np.array(std), activation)
    else:
        inner = _Torchvision(spec, weights, device)
    return _Chosen(inner, classes, union=union) if classes or union else inner


class _Chosen(Segmenter):
    """Some classes of another segmenter, or all of them as one."""

    def __init__(self, inner: Segmenter, classes: tuple[int, ...], *, union: bool) -> None:
        unknown = set(classes) - set(inner.class_ids)
        if unknown:
            raise ConfigError(
                f"segment.classes: expected some of {inner.class_ids}, got {sorted(unknown)}"
            )
        kept = classes or inner.class_ids
        self._rows = [inner.class_ids.index(label) for label in kept]
        self._inner, self._union = inner, union
        self.class_ids = (1,) if union else kept

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        masks = self._inner(frame)[self._rows]
        return np.minimum(masks.sum(axis=0, keepdims=True), 1) if self._union else masks


class _Torchvision(Segmenter):
    def __init__(self, name: str, weights: str, device: str) -> None:
        import torch
        import torchvision

        names = torchvision.models.list_models(module=torchvision.models.segmentation)
        if name not in names:
            raise ConfigError(
                f"--segmenter {name!r}: expected one of {', '.join(names)}, a file.onnx, or "
                "module:function"
            )
        default = torchvision.models.get_model_weights(name).DEFAULT
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            self._model = torchvision.models.get_model(name, weights=None, weights_backbone=None)
        if weights != "random":
            path = Path(weights) if weights else download(default.url, setting="segment.weights")
            self._load(path, name)
        self._model.eval().to(device)
        self._device = device
        self.class_ids = tuple(range(1, len(default.meta["categories"])))

    def _load(self, path: Path, name: str) -> None:
        state = load_state(path)
        state = {key: value for key, value in state.items() if not key.startswith("aux_classifier")}
        try:
            self._model.load_state_dict(state, strict=True)
        except RuntimeError as error:
            why = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: not weights of {name}: {why}") from error

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        rows, columns = frame.shape[:2]
        scale = TORCHVISION_SIDE / min(rows, columns)
        size = (max(round(columns * scale), 1), max(round(rows * scale), 1))
        image = _normalised(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), *IMAGENET)
        with torch.inference_mode():
            logits = self._model(torch.from_numpy(image)[None].to(self._device))["out"]
            wide = torch.nn.functional.interpolate(
                logits.float(), (rows, columns), mode="bilinear", align_corners=False
            )
            soft: NDArray[np.float32] = wide.softmax(dim=1)[0, 1:].cpu().numpy()
        return soft


class _Onnx(Segmenter):
    def __init__(
        self, path: Path, mean: NDArray[Any], std: NDArray[Any], activation: Activation
    ) -> None:
        import onnxruntime

        if not path.is_file():
            raise ConfigError(f"--segmenter {path}: no such file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        offered = onnxruntime.get_available_providers()
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[name for name in wanted if name in offered]
            )
        except Exception as error:
            raise InputError(f"{path}: not a readable ONNX model: {error}") from error
        self._path, self._mean, self._std, self._activation = path, mean, std, activation
        entry = self._session.get_inputs()[0]
        if len(entry.shape) != 4:
            raise InputError(f"{path}: expected one input of 4 dimensions, got {entry.shape}")
        self._name = entry.name
        self._channels_first = entry.shape[1] == 3
        sides = entry.shape[2:4] if self._channels_first else entry.shape[1:3]
        self._size = tuple(side if isinstance(side, int) else FREE_SIDE for side in sides)
        # The classes are known once one picture has gone through.
        channels = len(self._soft(np.zeros((*self._size, 3), np.uint8)))
        self.class_ids = tuple(range(1, channels + 1))

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        small = cv2.resize(frame, self._size[::-1], interpolation=cv2.INTER_LINEAR)
        masks = self._soft(small)
        size = frame.shape[1::-1]
        return np.stack([cv2.resize(m, size, interpolation=cv2.INTER_LINEAR) for m in masks])

    def _soft(self, small: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return foreground probabilities (C, h, w) at the model's size."""
        image = _normalised(small, self._mean, self._std)
        if not self._channels_first:
            image = np.ascontiguousarray(image.transpose(1, 2, 0))
        out = np.asarray(self._session.run(None, {self._name: image[None]})[0])
        if out.ndim != 4:
            raise InputError(f"{self._path}: expected an output (1, C, H, W), got {out.shape}")
        out = out[0] if out.shape[1] <= out.shape[3] else out[0].transpose(2, 0, 1)
        return _probabilities(out.astype(np.float32), self._activation)


class _Function(Segmenter):
    def __init__(self, spec: str, classes: tuple[int, ...]) -> None:
        module, _, name = spec.partition(":")
        try:
            self._function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"--segmenter {spec!r}: {error}") from error
        if not classes:
            raise ConfigError(
                f"--segmenter {spec!r}: say which labels it gives, e.g. --set segment.classes=[1]"
            )
        self._spec, self.class_ids = spec, classes

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        answer = np.asarray(self._function(frame))
        if answer.ndim == 2 and answer.dtype.kind in "bui" and answer.shape == frame.shape[:2]:
            return np.stack([answer == label for label in self.class_ids]).astype(np.float32)
        expected = (len(self.class_ids), *frame.shape[:2])
        if answer.dtype.kind != "f" or answer.shape != expected:
            raise InputError(
                f"{self._spec}: expected integer labels {frame.shape[:2]} or float probabilities "
                f"{expected}, got {answer.dtype} {answer.shape}"
            )
        if not (np.isfinite(answer).all() and answer.min() >= 0 and answer.max() <= 1):
            raise InputError(f"{self._spec}: expected values in [0, 1] and no NaN")
        return answer.astype(np.float32)


def _normalised(image: NDArray[np.uint8], mean: Any, std: Any) -> NDArray[np.float32]:
    """Return (3, H, W), RGB in [0, 1] less the mean, over the deviation."""
    values = (image.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def _probabilities(out: NDArray[np.float32], activation: Activation) -> NDArray[np.float32]:
    """Return foreground probabilities from what a network gave, (C, H, W)."""
    if activation == "auto":
        logits = out.min() < 0 or out.max() > 1
        activation = "none" if not logits else "sigmoid" if len(out) == 1 else "softmax"
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-out)), np.float32)
    if activation == "softmax":
        powers = np.exp(out - out.max(axis=0))
        out = powers / powers.sum(axis=0)
    return out[1:] if len(out) > 1 else out
