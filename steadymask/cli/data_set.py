"""Files that a run writes of all its clips together, for data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.stage import Step


def print_data_set(out: Path, steps: Sequence[Step], clips: Sequence[str]) -> None:
    """Join the COCO files of all clips, where the run wrote them, and print where the file is.

    Parameters
    ----------
    out : Path
    steps : sequence of Step
        Of the run; its export says whether there are such files, and their name.
    clips : sequence of str
        Those that are done.
    """
    export: Any = next((step for step in steps if step.name == "export"), None)
    if export is None or "coco" not in export.formats:
        return
    from stages.media.results.coco import Coco
    from stages.media.results.coco_set import join_coco

    name = str(export.templates.get("coco", Coco.template))
    if "{" in name:  # a name of each clip's own cannot be looked for
        return
    try:
        path = join_coco(out, sorted(clips), name)
    except (OSError, ValueError, KeyError) as error:  # a full disk, or a file that was edited
        print(f"data set: {out / Coco.template} is not written: {error}")
        return
    if path is not None:
        print(f"data set: {path}")
