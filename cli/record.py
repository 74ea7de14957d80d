"""What a run leaves behind beside the masks: ``run.json``, ``metrics.json``, and a table."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections import deque
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.terminal import line
from pipeline.events import Event

SAVE_EVERY_S = 2.0
MARKS = 100  # how far the run was, at the last so many savings

PACKAGES = ("numpy", "opencv-contrib-python", "numba", "zarr", "ray", "torch", "ptlflow", "av")


class Record:
    """Follows a run and writes ``run.json`` and ``metrics.json`` below `out`."""

    def __init__(self, out: Path, settings: dict[str, Any], order: list[str], clips: int) -> None:
        self.out, self._settings, self._order, self._clips = out, settings, order, clips
        self._running: dict[str, float] = {}
        self._left: dict[str, int] = {}  # nodes of the clips begun
        self._marks: deque[tuple[float, float]] = deque(maxlen=MARKS)
        self._next_save = 0.0
        self.failures: dict[str, str] = {}
        self.finished: list[str] = []
        self._stages: dict[str, dict[str, dict[str, float]]] = {}
        self._began = time.time()
        self._versions = {"python": platform.python_version(), **_versions()}

    def take(self, event: Event) -> None:
        """Add one event; now and then write ``run.json``, for `status`."""
        self._add(event)
        self._follow(event)
        if time.time() >= self._next_save:
            began = time.time()
            self.save("running")
            # Large libraries have large records: spend no more than a twentieth of the time.
            self._next_save = time.time() + max(SAVE_EVERY_S, 20 * (time.time() - began))

    def _follow(self, event: Event) -> None:
        """Keep count of what is being done and what is left."""
        if event.kind == "known":
            self._left[event.clip] = event.nodes
        elif event.kind in ("finished", "failed"):
            self._left.pop(event.clip, None)
            mine = f"{event.clip}: "
            self._running = {k: t for k, t in self._running.items() if not k.startswith(mine)}
        elif event.kind == "started":
            self._running[f"{event.clip}: {event.node}"] = time.time()
        else:
            self._running.pop(f"{event.clip}: {event.node}", None)
            self._left[event.clip] = max(self._left.get(event.clip, 1) - 1, 0)

    def _progress(self) -> dict[str, Any]:
        """Return how far the run is."""
        ended, part = len(self.finished) + len(self.failures), 0.0
        for clip, left in self._left.items():
            stages = self._stages.get(clip, {}).values()
            done = sum(stage["hits"] + stage["computed"] for stage in stages)
            part += done / max(done + left, 1)
        share = min((ended + part) / max(self._clips, 1), 1.0)
        self._marks.append((round(time.time(), 2), round(share, 6)))
        return {
            "clips": self._clips,
            "finished": len(self.finished),
            "failed": len(self.failures),
            "share": round(share, 6),
            "running": dict(self._running),
            "marks": list(self._marks),
            "updated": time.time(),
        }

    def _add(self, event: Event) -> None:
        if event.kind == "failed":
            self.fail(event.clip, event.text)
        elif event.kind == "finished":
            self.finished.append(event.clip)
        elif event.kind in ("hit", "done") and event.node is not None:
            empty = {"hits": 0, "computed": 0, "seconds": 0.0, "bytes": 0}
            stage = self._stages.setdefault(event.clip, {}).setdefault(event.node.stage, empty)
            stage["hits" if event.kind == "hit" else "computed"] += 1
            stage["bytes"] += event.stored_bytes
            if event.kind == "done":
                stage["seconds"] = round(stage["seconds"] + event.seconds, 3)

    def fail(self, clip: str, reason: str) -> None:
        """Take down that a clip could not be done."""
        self.failures[clip] = reason

    def save(self, state: str) -> None:
        """Write ``run.json``, and ``metrics.json`` from the clips' own."""
        _write(
            self.out / "run.json",
            {
                "state": state,
                "began": self._began,
                "seconds": round(time.time() - self._began, 2),
                "settings": self._settings,
                "versions": self._versions,
                "clips": {
                    clip: {"done": clip in self.finished, "stages": stages}
                    for clip, stages in sorted(self._stages.items())
                },
                "failures": self.failures,
                "progress": self._progress(),
            },
        )
        if state == "done":
            scores = {clip: self.scores(clip) for clip in sorted(self.finished)}
            _write(self.out / "metrics.json", {"clips": scores, "failures": self.failures})

    def scores(self, clip: str) -> dict[str, Any]:
        """Return what ``metrics.json`` of a clip says, without the lists of frames."""
        path = self.out / clip / "metrics.json"
        full: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        long = ("flicker",)
        for system in ("input", "output"):
            full[system] = {k: v for k, v in full[system].items() if k not in long}
        iou = full.pop("iou_with_input")
        full["iou_with_input"] = round(sum(iou) / len(iou), 4)
        return full

    def spent(self) -> dict[str, tuple[int, int, float, float]]:
        """Return (computed, hits, seconds, bytes) of each stage over all clips."""
        total: dict[str, tuple[int, int, float, float]] = {}
        for name in self._order:
            parts = [stages[name] for stages in self._stages.values() if name in stages]
            total[name] = (
                int(sum(part["computed"] for part in parts)),
                int(sum(part["hits"] for part in parts)),
                sum(part["seconds"] for part in parts),
                sum(part["bytes"] for part in parts),
            )
        return total


def print_table(record: Record) -> None:
    """Print stages, clips and failures."""
    console = Console(markup=False, emoji=False, highlight=False)  # names are of strangers
    stages = Table("stage", "computed", "cached", "seconds", "MB", title="stages")
    for name, (computed, hits, seconds, size) in record.spent().items():
        stages.add_row(name, str(computed), str(hits), f"{seconds:.1f}", f"{size / 1e6:.0f}")
    console.print(stages)
    clips = Table(
        "clip", "frames", "E_cons in", "out", "E_smooth in", "out", "IoU in/out", "to look at",
        title="clips (lower E is stabler; judged with the pipeline's own flow)",
    )  # fmt: skip
    for clip in record.finished:
        scores = record.scores(clip)
        values = [
            _number(scores[system][name])
            for name in ("E_cons", "E_smooth_mean")
            for system in ("input", "output")
        ]
        iou = f"{scores['iou_with_input']:.3f}"
        clips.add_row(line(clip), str(scores["frames"]), *values, iou, remarks(scores))
    console.print(clips)
    for clip, reason in record.failures.items():
        said = f"failed: {line(clip)}: {line(reason)}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
    done = f"{len(record.finished)} clips done, {len(record.failures)} failed: {record.out}"
    console.print(done, markup=False, highlight=False, soft_wrap=True)


def remarks(scores: dict[str, Any]) -> str:
    """Return what a person should look at in a clip with these scores, in a line."""
    parts = list(scores["warnings"])
    if scores["holes"]:
        parts.append(f"{len(scores['holes'])} frames could not be decoded")
    if scores["changed_frames"]:
        first = ", ".join(str(t) for t in scores["changed_frames"][:3])
        more = ", …" if len(scores["changed_frames"]) > 3 else ""
        parts.append(f"{len(scores['changed_frames'])} frames changed a lot ({first}{more})")
    return "; ".join(parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _write(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
