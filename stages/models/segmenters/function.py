"""Users' own segmenters: a function of one picture."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from pipeline.plugins import code_digest, let_import
from stages.models.segmenters.base import Segmenter, fitted, scaled
from stages.models.weights import reason

__all__ = ["FunctionSegmenter", "function_digest", "let_import"]


class FunctionSegmenter(Segmenter):
    """Calls ``module:function`` with each picture (H, W, 3) uint8, RGB.

    It returns integer or bool labels (H, W), or float probabilities of the foreground (C, H, W) in
    the order of `classes`; for one class (H, W) will do. Labels not in `classes` are background.
    The function must depend on nothing but the picture.

    Raises
    ------
    ConfigError
        If the module cannot be imported or has no such function, or `classes` is empty: the plan
        needs them before the first picture.
    """

    def __init__(self, spec: str, classes: tuple[int, ...]) -> None:
        module, _, name = spec.partition(":")
        try:
            self._function = getattr(importlib.import_module(module), name)
        except Exception as error:  # a user's module may fail in any way
            raise ConfigError(
                f"--segmenter {spec!r}: expected a function of a module that Python can import: "
                f"{reason(error)}"
            ) from error
        if not callable(self._function):
            kind = type(self._function).__name__
            raise ConfigError(f"--segmenter {spec!r}: expected a function, got a {kind}")
        if not classes:
            raise ConfigError(
                f"--segmenter {spec!r}: say which labels it gives, e.g. --set segment.classes=[1]"
            )
        self._spec, self.class_ids = spec, classes

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the function's answer, checked."""
        if scale != 1:
            frame = fitted(frame, *scaled(frame.shape[0], frame.shape[1], scale))
        try:
            answer = np.asarray(self._function(frame.copy()))  # it may write to it
        except Exception as error:
            kind = type(error).__name__
            raise InputError(f"{self._spec}: raised {kind}: {reason(error)}") from error
        size = frame.shape[:2]
        if answer.dtype.kind in "bui" and answer.shape == size:
            return np.stack([answer == label for label in self.class_ids]).astype(np.float32)
        if answer.ndim == 2 and answer.dtype.kind == "f":
            answer = answer[None]
        self._check_answer(answer, (len(self.class_ids), *size))
        return answer.astype(np.float32)

    def _check_answer(self, answer: NDArray[Any], shape: tuple[int, ...]) -> None:
        if answer.dtype.kind != "f" or answer.shape != shape:
            raise InputError(
                f"{self._spec}: expected integer labels {shape[1:]} or float probabilities "
                f"{shape}, got {answer.dtype} {answer.shape}"
            )
        low, high = float(answer.min()), float(answer.max())
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise InputError(f"{self._spec}: expected values in [0, 1], got {low:g} to {high:g}")


def function_digest(spec: str) -> str:
    """Return the digest of the file that defines a user's function; see `code_digest`."""
    return code_digest(spec)
