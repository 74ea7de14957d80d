"""The report: pages about a run that open from the disk, without server or network."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = ("report.css", "report.js", "player.js")
WORST = 20  # moments of the library on the first page


def write_pages(out: Path) -> Path:
    """Write ``OUT/report/`` from what the run left; return the first page.

    Parameters
    ----------
    out : Path
        Holds ``run.json``, and for each clip ``metrics.json`` and ``report/clip.json``.
    """
    run = _read(out / "run.json")
    folder = out / "report"
    folder.mkdir(exist_ok=True)
    for asset in ASSETS:
        _write(folder / asset, (TEMPLATES / asset).read_text(encoding="utf-8"))
    _write_plotly(folder / "plotly.min.js")
    pages = _environment()
    done = [name for name, clip in run["clips"].items() if clip["done"]]
    clips, kept = [], {"index.html"}
    for name in done:
        facts = _clip(out, name, run)
        clips.append(facts)
        if facts["page"]:
            kept.add(facts["page"])
            text = pages.get_template("clip.html.j2").render(clip=facts, shown=_shown(facts))
            _write(folder / facts["page"], text)
    clips.sort(key=lambda clip: (-(clip["left"] or -1.0), clip["name"]))
    for old in folder.glob("*.html"):
        if old.name not in kept:
            old.unlink()
    index = pages.get_template("index.html.j2").render(
        clips=clips, moments=_worst(clips), run=run, stages=_stages(run),
        failures=sorted(run["failures"].items()),
    )  # fmt: skip
    _write(folder / "index.html", index)
    return folder / "index.html"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters["number"] = lambda value: "–" if value is None else f"{value:.2f}"
    made.filters["time"] = lambda seconds: f"{seconds:.1f}"
    return made


def _clip(out: Path, name: str, run: dict[str, Any]) -> dict[str, Any]:
    """Return what the pages say of a clip."""
    metrics = _read(out / name / "metrics.json")
    iou = metrics["iou_with_input"]
    path = out / name / "report" / "clip.json"
    shown = _read(path) if path.is_file() else None
    stages = run["clips"][name]["stages"]
    return {
        "name": name,
        "page": _page(name) if shown else "",
        "folder": f"../{quote(name)}/report/",
        "frames": metrics["frames"],
        "before": metrics["input"]["E_cons"],
        "left": metrics["output"]["E_cons"],
        "smooth_before": metrics["input"]["E_smooth_mean"],
        "smooth_left": metrics["output"]["E_smooth_mean"],
        "iou": sum(iou) / len(iou),
        "remarks": _remarks(metrics),
        "holes": metrics["holes"],
        "changed": metrics["changed_frames"],
        "seconds": sum(stage["seconds"] for stage in stages.values()),
        "stages": stages,
        "shown": shown,
    }


def _remarks(metrics: dict[str, Any]) -> list[str]:
    remarks = list(metrics["warnings"])
    if metrics["holes"]:
        remarks.append(f"{len(metrics['holes'])} frames could not be decoded")
    if metrics["changed_frames"]:
        remarks.append(f"{len(metrics['changed_frames'])} frames changed a lot")
    return remarks


def _shown(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the clip's page draws with, for the script."""
    return {**facts["shown"], "folder": facts["folder"], "iou": facts["iou"]}


def _worst(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the moments of the whole library with the most inconsistency left."""
    moments = [
        {"clip": clip["name"], "page": clip["page"], "folder": clip["folder"], **moment}
        for clip in clips
        if clip["shown"]
        for moment in clip["shown"]["moments"]
    ]
    return sorted(moments, key=lambda moment: -(moment["value"] or 0.0))[:WORST]


def _stages(run: dict[str, Any]) -> dict[str, float]:
    """Return the seconds that each stage took over all clips."""
    total: dict[str, float] = {}
    for clip in run["clips"].values():
        for stage, spent in clip["stages"].items():
            total[stage] = total.get(stage, 0.0) + spent["seconds"]
    return total


def _page(name: str) -> str:
    """Return a file name for a clip's page, whatever the clip is called."""
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name)[:60].strip('-')}-{digest}.html"


def _write_plotly(path: Path) -> None:
    from plotly.offline import get_plotlyjs

    if not path.exists():
        _write(path, get_plotlyjs())


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".draft-{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
