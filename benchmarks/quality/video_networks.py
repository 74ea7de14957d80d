"""A per-frame network, and with each part of TCB; two of them also with this pipeline.

    python benchmarks/quality/video_networks.py SEQUENCES [--work DIR] [--seeds 0 …] [--epochs 10]

Trains on the first frames of CamVid 0016E5 (the last fifth of these chooses the epoch), judges on
its last frames, which no training sees; both are of one drive. Rows as in table 3 of VSPW, of
networks of one small backbone that is trained from nothing. `ST-OCR, memory` has ST-OCR's weights.
Judged with DeepFlow, which the pipeline did not use. Prints a Markdown table after each seed, of
all seeds up to then; the work folder keeps what is done, and the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.models.segmenters.context_blending.network import (  # noqa: E402 (beside this folder)
    VideoNetwork,
    load_network,
    save_network,
)
from stages.models.segmenters.context_blending.settings import (  # noqa: E402
    DILATIONS,
    NetworkSettings,
)
from steadymask.training.video.clip_samples import LabelSetFrames  # noqa: E402
from steadymask.training.video.train import VideoTrainingSettings, train_network  # noqa: E402

SEQUENCE, VOID = "camvid-0016E5-15hz", 0
MEASURES = ("mIoU", "fwIoU", "VC8", "VC16", "TC")
ALL = ("segment.check=false", "report.enabled=false")  # no class is the background here
Scores = dict[str, list[float]]
"""Measures by system."""

RAW = ("refine.method=none", "smooth.method=none", "smooth.votes=0")


@dataclass(frozen=True)
class Row:
    """A network: its parts, and the row whose weights it has, where it is not trained."""

    context: tuple[str, ...] = ()
    memory: int = 0
    weights_of: str = ""


ROWS = {
    "frame-wise": Row(),
    "ST-PPM": Row(("ppm",)),
    "ST-OCR": Row(("ocr",)),
    "ST-PPM and ST-OCR": Row(("ppm", "ocr")),
    "ST-OCR, memory": Row(("ocr",), memory=30, weights_of="ST-OCR"),
}

STEADY = " + this pipeline"
STEADIED = ("frame-wise", "ST-PPM and ST-OCR")  # also run with this pipeline
DIFFERENCES = (
    *((name, "frame-wise") for name in list(ROWS)[1:]),
    (f"frame-wise{STEADY}", "frame-wise"),
    (f"frame-wise{STEADY}", "ST-PPM and ST-OCR"),
    (f"ST-PPM and ST-OCR{STEADY}", "ST-PPM and ST-OCR"),
)


def main() -> None:
    """Train, segment and judge all rows."""
    options = _parser().parse_args()
    sequence = (options.sequences / SEQUENCE).resolve()
    label_set, footage, truth = (options.work / name for name in ("set", "footage", "truth"))
    trained_on, judged_on = slice(options.train), slice(-options.judge, None)
    link_pictures(sequence / "JPEGImages", label_set / "JPEGImages/480p/camvid", trained_on)
    link_pictures(sequence / "Annotations", label_set / "Annotations/480p/camvid", trained_on)
    link_pictures(sequence / "JPEGImages", footage / "camvid", judged_on)
    link_pictures(sequence / "Annotations", truth / "camvid", judged_on)
    scores: list[Scores] = []
    for seed in options.seeds:
        folder = options.work / f"seed-{seed}"
        specs = {name: trained_network(options, name, seed, label_set, folder) for name in ROWS}
        systems: dict[str, Path] = {}
        for name, spec in specs.items():
            for system, changes in row_systems(name).items():
                out = systems[system] = folder / "runs" / _file_name(system)
                run_pipeline(footage, spec, out, options.work / "store", changes)
        scores.append(judge_systems(systems, footage, truth, folder / "scores.json"))
        report(scores)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--work", type=Path, default=Path("out/video_networks"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--train", type=int, default=60, help="first frames, to train on")
    parser.add_argument("--judge", type=int, default=24, help="last frames, to judge on")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-3)
    return parser


def link_pictures(source: Path, folder: Path, part: slice) -> None:
    """Link some pictures of a folder into another, unless it is there."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for path in sorted(source.glob("*.png"))[part]:
        (folder / path.name).symlink_to(path)


def row_systems(name: str) -> dict[str, tuple[str, ...]]:
    """Return a row's systems, and the settings with which each runs."""
    return {name: RAW} | ({f"{name}{STEADY}": ()} if name in STEADIED else {})


def trained_network(
    options: argparse.Namespace, name: str, seed: int, label_set: Path, folder: Path
) -> str:
    """Return the segmenter of a row, trained unless it is there."""
    row = ROWS[name]
    model = "tcb" if row.context else "per_frame"
    path: Path = folder / f"{_file_name(name)}.safetensors"
    if row.weights_of:
        network = load_network(folder / f"{_file_name(row.weights_of)}.safetensors")
        network.settings = replace(network.settings, memory=row.memory)
        save_network(path, network)
    elif not path.exists():
        frames = LabelSetFrames(label_set, ignored=(VOID,))
        dilations = DILATIONS if row.context else ()
        lightning.seed_everything(seed, verbose=False)
        network = VideoNetwork(
            NetworkSettings(
                model=model, class_ids=frames.class_ids, context=row.context, dilations=dilations
            )
        )
        settings = VideoTrainingSettings(
            epochs=options.epochs, samples=options.samples, side=options.side, seed=seed,
            rate=options.rate, patience=options.epochs,
        )  # fmt: skip
        train_network(
            network, frames, settings, folder / _file_name(name), path,
            tell=lambda line: print(name, line, file=sys.stderr, flush=True),
        )  # fmt: skip
    return f"{model}:{path}"


def run_pipeline(
    footage: Path, segmenter: str, out: Path, store: Path, changes: Sequence[str]
) -> None:
    """Run the command with a segmenter; all runs share a store."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), str(footage), "--follow-links"]
    command += ["--segmenter", segmenter, "--out", str(out), "--store", str(store)]
    command += ["--executor", "inline", "--workers", "1"]
    command += [part for text in (*ALL, *changes) for part in ("--set", text)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def judge_systems(systems: dict[str, Path], footage: Path, truth: Path, path: Path) -> Scores:
    """Return each system's measures, judged with one flow unless that is done."""
    if not path.exists():
        command = [sys.executable, str(ROOT / "run_pipeline.py"), "evaluate", str(footage)]
        command += ["--gt", str(truth), "--task", "classes", "--void", str(VOID), "--radius", "1"]
        command += ["--json", str(path), "--workers", "1"]
        command += [part for name, out in systems.items() for part in ("--pred", f"{name}={out}")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    means = json.loads(path.read_text())["mean"]
    return {name: [means[name][measure][0] for measure in MEASURES] for name in systems}


def report(scores: Sequence[Scores]) -> None:
    """Print a Markdown table: mean over seeds ± standard error, and differences, paired by seed."""
    print(f"| seeds: {len(scores)} | " + " | ".join(f"{name} ↑" for name in MEASURES) + " |")
    print("|---" * (len(MEASURES) + 1) + "|")
    for name in scores[0]:
        print(f"| {name} | " + _cells(np.array([seed[name] for seed in scores]), "") + " |")
    for name, other in DIFFERENCES:
        gains = np.array([np.subtract(seed[name], seed[other]) for seed in scores])
        print(f"| **{name} − {other}** | " + _cells(gains, "+") + " |")


def _cells(values: NDArray[np.float64], sign: str) -> str:
    """Return the cells of a row; `values` are (seeds, measures)."""
    count, means = len(values), values.mean(axis=0)
    if count == 1:
        return " | ".join(f"{mean:{sign}.3f}" for mean in means)
    errors = values.std(axis=0, ddof=1) / np.sqrt(count)
    pairs = zip(means, errors, strict=True)
    return " | ".join(f"{mean:{sign}.3f} ± {error:.3f}" for mean, error in pairs)


def _file_name(name: str) -> str:
    return name.replace(",", "").replace(" + ", " ").replace(" ", "-").lower()


if __name__ == "__main__":
    main()
