"""Scores as tables on the terminal and as files."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.wording import count_text
from steadymask.cli.terminal import line
from steadymask.evaluation.score_clip import TRUTH, ClipScores
from steadymask.evaluation.summary import HIGHER, LOWER, MEASURES, Mean, Summary

ARROWS = {HIGHER: "↑", LOWER: "↓"}


@dataclass(frozen=True)
class Conditions:
    """Under which scores were made: said with every table.

    Attributes
    ----------
    flow : str
    sizes : str
        Of the masks: E_cons is a width in pixels of that size.
    protocol, rules : str
        Name of the protocol, and it in words.
    """

    flow: str
    sizes: str
    protocol: str
    rules: str


def describe_sizes(scores: Sequence[ClipScores]) -> str:
    """Return the sizes of clips in words.

    Examples
    --------
    >>> describe_sizes([ClipScores("a", 5, size=(480, 854)), ClipScores("b", 5, size=(480, 854))])
    '854 x 480'
    """
    sizes = sorted({clip.size for clip in scores}, reverse=True)
    texts = [f"{columns} x {rows}" for rows, columns in sizes]
    return ", ".join(texts) if len(texts) <= 4 else f"{texts[0]} to {texts[-1]}"


def print_conditions(console: Console, conditions: Conditions) -> None:
    """Print the flow, the size and the protocol that tables were made with."""
    for text in (
        f"judged with {conditions.flow}, masks at {conditions.sizes}",
        f"protocol {conditions.protocol}: {conditions.rules}",
    ):
        console.print(line(text), markup=False, highlight=False, soft_wrap=True)


def print_summary(console: Console, summary: Summary, systems: Sequence[str]) -> None:
    """Print the means of all systems side by side."""
    names = [*systems, TRUTH] if TRUTH in summary.means else list(systems)
    title = f"mean over {count_text(len(summary.clips), 'clip')}, 95 % interval below; ★ best"
    table = Table("measure", "", *names, title=title)
    for measure, (way, _) in MEASURES.items():
        cells = [summary.means[name].get(measure) for name in names]
        if all(cell is None for cell in cells):
            continue
        best = summary.best(measure)
        texts = [
            _mean_text(cell, " ★" if name in best else "")
            for name, cell in zip(names, cells, strict=True)
        ]
        table.add_row(measure, ARROWS.get(way, ""), *texts)
    console.print(table)
    if summary.left_out:
        names_out = line(", ".join(summary.left_out))
        console.print(
            f"left out of the means, since not every system has them: {names_out}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def print_clips(console: Console, scores: Sequence[ClipScores]) -> None:
    """Print every clip's values."""
    shown = [
        m
        for m in MEASURES
        if any(m in v for clip_scores in scores for v in clip_scores.values.values())
    ]
    table = Table("clip", "system", *shown)
    for clip_scores in scores:
        for system, values in clip_scores.values.items():
            cells = [_number_text(values[name]) if name in values else "" for name in shown]
            table.add_row(line(clip_scores.name), line(system), *cells)
    console.print(table)


def _mean_text(mean: Mean | None, mark: str) -> Text:
    if mean is None:
        return Text()
    if math.isnan(mean.low):
        return Text(_number_text(mean.value) + mark)
    interval = f"\n{_number_text(mean.low)} – {_number_text(mean.high)}"
    return Text.assemble(_number_text(mean.value) + mark, (interval, "dim"))


def _number_text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def write_json(
    path: Path,
    conditions: Conditions,
    summary: Summary,
    scores: Sequence[ClipScores],
    failures: Sequence[str],
    gates: Sequence[str],
) -> None:
    """Write everything that was found out."""
    content = {
        "flow": conditions.flow,
        "protocol": conditions.protocol,
        "protocol_is": conditions.rules,
        "measures": {name: {"better": way, "is": what} for name, (way, what) in MEASURES.items()},
        "mean": {
            system: {
                name: [_plain_value(v) for v in (m.value, m.low, m.high)]
                for name, m in means.items()
            }
            for system, means in summary.means.items()
        },
        "clips_in_mean": summary.clips,
        "clips": {
            clip_scores.name: {
                "frames": clip_scores.frames,
                "size": list(clip_scores.size),
                "values": {
                    system: {name: _plain_value(value) for name, value in values.items()}
                    for system, values in clip_scores.values.items()
                },
                "flicker": {
                    s: [_plain_value(v) for v in values]
                    for s, values in clip_scores.flicker.items()
                },
                "problems": clip_scores.problems,
            }
            for clip_scores in scores
        },
        "not_scored": list(failures),
        "failed": list(gates),
    }
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, scores: Sequence[ClipScores]) -> None:
    """Write a row for every value."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["clip", "system", "measure", "value"])
        for clip_scores in scores:
            for system, values in clip_scores.values.items():
                for name, value in values.items():
                    writer.writerow(
                        [clip_scores.name, system, name, "" if math.isnan(value) else value]
                    )


def _plain_value(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 6)
