"""``review``: the frames of a run that want a look, as a task for a labelling tool."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError, InputError
from pipeline.wording import count_text
from stages.media.footage.clip_listing import find_clips
from stages.media.footage.timeline import probe
from stages.media.review_tasks.task_files import TOOLS, write_task
from stages.media.review_tasks.task_frames import read_task_frames, task_labels
from steadymask.cli.corrupt import refuse_full
from steadymask.cli.review_list import read_review
from steadymask.cli.terminal import line
from steadymask.record import RunRecord

EPILOG = """\
TASKS/<clip>/ then holds images/, and the masks of these frames as they are now: annotations.xml
(CVAT for images 1.1), tasks.json with predictions (Label Studio; the pictures are found with
LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=TASKS), or instances.json (COCO). Correct them, export the
task, and put the file into a folder under the clip's name, KEYS/<clip>.xml or .json: that is what
--keyframes KEYS takes. Every picture of the task counts as looked at: take those out that were not.
Exit status: 0 done, also if no frame wants a look, 1 footage or masks cannot be read, 2 cannot
start."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="run_pipeline.py review",
        description="Write the frames that are probably wrong as a task for a labelling tool.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="the run's --out")
    parser.add_argument("--footage", type=Path, required=True, help="what the run was given")
    parser.add_argument("--to", type=Path, required=True, metavar="TASKS", help="new folder")
    parser.add_argument("--tool", choices=tuple(TOOLS), default="cvat")
    parser.add_argument(
        "--risk", type=float, default=0.5, help="of an IoU under .8 with the truth, at least"
    )
    parser.add_argument(
        "--every", type=int, default=24, metavar="N",
        help="of a long stretch of bad frames the riskiest, and each Nth before and after it",
    )  # fmt: skip
    parser.add_argument("--follow-links", action="store_true", help="as of the run")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(arguments)
    if not 0 <= options.risk <= 1:
        raise ConfigError(f"--risk {options.risk:g}: expected a probability, 0 to 1")
    if options.every < 1:
        raise ConfigError(f"--every {options.every}: expected at least 1")
    record = RunRecord.load(options.out)
    refuse_full(options.to)
    library = find_clips(options.footage, follow_links=options.follow_links, never=(options.out,))
    count = 0
    for clip in record.finished:
        rows = [
            row for row in read_review(options.out, clip)["rows"] if row["risk"] >= options.risk
        ]
        if not rows:
            continue
        if clip not in library.clips:
            raise InputError(
                f"{options.footage}: expected the clip {clip}, found none of this name"
            )
        frames = chosen_frames(rows, options.every)
        path = _write_clip(options, record, clip, library.clips[clip], frames)
        print(line(f"{clip}: {count_text(len(frames), 'frame')}: {path}"))
        count += len(frames)
    if not count:
        print(f"no frame has a risk of {options.risk:g} or more")
    return 0


def chosen_frames(rows: Sequence[dict[str, Any]], every: int) -> dict[int, list[str]]:
    """Return reasons by frame: the riskiest of each stretch, and others of long stretches.

    Parameters
    ----------
    rows : sequence of dict
        As `stages.metrics.risk.review_rows` returns them.
    every : int
        Frames between two of one stretch.
    """
    reasons: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        start, stop = row["frames"]
        worst = row["frame"]
        for frame in (*range(worst, start - 1, -every), *range(worst + every, stop, every)):
            reasons[frame].append(f"object {row['object']}: {row['reason']} ({row['risk']:.2f})")
    return dict(sorted(reasons.items()))


def _write_clip(
    options: argparse.Namespace,
    record: RunRecord,
    clip: str,
    footage: Path,
    wanted: dict[int, list[str]],
) -> Path:
    """Write the task of a clip; return the file to give to the tool."""
    scores = json.loads((options.out / clip / "metrics.json").read_text(encoding="utf-8"))
    names = {int(label): name for label, name in scores["class_names"].items()}
    orientation = record.settings.get("ingest", {}).get("orientation", "upright")
    frames = read_task_frames(
        footage, probe(footage, orientation=orientation), options.out / clip / "masks", wanted
    )
    labels = task_labels(scores["classes"], names)
    return write_task(options.to / clip, clip, frames, labels, options.tool)
