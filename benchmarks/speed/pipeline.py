"""Source minutes per hour of machine, end to end, and how far each stage is from the hardware.

    python benchmarks/speed/pipeline.py FOOTAGE [--config PRESET …] [--runs 3] -- --masks MASKS …

What follows `--` is given to the command as it is: --masks or --segmenter, --set, --executor. Every
run starts with an empty store and includes all of it: start-up, decoding, store, encoding, report.
Presets take turns, and one run of each before them is not counted: it compiles the kernels. Presets
that ask for CUDA are not measured where there is none.

A stage's seconds are those of its tasks, over all workers; memory is the sum over all processes,
sampled (see speed.py); floors are those of floor.py, for all processors of the machine together.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.speed.floor import Rates, Scene, measured_rates, uncounted, work_of  # noqa: E402
from benchmarks.speed.speed import watched  # noqa: E402
from pipeline.settings import read_preset  # noqa: E402
from stages.media.footage.timeline import probe, working_size  # noqa: E402
from stages.media.masks.palette import read_labels  # noqa: E402
from stages.ops.tiles import flat_tiles  # noqa: E402
from steadymask.cli.clip_pairing import pair_masks  # noqa: E402

PRESETS = ["configs/default.yaml", "configs/fast.yaml", "configs/gma.yaml"]
LOOKED_AT = 20  # masks of a clip


@dataclass(frozen=True)
class Measured:
    """One run: of the clock, of memory, and of each stage's tasks."""

    seconds: float
    peak_bytes: int
    stages: dict[str, float]


def main() -> None:
    """Run and print Markdown tables."""
    own = sys.argv[1:]
    extra_words = own[own.index("--") + 1 :] if "--" in own else []
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("footage", type=Path)
    parser.add_argument("--config", nargs="*", default=PRESETS)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(own[: own.index("--")] if "--" in own else own)
    with tempfile.TemporaryDirectory() as scratch:
        compare(options, extra_words, Path(scratch))


def compare(options: argparse.Namespace, extra_words: Sequence[str], scratch: Path) -> None:
    """Measure all presets by turns and print the tables."""
    possible = [config for config in options.config if has_device(Path(config))]
    done: dict[str, list[Measured]] = {config: [] for config in options.config}
    settings: dict[str, Any] = {}
    scenes: list[Scene] = []
    for turn in range(options.runs + 1):
        for config in possible:
            out = scratch / Path(config).stem
            measured = run_once(options.footage, config, extra_words, out)
            if turn:
                done[config].append(measured)
            else:
                settings[config] = json.loads((out / "run.json").read_text())["settings"]
                scenes = look_at(out, options.footage, settings[config])
            shutil.rmtree(out)
    print_headline(done, scenes)
    for config in possible:
        print_stages(Path(config).stem, done[config], settings[config], scenes)


def has_device(config: Path) -> bool:
    """Whether all that a preset asks for is there."""
    import torch

    wanted = [fields.get("device", "cpu") for fields in read_preset(config).values()]
    return all(device == "cpu" for device in wanted) or torch.cuda.is_available()


def run_once(footage: Path, config: str, extra_words: Sequence[str], out: Path) -> Measured:
    """Run the command with an empty store."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), str(footage), "--out", str(out)]
    seconds, peak = watched([*command, "--config", config, *extra_words])
    stages: dict[str, float] = {}
    for clip in json.loads((out / "run.json").read_text())["clips"].values():
        for stage, spent in clip["stages"].items():
            stages[stage] = stages.get(stage, 0.0) + spent["seconds"]
    return Measured(seconds, peak, stages)


def look_at(out: Path, footage: Path, settings: dict[str, Any]) -> list[Scene]:
    """Return what a run's clips are like."""
    scenes = []
    for clip in pair_masks(footage, None, follow_links=True)[0]:
        metrics = json.loads((out / clip.name / "metrics.json").read_text())
        timeline = probe(clip.files["footage"], rate=settings["ingest"]["frame_rate"])
        rows, columns = working_size(timeline.size, settings["ingest"]["short_side"])
        scenes.append(
            Scene(
                frames=timeline.frames,
                rate=timeline.rate,
                work=rows * columns,
                source=timeline.size[0] * timeline.size[1],
                classes=len(metrics["classes"]),
                edges=edge_share(out / clip.name / "masks"),
            )
        )
    return scenes


def edge_share(masks: Path) -> float:
    """Return the share of tiles that hold more than one label."""
    files = sorted(masks.glob("*.png"))
    files = files[:: max(len(files) // LOOKED_AT, 1)]
    labels = [read_labels(file).astype(np.float32) for file in files]
    return float(
        np.mean([1 - flat_tiles(frame_labels[..., None]).mean() for frame_labels in labels])
    )


def print_headline(done: dict[str, list[Measured]], scenes: Sequence[Scene]) -> None:
    """Print one row a preset."""
    frames = sum(scene.frames for scene in scenes)
    minutes = sum(scene.frames / scene.rate for scene in scenes) / 60
    print(f"{len(scenes)} clips, {frames} frames, {minutes:.2f} minutes of source\n")
    print(
        "| preset | source minutes per hour of machine | frames/s | each run, s | peak memory, MB |"
        "\n|---|---|---|---|---|"
    )
    for config, runs in done.items():
        if not runs:
            print(f"| {Path(config).stem} | not measured: no GPU here | | | |")
            continue
        seconds = statistics.median(run.seconds for run in runs)
        each = ", ".join(f"{run.seconds:.1f}" for run in runs)
        peak = max(run.peak_bytes for run in runs) / 1e6
        print(
            f"| {Path(config).stem} | **{minutes / (seconds / 3600):.1f}** | "
            f"{frames / seconds:.2f} | {each} | {peak:.0f} |"
        )


@lru_cache
def rates_on(device: str, precision: str) -> Rates:
    """Measure once, and say so."""
    rates = measured_rates(device, precision)
    where = f"{os.cpu_count()} processors" if device == "cpu" else device
    print(
        f"\nMeasured on the way, {where}: {rates.bytes / 1e9:.1f} GB/s copied (read and "
        f"written), {rates.operations / 1e9:.0f} Gop/s in {precision}."
    )
    return rates


def rates_of(stage: str, settings: dict[str, Any]) -> Rates:
    """Return the rates of what a stage ran on."""
    return rates_on(settings[stage].get("device", "cpu"), settings[stage].get("precision", "fp32"))


def at_once(stage: str, settings: dict[str, Any]) -> float:
    """Return how many tasks of a stage share the processors, or a GPU."""
    if settings[stage].get("device", "cpu") == "cpu":
        return os.cpu_count() or 1
    return 1 / (settings["engine"]["resources"].get(stage, {}).get("gpus", 0) or 1)


def print_stages(
    preset: str,
    runs: Sequence[Measured],
    settings: dict[str, Any],
    scenes: Sequence[Scene],
) -> None:
    """Print one row a stage: what it takes and what it would take at the least."""
    floors: dict[str, tuple[float, float]] = {}
    for scene in scenes:
        for stage, work in work_of(settings, scene).items():
            before, rates = floors.get(stage, (0.0, 0.0)), rates_of(stage, settings)
            moved, computed = work.bytes / rates.bytes, work.operations / rates.operations
            floors[stage] = (
                before[0] + scene.frames * moved,
                before[1] + scene.frames * computed,
            )
    spent = {
        stage: statistics.median(run.stages.get(stage, 0.0) for run in runs)
        for stage in runs[0].stages
    }
    total = sum(spent.values())
    print(
        f"\n`{preset}`, medians of {len(runs)} runs:\n\n| stage | s, all workers | share | "
        "floor, s: bytes | operations | times the floor |\n|---|---|---|---|---|---|"
    )
    for stage, seconds in spent.items():
        row = f"| {stage} | {seconds:.2f} | {seconds / total:.0%} |"
        if stage not in floors or stage in uncounted(settings):
            print(f"{row} – | – | – |")
            continue
        moved, computed = floors[stage]
        times = seconds / at_once(stage, settings) / max(moved, computed)
        print(f"{row} {moved:.3f} | {computed:.3f} | {times:.0f} |")


if __name__ == "__main__":
    main()
