"""Refiners of masks as ONNX files, run by onnxruntime on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from stages.models.segmenters.onnx import open_session
from stages.models.weights import reason

MULTIPLE = 32  # that most networks want both sides to be of
CHANNELS = ([4], [3, 1], [1, 3])  # of the inputs: a stack, or picture and mask apart


class OnnxRefiner:
    """An ONNX model of one float input (1, 4, H, W), RGB and mask, or of two, all in [0, 1].

    Sides are filled up to multiples of `MULTIPLE` by mirroring. The first output of one plane of
    that size is the refined mask.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ConfigError
        If there is no such file.
    InputError
        If it cannot be read, or its inputs are others.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session = open_session(path, "cpu", "--refiner")
        entries = self._session.get_inputs()
        self._inputs = {entry.name: entry.shape for entry in entries}
        channels = [shape[1] if len(shape) == 4 else None for shape in self._inputs.values()]
        if channels not in CHANNELS or any(entry.type != "tensor(float)" for entry in entries):
            actual = [(entry.name, entry.type, entry.shape) for entry in entries]
            raise InputError(
                f"{path}: expected one float input (1, 4, H, W) of picture and mask, or two of 3 "
                f"and 1 channels, got {actual}"
            )

    def __call__(self, picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Return the mask as the model refines it, its range unchecked.

        Parameters
        ----------
        picture : ndarray, shape (H, W, 3), uint8
            RGB.
        mask : ndarray, shape (H, W), bool

        Returns
        -------
        ndarray, shape (H, W)

        Raises
        ------
        InputError
            If the model fails, or has no output of one plane of the input's size.
        """
        rows, columns = mask.shape
        colours = picture.astype(np.float32) / np.float32(255)
        stack = np.dstack([colours, mask.astype(np.float32)])
        below, right = -rows % MULTIPLE, -columns % MULTIPLE
        filled = cv2.copyMakeBorder(stack, 0, below, 0, right, cv2.BORDER_REFLECT)
        planes = np.ascontiguousarray(np.moveaxis(filled, -1, 0)[None])
        parts = {4: planes, 3: planes[:, :3], 1: planes[:, 3:]}
        feed = {name: parts[shape[1]] for name, shape in self._inputs.items()}
        try:
            answers = [np.asarray(answer) for answer in self._session.run(None, feed)]
        except Exception as error:  # onnxruntime has many kinds
            raise InputError(
                f"{self._path}: cannot take a picture of {planes.shape[2:]}: {reason(error)}"
            ) from error
        for answer in answers:
            if answer.shape[-2:] == planes.shape[2:] and answer.size == planes[0, 0].size:
                plane: NDArray[Any] = answer.reshape(planes.shape[2:])[:rows, :columns]
                return plane
        raise InputError(
            f"{self._path}: expected an output of one plane of {planes.shape[2:]}, got "
            f"{[answer.shape for answer in answers]}"
        )
