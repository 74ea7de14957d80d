"""A student that starts from a trained network: DeepLabV3 on MobileNetV2, of any width.

The weights are read from a quantised TFLite file (google-coral/test_data, Apache-2.0, 21 classes of
PASCAL VOC), so that no other framework is needed. Environment variable: `STUDENT_WEIGHTS`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from stages.models.segmenters.base import IMAGENET

STRIDED = (1, 3, 6)  # blocks that halve the picture
DILATED = (14, 15, 16)  # blocks behind the stride that DeepLab left out
LAST_AT = (0, 2, 5)  # blocks after which a picture of a half, a quarter, an eighth is complete
WIDTHS = (16, 16, 24)  # of the refinement, from fine to coarse
BYTE, INTEGER = 3, 2  # types of a TFLite tensor


class DeepLab(nn.Module):
    """DeepLabV3 as it was trained, its scores refined at half the size of the picture.

    The refinement's last layer starts at 0: untrained, the network gives DeepLab's own masks.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classes: int, first: int, outputs: Sequence[int]) -> None:
        super().__init__()
        for which, values in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(which, torch.tensor(values)[:, None, None], persistent=False)
        self.first = nn.Conv2d(3, first, 3, 2, 1)
        sources = (first, *outputs)
        self.blocks = nn.ModuleList(
            Inverted(a, b, number) for number, (a, b) in enumerate(pairwise(sources))
        )
        self.near, self.whole = (nn.Conv2d(outputs[-1], 256, 1) for _ in range(2))
        self.both, self.voc = nn.Conv2d(512, 256, 1), nn.Conv2d(256, 21, 1)
        skips = [sources[number + 1] for number in LAST_AT]
        coarser = (*WIDTHS[1:], classes)
        self.up = nn.ModuleList(
            _refining(skip + coarse + classes * (level < len(skips) - 1), width)
            for level, (skip, coarse, width) in enumerate(zip(skips, coarser, WIDTHS, strict=True))
        )
        self.scores = nn.Conv2d(WIDTHS[0], classes, 1)
        nn.init.zeros_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)
        self._classes = classes

    def forward(self, pictures: Tensor) -> Tensor:
        """Return scores at half the size of the pictures."""
        values = (pictures * self.std + self.mean) * 2 - 1
        values = functional.relu6(self.first(values))
        fine = []
        for number, block in enumerate(self.blocks):
            values = block(values)
            if number in LAST_AT:
                fine.append(values)
        whole = functional.relu(self.whole(values.mean(dim=(2, 3), keepdim=True)))
        near = functional.relu(self.near(values))
        both = torch.cat([whole.expand(-1, -1, *near.shape[-2:]), near], dim=1)
        voc = self.voc(functional.relu(self.both(both)))
        coarse = torch.cat([voc[:, :1], voc[:, 1:].logsumexp(dim=1, keepdim=True)], dim=1)
        values = _enlarged(coarse, fine[2])
        for level in (2, 1, 0):
            own = _enlarged(coarse, fine[level])
            parts = [fine[level], _enlarged(values, fine[level])] + [own] * (level < 2)
            values = self.up[level](torch.cat(parts, dim=1))
        scores: Tensor = self.scores(values) + own
        return scores


class Inverted(nn.Module):
    """A block of MobileNetV2, normalisation folded into its convolutions."""

    def __init__(self, sources: int, width: int, number: int) -> None:
        super().__init__()
        inner = sources * 6 if number else sources
        self.expand = nn.Conv2d(sources, inner, 1) if number else None
        apart = 2 if number in DILATED else 1
        stride = 2 if number in STRIDED else 1
        self.depthwise = nn.Conv2d(inner, inner, 3, stride, apart, apart, groups=inner)
        self.project = nn.Conv2d(inner, width, 1)
        self._adds = sources == width and stride == 1

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same size, or half of it."""
        values = features if self.expand is None else functional.relu6(self.expand(features))
        out: Tensor = self.project(functional.relu6(self.depthwise(values)))
        return out + features if self._adds else out


def refined(classes: int) -> nn.Module:
    """Return the student, as `module:function` is called: its refinement alone learns.

    Trained further on a few sequences, all of it forgets what it knows of others.
    """
    if classes != 2:
        raise ValueError(f"expected 2 classes, background and foreground, got {classes}")
    network = filled(classes, Path(os.environ["STUDENT_WEIGHTS"]))
    network.requires_grad_(False)
    network.up.requires_grad_(True)
    network.scores.requires_grad_(True)
    return network


def filled(classes: int, path: Path) -> DeepLab:
    """Return a network with the weights of the file, in the order of the file's convolutions."""
    filled_layers = convolutions(path)
    counts = [len(bias) for _, bias in filled_layers]
    network = DeepLab(classes, counts[0], [counts[2], *counts[5:-4:3]])
    layers = [network.first]
    for block in network.blocks:
        layers += [layer for layer in block.children() if isinstance(layer, nn.Conv2d)]
    layers += [network.near, network.whole, network.both, network.voc]
    if len(filled_layers) != len(layers):
        raise ValueError(f"{path}: expected {len(layers)} convolutions, got {len(filled_layers)}")
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, filled_layers, strict=True):
            order = (3, 0, 1, 2) if layer.groups > 1 else (0, 3, 1, 2)
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight.transpose(order))))
            layer.bias.copy_(torch.from_numpy(bias))
    return network


def convolutions(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return weights and biases of a TFLite file's convolutions, in the order they are computed.

    See schema.fbs of TensorFlow Lite: numbers of fields are those of its tables.
    """
    content = path.read_bytes()
    model = _Table(content, struct.unpack_from("<I", content)[0])
    graph, buffers = model.tables(2)[0], model.tables(4)
    tensors = graph.tables(0)
    layers = []
    for operator in graph.tables(3):
        inputs = operator.vector(1, "<i4").tolist()
        values = [_real(tensors[number], buffers) for number in inputs[1:]]
        if len(values) == 2 and values[0].ndim == 4 and values[1].ndim == 1:
            layers.append((values[0], values[1]))
    return layers


def _real(tensor: _Table, buffers: Sequence[_Table]) -> NDArray[np.float32]:
    """Return a constant tensor as it is meant; one that is computed is empty."""
    kinds = {BYTE: np.dtype("u1"), INTEGER: np.dtype("<i4")}
    stored = buffers[tensor.number(2, "I")].vector(0, "u1")
    kind = kinds.get(tensor.number(1, "b"))
    scales = tensor.table(4)
    if kind is None or scales is None or not len(stored) or not len(scales.vector(2, "<f4")):
        return np.zeros(0, np.float32)
    values = np.frombuffer(stored.tobytes(), kind).astype(np.float32)
    values = (values - scales.vector(3, "<i8")) * scales.vector(2, "<f4")
    return values.reshape(tensor.vector(0, "<i4")).astype(np.float32)


class _Table:
    """A table of a flat buffer."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at

    def _field(self, number: int) -> int:
        """Return where a field is, 0 where it has its default."""
        names = self._at - self._read("i", self._at)
        if 4 + 2 * number >= self._read("H", names):
            return 0
        offset = self._read("H", names + 4 + 2 * number)
        return self._at + offset if offset else 0

    def _target(self, number: int) -> int:
        at = self._field(number)
        return at + self._read("I", at) if at else 0

    def number(self, number: int, kind: str) -> int:
        at = self._field(number)
        return self._read(kind, at) if at else 0

    def vector(self, number: int, kind: str) -> NDArray[np.generic]:
        at = self._target(number)
        count = self._read("I", at) if at else 0
        return np.frombuffer(self._content, kind, count, at + 4 if at else 0)

    def table(self, number: int) -> _Table | None:
        at = self._target(number)
        return _Table(self._content, at) if at else None

    def tables(self, number: int) -> list[_Table]:
        at = self._target(number)
        places = [at + 4 + 4 * k for k in range(self._read("I", at) if at else 0)]
        return [_Table(self._content, offset + self._read("I", offset)) for offset in places]

    def _read(self, kind: str, at: int) -> int:
        return int(struct.unpack_from(f"<{kind}", self._content, at)[0])


def _refining(sources: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(sources, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
    )  # fmt: skip


def _enlarged(values: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(values, like.shape[-2:], mode="bilinear", align_corners=False)
