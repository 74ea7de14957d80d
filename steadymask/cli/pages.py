"""The report: pages about a run that open from the disk, without server or network."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.whole_files import write_whole
from stages.report.curves import thinned_curve
from steadymask.cli.glossary import GLOSSARY
from steadymask.cli.review_list import read_review
from steadymask.cli.run_record import review_remark
from steadymask.cli.terminal import line

TEMPLATES = Path(__file__).parent / "templates"
ASSETS = ("report.css", "report.js", "player.js", "plots.js")
WORST = 12  # moments of the library on the first page
RESULTS = ("masks", "masks.mkv", "overlay.mp4", "labels", "metrics.json")  # of a clip, linked to


def write_pages(out: Path) -> Path:
    """Write ``OUT/report/`` from what the run left; return the first page.

    Parameters
    ----------
    out : Path
        Holds ``run.json``, and for each clip ``metrics.json`` and ``report/clip.json``; a clip
        without the latter has a row in the table and no page.
    """
    run = _read_json(out / "run.json")
    run["library"] = _readable_text(run.get("library") or out.resolve().name)
    folder = out / "report"
    folder.mkdir(exist_ok=True)
    _write_assets(folder)
    templates = _page_environment()
    clips: list[dict[str, Any]] = []
    moments: list[dict[str, Any]] = []
    for name in [name for name, clip in run["clips"].items() if clip["done"]]:
        clip = _clip_entry(out, name, run)
        path = out / name / "report" / "clip.json"
        if path.is_file():
            shown = _read_json(path)
            clip["page"] = _page_name(name)
            shown |= {"folder": clip["folder"], "clip": clip["name"]}
            shown |= {"opens": _opening_frame(clip, shown), "checks": _frames_to_check(clip, shown)}
            shown |= {"risk": _risk_lane(clip), "trust": _trust_lane(clip)}
            page = templates.get_template("clip.html.j2").render(
                clip=clip | {"shown": shown}, run=run
            )
            _write_page(folder / clip["page"], page)
            moments = _worst_clips([*moments, *_clip_moments(clip, shown)])
        clips.append(clip)
    _drop_others(folder, {"index.html", *(clip["page"] for clip in clips)})
    clips.sort(key=_clip_urgency)
    index = templates.get_template("index.html.j2").render(
        clips=clips, moments=moments, run=run,
        stages=_stage_totals(run), failures=_failed_clips(run),
        looks=[clip for clip in clips if clip["look"]], checks=_library_checks(clips),
    )  # fmt: skip
    _write_page(folder / "index.html", index)
    return folder / "index.html"


def _page_environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    for name, digits in (("whole", 0), ("time", 1), ("number", 2), ("share", 3)):
        environment.filters[name] = lambda value, d=digits: (
            "–" if value is None else f"{value:.{d}f}"
        )
    environment.globals["glossary"] = GLOSSARY
    return environment


def _clip_entry(out: Path, name: str, run: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of a clip for the pages."""
    metrics = _read_json(out / name / "metrics.json")
    iou = metrics["iou_with_input"]
    stages = run["clips"][name]["stages"]
    reviewed = "review" in run.get("settings", {})
    review = read_review(out, name) if reviewed else {"rows": [], "risk": {}}
    metrics["review"] = review["rows"]
    return {
        "name": _readable_text(name),
        "page": "",
        "folder": f"../{quote(os.fsencode(name))}/report/",
        "files": _result_files(out, name),
        "look": bool(
            review["rows"] or metrics["warnings"] or metrics["holes"] or metrics["changed_frames"]
        ),
        "review": review["rows"],
        "risk": review["risk"],
        "trust": review.get("trust", {}),
        "frames": metrics["frames"],
        "before": metrics["input"]["E_cons"],
        "left": metrics["output"]["E_cons"],
        "smooth_before": metrics["input"]["E_smooth_mean"],
        "smooth_left": metrics["output"]["E_smooth_mean"],
        "iou": sum(iou) / len(iou),
        "remarks": review_remark(metrics),
        "warnings": metrics["warnings"],
        "notes": metrics["notes"],
        "holes": metrics["holes"],
        "changed": metrics["changed_frames"],
        "seconds": sum(stage["seconds"] for stage in stages.values()),
        "stages": stages,
    }


def _result_files(out: Path, name: str) -> list[tuple[str, str]]:
    """Return the results of a clip that are there: what they are called, and links to them."""
    there = [result for result in RESULTS if (out / name / result).exists()]
    folder = quote(os.fsencode(name))
    names = [f"{part}/" if (out / name / part).is_dir() else part for part in there]
    return [(part, f"../{folder}/{part}") for part in names]


def _opening_frame(clip: dict[str, Any], shown: dict[str, Any]) -> int:
    """Return the frame that a clip's page opens at: that of a warning, or the report's own."""
    for warning in clip["warnings"]:
        start, stop = warning["frames"][0] if warning["frames"] else (0, clip["frames"])
        if stop - start < clip["frames"]:
            return int(start)
    return int(shown["opens"])


def _frames_to_check(clip: dict[str, Any], shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the frames to check, rising, each with the reason in words; a run counts once."""
    reasons: dict[int, str] = {
        moment["frame"]: f"worst moment: {moment['value']:.2f}" for moment in shown["moments"]
    }
    for reason, frames in (("changed a lot", clip["changed"]), ("not decoded", clip["holes"])):
        reasons |= {t: reason for t in frames if t - 1 not in frames}
    several = len(clip["risk"]) > 1
    for row in reversed(clip["review"]):  # the riskiest last: a frame has one reason
        whose = f"class {row['object']}: " if several else ""
        reasons[row["frame"]] = f"risk {row['risk']:.2f}: {whose}{row['reason']}"
    for warning in clip["warnings"]:
        reasons |= {run[0]: warning["words"] for run in warning["frames"]}
    return [{"frame": t, "words": reasons[t]} for t in sorted(reasons)]


def _risk_lane(clip: dict[str, Any]) -> dict[str, Any] | None:
    """Return the highest risk of any object over the frames, or None where none was computed."""
    risks = [values for values in clip["risk"].values() if values]
    return thinned_curve(np.max(np.array(risks, np.float64), axis=0)) if risks else None


def _trust_lane(clip: dict[str, Any]) -> dict[str, Any] | None:
    """Return the shares of the least trusted object over the frames, or None without trust."""
    if not clip["trust"]:
        return None
    kinds = ("wrong", "untrusted")
    shares = np.array(
        [[class_shares[kind] for kind in kinds] for class_shares in clip["trust"].values()],
        np.float64,
    )
    return {kind: thinned_curve(shares[:, k].max(axis=0)) for k, kind in enumerate(kinds)}


def _clip_urgency(clip: dict[str, Any]) -> tuple[Any, ...]:
    """Return the sort key of a clip: those with a warning first, then at risk, least stable."""
    left = clip["left"]
    risk = max((row["risk"] for row in clip["review"]), default=0.0)
    worst = (not clip["warnings"], not clip["look"], -risk)
    return *worst, left is None, -(left or 0.0), clip["name"]


def _clip_moments(clip: dict[str, Any], shown: dict[str, Any]) -> list[dict[str, Any]]:
    known = {"clip": clip["name"], "page": clip["page"], "folder": clip["folder"]}
    return [known | moment for moment in shown["moments"]]


def _library_checks(clips: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the riskiest stretches of the library, each with the page of its clip."""
    rows = [
        row | {"clip": clip["name"], "page": clip["page"]}
        for clip in clips
        for row in clip["review"]
    ]
    return sorted(rows, key=lambda row: -row["risk"])[:WORST]


def _worst_clips(moments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those with the most inconsistency left."""
    return sorted(moments, key=lambda moment: -moment["value"])[:WORST]


def _stage_totals(run: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the totals of each stage over all clips."""
    total: dict[str, dict[str, float]] = {}
    for clip in run["clips"].values():
        for stage, spent in clip["stages"].items():
            sums = total.setdefault(stage, dict.fromkeys(spent, 0))
            for name, value in spent.items():
                sums[name] += value
    return total


def _failed_clips(run: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(
        (_readable_text(name), _readable_text(why)) for name, why in run["failures"].items()
    )


def _readable_text(text: str) -> str:
    """Return a text that can be read: file names may hold control characters, or no UTF-8."""
    return line(os.fsencode(text).decode("utf-8", "replace"))


def _page_name(name: str) -> str:
    """Return a file name for a clip's page, whatever the clip is called."""
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name)[:60].strip('-')}-{digest}.html"


def _write_assets(folder: Path) -> None:
    from plotly.offline import get_plotlyjs

    for asset in ASSETS:
        _write_page(folder / asset, (TEMPLATES / asset).read_text(encoding="utf-8"))
    _write_page(folder / "plotly.min.js", get_plotlyjs())


def _drop_others(folder: Path, kept: set[str]) -> None:
    """Remove the pages of clips that are no longer there."""
    for old in folder.glob("*.html"):
        if old.name not in kept:
            old.unlink()


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_page(path: Path, text: str) -> None:
    """Write a file, unless it says so already: replacing one is slow on many file systems."""
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
        return
    write_whole(path, text)
