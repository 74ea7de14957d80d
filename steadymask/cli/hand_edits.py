"""Results that were painted over by hand: kept where they are, and offered as key frames."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from pipeline.hand_edits import find_hand_edits
from pipeline.wording import count_text
from stages.media.footage.sequences import frame_files
from stages.media.masks.frame_matching import source_frame_name
from steadymask.cli.terminal import line, plain_console

MARKER = ".export.json"
CORRECTIONS = "corrections"
MASKS = "masks/"


def gather_hand_edits(out: Path, clips: Iterable[str]) -> dict[str, list[str]]:
    """Return the masks of each clip that were changed by hand, copied to ``OUT/corrections``.

    There, ``OUT/corrections/<clip>/source-frame-00004.png``, they are what ``--keyframes`` takes.
    The names of results count from 0, those of the footage or of the masks may not.
    """
    edits: dict[str, list[str]] = {}
    for clip in clips:
        files = [
            file.removeprefix(MASKS)
            for file in find_hand_edits(out / clip, out / clip / MARKER)
            if file.startswith(MASKS)
        ]
        if not files:
            continue
        edits[clip] = files
        folder = out / CORRECTIONS / clip
        folder.mkdir(parents=True, exist_ok=True)
        frames = {path.name: k for k, path in enumerate(frame_files(out / clip / MASKS))}
        for file in files:
            name = f"{source_frame_name(frames[file])}{Path(file).suffix}"
            shutil.copy2(out / clip / MASKS / file, folder / name)
    return edits


def print_hand_edits(out: Path, edits: dict[str, list[str]]) -> None:
    """Print which masks a person has changed, and how to make more of them."""
    console = plain_console()
    for clip, files in edits.items():
        some = ", ".join(files[:5]) + (", …" if len(files) > 5 else "")
        text = f"kept: {line(clip)}: {count_text(len(files), 'mask')} changed by hand ({some})"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if edits:
        offer = (
            f"to correct the frames around them too, run again with --keyframes {out / CORRECTIONS}"
        )
        console.print(offer, markup=False, highlight=False, soft_wrap=True)
