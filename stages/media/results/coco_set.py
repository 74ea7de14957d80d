"""One COCO file for a whole data set, joined of those of its clips."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.whole_files import replacing
from stages.media.results.coco import Coco, write_json

Json = dict[str, Any]
PICTURES = "frames"  # format, and folder, of pictures that are written beside


def join_coco(out: Path, clips: Sequence[str], file_name: str = Coco.template) -> Path | None:
    """Write ``OUT/coco.json``, of all clips whose own file is there.

    Pictures are named from OUT on, ``<clip>/frames/00000.jpg``, where format ``frames`` has written
    them, else ``<clip>/<name in the source>``. Categories of one name are one; ids are kept where
    no two names claim the same.

    Parameters
    ----------
    out : Path
    clips : sequence of str
        In the order of the data set.
    file_name : str
        Of the clips' own files.

    Returns
    -------
    Path or None
        The file; None where no clip has one.
    """
    paths = {clip: out / clip / file_name for clip in clips}
    paths = {clip: path for clip, path in paths.items() if path.is_file()}
    if not paths:
        return None
    categories = _joint_categories(paths.values())
    head: Json = {
        "info": {"description": f"masks of {len(paths)} clips"},
        "licenses": [],
        "categories": [{"id": k, "name": name} for name, k in categories.items()],
        "videos": [],
        "images": [],
    }
    annotations: list[Json] = []
    for number, (clip, path) in enumerate(paths.items(), start=1):
        prefix = f"{clip}/{PICTURES}/" if (out / clip / PICTURES).is_dir() else f"{clip}/"
        _add_clip(head, annotations, _read(path), clip, number, prefix, categories)
    target = out / Coco.template
    with replacing(target) as draft:
        write_json(draft, head, annotations)
    return target


def _add_clip(
    head: Json, annotations: list[Json], content: Json, clip: str, number: int, prefix: str,
    categories: dict[str, int],
) -> None:  # fmt: skip
    """Add a clip's pictures and annotations, numbered on from those before."""
    images, shapes = len(head["images"]), len(annotations)
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    head["videos"].append({"id": number, "name": clip})
    for image in content["images"]:
        name = f"{prefix}{image['file_name']}"
        moved = {"id": images + image["id"], "file_name": name, "video_id": number}
        head["images"].append({**image, **moved})
    for k, entry in enumerate(content["annotations"], start=1):
        annotations.append(
            {
                **entry,
                "id": shapes + k,
                "image_id": images + entry["image_id"],
                "category_id": categories[names[entry["category_id"]]],
            }
        )


def _joint_categories(paths: Iterable[Path]) -> dict[str, int]:
    """Return one id for each name, its own where that is free."""
    ids: dict[str, int] = {}
    for path in paths:
        for entry in _read(path)["categories"]:
            if entry["name"] not in ids:
                taken = set(ids.values())
                free = entry["id"] not in taken
                ids[entry["name"]] = entry["id"] if free else max(taken) + 1
    return ids


def _read(path: Path) -> Json:
    content: Json = json.loads(path.read_text(encoding="utf-8"))
    return content
