"""Pairs clips with masks, and says what did not match."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ConfigError, InputError
from pipeline.settings import Sections
from pipeline.stage import Clip
from stages.media.footage.clip_listing import FootageLibrary, find_clips, summary
from stages.media.masks.pairing import find_masks, find_sidecar, unused_masks
from stages.media.masks.registry import Readers, readers_with
from steadymask.cli.terminal import line

NEAR_SHOWN = 3  # names that may be meant


class Pairing(NamedTuple):
    """The clips of a library.

    Attributes
    ----------
    clips : list of Clip
        To be run.
    failures : dict of name to str
        Why others cannot be.
    passed_over : dict of path to str
        Files and folders that are no clips, and why.
    """

    clips: list[Clip]
    failures: dict[str, str]
    passed_over: dict[str, str]


def pair_masks(
    footage: Path,
    masks: Path | None,
    *,
    follow_links: bool = False,
    never: Collection[Path] = (),
    readers: Readers | None = None,
) -> Pairing:
    """Return the clips to run, why others cannot be, and what was passed over.

    Parameters
    ----------
    footage, masks : Path
    follow_links : bool
        Whether links below them may lead out.
    never : collection of Path
        Folders that hold no footage, such as the results'; `masks` is one anyhow.
    readers : tuple of MaskReader, optional
        Of the formats that masks may have; those that need no setting if None.

    Raises
    ------
    ConfigError
        If nothing matches at all.
    """
    if masks is not None and footage.exists() and not _is_same(footage, masks):
        never = (*never, masks)
    library = find_clips(footage, follow_links=follow_links, never=never)
    if not library.clips:
        raise ConfigError(f"{footage}: no clip can be taken{_first_reason(library.refused)}")
    if masks is None:
        clips = [Clip(name, {"footage": path}) for name, path in library.clips.items()]
        return Pairing(clips, dict(library.refused), library.passed_over)
    if not masks.exists():
        raise ConfigError(f"{masks}: no such file or directory")
    clips, failures, unmasked = _paired_clips(
        library, masks, follow_links=follow_links, readers=readers
    )
    unused = unused_masks(masks, (clip.files["masks"] for clip in clips), readers)
    failures |= {name: _missing_masks(masks, name, unused) for name in unmasked}
    if not clips:
        some = ", ".join(list(library.clips)[:5])
        raise ConfigError(
            f"{masks}: no masks for any clip of {footage} (clips: {some})" + _first_reason(failures)
        )
    passed_over = dict(library.passed_over)
    if not _is_same(footage, masks):
        for name in unused:
            passed_over[str(masks / name)] = "in MASKS, and no clip of this name has them"
    return Pairing(clips, failures, passed_over)


def chosen_readers(sections: Sections) -> Readers:
    """Return the readers of masks that settings allow: all there are, and a user's own.

    Raises
    ------
    ConfigError
        If ``segment.format`` is ``module:object`` and no reader can be loaded from there.
    """
    segment = sections.get("segment", {})
    return readers_with(str(segment.get("format", "")), str(segment.get("modules", "")))


def check_out(out: Path, footage: Path) -> None:
    """Refuse results in the very folder of the footage: they would be mixed up with it.

    Raises
    ------
    ConfigError
    """
    if footage.is_dir() and _is_same(footage, out):
        raise ConfigError(
            f"--out {out}: expected another folder than FOOTAGE, such as {out / 'out'}: results "
            "and footage could not be told apart"
        )


def print_passed_over(passed_over: dict[str, str]) -> None:
    """Print what is no clip, a line a reason."""
    for remark in summary(passed_over):
        print(f"passed over: {line(remark)}")


def print_unpaired(failures: dict[str, str]) -> None:
    """Print the clips that cannot be run, as the plan does."""
    for name, reason in failures.items():
        print(f"cannot run: {line(name)}: {line(reason)}")


def _paired_clips(
    library: FootageLibrary, masks: Path, *, follow_links: bool, readers: Readers | None
) -> tuple[list[Clip], dict[str, str], list[str]]:
    """Return clips with their masks, why others cannot be run, and which have no masks."""
    clips, failures, unmasked = [], dict(library.refused), []
    for name, path in library.clips.items():
        try:
            mask = find_masks(
                masks, name, alone=len(library.clips) == 1, follow_links=follow_links,
                readers=readers,
            )  # fmt: skip
        except (InputError, OSError) as error:
            failures[name] = str(error)
            continue
        if mask is not None and _is_same(path, mask):
            failures[name] = f"{mask}: expected masks, got the clip's own frames"
        elif mask is None:
            unmasked.append(name)
        else:
            sidecar = find_sidecar(mask)
            legend = {"legend": sidecar} if sidecar else {}
            clips.append(Clip(name, {"footage": path, "masks": mask, **legend}))
    return clips, failures, unmasked


def _missing_masks(masks: Path, name: str, unused: Collection[str]) -> str:
    """Return why a clip has no masks, with the names of those that may be meant for it."""
    expected = f"no masks: expected {masks / name}/ or {masks / name}.<ext>"
    whole_name = re.compile(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", re.IGNORECASE)
    near = [other for other in unused if whole_name.search(other)][:NEAR_SHOWN]
    return f"{expected}; rename {' or '.join(near)} if those are its masks" if near else expected


def _is_same(footage: Path, masks: Path) -> bool:
    return footage.resolve() == masks.resolve()


def add_key_frames(
    library: Pairing, key_frames: Path, *, alone: bool, follow_links: bool = False
) -> Pairing:
    """Return the library with the key frames of its clips.

    Parameters
    ----------
    library : Pairing
    key_frames : Path
        A folder with a folder or file for each clip that has any; for a library of one clip also
        the masks themselves.
    alone : bool
        Whether key frames are the only masks: a clip without any cannot be run.
    follow_links : bool
        Whether links below `key_frames` may lead out of it.

    Raises
    ------
    ConfigError
        If no clip has key frames.
    """
    if not key_frames.exists():
        raise ConfigError(f"--keyframes {key_frames}: no such file or directory")
    paired: list[Clip] = []
    failures: dict[str, str] = {}
    count = 0
    clips = library.clips
    for clip in clips:
        try:
            path = find_masks(
                key_frames, clip.name, alone=len(clips) == 1, follow_links=follow_links
            )
        except (InputError, OSError) as error:
            failures[clip.name] = f"key frames: {error}"
            continue
        count += path is not None
        if path is not None:
            paired.append(Clip(clip.name, {**clip.files, "keyframes": path}))
        elif alone:
            expected = f"{key_frames / clip.name}/ or {key_frames / clip.name}.<ext>"
            failures[clip.name] = f"no key frames: expected {expected}"
        else:
            paired.append(clip)
    if not count and not failures.keys() & {clip.name for clip in clips}:
        some = ", ".join(clip.name for clip in clips[:5])
        raise ConfigError(f"--keyframes {key_frames}: no key frames for any clip (clips: {some})")
    return Pairing(paired, library.failures | failures, library.passed_over)


def _first_reason(failures: dict[str, str]) -> str:
    return f": {next(iter(failures.values()))}" if failures else ""
