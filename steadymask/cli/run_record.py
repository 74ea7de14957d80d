"""What a run leaves behind beside the masks: ``run.json``, ``metrics.json``, and a table."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import time
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.events import (
    ClipFailed,
    ClipFinished,
    Event,
    TaskCached,
    TaskEnded,
    TaskRetried,
    TaskStarted,
)
from pipeline.whole_files import write_whole
from pipeline.wording import count_text
from steadymask.cli.review_list import read_review, write_review
from steadymask.cli.terminal import line, plain_console
from steadymask.cli.work_meter import WorkMeter

SAVE_EVERY_S = 2.0
ROWS = 40  # of the table of clips, at most
NARROW = 100  # columns, in which the table of clips would cut their names
WITH_LINES = 52  # columns, from which on the table of stages has lines between its own
CLIPS_TITLE = "clips (lower E is stabler; judged with the pipeline's own flow)"

PACKAGES = ("numpy", "opencv-contrib-python", "numba", "numcodecs", "ray", "torch", "ptlflow", "av")


class Record:
    """Follows a run and writes ``run.json`` and ``metrics.json`` below `out`."""

    def __init__(
        self,
        out: Path,
        settings: dict[str, Any],
        order: list[str],
        clips: int,
        *,
        library: str = "",
    ) -> None:
        self._library = library
        self.out, self._settings, self._order, self._clips = out, settings, order, clips
        self._running: dict[str, float] = {}
        self.meter = WorkMeter(clips)
        self._next_save = 0.0
        self.hand_edits: dict[str, list[str]] = {}
        self.failures: dict[str, str] = {}
        self.passed_over: dict[str, str] = {}  # what was no clip, and why
        self.finished: list[str] = []
        self._stages: dict[str, dict[str, dict[str, float]]] = {}  # of the clips at work
        self._ended: dict[str, str] = {}  # of the others, as JSON: a library may be large
        self._totals: dict[str, list[float]] = {name: [0, 0, 0.0, 0] for name in order}
        self._began = time.time()
        self._versions = {"python": platform.python_version(), **_library_versions()}

    def record_event(self, event: Event) -> None:
        """Add one event; now and then write ``run.json``, for `status`."""
        self._follow_event(event)
        self._add_event(event)
        if time.time() >= self._next_save:
            began = time.time()
            self.save("running")
            # Large libraries have large records: spend no more than a twentieth of the time.
            self._next_save = time.time() + max(SAVE_EVERY_S, 20 * (time.time() - began))

    def _follow_event(self, event: Event) -> None:
        """Keep count of what is being done and what is left."""
        self.meter.record_event(event)
        if isinstance(event, ClipFinished | ClipFailed):
            mine = f"{event.clip}: "
            self._running = {k: t for k, t in self._running.items() if not k.startswith(mine)}
        elif isinstance(event, TaskStarted):
            self._running[f"{event.clip}: {event.node}"] = time.time()
        elif isinstance(event, TaskRetried | TaskEnded):
            self._running.pop(f"{event.clip}: {event.node}", None)

    def _progress_entry(self) -> dict[str, Any]:
        """Return how far the run is."""
        estimate = self.meter.estimate()
        return {
            "clips": self._clips,
            "finished": len(self.finished),
            "failed": len(self.failures),
            "share": round(estimate.share, 6),
            "frames": round(estimate.frames),
            "frames_done": round(estimate.frames_done, 1),
            "seconds_left": None
            if estimate.seconds_left is None
            else round(estimate.seconds_left, 1),
            "running": dict(self._running),
            "updated": time.time(),
        }

    def _add_event(self, event: Event) -> None:
        if isinstance(event, ClipFailed):
            self.fail(event.clip, event.text)
        elif isinstance(event, ClipFinished):
            self.finished.append(event.clip)
        if isinstance(event, ClipFailed | ClipFinished):
            finished = isinstance(event, ClipFinished)
            entry = {"done": finished, "stages": self._stages.pop(event.clip, {})}
            if finished:
                entry |= self._masks_read(event.clip)
            if entry["done"] or entry["stages"]:
                self._ended[event.clip] = json.dumps(entry)
        elif isinstance(event, TaskEnded):
            empty = {"hits": 0, "computed": 0, "seconds": 0.0, "bytes": 0}
            stage = self._stages.setdefault(event.clip, {}).setdefault(event.node.stage, empty)
            cached = isinstance(event, TaskCached)
            stage["hits" if cached else "computed"] += 1
            stage["bytes"] += event.stored_bytes
            total = self._totals.setdefault(event.node.stage, [0, 0, 0.0, 0])
            total[int(cached)] += 1
            total[3] += event.stored_bytes
            if not cached:
                stage["seconds"] = round(stage["seconds"] + event.seconds, 3)
                total[2] += event.seconds

    def take_over_clips(self, others: Container[str]) -> None:
        """Take over from the last ``run.json`` the clips that were done, but for `others`."""
        try:
            before = json.loads((self.out / "run.json").read_text(encoding="utf-8"))["clips"]
        except (OSError, ValueError, KeyError):
            return
        for name, clip in before.items():
            if clip["done"] and name not in others:
                self._ended[name] = json.dumps(clip)
                self.finished.append(name)

    def fail(self, clip: str, reason: str) -> None:
        """Take down that a clip could not be done."""
        self.failures[clip] = reason

    def save(self, state: str) -> None:
        """Write ``run.json``, and ``metrics.json`` from the clips' own."""
        about = {
            "state": state,
            "library": self._library,
            "began": self._began,
            "seconds": round(time.time() - self._began, 2),
            "settings": self._settings,
            "versions": self._versions,
            "failures": self.failures,
            "passed_over": self.passed_over,
            "changed_by_hand": self.hand_edits,
            "progress": self._progress_entry(),
        }
        at_work = {
            name: json.dumps({"done": False, "stages": stages})
            for name, stages in self._stages.items()
        }
        every = sorted((self._ended | at_work).items())
        lines = ",\n".join(f"  {json.dumps(name)}: {text}" for name, text in every)
        head = json.dumps(about, indent=1).removesuffix("\n}")
        write_whole(self.out / "run.json", f'{head},\n "clips": {{\n{lines}\n }}\n}}\n')
        if state == "done":
            scores = {clip: self.scores(clip) for clip in sorted(self.finished)}
            _write_json(self.out / "metrics.json", {"clips": scores, "failures": self.failures})
            if self._has_review:
                write_review(self.out, sorted(self.finished))
            else:
                (self.out / "review.csv").unlink(missing_ok=True)

    @property
    def _has_review(self) -> bool:
        """Whether this run says which frames to look at."""
        return "review" in self._order

    def _masks_read(self, clip: str) -> dict[str, Any]:
        """Return how a clip's masks were understood, as its own ``metrics.json`` has it."""
        try:
            scores = json.loads((self.out / clip / "metrics.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {name: scores[name] for name in ("masks_read_as", "class_names") if scores.get(name)}

    @property
    def warned_clips(self) -> list[str]:
        """The finished clips that have a warning, by name."""
        return [clip for clip in sorted(self.finished) if self.scores(clip)["warnings"]]

    def scores(self, clip: str) -> dict[str, Any]:
        """Return the content of a clip's ``metrics.json``, without the lists of frames."""
        path = self.out / clip / "metrics.json"
        full: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        long = ("flicker",)
        for system in ("input", "output"):
            full[system] = {k: v for k, v in full[system].items() if k not in long}
        iou = full.pop("iou_with_input")
        full["iou_with_input"] = round(sum(iou) / len(iou), 4)
        full["review"] = read_review(self.out, clip)["rows"] if self._has_review else []
        return full

    def spent_by_stage(self) -> dict[str, tuple[int, int, float, float]]:
        """Return (computed, hits, seconds, bytes) of each stage over all clips."""
        return {
            name: (int(computed), int(hits), seconds, size)
            for name, (computed, hits, seconds, size) in self._totals.items()
        }


def print_table(record: Record) -> None:
    """Print stages, clips and failures."""
    console = plain_console()
    stages = Table("stage", "computed", "cached", "seconds", "MB", title="stages")
    if console.width < WITH_LINES:
        stages.box, stages.padding = None, (0, 1, 0, 0)
    for name, (computed, hits, seconds, size) in record.spent_by_stage().items():
        stages.add_row(name, str(computed), str(hits), f"{seconds:.1f}", f"{size / 1e6:.0f}")
    console.print(stages)
    every = [(clip, record.scores(clip)) for clip in record.finished]
    if len(every) > ROWS:
        every.sort(
            key=lambda clip_scores: (
                not clip_scores[1]["warnings"],
                -(clip_scores[1]["output"]["E_cons"] or 0.0),
            )
        )
    _print_clips(console, every[:ROWS])
    if len(every) > ROWS:
        console.print(f"the {ROWS} clips with most left of {len(every)}; all are in the report")
    _print_warnings(console, every)
    for clip, reason in record.failures.items():
        failure = f"failed: {line(clip)}: {line(reason)}"
        console.print(failure, markup=False, highlight=False, soft_wrap=True)
    done = count_text(len(record.finished), "clip")
    done = f"{done} done, {len(record.failures)} failed: {record.out}"
    console.print(done, markup=False, highlight=False, soft_wrap=True)


def _print_clips(console: Console, every: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Print the clips in a table, or, where the window is too narrow for it, in lines."""
    table = Table(
        "clip", "frames", "E_cons in", "out", "E_smooth in", "out", "IoU in/out", "to look at",
        title=CLIPS_TITLE,
    )  # fmt: skip
    if every and console.width < NARROW:
        console.print(CLIPS_TITLE)
    for clip, scores in every:
        values = [
            _number_text(scores[system][name])
            for name in ("E_cons", "E_smooth_mean")
            for system in ("input", "output")
        ]
        iou = f"{scores['iou_with_input']:.3f}"
        if console.width < NARROW:
            text = f"{line(clip)}: E_cons {values[0]} in, {values[1]} out; IoU {iou}"
            console.print(f"{text}; {review_remark(scores)}".removesuffix("; "), soft_wrap=True)
        else:
            table.add_row(line(clip), str(scores["frames"]), *values, iou, review_remark(scores))
    if console.width >= NARROW:
        console.print(table)


def _print_warnings(console: Console, every: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Print which clips came out worse than they went in, and the likely causes."""
    worse = [(clip, scores["warnings"]) for clip, scores in every if scores["warnings"]]
    for clip, warnings in worse[:ROWS]:
        for warning in warnings:
            text = f"warning: {line(clip)}: {warning_text(warning)}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    if len(worse) > ROWS:
        console.print(f"warnings of {ROWS} of {len(worse)} clips; all are in the report")


def warning_text(warning: Mapping[str, Any]) -> str:
    """Return the text of a clip's warning, with its likely cause."""
    cause = f". Likely cause: {warning['cause']}" if warning["cause"] else ""
    return f"{warning['words']}{cause}"


def review_remark(scores: dict[str, Any]) -> str:
    """Return a line on the frames of a clip that a person should check."""
    parts = [f"warning: {warning['words']}" for warning in scores["warnings"]]
    parts += scores["notes"]
    if scores["holes"]:
        parts.append(f"{len(scores['holes'])} frames could not be decoded")
    if scores["changed_frames"]:
        first = ", ".join(str(t) for t in scores["changed_frames"][:3])
        more = ", …" if len(scores["changed_frames"]) > 3 else ""
        count = len(scores["changed_frames"])
        parts.append(f"{count} frame{'s' if count > 1 else ''} changed a lot ({first}{more})")
    if scores["review"]:
        count = len(scores["review"])
        parts.append(f"{count} {'stretch' if count == 1 else 'stretches'} of frames at risk")
    return "; ".join(parts)


def _number_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _library_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps(content, indent=1) + "\n")
