"""One door to the refiners: the one that comes with the project, others' weights, functions."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from stages.models.weights import reason

Refiner = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.float32]]
"""From a picture (H, W, 3), RGB, and a mask (H, W) to probabilities (H, W) in [0, 1]."""


def load_refiner(spec: str = "") -> Refiner:
    """Return a refiner of masks.

    Parameters
    ----------
    spec : str
        Empty: the one that comes with the project; a .safetensors file of
        `steadymask.training.refiner_recipe`; an .onnx file, see `OnnxRefiner`; or
        ``module:function`` of a picture (H, W, 3) uint8 and a mask (H, W) bool, that returns a
        bool mask or probabilities of that size.

    Raises
    ------
    ConfigError
        If it is none of these, or there is no such file or function.
    InputError
        If weights cannot be read; later, if the model or function fails or returns something else.
    """
    if not spec or spec.endswith(".safetensors"):
        from stages.models.refiners.cascade import SHIPPED, CascadeRefiner

        return CascadeRefiner(Path(spec) if spec else SHIPPED)
    if spec.lower().endswith(".onnx"):
        from stages.models.refiners.onnx_refiner import OnnxRefiner

        return _CheckedRefiner(spec, OnnxRefiner(Path(spec)))
    module, _, name = spec.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except Exception as error:  # a user's module may fail in any way
        raise ConfigError(
            f"--refiner {spec!r}: expected module:function that Python can import, or a "
            f".safetensors or .onnx file: {reason(error)}"
        ) from error
    if not callable(function):
        raise ConfigError(
            f"--refiner {spec!r}: expected a function, got a {type(function).__name__}"
        )
    return _CheckedRefiner(spec, function)


class _CheckedRefiner:
    """A user's function or model, its answers checked."""

    def __init__(self, spec: str, function: Callable[..., Any]) -> None:
        self._spec, self._function = spec, function

    def __call__(self, picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        try:
            answer = np.asarray(self._function(picture.copy(), mask.copy()))  # it may write to them
        except InputError:
            raise
        except Exception as error:
            kind = type(error).__name__
            raise InputError(f"{self._spec}: raised {kind}: {reason(error)}") from error
        if answer.shape != mask.shape or answer.dtype.kind not in "bf":
            raise InputError(
                f"{self._spec}: expected a bool mask or float probabilities {mask.shape}, got "
                f"{answer.dtype} {answer.shape}"
            )
        soft: NDArray[np.float32] = answer.astype(np.float32)
        if soft.size and not (soft.min() >= 0 and soft.max() <= 1):  # NaN is neither
            low, high = float(soft.min()), float(soft.max())
            raise InputError(f"{self._spec}: expected values in [0, 1], got {low:g} to {high:g}")
        return soft
