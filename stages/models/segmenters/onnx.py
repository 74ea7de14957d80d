"""Segmenters as ONNX files, run by onnxruntime."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from stages.models.segmenters.base import RGB, Segmenter, fitted, normalised, resized, scaled
from stages.models.segmenters.onnx_files import external_files
from stages.models.segmenters.onnx_outputs import choose_output
from stages.models.segmenters.onnx_roles import (
    SLACK,
    Activation,
    Background,
    OutputRoles,
    activated_output,
    settle_reading,
)
from stages.models.weights import file_digest, reason

ChannelOrder = Literal["rgb", "bgr"]

DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
STRIDE = 32  # sides that a model leaves open become multiples of it
PROBE_SIDE = 256  # of the picture of noise that tells what such a model gives
COARSEST = 64  # input pixels a side to one of the output
CLASSES_KEY = "steadymask.classes"  # in a model's metadata: the foreground's labels, a JSON list


class OnnxSegmenter(Segmenter):
    """An ONNX model with one picture as input; see `onnx_outputs` for which output is taken.

    Found from the model: layout (NCHW or NHWC), size (a side left open is the picture's, up to the
    next multiple of 32), dtype (uint8 takes the picture as it is). The picture keeps its aspect: it
    is put at the top left and the rest is filled with 0 after normalising. The output may be

    * several float channels. Logits, and probabilities that sum to 1, are of classes that exclude
      one another, the first of them background; probabilities that do not are of classes that are
      independent, without a background. Labels are 1, 2, … or what the model's metadata say under
      `CLASSES_KEY`, as those of students do;
    * one float channel, the probability of the foreground;
    * labels, integers or whole floats, for which `classes` must be given.

    What kind it is and whether it still needs an activation is found once, from a picture of noise
    and the `frames` of a clip, and is said in `notes`; `roles` are the settings that say the same.
    It runs on one thread: with more the last bits would vary.

    A model of a fixed size sees a picture at a scale below 1 smaller on the same canvas; above 1
    there is no room for it.
    """

    def __init__(
        self,
        path: Path,
        *,
        classes: tuple[int, ...] = (),
        mean: RGB,
        std: RGB,
        channels: ChannelOrder = "rgb",
        activation: Activation = "auto",
        background: Background = "auto",
        output: str = "",
        device: str = "cpu",
        frames: Sequence[NDArray[np.uint8]] = (),
    ) -> None:
        self._path, self._mean, self._std, self._channels = path, mean, std, channels
        self._session = open_session(path, device)
        self._read_input()
        pictures = [_noise_picture(*self._canvas_size(PROBE_SIDE, PROBE_SIDE)), *frames]
        names = [entry.name for entry in self._session.get_outputs()]
        samples = self._sample_outputs(pictures, names)
        self._output, note = choose_output(path, samples, output, frames)
        every = [planes for planes in samples[self._output] if not isinstance(planes, str)]
        self._labels = every[0].dtype.kind in "bui" or activation == "labels"
        self._activation: Activation = "none"
        self._first = False
        if self._labels:
            self._activation = "labels"
            self.class_ids = _given_classes(path, classes, every[0])
        else:
            named = CLASSES_KEY in self._model_metadata()
            self._activation, self._first = settle_reading(
                path, every, every[1:],
                activation=activation, background="first" if named else background,
            )  # fmt: skip
            self.class_ids = self._named_classes(len(every[0]) - self._first)
        self.roles = OutputRoles(self._output, self._activation, "first" if self._first else "none")
        self.notes = (f"{path.name}: {note}; {self._output_words(len(every[0]))}",)

    def _sample_outputs(
        self, pictures: Sequence[NDArray[np.uint8]], names: list[str]
    ) -> dict[str, list[NDArray[Any]] | str]:
        """Return by output what it gives for each picture, (C, h, w), or why that is no mask."""
        samples: dict[str, list[NDArray[Any]] | str] = {name: [] for name in names}
        for picture in pictures:
            canvas, (rows, columns) = self._placed_size(picture.shape[0], picture.shape[1], 1)
            answers = self._model_outputs(fitted(picture, rows, columns), canvas, names)
            for name, out in zip(names, answers, strict=True):
                planes = self._try_planes(out, canvas)
                known = samples[name]
                if isinstance(planes, str) or isinstance(known, str):
                    samples[name] = planes if isinstance(planes, str) else known
                    continue
                height, width = planes.shape[1:]
                bottom, right = rows * height / canvas[0], columns * width / canvas[1]
                known.append(planes[:, : math.ceil(bottom), : math.ceil(right)])
        return samples

    def _output_words(self, channels: int) -> str:
        """Return how the output is read."""
        if self._labels:
            return "read as labels (segment.classes)"
        kind = {
            "none": "probabilities",
            "sigmoid": "logits (sigmoid)",
            "softmax": "logits",
            "grey": "probabilities in 255ths",
        }
        if channels == 1:
            return f"read as one foreground, {kind[self._activation]}"
        which = (
            "classes that exclude one another, the first being background"
            if self._first
            else "independent classes without a background"
        )
        return f"read as {kind[self._activation]} of {which} (segment.background, activation)"

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the foreground's probabilities at the model's own size."""
        canvas, (rows, columns) = self._placed_size(frame.shape[0], frame.shape[1], scale)
        out = self._run_model(fitted(frame, rows, columns), canvas)
        soft = self._one_hot(out) if self._labels else self._soft_masks(out)
        return resized(soft, *canvas)[:, :rows, :columns]

    def _one_hot(self, out: NDArray[Any]) -> NDArray[np.float32]:
        """Return labels (1, h, w) as masks."""
        return np.stack([out[0] == label for label in self.class_ids]).astype(np.float32)

    def _soft_masks(self, out: NDArray[Any]) -> NDArray[np.float32]:
        """Return the foreground's probabilities from all channels (C, h, w)."""
        soft = activated_output(out.astype(np.float32), self._activation)
        low, high = float(soft.min()), float(soft.max())
        if not (low >= -SLACK and high <= 1 + SLACK):  # NaN is neither
            raise InputError(
                f"{self._path}: expected probabilities in [0, 1], got {low:g} to {high:g} with "
                f"activation {self._activation}: see --set segment.activation, mean and std"
            )
        return np.clip(soft[1:] if self._first else soft, 0, 1)

    def _read_input(self) -> None:
        """Find what the model wants."""
        entries = self._session.get_inputs()
        try:
            inputs = [(entry.name, entry.type, entry.shape) for entry in entries]
        except UnicodeDecodeError as error:
            raise InputError(f"{self._path}: its inputs have no readable names") from error
        if len(entries) != 1 or len(entries[0].shape) != 4 or entries[0].type not in DTYPES:
            raise InputError(
                f"{self._path}: expected one input, a picture of 4 dimensions of float or uint8, "
                f"got {inputs}"
            )
        self._input, self._dtype, shape = entries[0].name, DTYPES[entries[0].type], inputs[0][2]
        self._channels_first = shape[1] == 3 or shape[3] != 3
        channels, *sides = shape[1:] if self._channels_first else (shape[3], *shape[1:3])
        if isinstance(channels, int) and channels != 3:
            raise InputError(f"{self._path}: expected an input of 3 channels, got {shape}")
        self._sides = [side if isinstance(side, int) and side > 0 else None for side in sides]
        self.most = math.inf if self._sides == [None, None] else 1.0

    def _model_metadata(self) -> dict[str, str]:
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def _named_classes(self, count: int) -> tuple[int, ...]:
        """Return the labels of the foreground channels."""
        named = self._model_metadata().get(CLASSES_KEY)
        if named is None:
            return tuple(range(1, count + 1))
        try:
            labels = tuple(int(label) for label in json.loads(named))
        except (TypeError, ValueError) as error:
            raise InputError(f"{self._path}: {CLASSES_KEY} = {named!r} is no list") from error
        if len(labels) != count or len(set(labels)) < count or min(labels) < 1:
            raise InputError(
                f"{self._path}: expected {CLASSES_KEY} of {count} different labels above 0, one "
                f"for each channel but the first, got {named}"
            )
        return labels

    def _canvas_size(self, rows: int, columns: int) -> tuple[int, int]:
        """Return the rows and columns that the model takes for a picture of a size."""
        height, width = self._sides
        return height or -(-rows // STRIDE) * STRIDE, width or -(-columns // STRIDE) * STRIDE

    def _placed_size(
        self, rows: int, columns: int, scale: float
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return the size of the canvas, and of a picture on it, aspect kept."""
        if self._sides == [None, None]:
            inside = scaled(rows, columns, scale)
            return self._canvas_size(*inside), inside
        canvas = self._canvas_size(rows, columns)
        scale *= min(canvas[0] / rows, canvas[1] / columns)
        return canvas, scaled(rows, columns, scale)

    def _run_model(self, image: NDArray[np.uint8], canvas: tuple[int, int]) -> NDArray[Any]:
        """Return the model's output for a picture on its canvas, (C, h, w)."""
        return self._planes(self._model_outputs(image, canvas, [self._output])[0], canvas)

    def _planes(self, out: NDArray[Any], canvas: tuple[int, int]) -> NDArray[Any]:
        return _planes(out, canvas, channels_first=self._channels_first, path=self._path)

    def _try_planes(self, out: NDArray[Any], canvas: tuple[int, int]) -> NDArray[Any] | str:
        """Return an output as (C, h, w), or why it cannot be."""
        try:
            return self._planes(out, canvas)
        except InputError as error:
            return str(error)

    def _model_outputs(
        self, image: NDArray[np.uint8], canvas: tuple[int, int], names: list[str]
    ) -> list[NDArray[Any]]:
        """Return some of the model's outputs for a picture on its canvas."""
        if self._dtype is np.uint8:
            values: NDArray[Any] = image.transpose(2, 0, 1)
        else:
            values = normalised(image, self._mean, self._std)
        if self._channels == "bgr":
            values = values[::-1]
        below, right = canvas[0] - image.shape[0], canvas[1] - image.shape[1]
        values = np.pad(values, ((0, 0), (0, below), (0, right)))
        batch = (values if self._channels_first else values.transpose(1, 2, 0))[None]
        feed = {self._input: np.ascontiguousarray(batch, self._dtype)}
        try:
            return [np.asarray(out) for out in self._session.run(names, feed)]
        except Exception as error:  # onnxruntime has many kinds
            raise InputError(
                f"{self._path}: cannot take an input {batch.shape}: {reason(error)}"
            ) from error


def onnx_digest(path: Path) -> str:
    """Return the SHA-256 of a model, with the files of its weights where they lie apart.

    Raises
    ------
    InputError
        If a file is missing, or the model is damaged or names files of elsewhere.
    """
    own = file_digest(path)
    apart = external_files(path)
    if not apart:
        return own
    return hashlib.sha256("".join([own, *map(file_digest, apart)]).encode()).hexdigest()


def open_session(path: Path, device: str, setting: str = "--segmenter") -> Any:
    """Return a model opened by onnxruntime on a device, one thread a session.

    Raises
    ------
    ConfigError
        If there is no such file or device.
    InputError
        If it cannot be read, or its weights lie elsewhere.
    """
    import onnxruntime

    if not path.is_file():
        raise ConfigError(f"{setting} {path}: no such file")
    offered = onnxruntime.get_available_providers()
    provider = PROVIDERS.get(device.partition(":")[0])
    if provider not in offered:
        raise ConfigError(
            f"segment.device = {device!r}: onnxruntime offers {', '.join(offered)} here; expected "
            "cpu, or cuda with onnxruntime-gpu installed"
        )
    external_files(path)  # refuses those of elsewhere; only new versions of onnxruntime do
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors come as exceptions
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # onnxruntime has many kinds
        raise InputError(f"{path}: not a readable ONNX model: {reason(error)}") from error


def _noise_picture(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)


def _given_classes(path: Path, classes: tuple[int, ...], probe: NDArray[Any]) -> tuple[int, ...]:
    if len(probe) != 1:
        raise InputError(
            f"{path}: expected one plane of integer labels, got {len(probe)} of {probe.dtype}"
        )
    if not classes:
        raise ConfigError(
            f"--segmenter {path}: it gives labels: say which, e.g. --set segment.classes=[1]"
        )
    return classes


def _planes(
    out: NDArray[Any], size: tuple[int, int], *, channels_first: bool, path: Path
) -> NDArray[Any]:
    """Return an output as (C, h, w).

    The axis of the channels is the one without which the output has the picture's aspect; where
    that holds for two, the output is laid out as the input is.
    """
    shape = out.shape
    if out.ndim == 4 and len(out) == 1:
        out = out[0]
    if out.ndim == 2:
        out = out[None]
    first = out.ndim == 3 and _has_aspect(out.shape[1:], size)
    last = out.ndim == 3 and _has_aspect(out.shape[:2], size)
    if not first and not last:
        raise InputError(
            f"{path}: expected an output (1, C, H, W) of the aspect of the input {size}, "
            f"got {shape}"
        )
    if first and (channels_first or not last):
        return out
    return np.ascontiguousarray(out.transpose(2, 0, 1))


def _has_aspect(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether one size is the other scaled, but for a pixel of rounding."""
    (rows, columns), (height, width) = shape, size
    alike = abs(rows * width - columns * height) <= max(height, width)
    return alike and rows * COARSEST >= height
