"""What redaction could not cover, for the people who have to look at it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from pipeline.wording import count_text
from steadymask.cli.terminal import line

SHOWN = 8  # runs of frames of a class that are named


def print_uncovered(out: Path, clips: Iterable[str]) -> int:
    """Print where redaction left a class bare; return in how many frames.

    Parameters
    ----------
    out : Path
        Holds ``<clip>/coverage.json`` of the clips that were redacted.
    clips : iterable of str
    """
    total = 0
    for clip in clips:
        path = out / clip / "coverage.json"
        if not path.is_file():
            continue
        for name, entry in json.loads(path.read_text(encoding="utf-8"))["classes"].items():
            frames = entry["uncovered"]
            total += len(frames)
            if frames:
                runs = frame_runs(frames)
                more = f", and {len(runs) - SHOWN} more runs" if len(runs) > SHOWN else ""
                print(
                    f"uncovered: {line(clip)}: {line(name)} in {count_text(len(frames), 'frame')} "
                    f"between two with it: {', '.join(runs[:SHOWN])}{more}: "
                    "longer gaps than cover.gap"
                )
    return total


def frame_runs(frames: Sequence[int]) -> list[str]:
    """Return numbers that rise as runs.

    Examples
    --------
    >>> frame_runs([3, 4, 5, 9])
    ['3-5', '9']
    """
    runs = []
    for _, group in groupby(enumerate(frames), key=lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in group]
        runs.append(str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}")
    return runs
