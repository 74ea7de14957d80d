"""Students: small networks that see one frame at a time, by name, with weights on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import ConfigError, InputError
from pipeline.whole_files import replacing
from stages.models.segmenters.base import IMAGENET
from stages.models.torch_models import RANDOM, fill
from stages.models.weights import download, load_checkpoint, reason, tensors

NETWORKS = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")
FORMAT, VERSION = "steadymask student", "1"
PROBE = 64  # rows and columns of the picture that tells what a network gives


class Student(nn.Module):
    """A segmentation network with the normalisation of its input.

    Parameters
    ----------
    network : nn.Module
        From pictures (B, 3, H, W), normalised as ImageNet's, to scores (B, C, h, w) of the classes,
        the background first; or to a dict that has them as `out`.
    name : str
        By which `build_student` finds the network again.
    class_ids : sequence of int
        Labels of the foreground classes.

    Raises
    ------
    ConfigError
        If the network gives something else.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, name: str, class_ids: Sequence[int]) -> None:
        super().__init__()
        self.network, self.name, self.class_ids = network, name, tuple(class_ids)
        for which, values in zip(("mean", "std"), IMAGENET, strict=True):
            self.register_buffer(which, torch.tensor(values)[:, None, None], persistent=False)
        layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        self._last = layers[-1:]  # in a list: it is registered already
        self._check_network()

    @property
    def classes(self) -> int:
        """How many classes it tells apart, the background is one of them."""
        return len(self.class_ids) + 1

    def forward(self, frames: Tensor) -> Tensor:
        """Return scores (B, C, H, W) of frames (B, 3, H, W), RGB in [0, 1]."""
        scores: Tensor = self._class_scores(frames)
        if scores.shape[-2:] == frames.shape[-2:]:
            return scores
        return functional.interpolate(
            scores, size=frames.shape[-2:], mode="bilinear", align_corners=False
        )

    def with_features(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores, and the features (B, D, h, w) that the last convolution makes them of."""
        features: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
            for layer in self._last
        ]
        try:
            scores = self(frames)
        finally:
            for hook in hooks:
                hook.remove()
        return scores, features[-1] if features else scores

    def _class_scores(self, frames: Tensor) -> Any:
        answer = self.network((frames - self.mean) / self.std)
        return answer["out"] if isinstance(answer, dict) else answer

    @torch.no_grad()
    def _check_network(self) -> None:
        """Refuse a network that does not give a score for each class."""
        training = self.network.training
        try:
            scores = self.eval()._class_scores(torch.zeros((1, 3, PROBE, PROBE)))
        except Exception as error:  # a user's network may fail in any way
            raise ConfigError(f"--student {self.name}: {reason(error)}") from error
        self.train(training)
        shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        if not isinstance(scores, Tensor) or scores.ndim != 4 or scores.shape[1] != self.classes:
            raise ConfigError(
                f"--student {self.name}: expected scores (B, {self.classes}, H, W) for background "
                f"and labels {self.class_ids}, got {shape}"
            )


def build_student(name: str, class_ids: Sequence[int], *, backbone: str = "") -> Student:
    """Return a student with new weights, but for its backbone.

    Parameters
    ----------
    name : str
        One of `NETWORKS`, of torchvision; or ``module:function``, which is called with the number
        of classes, background included, and returns what `Student` takes.
    class_ids : sequence of int
        Labels of the foreground classes.
    backbone : str
        Of torchvision's networks: path of weights of a MobileNetV3-Large trained on ImageNet,
        "random", or empty to download torchvision's.

    Raises
    ------
    ConfigError
        If there is no such network, or it does not fit the classes.
    InputError
        If the weights cannot be had or read.
    """
    if not class_ids:
        raise ConfigError("--student: expected one class or more beside the background, got none")
    if ":" in name:
        return Student(_own_network(name, len(class_ids) + 1), name, class_ids)
    if name not in NETWORKS:
        raise ConfigError(f"--student {name!r}: expected {', '.join(NETWORKS)}, or module:function")
    import torchvision

    network = torchvision.models.get_model(
        name, weights=None, weights_backbone=None, num_classes=len(class_ids) + 1
    )
    if backbone != RANDOM:
        _fill_backbone(network, name, backbone)
    return Student(network, name, class_ids)


def save_student(path: Path, student: Student) -> None:
    """Write a student's weights and all that is needed to build it again; whole or not at all."""
    from safetensors.torch import save_file

    about = {"format": FORMAT, "version": VERSION, "network": student.name}
    about["class_ids"] = json.dumps(student.class_ids)
    state = {name: value.contiguous().cpu() for name, value in student.state_dict().items()}
    with replacing(path) as draft:
        save_file(state, draft, metadata=about)


def load_student(path: Path) -> Student:
    """Return a student from a file that `save_student` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds other weights.
    ConfigError
        If its network is a function that is not there any more.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not readable as weights: {reason(error)}") from error
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise InputError(
            f"{path}: expected a student of version {VERSION} as run_pipeline.py distill writes, "
            f"got {about.get('format', 'other weights')!r} of version {about.get('version')!r}"
        )
    student = build_student(about["network"], json.loads(about["class_ids"]), backbone=RANDOM)
    fill(student, load_checkpoint(path), path=path, name=student.name)
    return student


def weights_digest(student: Student) -> str:
    """Return the SHA-256 of a student's weights."""
    digest = hashlib.sha256()
    for name, value in student.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def check_classes(student: Student, class_ids: Sequence[int], path: Path) -> None:
    """Refuse a student that was trained for other classes.

    Raises
    ------
    InputError
    """
    if student.class_ids != tuple(class_ids):
        raise InputError(
            f"{path}: expected a student of the classes {tuple(class_ids)} as the labels have, got "
            f"one of {student.class_ids}: start from another, or leave --weights out"
        )


def _own_network(name: str, classes: int) -> nn.Module:
    module, _, function = name.partition(":")
    try:
        network = getattr(import_module(module), function)(classes)
    except Exception as error:  # a user's module may fail in any way
        raise ConfigError(
            f"--student {name!r}: expected a function of a module that Python can import, which "
            f"takes the number of classes: {reason(error)}"
        ) from error
    if not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise ConfigError(f"--student {name!r}: expected a torch.nn.Module, got a {kind}")
    return network


def _fill_backbone(network: nn.Module, name: str, weights: str) -> None:
    from torchvision.models import MobileNet_V3_Large_Weights

    url = MobileNet_V3_Large_Weights.IMAGENET1K_V1.url
    path = Path(weights) if weights else download(url, setting="--backbone-weights")
    state = {
        key.removeprefix("features."): value
        for key, value in tensors(load_checkpoint(path)).items()
        if key.startswith("features.")
    }
    fill(network.get_submodule("backbone"), state, path=path, name=f"the backbone of {name}")
