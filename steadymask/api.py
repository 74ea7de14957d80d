"""What ``import steadymask`` offers: stable masks of arrays, runs over libraries, scores."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import ConfigError, InputError
from pipeline.events import ClipFailed, Event
from pipeline.executor import InlineExecutor
from pipeline.lock import locked
from pipeline.scheduler import Run
from pipeline.settings import Sections, merge_layers
from pipeline.stage import Clip, Sink, Step
from pipeline.store.store import Store
from stages.catalogue import Engine, build_steps
from stages.export import Export
from steadymask.array_clips import ArrayExport, Frames, StableMasks, frame_converter, write_clip
from steadymask.cli.options import ExecutorName
from steadymask.evaluation.layouts import find_frames, name_layout
from steadymask.evaluation.protocols import choose_protocol
from steadymask.evaluation.score_clip import ClipScores, Options
from steadymask.evaluation.score_library import (
    OTHER_FLOW,
    labels_by_clip,
    reference_flow,
    score_library,
)
from steadymask.evaluation.summary import Summary, summarise_clips
from steadymask.record import RunRecord
from steadymask.typed_settings import Settings, read_sections

AnySettings = Settings | Mapping[str, Mapping[str, Any]] | str | None
"""Typed settings, sections as in a preset, a preset by name or path, or none: the defaults."""

Progress = Callable[[Event], None]

KEPT_IN_MEMORY_BYTES = 1 << 28
DROPPED_AFTER_USE = ("flow", "visibility")  # what takes most of the temporary folder


def stabilize(
    frames: Frames,
    masks: Frames | None,
    *,
    settings: AnySettings = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> StableMasks:
    """Return temporally stable masks of one clip, those that the command makes, bit for bit.

    Parameters
    ----------
    frames : array or tensor (T, H, W, 3), or iterable of (H, W, 3)
        RGB, uint8. An iterable is read once, frame by frame, so that a long clip fits.
    masks : array or tensor (T, H, W) or (T, H, W, C), or iterable of (H, W) or (H, W, C)
        Integers are labels, 0 the background; floats in [0, 1] are soft masks of one foreground
        class, or of C. None: ``settings.segment.segmenter`` makes them.
    settings : Settings, mapping, str, optional
        See `Settings`; a preset's name will do.
    workers : int
        Tasks at a time; 0: as many as there are processors.
    progress : callable, optional
        Told of every event; see `pipeline.events`.

    Raises
    ------
    ShapeError
        If frames or masks are not as above, or not equally many.
    ConfigError
        If a setting does not exist or is out of bounds.
    InputError
        If a stage fails.

    Examples
    --------
    >>> import numpy as np
    >>> frames = np.zeros((3, 32, 40, 3), np.uint8)
    >>> masks = np.zeros((3, 32, 40, 2), np.float32)
    >>> masks[:, 4:20, 4:20, 1] = 1
    >>> stable = stabilize(frames, masks, settings="fast", workers=1)
    >>> stable.soft.shape, stable.class_ids, len(stable)
    ((3, 32, 40, 2), (1, 2), 3)
    """
    sections = merge_layers(read_sections(settings), {"report": {"enabled": False}})
    folder = Path(tempfile.mkdtemp(prefix="steadymask-"))
    stable: StableMasks | None = None
    try:
        clip = write_clip(frames, masks, folder)
        steps, engine = _steps_for_arrays(sections, has_masks=masks is not None)
        _run_clip(clip, steps, engine, folder, workers, progress)
        scores = json.loads((folder / "clip" / "metrics.json").read_text(encoding="utf-8"))
        for part in ("footage", "masks", "store"):
            _remove_folder(folder / part)
        stable = StableMasks(folder, tuple(scores["classes"]), scores, frame_converter(frames))
    finally:
        if stable is None:
            _remove_folder(folder)
    return stable


def run(
    footage: str | Path,
    masks: str | Path | None,
    out: str | Path,
    *,
    settings: AnySettings = None,
    segmenter: str = "",
    key_frames: str | Path | None = None,
    store: str = "",
    executor: ExecutorName = "inline",
    workers: int = 0,
    address: str = "",
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> RunRecord:
    """Run a library as the command does, and return the record of the run.

    What an earlier run left in `out` or `store` is continued. Failures of clips are in
    ``record.failures``; they do not raise.

    Parameters
    ----------
    footage, masks, out : path
        Videos or folders of frames; masks named like the clips, or None with a `segmenter`;
        folder of the results.
    settings : Settings, mapping, str, optional
    segmenter : str
        A torchvision model, a file.onnx, or ``module:function``.
    key_frames : path, optional
        Your own masks for some frames; with or without `masks`.
    store : str
        Folder or URL of intermediates; ``out/.store`` by default.
    executor, workers, address
        Where tasks run: in this process, or on Ray, there on a cluster if it has an address.
    retry_failed : bool
        Run only the clips that failed the last time.
    progress : callable, optional
        Told of every event; see `pipeline.events`.

    Raises
    ------
    ConfigError
        If nothing can be run: no clip, no masks for any clip, a setting that is wrong, or no such
        executor.
    """
    from steadymask.cli.clip_pairing import add_key_frames, check_out, chosen_readers, pair_masks
    from steadymask.cli.execution import Placement, check_executor, executor_starter
    from steadymask.cli.library_run import LibraryRun
    from steadymask.cli.pages import write_pages

    sections = read_sections(settings)
    if segmenter:
        sections = merge_layers(sections, {"segment": {"segmenter": segmenter}})
    has_segmenter = bool(sections.get("segment", {}).get("segmenter"))
    check_executor(executor)
    if masks is not None and has_segmenter:
        raise ConfigError("expected either masks or a segmenter, got both")
    if masks is None and not has_segmenter and key_frames is None:
        raise ConfigError("expected masks, a segmenter or key frames, got none")
    steps, engine = build_steps(sections, "settings", key_frames=key_frames is not None)
    out_folder, source = Path(out), Path(footage)
    check_out(out_folder, source)
    own = [Path(key_frames)] if key_frames is not None else []
    never = (out_folder, *own, *([Path(store)] if store and "://" not in store else []))
    library = pair_masks(
        source, Path(masks) if masks is not None else None, never=never,
        readers=chosen_readers(sections),
    )  # fmt: skip
    if key_frames is not None:
        library = add_key_frames(library, Path(key_frames), alone=masks is None)
    with locked(out_folder):
        storage = Store(store or str(out_folder / ".store"))
        start = executor_starter(Placement(executor, workers, address), storage, engine)
        work = LibraryRun(
            out_folder, source.resolve().name, library, steps, engine, storage, start,
            retry_failed=retry_failed,
        )  # fmt: skip
        work.go(progress or _ignore_event)
        write_pages(out_folder)
    return RunRecord.load(out_folder)


@dataclass(frozen=True)
class Evaluation:
    """Scores of systems on a library.

    Attributes
    ----------
    flow : str
        Method of the flow that stability was judged with.
    clips : tuple of ClipScores
        Values by system and measure, and flicker from frame to frame.
    summary : Summary
        Means over the clips that all systems have, with intervals at 95 %.
    failures : tuple of str
        Clips and systems that could not be scored, and why.
    protocol : str
        Which frames counted, and how the set was scored: the name of a protocol.
    """

    flow: str
    clips: tuple[ClipScores, ...]
    summary: Summary
    failures: tuple[str, ...]
    protocol: str = "all"


def evaluate(
    frames: str | Path,
    systems: Mapping[str, str | Path],
    *,
    truth: str | Path | None = None,
    task: Literal["objects", "classes", "tracks"] | None = None,
    protocol: Literal["all", "davis2016", "davis2017", "vspw"] | None = None,
    union: bool = False,
    flow: str = OTHER_FLOW,
    flow_scale: float | None = None,
    radius: int = 3,
    rate: float = 24.0,
    workers: int = 0,
) -> Evaluation:
    """Return how right and how still the masks of systems are; see ``steadymask evaluate --help``.

    Parameters
    ----------
    frames : path
        Folder of clips, each a folder of pictures.
    systems : mapping of name to path
        Masks of each system; `excess` refers to the first.
    truth : path, optional
        True masks, of some frames or of all.
    task : {"objects", "classes", "tracks"}, optional
        J and F as DAVIS has them, mIoU and VC as VSPW has them, or HOTA, IDF1 and AP of tracks;
        None: what the protocol scores, else objects.
    protocol : {"all", "davis2016", "davis2017", "vspw"}, optional
        Which frames count and how sets are scored; needs `truth`, unless it is "all". None: "vspw"
        for folders of that layout, unless `task` or `union` asks for objects, else "all".
    union : bool
        Take all objects for one.
    flow, flow_scale, radius
        Flow to judge with (by default not the one that made the masks), share of the size that it
        works at, and how far apart the frames of a pair may be.
    rate : float
        Frames per second.
    workers : int
        Pairs at a time; 0: as many as there are processors.

    Raises
    ------
    ConfigError
        If there is no system, a value is out of bounds, or the protocol does not fit.
    """
    if not systems:
        raise ConfigError("systems: expected at least one, by name, got none")
    layouts = [name_layout(Path(root)) for root in (frames, truth) if root is not None]
    rules = choose_protocol(protocol, task, layouts, union=union, has_truth=truth is not None)
    folders = {name: Path(folder) for name, folder in systems.items()}
    judge = reference_flow(
        flow, list(folders.values()), scale=flow_scale, radius=radius, workers=workers
    )
    clips = find_frames(Path(frames))
    scores, failures = score_library(
        clips,
        {name: labels_by_clip(folder, clips) for name, folder in folders.items()},
        labels_by_clip(Path(truth), clips) if truth is not None else None,
        judge,
        Options(task or rules.task or "objects", union, rate, protocol=rules),
    )
    problems = [clip.problems[name] for clip in scores for name in folders if name in clip.problems]
    return Evaluation(
        judge.method,
        tuple(scores),
        summarise_clips(scores, list(folders)),
        (*failures, *problems),
        rules.name,
    )


def _steps_for_arrays(sections: Sections, *, has_masks: bool) -> tuple[list[Step], Engine]:
    """Return the steps of a clip of arrays: results become arrays, there is no report."""
    segment = sections.get("segment", {})
    if has_masks == bool(segment.get("segmenter")):
        raise ConfigError(
            "expected either masks or segment.segmenter, got "
            + ("both" if has_masks else "neither")
        )
    steps, engine = build_steps(sections, "settings")
    wanted: list[Step] = []
    for step in steps:
        if isinstance(step, Export):
            wanted.append(ArrayExport(**step.model_dump(include=set(Export.model_fields))))
        elif not isinstance(step, Sink) or step.name == "scores":
            wanted.append(step)
    return wanted, engine


def _run_clip(
    clip: Clip,
    steps: Sequence[Step],
    engine: Engine,
    folder: Path,
    workers: int,
    progress: Progress | None,
) -> None:
    failures: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, ClipFailed):
            failures.append(event.text)
        (progress or _ignore_event)(event)

    store = Store(str(folder / "store"))
    count = workers or os.cpu_count() or 1

    def start() -> InlineExecutor:
        return InlineExecutor(store.url, count, recent=KEPT_IN_MEMORY_BYTES)

    drop = {*DROPPED_AFTER_USE, *engine.drop}
    Run(steps, store, folder, start, chunk=engine.chunk, listener=listen, drop=drop).go([clip])
    if failures:
        raise InputError(failures[0])


def _ignore_event(event: Event) -> None:
    """Leave an event alone."""


def _remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
