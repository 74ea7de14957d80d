"""How right pseudo-labels are where they are trusted, and where they are not.

    python benchmarks/quality/pseudo_label_quality.py FOOTAGE MASKS TRUTH [--work DIR] [--set …]

Each a folder of clips, each clip a folder of pictures; TRUTH of the same size, 255 in it does not
count. All objects are one foreground. The pipeline runs once for each reason to distrust a pixel,
with the others switched off, once with none and once with all, on one store. Prints Markdown
tables: per clip, and per reason the mean over clips.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from stages.media.masks.palette import read_labels  # noqa: E402 (the project is beside this folder)
from stages.ops.ignored_label import IGNORE  # noqa: E402

OFF = {"sure": 0, "support": 0, "least_seen": 0, "passes_agree": False}
REASONS: dict[str, tuple[str, ...]] = {
    "none": (),
    "low confidence": ("sure",),
    "no support of neighbours": ("support", "least_seen"),
    "passes disagree": ("passes_agree",),
    "all three": tuple(OFF),
}
ALL = "all three"
Counts = NDArray[np.int64]


def main() -> None:
    """Run the pipeline for every reason; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("footage", "masks", "truth"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--work", type=Path, help="keeps what is computed; by default nothing is")
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        for name in REASONS:
            run(options, work, name)
        report(options, work)


def run(options: argparse.Namespace, work: Path, name: str) -> None:
    """Write pseudo-labels for one reason alone."""
    fields = {field: value for field, value in OFF.items() if field not in REASONS[name]}
    sets = [f"pseudo_labels.{field}={json.dumps(value)}" for field, value in fields.items()]
    sets += ["pseudo_labels.enabled=true", "segment.union=true", 'export.formats=["png"]']
    sets += ["report.enabled=false", *options.set]
    command = [
        sys.executable,
        str(ROOT / "run_pipeline.py"),
        str(options.footage),
        "--follow-links",
    ]
    command += ["--masks", str(options.masks), "--out", str(out_of(work, name))]
    command += ["--store", str(work / "store"), "--executor", "inline"]
    command += [part for text in sets for part in ("--set", text)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def out_of(work: Path, name: str) -> Path:
    """Return the results for one reason."""
    return work / name.replace(" ", "-")


def report(options: argparse.Namespace, work: Path) -> None:
    """Print both tables, in percent of the pixels."""
    clips = list(json.loads((out_of(work, ALL) / "run.json").read_text())["clips"])
    counts = {name: [sum(counted(options, work, name, clip)) for clip in clips] for name in REASONS}
    print("| clip | masks wrong | stabilised wrong | trusted | of these wrong | of the others |")
    print("|---|---|---|---|---|---|")
    for clip, count in zip(clips, counts[ALL], strict=True):
        raw = sum(wrong_masks(options, work, clip))
        fields = [raw[0] / raw[1], count[:, 1].sum() / count.sum(), *shares(count)[:3]]
        print(f"| {clip} | {' | '.join(percent(field) for field in fields)} |")
    print(
        "\n| not trusted for | trusted | of these wrong | of the others | 255 of the wrong | ",
        end="",
    )
    print("255 of the right |\n|---|---|---|---|---|---|")
    for name, clip_counts in counts.items():
        means = np.mean([shares(count) for count in clip_counts], axis=0)
        print(f"| {name} | {' | '.join(percent(mean) for mean in means)} |")


def percent(share: float) -> str:
    """Return a share as the tables have it; there may be nothing to take a share of."""
    return "" if np.isnan(share) else f"{100 * share:.2f}"


def shares(count: Counts) -> tuple[float, ...]:
    """Return: trusted; wrong of these, of the others; 255 of the wrong, of the right."""
    kept, dropped = count[1], count[0]
    with np.errstate(invalid="ignore"):
        each = (kept.sum() / count.sum(), kept[1] / kept.sum(), dropped[1] / dropped.sum(),
                dropped[1] / count[:, 1].sum(), dropped[0] / count[:, 0].sum())  # fmt: skip
    return tuple(float(share) for share in each)


def counted(options: argparse.Namespace, work: Path, name: str, clip: str) -> Iterator[Counts]:
    """Yield of each frame how many pixels are (not trusted, trusted) x (right, wrong)."""
    for frame, truth in truths(options, work, clip):
        unfiltered, kept = (
            read_labels(labels_of(work, kind, clip) / frame) for kind in ("none", name)
        )
        counts = truth != IGNORE
        places = 2 * (kept != IGNORE)[counts] + ((unfiltered > 0) != (truth > 0))[counts]
        yield np.bincount(places, minlength=4).reshape(2, 2)


def wrong_masks(options: argparse.Namespace, work: Path, clip: str) -> Iterator[Counts]:
    """Yield of each frame of the masks that came in how many pixels are wrong, and how many are."""
    mask_files = sorted((options.masks / clip).iterdir())
    for frame, truth in truths(options, work, clip):
        labels = sized(read_labels(mask_files[int(Path(frame).stem)]), truth.shape)
        wrong = ((labels > 0) & (labels != IGNORE)) != (truth > 0)
        yield np.array([wrong[truth != IGNORE].sum(), (truth != IGNORE).sum()])


def truths(
    options: argparse.Namespace, work: Path, clip: str
) -> Iterator[tuple[str, NDArray[np.uint16]]]:
    """Yield the truth of each frame that has one, at the labels' size, with their file's name."""
    pictures = sorted((options.footage / clip).iterdir())
    for path in sorted(labels_of(work, ALL, clip).iterdir()):
        truth = options.truth / clip / f"{pictures[int(path.stem)].stem}.png"
        if truth.exists():
            yield path.name, sized(read_labels(truth), read_labels(path).shape)


def labels_of(work: Path, name: str, clip: str) -> Path:
    """Return the folder of a clip's labels for one reason."""
    return out_of(work, name) / clip / "pseudo_labels" / "labels"


def sized(labels: NDArray[np.uint16], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return labels at another size."""
    return np.asarray(cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint16)


if __name__ == "__main__":
    main()
