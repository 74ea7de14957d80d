"""A trained student as an ONNX file that the pipeline takes as its segmenter."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.whole_files import replacing
from stages.models.segmenters.onnx import CLASSES_KEY
from stages.models.weights import reason
from steadymask.training.students import Student

OPSET = 17
SIZE = 96, 64  # of the picture that is traced; its sides stay open
OTHER = 64, 160  # of one that the file is tried with
TOLERANCE = 1e-3  # of a probability


class _Deployed(nn.Module):
    """RGB pictures of 8 bits in, probabilities out."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, pictures: Tensor) -> Tensor:
        scores: Tensor = self.student(pictures.float() / 255)
        return scores.softmax(dim=1)


def export_onnx(student: Student, path: Path) -> None:
    """Write a student as ONNX, whole or not at all, and check that it computes the same.

    Its input is RGB, (N, 3, H, W) uint8, of any size: normalisation is inside. Its output is
    probabilities (N, C, H, W), the background first; the file's metadata say which labels the
    others are. So ``--segmenter student.onnx`` needs no settings.

    Parameters
    ----------
    student : Student
        It is put in eval mode.
    path : Path

    Raises
    ------
    PipelineError
        If the network holds what ONNX cannot, or the file computes something else.
    """
    network = _Deployed(student).eval().cpu()
    with replacing(path) as draft:
        try:
            _trace(network, draft)
        except Exception as error:  # the exporter has many kinds
            raise PipelineError(
                f"{path}: {student.name} cannot be written as ONNX: {reason(error)}"
            ) from error
        _add_classes(draft, student.class_ids)
        _compare(network, draft, path)


def _trace(network: nn.Module, draft: Path) -> None:
    picture = torch.zeros((1, 3, *SIZE), dtype=torch.uint8)
    sides = {0: "n", 2: "h", 3: "w"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tracing: the file is tried at another size below
        torch.onnx.export(
            network, (picture,), str(draft), dynamo=False, opset_version=OPSET,
            input_names=["pictures"], output_names=["probabilities"],
            dynamic_axes={"pictures": sides, "probabilities": sides},
        )  # fmt: skip


def _add_classes(draft: Path, class_ids: Sequence[int]) -> None:
    """Write into the file's metadata which labels its channels are."""
    import onnx

    model = onnx.load(draft)
    onnx.helper.set_model_props(model, {CLASSES_KEY: json.dumps(class_ids)})
    onnx.save(model, draft)


@torch.no_grad()
def _compare(network: nn.Module, draft: Path, path: Path) -> None:
    """Refuse a file that gives other probabilities than the network."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors come as exceptions
    session = onnxruntime.InferenceSession(str(draft), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for size in (SIZE, OTHER):
        picture = rng.integers(0, 256, (1, 3, *size), np.uint8)
        wanted = network(torch.from_numpy(picture)).numpy()
        probabilities = session.run(None, {"pictures": picture})[0]
        apart = (
            float(np.abs(probabilities - wanted).max())
            if probabilities.shape == wanted.shape
            else np.inf
        )
        if not apart <= TOLERANCE:
            raise PipelineError(
                f"{path}: expected the network's probabilities for a picture of {size}, got some "
                f"that differ by {apart:g}: does its graph depend on what is in the picture, or "
                "on its size?"
            )
