"""Matting networks of users: picture and trimap in, alpha out."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from pipeline.plugins import code_digest, load_plugin
from stages.models.segmenters.onnx import onnx_digest, open_session
from stages.models.weights import reason
from stages.ops.trimap import keep_known, trimap

SETTING = "export.matting"
MULTIPLE = 32  # that most networks want both sides to be of

Picture = NDArray[np.uint8]
Alpha = NDArray[np.float32]
MattingFunction = Callable[[Picture, Picture], Any]


def matting_digest(spec: str) -> str:
    """Return the digest of a model's file, or of the file that defines a function.

    Raises
    ------
    ConfigError
        If there is no such file.
    """
    if not is_model(spec):
        return code_digest(spec)
    path = Path(spec)
    if not path.is_file():
        raise ConfigError(f"{SETTING} = {spec!r}: no such file")
    return onnx_digest(path)


def is_model(spec: str) -> bool:
    """Return whether a text names an ONNX model, not a function."""
    return spec.lower().endswith(".onnx")


def matted(spec: str, picture: Picture, soft: Alpha) -> Alpha:
    """Return soft masks (H, W, C) in which a network has decided the band around each outline.

    Parameters
    ----------
    spec : str
        ``module:function``, called with a picture (H, W, 3) and a trimap (H, W), uint8 both, which
        returns an alpha (H, W) in [0, 1]; or an ONNX model, see `OnnxMatting`.
    picture : ndarray, shape (H, W, 3), uint8
    soft : ndarray, shape (H, W, C), float32
        See `stages.ops.trimap.trimap`; what is certain there stays 0 or 1.

    Raises
    ------
    ConfigError
        If it cannot be loaded.
    InputError
        If it fails, or returns something other than an alpha.
    """
    network = _load_network(spec)
    out = np.zeros_like(soft)
    for k in range(soft.shape[-1]):
        known = trimap(soft[..., k])
        if (known == known.flat[0]).all():
            out[..., k] = soft[..., k]
            continue
        out[..., k] = keep_known(_checked_alpha(spec, network, picture, known), known)
    shared: Alpha = out / np.maximum(out.sum(axis=-1, keepdims=True), np.float32(1))
    return shared


def _checked_alpha(spec: str, network: MattingFunction, picture: Picture, known: Picture) -> Alpha:
    try:
        alpha = np.asarray(network(picture.copy(), known.copy()))
    except InputError:
        raise
    except Exception as error:  # a user's function may fail in any way
        kind = type(error).__name__
        raise InputError(f"{SETTING} = {spec}: raised {kind}: {reason(error)}") from error
    if alpha.shape != known.shape or alpha.dtype.kind != "f":
        raise InputError(
            f"{SETTING} = {spec}: expected an alpha {known.shape} of floats, got {alpha.dtype} "
            f"{alpha.shape}"
        )
    low, high = float(alpha.min()), float(alpha.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # NaN is neither
        raise InputError(f"{SETTING} = {spec}: expected values in [0, 1], got {low:g} to {high:g}")
    return alpha.astype(np.float32).clip(0, 1)


@lru_cache(maxsize=2)
def _load_network(spec: str) -> MattingFunction:
    if is_model(spec):
        return OnnxMatting(Path(spec))
    function: MattingFunction = load_plugin(spec, setting=SETTING, group="", known=("MODEL.onnx",))
    if not callable(function):
        raise ConfigError(f"{SETTING} = {spec!r}: expected a function, got {function!r:.60}")
    return function


class OnnxMatting:
    """An ONNX model of one input (1, 4, H, W), RGB and trimap, or of two, in [0, 1] all.

    Sides are filled up to multiples of `MULTIPLE` by mirroring. The first output of one plane is
    the alpha.

    Raises
    ------
    InputError
        If it cannot be read, or its inputs are others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session = open_session(path, "cpu", SETTING)
        self._inputs = {entry.name: entry.shape for entry in self._session.get_inputs()}
        channels = [shape[1] if len(shape) == 4 else None for shape in self._inputs.values()]
        if channels not in ([4], [3, 1], [1, 3]):
            raise InputError(
                f"{path}: expected one input (1, 4, H, W) of picture and trimap, or two of 3 and 1 "
                f"channels, got {self._inputs}"
            )

    def __call__(self, picture: Picture, known: Picture) -> Alpha:
        """Return the alpha (H, W) of a picture (H, W, 3) and its trimap (H, W)."""
        rows, columns = known.shape
        stack = np.dstack([picture, known]).astype(np.float32) / np.float32(255)
        below, right = -rows % MULTIPLE, -columns % MULTIPLE
        filled = cv2.copyMakeBorder(stack, 0, below, 0, right, cv2.BORDER_REFLECT)
        planes = np.ascontiguousarray(np.moveaxis(filled, -1, 0)[None])
        parts = {4: planes, 3: planes[:, :3], 1: planes[:, 3:]}
        feed = {name: parts[shape[1]] for name, shape in self._inputs.items()}
        for answer in self._session.run(None, feed):
            plane = np.squeeze(np.asarray(answer))
            if plane.shape == filled.shape[:2]:
                return np.asarray(plane[:rows, :columns], np.float32)
        raise InputError(f"{self._path}: expected an output of one plane of {filled.shape[:2]}")
