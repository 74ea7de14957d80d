"""Masks as users have them, opened by the reader of their format."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.errors import InputError
from stages.media.footage.timeline import content_digest
from stages.media.masks.contract import FootageFacts, ReadingChoices
from stages.media.masks.panoptic import pictures_beside
from stages.media.masks.registry import choose_reader
from stages.media.masks.source import Known, MaskSource

USUAL_CHOICES = ReadingChoices()

__all__ = ["MaskSource", "mask_digest", "open_masks"]


def mask_digest(path: Path) -> str:
    """Return the digest of the content of a clip's masks, folders in folders included."""
    inside = sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []
    pictures = pictures_beside(path)
    inside += [pictures] if pictures is not None else []
    if not inside:
        return content_digest(path)
    digests = [content_digest(path), *(f"{p.name}:{mask_digest(p)}" for p in inside)]
    return hashlib.sha256("\n".join(digests).encode(errors="surrogateescape")).hexdigest()


def open_masks(
    path: Path,
    footage: FootageFacts,
    choices: ReadingChoices = USUAL_CHOICES,
    *,
    known: Known | None = None,
) -> MaskSource:
    """Return the masks of a clip, looked through once for what they mean.

    The formats, the marks by which they are recognised and the settings that decide where two
    readings are possible are listed in ``docs/inputs_and_outputs.md``, written from the readers.

    Parameters
    ----------
    path : Path
        A folder, or a file.
    footage : FootageFacts
    choices : ReadingChoices
    known : dict, optional
        `MaskSource.known` of the same masks, opened before with the same arguments: they are not
        looked through again.

    Raises
    ------
    InputError
        Naming the file, the expected content and the actual one.
    """
    try:
        return choose_reader(path, choices.format).open(path, footage, choices, known)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
