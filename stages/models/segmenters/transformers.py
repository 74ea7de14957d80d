"""Segmentation networks of Hugging Face's `transformers`, from a folder or from its hub."""

from __future__ import annotations

import hashlib
import importlib
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ConfigError, InputError
from stages.models.segmenters.base import Segmenter, at_most_one, resized
from stages.models.torch_models import explained, move_to_device, repeatable
from stages.models.weights import file_digest, reason

Precision = Literal["fp32", "fp16", "bf16"]

PREFIX = "hf:"
# Importing the package, and building a network with the process's default type, bear no company.
LOADING = threading.RLock()
# Never Python, never a pickle: only what is data.
WANTED = ("*.json", "*.safetensors", "README.md", "*.txt")
WEIGHTS = "*.safetensors"
TYPES: dict[str, str] = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
BY_PIXEL, BY_QUERY = ("ForSemanticSegmentation",), (
    "ForUniversalSegmentation", "ForInstanceSegmentation", "ForSegmentation",
)  # fmt: skip
WITH_A_TEXT = ("OneFormer", "CLIPSeg")
BACKGROUNDS = frozenset(("background", "_background_", "__background__", "bg", "unlabeled", "void"))
STRIDE = 32  # sides of a picture at another scale become multiples of it


class TransformersSegmenter(Segmenter):
    """A semantic, instance or panoptic network with its own picture processor.

    Networks that answer by queries give the probability of each class at each pixel, summed over
    the queries as for semantic segmentation [1]_: objects of a class are one mask, because nothing
    tells which of them is which in the next frame. A class called background is the background;
    else every class is foreground, and label = the model's number + 1.

    Parameters
    ----------
    spec : str
        ``hf:ORG/MODEL`` or ``hf:FOLDER``.
    device : str
    precision : {"fp32", "fp16", "bf16"}
        Of weights and activations.
    batch : int
        Pictures at once. A batch is always full, the last picture repeated: so a frame's masks do
        not depend on how the clip was cut up.

    Raises
    ------
    ConfigError
        If the package is missing, or the network is of another kind.
    InputError
        If it is not here and cannot be downloaded, or is damaged.

    References
    ----------
    .. [1] Cheng, Schwing, Kirillov, "Per-Pixel Classification is Not All You Need for Semantic
       Segmentation", NeurIPS 2021, sec. 3.4.
    """

    def __init__(
        self, spec: str, device: str, *, precision: Precision = "fp32", batch: int = 1
    ) -> None:
        folder = model_folder(spec)
        self._spec, self._device, self.batch = spec, device, batch
        with LOADING:
            self._model, self._processor, self._by_pixel = _load_model(spec, folder, precision)
        move_to_device(self._model, device, setting="segment.device")
        names = {int(k): str(name) for k, name in self._model.config.id2label.items()}
        self._first = bool(names) and names.get(0, "").lower() in BACKGROUNDS
        shift = 0 if self._first else 1
        self.class_names = {k + shift: name for k, name in names.items() if k + shift > 0}
        self.class_ids = tuple(sorted(self.class_names))
        self.notes = (f"{spec}: licence {read_licence(folder)}", *self._query_note())

    def _query_note(self) -> tuple[str, ...]:
        if self._by_pixel:
            return ()
        return (f"{self._spec}: objects of one class are one mask",)

    def network_masks(self, frame: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
        """Return the probabilities of the foreground classes at the network's own size."""
        return self._look_all([frame], scale)[0]

    def segment_all(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return the masks of several pictures of one size, `batch` at a time."""
        rows, columns = frames[0].shape[:2]
        return [at_most_one(resized(soft, rows, columns)) for soft in self._look_all(frames, 1.0)]

    def _look_all(
        self, frames: Sequence[NDArray[np.uint8]], scale: float
    ) -> list[NDArray[np.float32]]:
        import torch

        masks: list[NDArray[np.float32]] = []
        for low in range(0, len(frames), self.batch):
            some = list(frames[low : low + self.batch])
            full = some + [some[-1]] * (self.batch - len(some))
            inputs = dict(self._processor(images=full, return_tensors="pt"))
            pixels = inputs["pixel_values"].to(self._device, self._model.dtype)
            if scale != 1:
                sides = [max(round(s * scale / STRIDE), 1) * STRIDE for s in pixels.shape[-2:]]
                pixels = torch.nn.functional.interpolate(
                    pixels, sides, mode="bilinear", antialias=scale < 1
                )
            advice = "set segment.batch to less, or segment.precision to fp16"
            with repeatable(), explained(f"segmenting {pixels.shape[-1]} columns", advice):
                soft = self._probabilities(self._model(pixel_values=pixels))
                soft = _without_padding(soft, inputs.get("pixel_mask"))
                masks += list(soft[: len(some)].float().cpu().numpy())
        return masks

    def _probabilities(self, answer: Any) -> Any:
        """Return (B, C, h, w) of the foreground classes."""
        if self._by_pixel:
            soft = answer.logits.float().softmax(dim=1)
        else:
            by_query = getattr(answer, "class_queries_logits", None)
            maps = getattr(answer, "masks_queries_logits", None)
            if by_query is None or maps is None:
                by_query, maps = answer.logits, answer.pred_masks
            chance = by_query.float().softmax(dim=-1)[..., :-1]  # the last is that of no object
            soft = (chance.transpose(1, 2) @ maps.float().sigmoid().flatten(2)).clamp(0, 1)
            soft = soft.reshape(*soft.shape[:2], *maps.shape[-2:])
        if soft.shape[1] != len(self.class_ids) + self._first:
            raise InputError(
                f"--segmenter {self._spec}: expected {len(self.class_ids) + self._first} classes "
                f"as its config names, got {soft.shape[1]}"
            )
        return soft[:, 1:] if self._first else soft


def _without_padding(soft: Any, mask: Any) -> Any:
    """Return maps (B, C, h, w) without what a processor padded at the bottom and right."""
    if mask is None:
        return soft
    rows, columns = mask.shape[-2:]
    inside = int(mask[0].any(dim=1).sum()), int(mask[0].any(dim=0).sum())
    height = max(round(soft.shape[-2] * inside[0] / rows), 1)
    width = max(round(soft.shape[-1] * inside[1] / columns), 1)
    return soft[..., :height, :width]


def transformers_digest(spec: str) -> str:
    """Return the SHA-256 of a network's weights and settings, downloaded if need be."""
    folder = model_folder(spec)
    files = sorted([*folder.glob(WEIGHTS), *folder.glob("*config.json")])
    return hashlib.sha256("".join(map(file_digest, files)).encode()).hexdigest()


def model_folder(spec: str) -> Path:
    """Return the folder of a network: the one named, or that of the hub, downloaded.

    Raises
    ------
    ConfigError, InputError
        If the package is missing; if there is no such network, or no weights as safetensors.
    """
    name = spec.removeprefix(PREFIX)
    folder = Path(name)
    if not folder.is_dir():
        folder = _download_model(spec, name)
    if not any(folder.glob(WEIGHTS)):
        raise InputError(
            f"--segmenter {spec}: expected weights as {WEIGHTS} in {folder}, found none: others "
            "could run code and are not loaded"
        )
    return folder


def _download_model(spec: str, name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise _missing_package(spec) from error
    try:
        return Path(snapshot_download(name, allow_patterns=WANTED, local_files_only=True))
    except (OSError, ValueError):
        pass  # it is not here yet
    try:
        return Path(snapshot_download(name, allow_patterns=WANTED))
    except Exception as error:  # its many kinds, and those of the network below
        raise InputError(
            f"--segmenter {spec}: it is not here and cannot be downloaded ({reason(error)}): give "
            "a folder that holds it, as hf:FOLDER"
        ) from error


def import_transformers(spec: str) -> Any:
    """Return the package, which is an optional extra.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        with LOADING:
            importlib.import_module("transformers")
    except ImportError as error:
        raise _missing_package(spec) from error
    # While it is imported it puts another module in its own place.
    package = sys.modules["transformers"]
    package.utils.logging.disable_progress_bar()
    package.utils.logging.set_verbosity_error()
    return package


def _missing_package(spec: str) -> ConfigError:
    return ConfigError(
        f"--segmenter {spec}: expected the package transformers: pip install steadymask[hf]"
    )


def _load_model(spec: str, folder: Path, precision: Precision) -> tuple[Any, Any, bool]:
    """Return model, picture processor, and whether it answers pixel by pixel."""
    transformers = import_transformers(spec)
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **local)
        name = str((config.architectures or [""])[0])
        by_pixel = name.endswith(BY_PIXEL)
        known = by_pixel or name.endswith(BY_QUERY)
        kind = getattr(transformers, name, None)
        if kind is None or not known or name.startswith(WITH_A_TEXT):
            raise ConfigError(
                f"--segmenter {spec}: expected a semantic, instance or panoptic network that sees "
                f"pictures alone (…{', …'.join((*BY_PIXEL, *BY_QUERY))}), got {name or 'none'}"
            )
        model = kind.from_pretrained(
            folder, config=config, use_safetensors=True, dtype=TYPES[precision], **local
        )
        processor = transformers.AutoImageProcessor.from_pretrained(folder, **local)
    except ConfigError:
        raise
    except Exception as error:  # transformers raises whatever a damaged file leads to
        raise InputError(f"--segmenter {spec}: cannot be loaded: {reason(error)}") from error
    return model, processor, by_pixel


def read_licence(folder: Path) -> str:
    """Return the licence that a model's card names."""
    try:
        lines = (folder / "README.md").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "not stated"
    for text in lines[:60]:
        key, _, value = text.partition(":")
        if key.strip() in ("license", "licence") and value.strip():
            return value.strip()[:100]
    return "not stated"
