"""Scores all systems on all clips of a library."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.errors import ConfigError, InputError
from stages.models.flow.registry import NetworkMethod, find_method
from steadymask.evaluation.layouts import Files, find_labels
from steadymask.evaluation.reference_flow import EstimatedFlow, Judge, KnownFlow, flow_used
from steadymask.evaluation.score_clip import ClipScores, Options, add_excess, score_clip

OTHER_FLOW = "other"
SLOW_FLOW_SCALE = 0.5  # share of the size that DeepFlow works at unless told otherwise


def reference_flow(
    method: str,
    folders: Sequence[Path],
    *,
    scale: float | None,
    radius: int,
    workers: int,
    weights: str = "",
    device: str = "cpu",
) -> EstimatedFlow:
    """Return the flow to judge with; by default not the one that made the masks in `folders`.

    Raises
    ------
    ConfigError
        If a value is out of bounds, a network has no weights, or weights are given to no network.
    """
    if method == OTHER_FLOW:
        method = "deepflow" if flow_used(folders) == "dis" else "dis"
    size = scale or (SLOW_FLOW_SCALE if method == "deepflow" else 1.0)
    if not 0 < size <= 1:
        raise ConfigError(f"--flow-scale {size}: expected more than 0 and at most 1")
    if radius < 1:
        raise ConfigError(f"--radius {radius}: expected at least 1")
    network = isinstance(find_method(method), NetworkMethod)
    if network and not weights:
        raise ConfigError(
            f"--flow {method}: expected --flow-weights, the name of one of its checkpoints "
            "(things, sintel, …) or a file, got none"
        )
    if weights and not network:
        raise ConfigError(f"--flow-weights {weights}: {method} has none; expected --flow NETWORK")
    count = 1 if network else workers or os.cpu_count() or 1
    return EstimatedFlow(method, size, radius, count, weights, device)


def labels_by_clip(folder: Path, clips: Mapping[str, Files]) -> dict[str, Files]:
    """Return a folder's labels by clip; where there is one clip on either side, they belong."""
    labels = find_labels(folder)
    if len(labels) == len(clips) == 1:
        return {next(iter(clips)): next(iter(labels.values()))}
    return labels


def score_library(
    clips: Mapping[str, Files],
    systems: Mapping[str, Mapping[str, Files]],
    truth: Mapping[str, Files] | None,
    judge: Judge,
    options: Options,
    *,
    exact_flow: Path | None = None,
    limit: EstimatedFlow | None = None,
    track: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> tuple[list[ClipScores], list[str]]:
    """Return the scores of every clip that any system has, and why others have none.

    Parameters
    ----------
    clips : mapping
        Frames by clip.
    systems : mapping
        Label files by system and clip; `excess` refers to the first.
    truth : mapping, optional
        Label files by clip.
    judge : Judge
    options : Options
    exact_flow : Path, optional
        Folder of known flow, ``<clip>.npz``, instead of `judge`.
    limit : EstimatedFlow, optional
        Where flow is known, only pixels that this one tracks too count.
    track : callable
        Wraps the names of the clips that are scored, for a progress bar.

    Raises
    ------
    ConfigError
        If no system has a clip.
    """
    scores, failures = [], []
    common = [name for name in clips if any(name in files for files in systems.values())]
    if not common:
        theirs = ", ".join(sorted({name for files in systems.values() for name in files})[:5])
        raise ConfigError(
            f"expected masks of the clips {', '.join(list(clips)[:5])}, found those of {theirs}"
        )
    for name in track(common):
        clip_systems = {system: files[name] for system, files in systems.items() if name in files}
        true = truth.get(name) if truth is not None else None
        try:
            flow: Judge = judge
            if exact_flow is not None:
                flow = KnownFlow(exact_flow / f"{name}.npz", limit=limit)
            clip_scores = score_clip(name, clips[name], clip_systems, true, flow, options)
        except InputError as error:
            failures.append(str(error))
            continue
        for system in systems:
            if system not in clip_systems:
                clip_scores.problems[system] = f"{name}: {system}: no masks"
        if truth is not None and true is None:
            failures.append(f"{name}: no true masks: scored without")
        add_excess(clip_scores, next(iter(systems)))
        scores.append(clip_scores)
    return scores, failures
