"""The frames of a library that a person should look at: ``review.csv``."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.whole_files import replacing

COLUMNS = ("clip", "frame", "first", "last", "object", "risk", "reason")


def read_review(out: Path, clip: str) -> dict[str, Any]:
    """Return the rows and risks in ``review.json`` of a clip; none where there is no file."""
    path = out / clip / "review.json"
    if not path.is_file():
        return {"rows": [], "risk": {}}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_review(out: Path, clips: Iterable[str]) -> Path:
    """Write ``review.csv``: a line for every stretch of risky frames, the riskiest first.

    ``frame`` is the riskiest one, ``first`` and ``last`` are the ends of the stretch.
    """
    rows = [(clip, row) for clip in clips for row in read_review(out, clip)["rows"]]
    rows.sort(key=lambda clip_row: (-clip_row[1]["risk"], clip_row[0], clip_row[1]["frame"]))
    path = out / "review.csv"
    # A name that is no UTF-8 is written as its own bytes: it still names the clip.
    with (
        replacing(path) as draft,
        draft.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for clip, row in rows:
            first, stop = row["frames"]
            writer.writerow(
                [clip, row["frame"], first, stop - 1, row["object"], row["risk"], row["reason"]]
            )
    return path
