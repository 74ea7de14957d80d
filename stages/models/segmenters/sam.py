"""SAM and its kin: networks that cut out what boxes and points name, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from stages.models.segmenters.base import at_most_one
from stages.models.segmenters.prompts import Prompt
from stages.models.segmenters.transformers import (
    LOADING,
    PREFIX,
    TYPES,
    Precision,
    import_transformers,
    model_folder,
    read_licence,
)
from stages.models.torch_models import explained, move_to_device, repeatable
from stages.models.weights import reason

KINDS = ("SamModel", "SamHQModel", "Sam2Model")


def is_prompted(spec: str) -> bool:
    """Return whether a segmenter wants boxes or points.

    Raises
    ------
    ConfigError, InputError
        As `model_folder`.
    """
    return spec.startswith(PREFIX) and _architecture(spec) in KINDS


@lru_cache(maxsize=1)
def load_prompted(spec: str, device: str, precision: Precision) -> PromptedSegmenter:
    """Return a network, loaded once a process."""
    return PromptedSegmenter(spec, device, precision)


class PromptedSegmenter:
    """A network of `transformers` that takes boxes and points with each picture.

    It sees one picture at a time: a prompt that does not move with its object loses it. Give some
    along the clip.
    """

    def __init__(self, spec: str, device: str, precision: Precision) -> None:
        transformers = import_transformers(spec)
        folder = model_folder(spec)
        self._spec, self._device = spec, device
        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            kind = getattr(transformers, _architecture(spec))
            with LOADING:
                self._model = kind.from_pretrained(
                    folder, use_safetensors=True, dtype=TYPES[precision], **local
                )
                self._processor = transformers.AutoProcessor.from_pretrained(folder, **local)
        except Exception as error:  # transformers raises whatever a damaged file leads to
            raise InputError(f"--segmenter {spec}: cannot be loaded: {reason(error)}") from error
        move_to_device(self._model, device, setting="segment.device")
        self.notes = (f"{spec}: licence {read_licence(folder)}",)

    def __call__(
        self, frame: NDArray[np.uint8], classes: Sequence[Sequence[Prompt]]
    ) -> NDArray[np.float32]:
        """Return the probability of each class, (C, H, W), of a picture (H, W, 3).

        Parameters
        ----------
        frame : ndarray, shape (H, W, 3), uint8
        classes : sequence of sequences of Prompt
            What to cut out, in pixels of the picture; the largest of a class's prompts counts. A
            class without any is nowhere.
        """
        with repeatable(), explained(f"segmenting {frame.shape[1]} columns", "take a smaller one"):
            whole = self._processor(images=frame, return_tensors="pt")
            pixels = whole["pixel_values"].to(self._device, self._model.dtype)
            embeddings = self._model.get_image_embeddings(pixels)
            masks = [
                np.max([self._cut_out(frame, embeddings, prompt) for prompt in prompts], axis=0)
                if prompts
                else np.zeros(frame.shape[:2], np.float32)
                for prompts in classes
            ]
        return at_most_one(np.stack(masks))

    def _cut_out(
        self, frame: NDArray[np.uint8], embeddings: Any, prompt: Prompt
    ) -> NDArray[np.float32]:
        """Return the probability (H, W) of what a prompt names."""
        told: dict[str, Any] = {}
        if prompt.box is not None:
            told["input_boxes"] = [[list(prompt.box)]]
        if prompt.points:
            signs = list(prompt.signs) or [1] * len(prompt.points)
            told["input_points"] = [[[list(point) for point in prompt.points]]]
            told["input_labels"] = [[signs]]
        inputs = self._processor(images=frame, return_tensors="pt", **told)
        prompt_inputs = {
            name: value.to(
                self._device, self._model.dtype if value.is_floating_point() else value.dtype
            )
            for name, value in inputs.items()
            if name.startswith("input_")
        }
        answer = self._model(image_embeddings=embeddings, multimask_output=False, **prompt_inputs)
        sizes = [inputs["original_sizes"]]
        if "reshaped_input_sizes" in inputs:
            sizes.append(inputs["reshaped_input_sizes"])
        maps = self._processor.image_processor.post_process_masks(
            answer.pred_masks.float().cpu(), *sizes, binarize=False
        )[0]
        soft: NDArray[np.float32] = maps[0, 0].sigmoid().numpy()
        return soft


def _architecture(spec: str) -> str:
    transformers = import_transformers(spec)
    try:
        config = transformers.AutoConfig.from_pretrained(
            model_folder(spec), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"--segmenter {spec}: cannot be loaded: {reason(error)}") from error
    return str((config.architectures or [""])[0])


def missing_prompts(spec: str) -> ConfigError:
    """Return the error where no file of prompts is named."""
    return ConfigError(
        f"--segmenter {spec}: it cuts out what boxes or points name: give them by clip, "
        "--set segment.prompts=FILE.json (see docs/inputs_and_outputs.md)"
    )
