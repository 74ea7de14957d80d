"""Pairs clips with masks, and says what did not match."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ConfigError, InputError
from pipeline.stage import Clip
from stages.media.footage.library import find_clips
from stages.media.masks.open import find_masks


def pair_masks(
    footage: Path, masks: Path | None, *, follow_links: bool = False
) -> tuple[list[Clip], dict[str, str]]:
    """Return the clips to run, and why others cannot be.

    Raises
    ------
    ConfigError
        If nothing matches at all.
    """
    library = find_clips(footage, follow_links=follow_links)
    found, failures = library.clips, dict(library.refused)
    if not found:
        raise ConfigError(f"{footage}: no clip can be taken{_first(failures)}")
    if masks is None:
        return [Clip(name, {"footage": path}) for name, path in found.items()], failures
    if not masks.exists():
        raise ConfigError(f"{masks}: no such file or directory")
    clips = []
    for name, path in found.items():
        try:
            mask = find_masks(masks, name, alone=len(found) == 1, follow_links=follow_links)
        except (InputError, OSError) as error:
            failures[name] = str(error)
            continue
        if mask is None:
            failures[name] = f"no masks: expected {masks / name}/ or {masks / name}.<ext>"
        else:
            clips.append(Clip(name, {"footage": path, "masks": mask}))
    if not clips:
        some = ", ".join(list(found)[:5])
        raise ConfigError(
            f"{masks}: no masks for any clip of {footage} (clips: {some})" + _first(failures)
        )
    return clips, failures


def _first(failures: dict[str, str]) -> str:
    return f": {next(iter(failures.values()))}" if failures else ""
