"""One door to the decoders: their weights files say what they are, and are checked against it."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError
from pipeline.whole_files import replacing
from stages.models.torch_models import RANDOM, fill, move_to_device
from stages.models.weights import file_digest, load_checkpoint, reason

if TYPE_CHECKING:
    from torch import nn

FORMAT, VERSION = "steadymask.decoder", "1"
SUFFIX = ".safetensors"
CLASSES = {"aligned": "AlignedDecoder", "deeplab": "DeepLabDecoder"}
WINDOWS = (1, 3, 5, 7)
MOST_LEVELS, WIDEST = 8, 1024
SHIPPED = {"aligned": Path(__file__).parent / "aligned.safetensors"}


def decoder_path(kind: str, weights: str) -> Path:
    """Return the weights file of a decoder: the one given, or the one that comes with it.

    Raises
    ------
    InputError
        If none is given and none comes with it, or it is not a .safetensors file.
    """
    if not weights and kind not in SHIPPED:
        raise InputError(
            f"refine.weights: expected a file for refine.method = {kind!r}, got none: "
            "fit one with run_pipeline.py fit"
        )
    path = Path(weights) if weights else SHIPPED[kind]
    if path.suffix != SUFFIX:
        raise InputError(
            f"{path}: expected a {SUFFIX} file as run_pipeline.py fit writes; other checkpoints "
            "may hold code and are not loaded"
        )
    return path


def decoder_digest(kind: str, weights: str) -> str:
    """Return the digest of a decoder's weights for keys: the SHA-256 of its file."""
    return file_digest(decoder_path(kind, weights))


def decoder_window(kind: str, weights: str) -> int:
    """Return how many frames a decoder looks at together, as its weights file says."""
    path = decoder_path(kind, weights)
    return int(_read_about(path, kind)["window"])


def build_decoder(kind: str, **settings: Any) -> nn.Module:
    """Return a decoder before training: it changes nothing yet.

    Parameters
    ----------
    kind : {"aligned", "deeplab"}
    **settings
        Of `AlignedDecoder` or `DeepLabDecoder`.
    """
    module = import_module(f"stages.models.decoders.{kind}")
    decoder: nn.Module = getattr(module, CLASSES[kind])(**settings)
    return decoder


def save_decoder(path: Path, decoder: nn.Module) -> None:
    """Write a decoder's weights and all that is needed to build it again; whole or not at all."""
    from safetensors.torch import save_file

    kind = next(kind for kind, name in CLASSES.items() if name == type(decoder).__name__)
    about = {"format": FORMAT, "version": VERSION, "kind": kind}
    about["settings"] = json.dumps(decoder.settings, sort_keys=True)
    state = {name: value.contiguous().cpu() for name, value in decoder.state_dict().items()}
    with replacing(path) as draft:
        save_file(state, draft, metadata=about)


@lru_cache(maxsize=2)
def load_decoder(kind: str, weights: str = "", device: str = "cpu") -> nn.Module:
    """Return a decoder ready to run, loaded once a process.

    Parameters
    ----------
    kind : {"aligned", "deeplab"}
    weights : str
        Path of a file that `save_decoder` wrote; empty for those that come with it.
    device : str
        cpu, cuda, …

    Raises
    ------
    InputError
        If the file is missing, damaged, of another kind or version.
    """
    path = decoder_path(kind, weights)
    settings = _read_about(path, kind)
    if kind == "deeplab":
        settings["encoder_weights"] = RANDOM  # they are in the file
    try:
        decoder = build_decoder(kind, **settings)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise InputError(f"{path}: settings {settings} do not build a {kind} decoder") from error
    fill(decoder, load_checkpoint(path), path=path, name=f"the {kind} decoder")
    move_to_device(decoder, device, setting="refine.device")
    return decoder


def _read_about(path: Path, kind: str) -> dict[str, Any]:
    """Return the settings that build the decoder of a weights file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not readable as weights: {reason(error)}") from error
    if about.get("format") != FORMAT:
        raise InputError(
            f"{path}: expected a decoder as run_pipeline.py fit writes, got other weights"
        )
    own_kind, version = about.get("kind"), about.get("version")
    if (own_kind, version) != (kind, VERSION):
        raise InputError(
            f"{path}: expected a {kind} decoder of version {VERSION}, got {own_kind!r} of version "
            f"{version!r}"
        )
    try:
        settings = dict(json.loads(about["settings"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: its settings are not readable: {reason(error)}") from error
    _check_settings(path, settings)
    return settings


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Refuse settings of which a network would be built that no machine can hold."""
    if settings.get("window") not in WINDOWS:
        got = str(settings.get("window"))[:40]
        raise InputError(f"{path}: expected a window of one of {WINDOWS} frames, got {got}")
    for name, value in settings.items():
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) > MOST_LEVELS or not all(_is_width(number) for number in numbers):
            raise InputError(
                f"{path}: expected at most {MOST_LEVELS} numbers of 0 to {WIDEST} for {name}, got "
                f"{str(value)[:40]}"
            )


def _is_width(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= WIDEST
